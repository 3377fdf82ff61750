//! What a node is told: flags over environment over file over defaults.
//!
//! The file is `config.toml` in the data directory. Unknown keys are refused, so that a typing error does not
//! silently change nothing. Flags and environment variables are one thing here: [`Overrides`].

pub(crate) mod infer;
mod limits;
mod notices;
mod web_seeds;

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use libp2p::{Multiaddr, multiaddr::Protocol};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weft_protocol::{id::NodeId, swarm::Limits};

use self::limits::LimitSection;
pub(crate) use self::notices::READ_BY_PEERS;
pub use self::{
    infer::{AuditRate, KeepAlive, Memory},
    limits::Rate,
    notices::notice,
    web_seeds::WebSeed,
};
use crate::{
    api::{ConfigEntry, ConfigResponse, ConfigSource, ErrorBody, ErrorCode},
    defaults, error, files,
    home::Home,
    infer::{Peers, pool::Settings},
    network,
    origin::Base,
    transfer::TcpListen,
};

/// Everything a node needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory.
    pub home: PathBuf,
    /// Where peers reach this node: TCP for the control plane, UDP for the data plane. Port 0 picks free ones.
    pub listen: SocketAddr,
    /// Where peers open TCP connections for data.
    pub data_listen: DataListen,
    /// Where local programs reach this node. Loopback only. Port 0 picks a free one.
    pub gateway: SocketAddr,
    /// Files of more bytes than this are offered in chunks to Hugging Face clients, which refuse them whole.
    pub chunks_above: u64,
    /// The cache folder of Hugging Face clients in which files that are here are shown when one is asked for.
    pub hf_cache: Option<PathBuf>,
    /// Nodes to start from, as multiaddrs that end in `/p2p/<peer id>`.
    pub bootstrap: Vec<String>,
    /// Whether nodes on the same LAN are looked for by multicast DNS.
    pub mdns: bool,
    /// Disk limit in bytes for what the user did not pin; `None` is no limit.
    pub cache_bytes_max: Option<u64>,
    /// Web servers that `weft fetch` asks beside the peers.
    pub web_seeds: Vec<WebSeed>,
    /// The hub that is asked for repositories which are not weft's; none is asked unless the user names one.
    pub hub: Option<Base>,
    /// How fast this node may send and receive.
    pub limits: Limits,
    /// How models run on this machine.
    pub(crate) infer: Settings,
    /// When programs of this machine are answered by peers.
    pub(crate) peers: Peers,
    /// Of a thousand receipts so many are checked without being asked for.
    pub(crate) audits_per_mille: u16,
    /// Whether other programs may find this node through the data directory. Off for a node that lives only as long
    /// as one command.
    pub discoverable: bool,
    /// What flags and environment set, for telling where a value came from.
    pub overrides: Overrides,
}

/// What flags and environment variables set.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// See [`Config::listen`].
    pub listen: Option<SocketAddr>,
    /// See [`Config::data_listen`].
    pub data_listen: Option<DataListen>,
    /// See [`Config::gateway`].
    pub gateway: Option<SocketAddr>,
    /// See [`Config::bootstrap`]. Added to what the file names.
    pub bootstrap: Vec<String>,
    /// See [`Config::mdns`].
    pub mdns: Option<bool>,
    /// Bytes per second sent in all; see [`Config::limits`].
    pub limit_up: Option<Rate>,
    /// Bytes per second received in all; see [`Config::limits`].
    pub limit_down: Option<Rate>,
}

/// Where peers open TCP connections for data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DataListen {
    /// At the port after the one for everything else, or at any free one if that is taken or if ports are free anyway.
    #[default]
    Auto,
    /// Exactly here.
    At(SocketAddr),
    /// Nowhere: data comes and goes over QUIC, and over connections that this node opens.
    Off,
}

impl DataListen {
    /// What it means beside the address for everything else.
    pub(crate) fn resolve(self, listen: SocketAddr) -> TcpListen {
        match self {
            Self::Auto => {
                let port = match listen.port() {
                    0 => 0,
                    port => port.checked_add(1).unwrap_or(0),
                };
                TcpListen::Near(SocketAddr::new(listen.ip(), port))
            }
            Self::At(address) => TcpListen::At(address),
            Self::Off => TcpListen::Off,
        }
    }
}

impl FromStr for DataListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => text
                .parse()
                .map(Self::At)
                .map_err(|_| "write 0.0.0.0:4778, `auto` or `off`".to_owned()),
        }
    }
}

impl TryFrom<String> for DataListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DataListen> for String {
    fn from(listen: DataListen) -> Self {
        listen.to_string()
    }
}

