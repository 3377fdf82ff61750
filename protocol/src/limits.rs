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
/// Keys of one role: as many as may sign.
pub const KEYS_PER_ROLE_MAX: usize = SIGNATURES_MAX;
/// Nodes that serve inference in a publisher's name.
pub const SERVING_KEYS_MAX: usize = 32;
/// Aliases an identity claims.
pub const ALIASES_MAX: usize = 16;
/// Bytes of an alias: a DNS name and its scheme.
pub const ALIAS_LEN_MAX: usize = 263;
/// Keys revoked by one event: all keys of all roles of a normal identity.
pub const REVOCATIONS_MAX: usize = 32;
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
/// Sum of a revision's file sizes: what a JSON number still holds exactly, 8 PiB.
pub const REVISION_SIZE_MAX: u64 = 1 << 53;
/// Larger files carry no git hash: hub clients expect one only of files that are not in large-file storage,
/// and hubs put files from 10 MiB on there.
pub const GIT_SHA1_SIZE_MAX: u64 = 10 * 1024 * 1024;
/// Parents of a revision; an octopus merge of eight is already rare.
pub const PARENTS_MAX: usize = 8;
/// Bytes of a revision's message.
pub const MESSAGE_LEN_MAX: usize = 4 * 1024;
/// Tags, and languages, of a card; multilingual models name some 200 languages.
pub const TAGS_MAX: usize = 512;
/// Bytes of one text of a card.
pub const CARD_TEXT_LEN_MAX: usize = 256;
/// Base models of a card; merges of a dozen exist.
pub const BASE_MODELS_MAX: usize = 32;
/// Tensors in an index; the largest mixture-of-experts models have some 90,000.
pub const TENSORS_MAX: usize = 131_072;
/// Dimensions of a tensor; formats in use stop at eight.
pub const TENSOR_DIMENSIONS_MAX: usize = 8;
/// Bytes of a tensor's name.
pub const TENSOR_NAME_LEN_MAX: usize = 512;
/// Bytes of a tensor's element type.
pub const TENSOR_DTYPE_LEN_MAX: usize = 32;
/// Tensors of what is here that are looked through for a new revision: some hundred models, 100 MB of memory.
pub const HELD_TENSORS_MAX: usize = 1_000_000;
/// Bytes before the tensors of a weight file: what the safetensors library itself reads at most. The largest
/// vocabularies in GGUF headers come to some 20 MB.
pub const WEIGHTS_HEADER_LEN_MAX: u64 = 100_000_000;
/// Key-value pairs in the header of a weight file; GGUF files in use have some fifty.
pub const METADATA_KEYS_MAX: usize = 65_536;
/// Bytes of a metadata key in a GGUF header, as its specification says.
pub const METADATA_KEY_LEN_MAX: usize = 65_535;
/// A references object: some thousand tags.
pub const REFS_LEN_MAX: usize = 64 * 1024;
/// Entries of one list of a references object: no more fit its length.
pub const REFS_MAX: usize = 2_048;
/// Bytes of a branch or tag name.
pub const REF_NAME_LEN_MAX: usize = 128;
/// Bytes of the reason for a withdrawal: one sentence.
pub const WITHDRAWAL_REASON_LEN_MAX: usize = 200;
/// Heads of one repository: one a minute for more than a month, 2 MiB of ids.
pub const HEADS_MAX: u64 = 65_536;
/// Ids in one answer to a log request: 128 KiB.
pub const LOG_IDS_PER_RESPONSE_MAX: usize = 4_096;
/// Names in one answer to a publisher request.
pub const NAMES_PER_RESPONSE_MAX: usize = 1_000;
/// Peers in one answer to a peers request.
pub const PEERS_PER_RESPONSE_MAX: usize = 50;
/// Bytes of one address: a multiaddr through a relay has some 200.
pub const ADDRESS_LEN_MAX: usize = 256;
/// Bytes of a software name.
pub const AGENT_LEN_MAX: usize = 64;
/// Hashes of a Merkle proof: logs stop at 2^16 leaves, a consistency proof has at most twice the depth.
pub const PROOF_LEN_MAX: usize = 40;
/// A request is a few ids; the longest is an introduction with its addresses.
pub const REQUEST_LEN_MAX: usize = 8 * 1024;
/// A response carries one object of [`MANIFEST_LEN_MAX`], its domain prefix and its own framing.
pub const RESPONSE_LEN_MAX: usize = MANIFEST_LEN_MAX + 64;
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

