//! One node: a data directory and, most of the time, a process.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    api,
    program::{self, Job, Run},
    wait::{PATIENCE, wait_for},
};

/// How a node is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Addresses it is told of.
    pub bootstrap: Vec<String>,
    /// Further arguments of `weft serve`.
    pub arguments: Vec<String>,
    /// Further variables of its environment.
    pub environment: Vec<(String, String)>,
    /// A shell line to run before, in the same process: `ulimit -f 100`.
    pub before: Option<String>,
}

impl Options {
    /// Knows one address of another node.
    ///
    /// # Errors
    /// When that one is not running.
    pub fn knowing(other: &Node) -> Result<Self> {
        Ok(Self {
            bootstrap: vec![other.address()?],
            ..Self::default()
        })
    }
}

/// A node. Its process is killed when the value is dropped; its directory belongs to the world.
#[derive(Debug)]
pub struct Node {
    name: String,
    home: PathBuf,
    options: Options,
    child: Option<Child>,
    gateway: String,
}

impl Node {
    /// A node that is not running.
    pub fn new(name: &str, home: PathBuf, options: Options) -> Self {
        Self {
            name: name.to_owned(),
            home,
            options,
            child: None,
            gateway: String::new(),
        }
    }

    /// What the test calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its data directory.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// How it is started, for changes before the next start.
    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// Starts the process and waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends or stays silent instead, with its log.
    pub fn start(&mut self) -> Result<()> {
        self.spawn()?;
        let ready = self.ready_file();
        let what = format!("`{}` to be ready", self.name);
        let outcome = wait_for(&what, PATIENCE, || {
            if let Some(status) = self.exited()? {
                bail!("`{}` ended with {status}", self.name);
            }
            Ok(ready.exists().then_some(()))
        });
        if let Err(error) = outcome {
            bail!("{error:#}\n{}", self.log());
        }
        let status = self.json(&["status"])?;
        self.gateway = text(&status, "gateway")?;
        Ok(())
    }

