//! The checks, in the order in which one rests on the other.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use weft_node::{
    api::{StatusResponse, route},
    config::Overrides,
    home::Home,
};

use super::Check;
use crate::{
    command::df::free_bytes,
    context::{Context, Daemon},
    home::Files,
    units::{Size, date},
};

/// Below this even a small model does not fit.
const FREE_BYTES_FAIL: u64 = 100_000_000;
/// Below this a usual model does not fit.
const FREE_BYTES_WARN: u64 = 10_000_000_000;
/// 2026-01-01: no copy of this program has ever run before.
const CLOCK_MIN: u64 = 1_767_225_600;
/// 2100-01-01: a clock that says so is wrong.
const CLOCK_MAX: u64 = 4_102_444_800;

/// Runs all checks.
pub(super) fn all(context: &Context) -> anyhow::Result<Vec<Check>> {
    let home = context.home()?;
    let daemon = context.daemon()?;
    let mut checks = vec![
        writable(&home),
        secrets(&home),
        disk(&home),
        clock(),
        node(&daemon),
    ];
    match daemon {
        Daemon::Running(client) => checks.push(peers(client.get(route::STATUS, &[]))),
        Daemon::None | Daemon::Stale(_) => checks.extend(ports(&home)),
        Daemon::Silent(_) => {}
    }
    Ok(checks)
}

fn writable(home: &Path) -> Check {
    const NAME: &str = "home";
    let shown = home.display();
    let hint = "choose another data directory with `--home DIR` or WEFT_HOME, or change its owner";
    let Some(existing) = home.ancestors().find(|path| path.exists()) else {
        return Check::fail(NAME, format!("`{shown}` cannot exist"), hint);
    };
    // Looked at rather than tried: a check must leave nothing behind.
    let writable = rustix::fs::access(
        existing,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    );
    match writable {
        Err(e) => Check::fail(
            NAME,
            format!("`{}` is not writable: {e}", existing.display()),
            hint,
        ),
        Ok(()) if !existing.is_dir() => Check::fail(
            NAME,
            format!("`{}` is not a folder", existing.display()),
            hint,
        ),
        Ok(()) if existing == home => Check::ok(NAME, format!("`{shown}` is writable")),
        Ok(()) => Check::ok(NAME, format!("`{shown}` will be created at first use")),
    }
}

fn secrets(home: &Path) -> Check {
    const NAME: &str = "secrets";
    let is_open = |path: &Path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    };
    // Nobody gets to a file behind a closed directory, whatever the file allows.
    let files = if is_open(home) {
        vec![
            Files::new(home).token,
            home.join("node.key"),
            home.join("identities"),
        ]
    } else {
        Vec::new()
    };
    let open: Vec<String> = files
        .iter()
        .filter(|path| is_open(path))
        .map(|path| format!("`{}`", path.display()))
        .collect();
    if open.is_empty() {
        Check::ok(NAME, "keys and token are readable by you alone")
    } else {
        Check::warn(
            NAME,
            format!("others may read {}", open.join(", ")),
            format!("chmod -R go= '{}'", home.display()),
        )
    }
}

fn disk(home: &Path) -> Check {
    const NAME: &str = "disk";
    let hint =
        "free some space (`weft df`, `weft prune`), or move the data directory to a larger disk";
    match free_bytes(home) {
        None => Check::warn(
            NAME,
            "free space could not be measured",
            "look with `df -h`",
        ),
        Some(bytes) if bytes < FREE_BYTES_FAIL => {
            Check::fail(NAME, format!("only {} free", Size(bytes)), hint)
        }
        Some(bytes) if bytes < FREE_BYTES_WARN => {
            Check::warn(NAME, format!("only {} free", Size(bytes)), hint)
        }
        Some(bytes) => Check::ok(NAME, format!("{} free", Size(bytes))),
    }
}

fn clock() -> Check {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    judge_clock(now)
}

