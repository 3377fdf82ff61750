//! Every bound on what a node accepts, stores or keeps in flight, each with its reason.

use std::time::Duration;

/// Repository names fit one path component and one DNS label with room for a suffix.
pub const REPOSITORY_NAME_LEN_MAX: usize = 64;

/// A head is a Kademlia record, a BEP 44 item and an IPNS value at once; BEP 44 allows 1,000 bytes.
pub const HEAD_LEN_MAX: usize = 1_000;
/// Nine signatures are what fits into [`HEAD_LEN_MAX`].
pub const SIGNATURES_MAX: usize = 9;
/// One identity event: nine root keys, nine digests, nine release keys and some aliases.
pub const IDENTITY_EVENT_LEN_MAX: usize = 4 * 1024;
/// Events of one identity; a yearly rotation reaches it in a millennium.
pub const IDENTITY_EVENTS_MAX: usize = 1_024;
/// A manifest is read whole into memory.
pub const MANIFEST_LEN_MAX: usize = 16 * 1024 * 1024;
/// Files of one revision.
pub const FILES_MAX: usize = 100_000;
/// Bytes of a path inside a repository.
pub const PATH_LEN_MAX: usize = 1_024;
/// Bytes of one path component; the limit of common file systems.
pub const PATH_COMPONENT_LEN_MAX: usize = 255;
/// Components of a path.
pub const PATH_DEPTH_MAX: usize = 32;
/// A references object: some thousand tags.
pub const REFS_LEN_MAX: usize = 64 * 1024;
/// Heads of one repository: one a minute for more than a month, 2 MiB of ids.
pub const HEADS_MAX: u64 = 65_536;
/// Ids in one answer to a log request: 128 KiB.
pub const LOG_IDS_PER_RESPONSE_MAX: usize = 4_096;
/// Names in one answer to a publisher request.
pub const NAMES_PER_RESPONSE_MAX: usize = 1_000;
/// Peers in one answer to a peers request.
pub const PEERS_PER_RESPONSE_MAX: usize = 50;
/// Addresses kept for one peer.
pub const ADDRESSES_PER_PEER_MAX: usize = 16;
/// A Kademlia message is at most 16 KiB; the rest is its own framing and closer peers.
pub const RECORD_LEN_MAX: usize = 12 * 1024;
/// A gossip message: one repository record or two of them as evidence.
pub const GOSSIP_LEN_MAX: usize = 32 * 1024;
/// A head is valid for 400 days at most: yearly work with slack.
pub const HEAD_LIFETIME_MAX: Duration = Duration::from_secs(400 * 86_400);
/// A freshness statement is valid for 48 hours at most, so that a freeze shows within two days.
pub const FRESHNESS_LIFETIME_MAX: Duration = Duration::from_secs(48 * 3_600);
/// How often freshness is renewed: twelve chances before it lapses.
pub const FRESHNESS_INTERVAL: Duration = Duration::from_secs(4 * 3_600);
/// How far ahead of ours another clock may run.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(600);