/// Transfers at once from a peer that was not measured yet: one on the way while one is asked for.
pub const TRANSFERS_PER_PEER_START: u32 = 2;
/// Transfers at once from one peer: enough to hide a round trip, few enough to lose little with the peer.
pub const TRANSFERS_PER_PEER_MAX: u32 = 8;
/// Transfers at once for one blob, most of which wait at their providers.
pub const TRANSFERS_PER_BLOB_MAX: u32 = 96;
/// Transfers at once in all.
pub const TRANSFERS_MAX: usize = 256;
/// Bytes asked for in one transfer: a second of a fast household line, and what a dying peer costs at most.
pub const TRANSFER_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Blobs looked for at peers at the same time; each costs one observation a peer.
pub const BLOBS_ACTIVE_MAX: usize = 16;
/// Peers that a node chooses to observe for one blob: so many that somebody always has something for it.
pub const NEIGHBOURS_CHOSEN: usize = 20;
/// Peers observed for one blob, those included who chose this node: whoever takes should be able to give back.
/// No more, because each piece is announced to all of them, and because a crowd spreads pieces better when requests
/// wait at few.
pub const NEIGHBOURS_MAX: usize = 40;
/// Peers whom a host watches to see whether they pass on what it gives them of one blob that is whole here.
pub const WATCHED_MAX: usize = 128;
/// Blobs in one look into the blob store.
pub const BLOBS_PER_INSPECTION_MAX: usize = 256;
/// Peers remembered as possible providers of one download.
pub const PEERS_PER_DOWNLOAD_MAX: usize = 200;
/// Records of one publisher that wait for the one before to be written; a flood is cut here.
pub const OFFERS_WAITING_MAX: usize = 64;
/// Resolutions at once: commands of one user and what mirrors follow.
pub const RESOLVES_MAX: usize = 256;
/// Hex digits of a revision prefix; fewer would be guessed into collisions.
pub const PREFIX_LEN_MIN: usize = 8;
/// Peers asked one question at the same time.
pub const PEERS_PER_QUESTION_MAX: usize = 20;
/// Provider searches remembered at once.
pub const SEARCHES_MAX: usize = 1_024;
/// Open questions to one peer; a peer that answers slowly is not buried.
pub const QUESTIONS_PER_PEER_MAX: usize = 128;
/// Running downloads whose peers a new peer is asked for.
pub const REVISIONS_PER_EXCHANGE_MAX: usize = 16;
/// Revisions for which interested peers are remembered.
pub const INTERESTS_MAX: usize = 1_024;
/// Peers remembered between runs: enough to find the network again after a long pause.
pub const PEER_BOOK_MAX: usize = 200;
/// Peers dialled out of the book at start.
pub const PEERS_DIALLED_AT_START_MAX: usize = 32;
/// Of those, peers of one network: the dials of a start lead to sixteen owners at least.
pub const PEERS_DIALLED_PER_GROUP_MAX: usize = 2;
/// Peers in the book that this node never reached by a dial of its own: they only say where they are.
pub const PEER_BOOK_HEARD_MAX: usize = 50;
/// Peers of one network in the book.
pub const PEER_BOOK_PER_GROUP_MAX: usize = 4;
/// Anchors: long-standing outbound peers that are dialled first after a restart. With four of four networks,
/// somebody who floods this node with connections would have to own the peers it chose itself.
pub const ANCHORS_MAX: usize = 4;
/// Peers of one network in one bucket of the routing table.
pub const ROUTING_PER_GROUP_AND_BUCKET_MAX: usize = 2;
/// Peers of one network in the whole routing table.
pub const ROUTING_PER_GROUP_MAX: usize = 3;
/// Providers of one network kept for one key: a tenth of all that are kept for it.
pub const PROVIDERS_PER_GROUP_MAX: usize = 10;
/// Peers of one network in one peer exchange, in either direction.
pub const EXCHANGED_PER_GROUP_MAX: usize = 3;
/// Addresses of one peer taken over from another peer's word.
pub const EXCHANGED_ADDRESSES_PER_PEER_MAX: usize = 4;
/// HTTP origins used in one run: one for each fetch that names one, 32 bytes each.
pub const ORIGINS_MAX: usize = 65_536;
/// Peer exchanges a peer may ask for at once: two for each of its running downloads.
pub const EXCHANGES_BURST: u32 = 32;
/// After that, one every so often: searches repeat every few seconds at most.
pub const EXCHANGE_INTERVAL: Duration = Duration::from_secs(2);
/// Questions of one peer that wait for our disk.
pub const INBOUND_PER_PEER_MAX: u32 = 16;
/// Heads looked at to find the one that named a revision.
pub const HEADS_WALKED_MAX: u32 = 64;
/// Records on their way into the DHT at once.
pub const PUTS_MAX: usize = 8;
/// Gossiped ids remembered so that old news is not forwarded again.
pub const GOSSIP_SEEN_MAX: usize = 4_096;
/// Repositories of a mirror that a new peer is asked about.
pub const REPOSITORIES_PER_PEER_MAX: usize = 64;
/// Repositories that one mirrored publisher may have; more are not followed.
pub const REPOSITORIES_PER_PUBLISHER_MAX: usize = 10_000;
/// Records looked up in the DHT in one round of a mirror; the next round takes others.
pub const RECORDS_PER_POLL_MAX: usize = 32;
/// Windows of a rate schedule: three for each day of the week.
pub const SCHEDULE_WINDOWS_MAX: usize = 21;
/// Requests of one peer for bytes that wait or are served; what a quick peer keeps on its way, and some.
pub const UPLOADS_PER_PEER_MAX: usize = 16;
/// Requests for bytes of all peers together: a flash crowd asks for one piece each, at a hundred bytes a request.
pub const UPLOADS_MAX: usize = 16_384;
/// Readers that wait for bytes at once.
pub const READERS_MAX: usize = 1_024;
/// Peers of whom faults are remembered; bans outlast other faults.
pub const PENALTIES_MAX: usize = 1_024;
/// Peers with whom accounts of bytes are kept; as many as may ask at once.
pub const ACCOUNTS_MAX: usize = UPLOADS_MAX;

/// Fingerprints of a receipt: answers of 65,536 tokens.
pub const FINGERPRINTS_MAX: usize = 2_048;
/// Logits that a request may change; what the OpenAI API allows, thrice.
pub const LOGIT_BIAS_MAX: usize = 1_024;
/// Names of weight types and kernel classes.
pub const NUMERICS_LEN_MAX: usize = 64;
/// The body of a receipt: as many fingerprints and logits as it may have, in their longest form, and the rest.
pub const RECEIPT_LEN_MAX: usize = 256 * 1_024;
/// Hosts of models of which something is remembered; those that lied outlast others.
pub const HOSTS_KNOWN_MAX: usize = 256;
/// Failures of one host that are counted; more say nothing more.
pub const FAILURES_MAX: u32 = 64;
/// Nodes that one host order may name.
pub const HOST_NODES_MAX: usize = 256;