    /// Starts the process without waiting.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "`{}` runs already", self.name);
        fs::create_dir_all(&self.home)?;
        let ready = self.ready_file();
        if ready.exists() {
            fs::remove_file(&ready)?;
        }
        let mut arguments = vec![
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--gateway",
            "127.0.0.1:0",
            "--no-mdns",
            "-v",
            "--ready-file",
            ready.to_str().context("scratch paths are UTF-8")?,
        ];
        for address in &self.options.bootstrap {
            arguments.extend(["--bootstrap", address]);
        }
        arguments.extend(self.options.arguments.iter().map(String::as_str));

        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())?;
        let mut plain = program::command(&self.home, &arguments)?;
        for (name, value) in &self.options.environment {
            plain.env(name, value);
        }
        let mut command = match &self.options.before {
            None => plain,
            Some(before) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{before}; exec \"$0\" \"$@\""));
                shell.arg(plain.get_program()).args(plain.get_args());
                for (name, value) in plain.get_envs() {
                    match value {
                        Some(value) => shell.env(name, value),
                        None => shell.env_remove(name),
                    };
                }
                shell
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.name))?;
        self.child = Some(child);
        Ok(())
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it is not running.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("not running")?.id())
    }

    /// How the process ended, if it did so by itself.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn exited(&mut self) -> Result<Option<std::process::ExitStatus>> {
        let child = self.child.as_mut().context("not started")?;
        Ok(child.try_wait()?)
    }

    /// SIGKILL, as a power cut would.
    ///
    /// # Errors
    /// When the kernel says no.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, then waits for the orderly end.
    ///
    /// # Errors
    /// When it does not end, or not with success.
    pub fn stop(&mut self) -> Result<()> {
        let pid = self.pid()?;
        signal(pid, "TERM")?;
        let what = format!("`{}` to end", self.name);
        let status = wait_for(&what, PATIENCE, || self.exited())?;
        self.child = None;
        ensure!(
            status.success(),
            "`{}` ended with {status}\n{}",
            self.name,
            self.log()
        );
        Ok(())
    }

    /// SIGTERM and a new start.
    ///
    /// # Errors
    /// When either fails.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start()
    }

    /// Runs `weft` on this data directory to the end.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn weft(&self, arguments: &[&str]) -> Result<Run> {
        Run::of(&self.home, arguments)
    }

    /// Runs `weft --json` and reads what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = vec!["--json"];
        all.extend(arguments);
        self.weft(&all)?
            .json()
            .with_context(|| format!("on `{}`:\n{}", self.name, self.log()))
    }

    /// Starts a `weft` command on this data directory.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn job(&self, arguments: &[&str]) -> Result<Job> {
        Job::start(&self.home, arguments)
    }

    /// `weft publish`, with the folder and a name.
    ///
    /// # Errors
    /// When it fails.
    pub fn publish(&self, model: &crate::Model, name: &str) -> Result<Publication> {
        let value = self.json(&["publish", model.arg(), "--name", name])?;
        Ok(Publication {
            repository: text(&value, "repository")?,
            revision: text(&value, "revision")?,
            reference: text(&value, "reference")?,
            publisher: text(&value, "publisher")?,
            value,
        })
    }

    /// `weft fetch`.
    ///
    /// # Errors
    /// When it fails.
    pub fn fetch(&self, reference: &str) -> Result<Fetched> {
        Fetched::read(self.json(&["fetch", reference])?)
    }

    /// The status object, straight from the local API.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn status(&self) -> Result<Value> {
        api::get(&self.home, &self.gateway, "/weft/v1/status")
    }

    /// URL of its local port.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Its id.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn id(&self) -> Result<String> {
        text(&self.status()?, "node_id")
    }

    /// One loopback address that another node can be started with.
    ///
    /// # Errors
    /// When the node does not answer or has none.
    pub fn address(&self) -> Result<String> {
        let status = self.status()?;
        let listen = status["listen"].as_array().context("`listen` is a list")?;
        let mut addresses = listen.iter().filter_map(Value::as_str);
        let address = addresses.find(|address| address.contains("/ip4/127.0.0.1/"));
        Ok(address.context("no loopback address")?.to_owned())
    }

    /// Bytes sent to peers in this run.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn uploaded(&self) -> Result<u64> {
        number(&self.status()?, "uploaded_bytes")
    }

    /// Verified bytes received since this start.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn downloaded(&self) -> Result<u64> {
        number(&self.status()?, "downloaded_bytes")
    }

    /// Verified bytes of the one revision being downloaded; `None` before it starts and after it ends.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn bytes_done(&self, revision: &str) -> Result<Option<u64>> {
        let status = self.status()?;
        let transfers = status["transfers"]
            .as_array()
            .context("`transfers` is a list")?;
        let transfer = transfers
            .iter()
            .find(|transfer| transfer["revision"] == revision);
        transfer
            .map(|transfer| number(transfer, "bytes_done"))
            .transpose()
    }

    /// State of a revision here: `known`, `wanted`, `complete`, or `None`.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn revision_state(&self, repository: &str, revision: &str) -> Result<Option<String>> {
        let status = self.status()?;
        let found = repository_of(&status, repository)
            .and_then(|entry| entry["revisions"].as_array())
            .and_then(|all| all.iter().find(|entry| entry["revision"] == revision))
            .and_then(|entry| entry["state"].as_str())
            .map(str::to_owned);
        Ok(found)
    }

    /// Waits until every file of a revision is here.
    ///
    /// # Errors
    /// When that does not happen.
    pub fn wait_complete(&self, publication: &Publication) -> Result<()> {
        let what = format!("`{}` to complete {}", self.name, publication.revision);
        wait_for(&what, 2 * PATIENCE, || {
            let state = self.revision_state(&publication.repository, &publication.revision)?;
            Ok((state.as_deref() == Some("complete")).then_some(()))
        })
        .with_context(|| self.log())
    }

    /// Waits until so many peers are connected.
    ///
    /// # Errors
    /// When that does not happen.
    pub fn wait_peers(&self, count: usize) -> Result<()> {
        wait_for(
            &format!("`{}` to have {count} peers", self.name),
            PATIENCE,
            || {
                let status = self.status()?;
                let peers = status["peers"].as_array().map_or(0, Vec::len);
                Ok((peers >= count).then_some(()))
            },
        )
    }

    /// The end of its log, for a failed test's reader.
    pub fn log(&self) -> String {
        let text = fs::read(self.log_file()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(60)..];
        format!("--- log of `{}` ---\n{}\n", self.name, tail.join("\n"))
    }

    /// Everything it logged.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn whole_log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.log_file())?).into_owned())
    }

    fn log_file(&self) -> PathBuf {
        self.home.with_extension("log")
    }

    fn ready_file(&self) -> PathBuf {
        self.home.with_extension("ready")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A node that is gone already is as good.
        let _ = self.kill();
    }
}

