//! What sockets a process holds, from the kernel's own tables.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context as _, Result};

/// One socket of the internet families.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    /// `tcp`, `tcp6`, `udp` or `udp6`.
    pub protocol: &'static str,
    /// This end.
    pub local: SocketAddr,
    /// The other end; port 0 if there is none.
    pub remote: SocketAddr,
    /// Whether it waits for connections (TCP).
    pub listening: bool,
}

impl Socket {
    /// Whether it is bound to this machine alone and talks to nobody else.
    pub fn is_local(&self) -> bool {
        let here = |ip: IpAddr| ip.to_canonical().is_loopback();
        here(self.local.ip()) && (self.remote.port() == 0 || here(self.remote.ip()))
    }

    /// Whether the other end is somebody on another machine.
    pub fn leaves_this_machine(&self) -> bool {
        let remote = self.remote.ip().to_canonical();
        self.remote.port() != 0 && !remote.is_loopback() && !remote.is_unspecified()
    }
}

/// All sockets of one process.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn of_process(pid: u32) -> Result<BTreeSet<Socket>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        // A descriptor may be closed while we look.
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        let target = target.to_string_lossy().into_owned();
        if let Some(inode) = target
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'))
        {
            inodes.insert(inode.to_owned());
        }
    }
    let mut found = BTreeSet::new();
    for protocol in ["tcp", "tcp6", "udp", "udp6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{protocol}"))?;
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let &[_, local, remote, state, _, _, _, _, _, inode, ..] = fields.as_slice() else {
                continue;
            };
            if inodes.contains(inode) {
                found.insert(Socket {
                    protocol,
                    local: address(local)?,
                    remote: address(remote)?,
                    listening: protocol.starts_with("tcp") && state == "0A",
                });
            }
        }
    }
    Ok(found)
}

/// Reads `0100007F:1F90`: words in the machine's byte order, port in hexadecimal.
fn address(text: &str) -> Result<SocketAddr> {
    let (ip, port) = text.split_once(':').context("no port")?;
    let port = u16::from_str_radix(port, 16)?;
    let mut bytes = Vec::new();
    for word in ip.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word)?, 16)?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => {
            let sixteen = <[u8; 16]>::try_from(bytes.as_slice()).context("an odd address")?;
            IpAddr::V6(Ipv6Addr::from(sixteen))
        }
    };
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn addresses_of_the_kernel_are_read() {
        assert_eq!(
            address("0100007F:1F90").unwrap(),
            "127.0.0.1:8080".parse().unwrap()
        );
        let six = address("00000000000000000000000001000000:0050").unwrap();
        assert_eq!(six, "[::1]:80".parse().unwrap());
    }

    #[test]
    fn own_sockets_are_seen() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let found = of_process(std::process::id()).unwrap();
        let tcp = tcp.local_addr().unwrap();
        let udp = udp.local_addr().unwrap();
        assert!(
            found
                .iter()
                .any(|socket| socket.local == tcp && socket.listening)
        );
        assert!(
            found
                .iter()
                .any(|socket| socket.local == udp && socket.protocol == "udp")
        );
        assert!(
            found
                .iter()
                .filter(|socket| [tcp, udp].contains(&socket.local))
                .all(Socket::is_local)
        );
    }
}
