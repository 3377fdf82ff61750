//! Options of everything that joins the network.

use std::net::SocketAddr;

use clap::Args;
use weft_node::config::{DataListen, Overrides, Rate};

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct Network {
    /// Where peers reach this node; port 0 picks free ones [default: 0.0.0.0:4777 for `serve`, any free port
    /// for other commands]
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where peers open TCP connections for data: an address, `auto` for the port after `--listen`'s, or `off` to
    /// be reached over QUIC only [default: auto]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) data_listen: Option<DataListen>,
    /// Node to start from, as its `weft status` shows it under `listen` (may be repeated)
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub(crate) bootstrap: Vec<String>,
    /// Bytes per second to send in all, such as 2MB [default: none]
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_up: Option<Rate>,
    /// Bytes per second to receive in all [default: none]
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_down: Option<Rate>,
    /// Do not look for nodes on the local network by multicast DNS
    #[arg(long)]
    pub(crate) no_mdns: bool,
}

impl Network {
    /// The same in the node's terms.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen,
            data_listen: self.data_listen,
            bootstrap: self.bootstrap.clone(),
            limit_up: self.limit_up,
            limit_down: self.limit_down,
            mdns: self.no_mdns.then_some(false),
            ..Overrides::default()
        }
    }
}

/// Reads `host:port` with a numeric host.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let text = text.replace("localhost:", "127.0.0.1:");
    text.parse().map_err(|_| {
        format!("`{text}` is not an address; write 0.0.0.0:4777, 127.0.0.1:0 or [::]:4777")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numeric() {
        assert_eq!(parse_address("127.0.0.1:0").unwrap().port(), 0);
        assert_eq!(parse_address("localhost:80").unwrap().port(), 80);
        assert!(parse_address("[::1]:4777").unwrap().is_ipv6());
        for text in ["4777", "example.org:80", "127.0.0.1", "1.2.3.4:70000"] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }
}