impl fmt::Display for DataListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::At(address) => address.fmt(f),
            Self::Off => f.write_str("off"),
        }
    }
}

/// The file. Every key is optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    network: NetworkSection,
    gateway: GatewaySection,
    cache: CacheSection,
    origin: web_seeds::Section,
    limit: LimitSection,
    infer: infer::Section,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NetworkSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_listen: Option<DataListen>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bootstrap: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mdns: Option<bool>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GatewaySection {
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks_above: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hf_cache: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CacheSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_max: Option<u64>,
}

impl Config {
    /// Reads the file, if there is one, and lays `overrides` over it.
    ///
    /// # Errors
    /// `Usage` for a file or value that makes no sense; `Storage` if the file cannot be read.
    pub fn load(home: &Home, overrides: &Overrides) -> Result<Self, ErrorBody> {
        let file = read(home)?;
        let mut bootstrap = file.network.bootstrap;
        bootstrap.extend(overrides.bootstrap.iter().cloned());
        bootstrap.dedup();
        let config = Self {
            home: home.root().to_owned(),
            listen: overrides
                .listen
                .or(file.network.listen)
                .unwrap_or(defaults::LISTEN),
            data_listen: overrides
                .data_listen
                .or(file.network.data_listen)
                .unwrap_or_default(),
            gateway: overrides
                .gateway
                .or(file.gateway.listen)
                .unwrap_or(defaults::GATEWAY),
            chunks_above: file.gateway.chunks_above.unwrap_or(defaults::CHUNKS_ABOVE),
            hf_cache: file.gateway.hf_cache,
            bootstrap,
            mdns: overrides.mdns.or(file.network.mdns).unwrap_or(true),
            cache_bytes_max: file.cache.bytes_max,
            web_seeds: web_seeds(&file.origin.web)?,
            hub: file
                .origin
                .hub
                .as_deref()
                .map(web_seeds::parse_hub)
                .transpose()?,
            limits: file.limit.limits(overrides.limit_up, overrides.limit_down),
            infer: file.infer.settings(),
            peers: file.infer.peers.unwrap_or_default(),
            audits_per_mille: file.infer.audit_rate.map_or(0, |rate| rate.per_mille),
            discoverable: true,
            overrides: overrides.clone(),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ErrorBody> {
        if !self.gateway.ip().is_loopback() {
            return Err(ErrorBody::new(
                ErrorCode::Usage,
                format!(
                    "the gateway address `{}` is not a loopback address",
                    self.gateway
                ),
            )
            .with_hint("use 127.0.0.1 or [::1]: whoever reaches this port can use your node"));
        }
        for address in &self.bootstrap {
            parse_bootstrap(address)?;
        }
        Ok(())
    }
}

/// Parses an address to start from: who, and where.
///
/// # Errors
/// `Usage` if it is not a multiaddr that ends in the id of a weft node.
pub(crate) fn parse_bootstrap(text: &str) -> Result<(NodeId, Multiaddr), ErrorBody> {
    let usage = |message| {
        ErrorBody::new(ErrorCode::Usage, message).with_hint(
            "it looks like /ip4/192.0.2.1/tcp/4777/p2p/12D3KooW…; the other node's `weft status` shows it",
        )
    };
    let address = Multiaddr::from_str(text)
        .map_err(|e| usage(format!("`{text}` is not a bootstrap address: {e}")))?;
    let peer = address.iter().find_map(|part| match part {
        Protocol::P2p(peer) => network::identity::node_id(&peer),
        _ => None,
    });
    match peer {
        Some(peer) => Ok((peer, address)),
        None => Err(usage(format!(
            "the bootstrap address `{text}` does not name a weft node"
        ))),
    }
}

/// The TCP multiaddr of a socket address.
pub(crate) fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::empty()
        .with(address.ip().into())
        .with(Protocol::Tcp(address.port()))
}

/// The effective settings and where each came from.
///
/// # Errors
/// As [`Config::load`].
pub fn show(home: &Home, overrides: &Overrides) -> Result<ConfigResponse, ErrorBody> {
    let file = read(home)?;
    let config = Config::load(home, overrides)?;
    let source = |flag: bool, file: bool| match (flag, file) {
        (true, _) => ConfigSource::Flag,
        (false, true) => ConfigSource::File,
        (false, false) => ConfigSource::Default,
    };
    let entry = |key: &str, value: Value, source: ConfigSource, description: &str| ConfigEntry {
        key: key.to_owned(),
        value,
        source,
        description: description.to_owned(),
    };
    let rate = |rate: Option<Rate>| {
        rate.map_or_else(|| "none".to_owned(), |rate| rate.to_string())
            .into()
    };
    let schedule: Vec<String> = file
        .limit
        .schedule
        .iter()
        .map(ToString::to_string)
        .collect();
    Ok(ConfigResponse {
        path: home.config().display().to_string(),
        entries: vec![
            entry(
                "network.listen",
                config.listen.to_string().into(),
                source(overrides.listen.is_some(), file.network.listen.is_some()),
                "where peers reach this node: TCP and UDP",
            ),
            entry(
                "network.data_listen",
                config.data_listen.to_string().into(),
                source(
                    overrides.data_listen.is_some(),
                    file.network.data_listen.is_some(),
                ),
                "where peers open TCP connections for data: an address, `auto` for the port after `network.listen`, or `off`",
            ),
            entry(
                "network.bootstrap",
                config.bootstrap.into(),
                source(
                    !overrides.bootstrap.is_empty(),
                    !file.network.bootstrap.is_empty(),
                ),
                "nodes to start from, separated by commas",
            ),
            entry(
                "network.mdns",
                config.mdns.into(),
                source(overrides.mdns.is_some(), file.network.mdns.is_some()),
                "whether nodes on the same LAN are looked for",
            ),
            entry(
                "gateway.listen",
                config.gateway.to_string().into(),
                source(overrides.gateway.is_some(), file.gateway.listen.is_some()),
                "where local programs reach this node; loopback only",
            ),
            entry(
                "gateway.chunks_above",
                config.chunks_above.into(),
                source(false, file.gateway.chunks_above.is_some()),
                "files of more bytes than this are offered in chunks to Hugging Face clients, which refuse them whole",
            ),
            entry(
                "gateway.hf_cache",
                config
                    .hf_cache
                    .map(|path| path.display().to_string())
                    .into(),
                source(false, file.gateway.hf_cache.is_some()),
                "cache folder of Hugging Face clients, such as /home/me/.cache/huggingface/hub: what they ask for and is here is put there without a second copy; `none` for no such folder",
            ),
            entry(
                "cache.bytes_max",
                config.cache_bytes_max.into(),
                source(false, file.cache.bytes_max.is_some()),
                "disk limit in bytes for what nothing pins; `none` for no limit",
            ),
            entry(
                "origin.hub",
                config.hub.as_ref().map(Base::name).into(),
                source(false, file.origin.hub.is_some()),
                "a hub that has the repositories which weft does not know, such as https://huggingface.co; `none` for no such hub",
            ),
            entry(
                "origin.web",
                config
                    .web_seeds
                    .iter()
                    .map(WebSeed::shown)
                    .collect::<Vec<_>>()
                    .into(),
                source(false, !file.origin.web.is_empty()),
                "web servers that hold repositories: PUBLISHER/NAME=URL, separated by commas",
            ),
            entry(
                "limit.up",
                rate(overrides.limit_up.or(file.limit.up)),
                source(overrides.limit_up.is_some(), file.limit.up.is_some()),
                "bytes per second sent in all, such as 2MB; `none` for no limit",
            ),
            entry(
                "limit.down",
                rate(overrides.limit_down.or(file.limit.down)),
                source(overrides.limit_down.is_some(), file.limit.down.is_some()),
                "bytes per second received in all",
            ),
            entry(
                "limit.up_per_peer",
                rate(file.limit.up_per_peer),
                source(false, file.limit.up_per_peer.is_some()),
                "bytes per second sent to one peer",
            ),
            entry(
                "limit.down_per_peer",
                rate(file.limit.down_per_peer),
                source(false, file.limit.down_per_peer.is_some()),
                "bytes per second received from one peer",
            ),
            entry(
                "limit.polite",
                config.limits.rates.polite.into(),
                source(false, file.limit.polite.is_some()),
                "whether sending yields when it delays other traffic",
            ),
            entry(
                "limit.schedule",
                schedule.into(),
                source(false, !file.limit.schedule.is_empty()),
                "other rates at times of the week: `mon-fri 08:00-18:00 up=1MB; sat,sun 00:00-24:00 up=none`",
            ),
            entry(
                "limit.utc_offset",
                file.limit
                    .utc_offset
                    .map(|offset| offset.to_string())
                    .into(),
                source(false, file.limit.utc_offset.is_some()),
                "how far the schedule's clock is ahead of UTC, such as +02:00",
            ),
            entry(
                "infer.memory",
                Memory(config.infer.memory_bytes_max).to_string().into(),
                source(false, file.infer.memory.is_some()),
                "memory that running models may take in all, such as 8GB [default: three quarters of this machine's]",
            ),
            entry(
                "infer.keep_alive",
                KeepAlive(config.infer.keep).to_string().into(),
                source(false, file.infer.keep_alive.is_some()),
                "how long a model stays in memory without being asked, such as 5m; -1 for as long as there is room",
            ),
            entry(
                "infer.slots",
                config.infer.slots.into(),
                source(false, file.infer.slots.is_some()),
                "answers of one model that are computed side by side",
            ),
            entry(
                "infer.context",
                config.infer.context_max.into(),
                source(false, file.infer.context.is_some()),
                "tokens of prompt and answer together at most, if the model allows as many",
            ),
            entry(
                "infer.peers",
                config.peers.to_string().into(),
                source(false, file.infer.peers.is_some()),
                "whether programs that use the local port are answered by peers, who can read the prompt: never, missing (where the model is not here), always",
            ),
            entry(
                "infer.audit_rate",
                (f64::from(config.audits_per_mille) / 1_000.0)
                    .to_string()
                    .into(),
                source(false, file.infer.audit_rate.is_some()),
                "which part of peers' answers is checked by itself, from 0 to 1; here if the model is, else at another peer, who can read the prompt too",
            ),
            entry(
                "infer.threads",
                config.infer.threads.into(),
                source(false, file.infer.threads.is_some()),
                "threads that compute for one model; `none` for one for each core",
            ),
        ],
    })
}

fn web_seeds(entries: &[String]) -> Result<Vec<WebSeed>, ErrorBody> {
    entries
        .iter()
        .map(|entry| web_seeds::parse(entry))
        .collect()
}

/// Another program's folder: whole, because a node's working directory is nobody's business.
fn hf_cache(key: &str, value: &str) -> Result<Option<PathBuf>, ErrorBody> {
    if value.is_empty() || value == "none" {
        return Ok(None);
    }
    let path = PathBuf::from(value);
    if path.is_absolute() {
        Ok(Some(path))
    } else {
        Err(misfit(key, value, &"write the whole path"))
    }
}

/// A value with several parts.
fn list(value: &str) -> Vec<String> {
    let parts = value.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Writes one value into the file; an empty value removes the key. Counts from the next start, or when a running node
/// takes it up ([`is_live`]).
///
/// # Errors
/// `Usage` for an unknown key or a value that does not fit it; `Storage` if the file cannot be written.
pub fn set(home: &Home, key: &str, value: &str) -> Result<(), ErrorBody> {
    let mut file = read(home)?;
    let unset = value.is_empty();
    match key {
        "network.listen" => file.network.listen = parse(key, value, unset)?,
        "network.data_listen" => file.network.data_listen = parse(key, value, unset)?,
        "network.mdns" => file.network.mdns = parse(key, value, unset)?,
        "gateway.listen" => file.gateway.listen = parse(key, value, unset)?,
        "gateway.chunks_above" => file.gateway.chunks_above = parse(key, value, unset)?,
        "gateway.hf_cache" => file.gateway.hf_cache = hf_cache(key, value)?,
        "cache.bytes_max" => file.cache.bytes_max = parse(key, value, unset || value == "none")?,
        "network.bootstrap" => file.network.bootstrap = list(value),
        "origin.hub" => {
            file.origin.hub = (!unset && value != "none").then(|| value.trim().to_owned());
            if let Some(hub) = &file.origin.hub {
                web_seeds::parse_hub(hub)?;
            }
        }
        "origin.web" => {
            file.origin.web = list(value);
            web_seeds(&file.origin.web)?;
        }
        "infer.memory" => file.infer.memory = parse(key, value, unset)?,
        "infer.keep_alive" => file.infer.keep_alive = parse(key, value, unset)?,
        "infer.slots" => file.infer.slots = parse(key, value, unset)?,
        "infer.context" => file.infer.context = parse(key, value, unset)?,
        "infer.peers" => file.infer.peers = parse(key, value, unset)?,
        "infer.audit_rate" => file.infer.audit_rate = parse(key, value, unset)?,
        "infer.threads" => file.infer.threads = parse(key, value, unset || value == "none")?,
        "limit.up" => file.limit.up = parse(key, value, unset)?,
        "limit.down" => file.limit.down = parse(key, value, unset)?,
        "limit.up_per_peer" => file.limit.up_per_peer = parse(key, value, unset)?,
        "limit.down_per_peer" => file.limit.down_per_peer = parse(key, value, unset)?,
        "limit.polite" => file.limit.polite = parse(key, value, unset)?,
        "limit.utc_offset" => file.limit.utc_offset = parse(key, value, unset)?,
        "limit.schedule" => {
            file.limit.schedule = limits::schedule(value).map_err(|e| misfit(key, value, &e))?;
        }
        _ => {
            return Err(unknown_key(key));
        }
    }
    let text = toml::to_string_pretty(&file).map_err(|e| {
        ErrorBody::new(
            ErrorCode::Failure,
            format!("cannot write the settings: {e}"),
        )
    })?;
    let path = home.config();
    let written = std::fs::create_dir_all(home.root())
        .and_then(|()| files::write_private(&path, text.as_bytes()));
    written.map_err(|e| error::io(format!("cannot write `{}`", path.display()), &e))?;
    Config::load(home, &Overrides::default()).map(drop)
}

/// Whether a running node takes up a change of this key.
pub fn is_live(key: &str) -> bool {
    key.starts_with("limit.")
}

pub(crate) fn unknown_key(key: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::Usage, format!("there is no setting `{key}`"))
        .with_hint("`weft config show` lists them")
}

fn parse<T: FromStr>(key: &str, value: &str, unset: bool) -> Result<Option<T>, ErrorBody>
where
    T::Err: fmt::Display,
{
    if unset {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|e| misfit(key, value, &e))
}

fn misfit(key: &str, value: &str, reason: &dyn fmt::Display) -> ErrorBody {
    ErrorBody::new(
        ErrorCode::Usage,
        format!("`{value}` does not fit the setting `{key}`: {reason}"),
    )
}

fn read(home: &Home) -> Result<File, ErrorBody> {
    let path = home.config();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(e) => return Err(error::io(format!("cannot read `{}`", path.display()), &e)),
    };
    toml::from_str(&text).map_err(|e| {
        ErrorBody::new(
            ErrorCode::Usage,
            format!("`{}` is not valid: {}", path.display(), e.message()),
        )
        .with_hint("fix or remove the file; `weft config show` lists the settings")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path());
        (directory, home)
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let (_directory, home) = home();
        set(&home, "network.listen", "127.0.0.1:5000").unwrap();
        set(&home, "network.mdns", "false").unwrap();
        let overrides = Overrides {
            listen: Some("127.0.0.1:6000".parse().unwrap()),
            ..Overrides::default()
        };
        let config = Config::load(&home, &overrides).unwrap();
        assert_eq!(config.listen.port(), 6000);
        assert!(!config.mdns);
        assert_eq!(config.gateway, defaults::GATEWAY);
        let shown = show(&home, &overrides).unwrap();
        let source = |key| shown.entries.iter().find(|e| e.key == key).unwrap().source;
        assert_eq!(source("network.listen"), ConfigSource::Flag);
        assert_eq!(source("network.mdns"), ConfigSource::File);
        assert_eq!(source("gateway.listen"), ConfigSource::Default);
    }

