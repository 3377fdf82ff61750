//! What a process hands to its sockets, as the kernel sees it (`strace`).

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::node::signal;

/// A watched process, with all its threads and children.
#[derive(Debug)]
pub struct Trace {
    child: Child,
    path: PathBuf,
}

/// Whether processes can be watched here.
pub fn is_possible() -> bool {
    let tried = Command::new("strace")
        .args(["-f", "-e", "trace=sendmsg", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

impl Trace {
    /// Watches a process from now on.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn attach(pid: u32, path: &Path) -> Result<Self> {
        let mut child = Command::new("strace")
            .args(["-f", "-yy", "-s", "0"])
            .args(["-e", "trace=sendto,sendmsg,sendmmsg,write,writev"])
            .args(["-e", "signal=none", "-o"])
            .arg(path)
            .args(["-p", &pid.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        // It says so when it has hold of the process.
        let told = child.stderr.take().context("its words")?;
        let mut line = String::new();
        let mut told = BufReader::new(told);
        told.read_line(&mut line)?;
        ensure!(line.contains("attached"), "strace: {line}");
        // It must not stop because nobody listens.
        std::thread::spawn(move || told.lines().count());
        Ok(Self {
            child,
            path: path.to_owned(),
        })
    }

    /// Lets go; answers with the bytes that were sent on each socket, by what the kernel calls it.
    ///
    /// # Errors
    /// When what was seen cannot be read.
    pub fn finish(mut self) -> Result<BTreeMap<String, u64>> {
        signal(self.child.id(), "INT")?;
        self.child.wait()?;
        Ok(sent(&fs::read_to_string(&self.path)?))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It is over already after `finish`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sent(log: &str) -> BTreeMap<String, u64> {
    let mut sockets: BTreeMap<String, u64> = BTreeMap::new();
    let mut open: BTreeMap<&str, String> = BTreeMap::new();
    for line in log.lines() {
        let Some((thread, call)) = line.trim().split_once(' ') else {
            continue;
        };
        let call = call.trim();
        let socket = match call.starts_with("<...") {
            true => open.remove(thread),
            false => socket(call),
        };
        let Some(socket) = socket else { continue };
        if call.ends_with("<unfinished ...>") {
            open.insert(thread, socket);
            continue;
        }
        let count = match call.contains("sendmmsg") {
            true => each(call),
            false => result(call),
        };
        *sockets.entry(socket).or_default() += count;
    }
    sockets
}

/// `sendto(15<TCP:[127.0.0.1:80->127.0.0.1:81]>, …` → `TCP:[…]`.
fn socket(call: &str) -> Option<String> {
    let (_, rest) = call.split_once('<')?;
    let kinds = ["TCP:[", "UDP:[", "TCPv6:[", "UDPv6:["];
    let is_socket = kinds.iter().any(|kind| rest.starts_with(kind));
    let (name, _) = rest.split_once("]>")?;
    is_socket.then(|| format!("{name}]"))
}

fn result(call: &str) -> u64 {
    let (_, result) = call.rsplit_once(" = ").unwrap_or_default();
    let number = result.split(' ').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

/// Of several messages in one call each has its own length.
fn each(call: &str) -> u64 {
    let lens = call.split("msg_len=").skip(1);
    lens.map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_on_sockets_are_summed() {
        let log = "\
7  sendto(15<TCP:[127.0.0.1:80->127.0.0.1:81]>, \"\"..., 123, MSG_NOSIGNAL, NULL, 0) = 123
7  write(15<TCP:[127.0.0.1:80->127.0.0.1:81]>, \"\"..., 7) = 7
7  write(3</tmp/a>, \"\"..., 1000) = 1000
7  sendmsg(9<UDP:[127.0.0.1:44]>, {msg_name=0}, 0 <unfinished ...>
8  write(4<pipe:[1]>, \"\"..., 9) = 9
7  <... sendmsg resumed>) = 1200
8  sendmmsg(9<UDP:[127.0.0.1:44]>, [{msg_hdr={}, msg_len=10}, {msg_hdr={}, msg_len=20}], 2, 0) = 2
8  sendto(9<UDP:[127.0.0.1:44]>, \"\"..., 5, 0, NULL, 0) = -1 EAGAIN (Resource temporarily unavailable)
";
        let sent = sent(log);
        assert_eq!(sent["TCP:[127.0.0.1:80->127.0.0.1:81]"], 130);
        assert_eq!(sent["UDP:[127.0.0.1:44]"], 1230);
        assert_eq!(sent.len(), 2);
    }
}