fn judge_clock(now: u64) -> Check {
    const NAME: &str = "clock";
    if (CLOCK_MIN..CLOCK_MAX).contains(&now) {
        Check::ok(NAME, date(now))
    } else {
        Check::fail(
            NAME,
            format!(
                "the clock says {}, so signatures look expired or not yet valid",
                date(now)
            ),
            "set the clock, for instance with `timedatectl set-ntp true`",
        )
    }
}

fn node(daemon: &Daemon) -> Check {
    const NAME: &str = "node";
    match daemon {
        Daemon::Running(client) => Check::ok(NAME, format!("runs and answers at {}", client.url())),
        Daemon::None => Check::warn(
            NAME,
            "does not run",
            "`weft serve` starts it; fetch and publish work without",
        ),
        Daemon::Stale(client) => Check::warn(
            NAME,
            format!("was at {} and ended without taking leave", client.url()),
            "nothing is lost: `weft serve` starts it again",
        ),
        Daemon::Silent(client) => Check::fail(
            NAME,
            format!("listens at {} but does not answer", client.url()),
            "look at its output; end its process and start it again with `weft serve`",
        ),
    }
}

fn peers(status: anyhow::Result<StatusResponse>) -> Check {
    const NAME: &str = "peers";
    match status {
        Err(e) => Check::fail(
            NAME,
            format!("the node could not be asked: {e:#}"),
            "`weft status`",
        ),
        Ok(status) if status.peers.is_empty() => Check::warn(
            NAME,
            "none is connected",
            "start the node with `--bootstrap ADDR`, with an address from another node's `weft status`",
        ),
        Ok(status) => Check::ok(NAME, format!("{} connected", status.peers.len())),
    }
}

/// Whether the ports that `weft serve` would take are free.
fn ports(home: &Path) -> Vec<Check> {
    const NAME: &str = "ports";
    let config = match weft_node::Config::load(&Home::new(home), &Overrides::default()) {
        Ok(config) => config,
        Err(e) => {
            let hint = e.hint.unwrap_or_else(|| "`weft config show`".to_owned());
            return vec![Check::fail("config", e.message, hint)];
        }
    };
    let tried = [
        ("TCP", config.listen, tcp(config.listen)),
        ("UDP", config.listen, udp(config.listen)),
        ("TCP", config.gateway, tcp(config.gateway)),
    ];
    let bad: Vec<String> = tried
        .iter()
        .filter_map(|(kind, address, result)| {
            let kind_of_error = result.as_ref().err()?.kind();
            let reason = if kind_of_error == ErrorKind::AddrInUse {
                "is taken"
            } else {
                "cannot be used"
            };
            Some(format!("{kind} {address} {reason}"))
        })
        .collect();
    let check = if bad.is_empty() {
        Check::ok(
            NAME,
            format!("{} and {} are free", config.listen, config.gateway),
        )
    } else {
        Check::warn(
            NAME,
            bad.join(", "),
            "another program or another node has it: choose others with `weft serve --listen … --gateway …`",
        )
    };
    vec![check]
}

fn tcp(address: SocketAddr) -> std::io::Result<()> {
    TcpListener::bind(address).map(drop)
}

fn udp(address: SocketAddr) -> std::io::Result<()> {
    UdpSocket::bind(address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::Status;

    #[test]
    fn impossible_clocks_fail() {
        assert_eq!(judge_clock(0).status, Status::Fail);
        assert_eq!(judge_clock(1_795_231_800).status, Status::Ok);
        assert_eq!(judge_clock(u64::MAX).status, Status::Fail);
    }

    #[test]
    fn open_secrets_are_told() {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let key = home.path().join("node.key");
        fs::write(&key, "secret").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(secrets(home.path()).status, Status::Ok);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(secrets(home.path()).status, Status::Warn);
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(secrets(home.path()).status, Status::Ok);
    }

    #[test]
    fn home_may_be_created_later_but_must_not_be_a_file() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(writable(&directory.path().join("a/b")).status, Status::Ok);
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(writable(&file).status, Status::Fail);
    }
}
