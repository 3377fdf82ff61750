//! The `weft` program: where it is, how it is run, what came out.

use std::{
    env,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::wait_for;

/// The program under test: `WEFT_BIN`, or what was built beside this test.
///
/// # Errors
/// When there is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("WEFT_BIN") {
        return Ok(path.into());
    }
    let test = env::current_exe()?;
    let found = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("weft"))
        .find(|path| path.is_file());
    found.context("the `weft` program is not built; run `make build` first")
}

/// A command line of `weft` on one data directory, free of the caller's own settings.
///
/// # Errors
/// When there is no program.
pub fn command(home: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary()?);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("WEFT_") {
            command.env_remove(name);
        }
    }
    command
        .env("WEFT_HOME", home)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .args(arguments)
        .stdin(Stdio::null());
    Ok(command)
}

/// What a finished command left behind.
#[derive(Debug, Clone)]
pub struct Run {
    /// The arguments.
    pub line: String,
    /// How it ended; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

impl Run {
    /// Runs to the end.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn of(home: &Path, arguments: &[&str]) -> Result<Self> {
        Job::start(home, arguments)?.finish()
    }

    /// Itself, if it went well.
    ///
    /// # Errors
    /// When it did not, with all it said.
    pub fn ok(self) -> Result<Self> {
        ensure!(self.code == Some(0), "{self:#?}");
        Ok(self)
    }

    /// The JSON object that is the last line of its output.
    ///
    /// # Errors
    /// When it failed or printed none.
    pub fn json(self) -> Result<Value> {
        let run = self.ok()?;
        // Pretty-printed or on one line: either is the whole of stdout.
        serde_json::from_str(&run.stdout)
            .or_else(|_| serde_json::from_str(run.stdout.lines().last().unwrap_or_default()))
            .with_context(|| format!("`weft {}` printed no JSON: {}", run.line, run.stdout))
    }

    /// Checks that it failed in one expected way, with words for people.
    ///
    /// # Errors
    /// When it did not.
    pub fn refused(self, code: i32, word: &str) -> Result<Self> {
        ensure!(
            self.code == Some(code),
            "expected exit code {code}: {self:#?}"
        );
        ensure!(
            self.stderr.contains("error:"),
            "no `error:` line: {self:#?}"
        );
        ensure!(
            self.stderr.to_lowercase().contains(&word.to_lowercase()),
            "no word of `{word}`: {self:#?}"
        );
        ensure!(
            !self.stderr.contains("panicked at"),
            "it panicked: {self:#?}"
        );
        Ok(self)
    }
}

/// A running command. Killed when dropped.
#[derive(Debug)]
pub struct Job {
    line: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    _files: tempfile::TempDir,
}

impl Job {
    /// Starts a command; what it prints goes to files, so that it never waits for a reader.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(home: &Path, arguments: &[&str]) -> Result<Self> {
        Self::spawn(command(home, arguments)?, arguments.join(" "))
    }

    /// Starts a command with something to read on its standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with_input(home: &Path, arguments: &[&str], input: &str) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let path = files.path().join("stdin");
        fs::write(&path, input)?;
        let mut command = command(home, arguments)?;
        command.stdin(File::open(&path)?);
        Self::spawn(command, arguments.join(" "))
    }

    fn spawn(mut command: Command, line: String) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let (stdout, stderr) = (files.path().join("stdout"), files.path().join("stderr"));
        let child = command
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .spawn()
            .with_context(|| format!("cannot start `weft {line}`"))?;
        Ok(Self {
            line,
            child,
            stdout,
            stderr,
            _files: files,
        })
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it does not come.
    pub fn finish(mut self) -> Result<Run> {
        let limit = Duration::from_secs(240);
        let begin = Instant::now();
        let line = self.line.clone();
        let status = wait_for(&format!("the end of `weft {line}`"), limit, || self.ended());
        let status = match status {
            Ok(status) => status,
            Err(error) => bail!("{error} ({:?}): {}", begin.elapsed(), read(&self.stderr)?),
        };
        Ok(Run {
            line,
            code: status.code(),
            stdout: read(&self.stdout)?,
            stderr: read(&self.stderr)?,
        })
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When the kernel says no.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