    #[test]
    fn data_port_follows_the_other_unless_told_otherwise() {
        let (_directory, home) = home();
        let resolve = |listen: &str| {
            let config = Config::load(&home, &Overrides::default()).unwrap();
            config.data_listen.resolve(listen.parse().unwrap())
        };
        let near = |address: &str| TcpListen::Near(address.parse().unwrap());
        assert_eq!(resolve("0.0.0.0:4777"), near("0.0.0.0:4778"));
        assert_eq!(resolve("127.0.0.1:0"), near("127.0.0.1:0"));
        assert_eq!(resolve("[::]:65535"), near("[::]:0"));
        set(&home, "network.data_listen", "127.0.0.1:9").unwrap();
        let at = TcpListen::At("127.0.0.1:9".parse().unwrap());
        assert_eq!(resolve("0.0.0.0:4777"), at);
        set(&home, "network.data_listen", "off").unwrap();
        assert_eq!(resolve("0.0.0.0:4777"), TcpListen::Off);
        assert!(set(&home, "network.data_listen", "of").is_err());
    }

    #[test]
    fn a_gateway_beyond_loopback_is_refused() {
        let (_directory, home) = home();
        let overrides = Overrides {
            gateway: Some("0.0.0.0:4780".parse().unwrap()),
            ..Overrides::default()
        };
        assert_eq!(
            Config::load(&home, &overrides).unwrap_err().code,
            ErrorCode::Usage
        );
    }

    #[test]
    fn unknown_keys_are_refused_in_the_file_and_by_set() {
        let (_directory, home) = home();
        assert_eq!(
            set(&home, "network.lisen", "x").unwrap_err().code,
            ErrorCode::Usage
        );
        std::fs::write(home.config(), "[network]\nlisen = 1\n").unwrap();
        assert_eq!(
            Config::load(&home, &Overrides::default()).unwrap_err().code,
            ErrorCode::Usage
        );
    }
}