/// What `weft publish --json` said.
#[derive(Debug, Clone)]
pub struct Publication {
    /// `<publisher>/<name>`.
    pub repository: String,
    /// 64 hex.
    pub revision: String,
    /// What to hand to others.
    pub reference: String,
    /// 52 characters.
    pub publisher: String,
    /// All of it.
    pub value: Value,
}

/// What `weft fetch --json` said.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The folder.
    pub path: PathBuf,
    /// 64 hex.
    pub revision: String,
    /// Sum of the files' sizes.
    pub bytes_total: u64,
    /// Over the network.
    pub bytes_fetched: u64,
    /// Here before.
    pub bytes_reused: u64,
    /// Who sent how much.
    pub sources: Vec<(String, u64)>,
    /// All of it.
    pub value: Value,
}

impl Fetched {
    /// Reads the promised fields; a missing one is a broken promise.
    ///
    /// # Errors
    /// When one is missing or nothing was verified.
    pub fn read(value: Value) -> Result<Self> {
        ensure!(value["verified"] == true, "not verified: {value}");
        for field in ["repository", "files", "seconds"] {
            ensure!(!value[field].is_null(), "`{field}` is missing: {value}");
        }
        let sources = value["sources"].as_array().context("`sources` is a list")?;
        let sources = sources
            .iter()
            .map(|source| Ok((text(source, "peer")?, number(source, "bytes")?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            path: text(&value, "path")?.into(),
            revision: text(&value, "revision")?,
            bytes_total: number(&value, "bytes_total")?,
            bytes_fetched: number(&value, "bytes_fetched")?,
            bytes_reused: number(&value, "bytes_reused")?,
            sources,
            value,
        })
    }

    /// Bytes that came from one peer.
    pub fn from(&self, peer: &str) -> u64 {
        let found = self.sources.iter().find(|(source, _)| source == peer);
        found.map_or(0, |(_, bytes)| *bytes)
    }
}

/// One repository of a status object.
pub fn repository_of<'a>(status: &'a Value, repository: &str) -> Option<&'a Value> {
    let all = status["repositories"].as_array()?;
    all.iter().find(|entry| entry["repository"] == repository)
}

/// A field that is text.
///
/// # Errors
/// When it is not.
pub fn text(value: &Value, field: &str) -> Result<String> {
    let found = value[field].as_str();
    Ok(found
        .with_context(|| format!("`{field}` is not text in {value}"))?
        .to_owned())
}

/// A field that is a whole number.
///
/// # Errors
/// When it is not.
pub fn number(value: &Value, field: &str) -> Result<u64> {
    value[field]
        .as_u64()
        .with_context(|| format!("`{field}` is not a number in {value}"))
}

/// Sends a signal by name to one process.
///
/// # Errors
/// When the kernel says no.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    // The shell's own `kill`, because not every small system has the program.
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{name} {pid}"))
        .status()?;
    ensure!(status.success(), "cannot send SIG{name} to {pid}");
    Ok(())
}
