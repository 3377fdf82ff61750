//! Everything a node does to the world. The driver carries each output out and reports back as the
//! matching [`super::Input`].

use super::{CommandError, CommandId, Event, Outcome};
use crate::{
    accept::RepositoryRecord,
    id::{BlobHash, NodeId, ObjectId, PublisherId, RepositoryId, RevisionId},
    layout::PieceRange,
    op::Op,
    piece_set::PieceSet,
    swarm::Rates,
    wire,
};

/// Names one output that expects an answer. Never reused in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names one question of a peer. Chosen by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboundId(pub u64);

/// Names one gossip message. Chosen by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GossipId(pub u64);

/// Names one request of a peer for bytes of a blob. Chosen by the driver, never used twice in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub u64);

/// Names one reader of a blob that is still on its way. Chosen by the driver, never used twice in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderId(pub u64);

/// A 32-byte key in the DHT. See [`crate::discovery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DhtKey(pub [u8; 32]);

/// What becomes of a gossip message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Valid and new: forward it.
    Accept,
    /// Valid but of no use: do not forward, do not punish.
    Ignore,
    /// Invalid: do not forward, and hold it against the sender.
    Reject,
}

/// Why a question got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The peer could not be reached.
    #[error("the peer is unreachable")]
    Unreachable,
    /// The peer did not answer in time.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The peer does not speak this protocol or sent something undecodable.
    #[error("the peer broke the protocol")]
    Protocol,
}

/// Why the disk or the database said no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// No space left.
    #[error("the disk is full")]
    Full,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Why pieces did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// No connection to the peer, or it broke.
    #[error("the connection to the peer failed")]
    Connection,
    /// The peer does not have the range, or is busy.
    #[error("the peer does not have the range or is busy")]
    Unavailable,
    /// The peer sent bytes that do not hash to what was asked for.
    #[error("the peer sent bytes that fail verification")]
    Corrupt,
    /// The peer refuses to serve us.
    #[error("the peer refuses to serve")]
    Refused,
    /// Cancelled by [`Output::CancelPieces`].
    #[error("cancelled")]
    Cancelled,
    /// Our own disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Answers a command. Exactly one per command.
    Reply {
        /// Which command.
        command: CommandId,
        /// How it went.
        result: Result<Outcome, CommandError>,
    },
    /// News for whoever watches; needs no answer.
    Event(Event),
    /// Applies a batch atomically and durably, then [`super::Input::Committed`].
    Commit {
        /// Names the batch.
        request: RequestId,
        /// The writes.
        ops: Vec<Op>,
    },
    /// Reads an object from the registry, then [`super::Input::ObjectRead`].
    ReadObject {
        /// Names the read.
        request: RequestId,
        /// Which object.
        id: ObjectId,
    },
    /// Reads a stored head by index, then [`super::Input::HeadRead`].
    ReadHead {
        /// Names the read.
        request: RequestId,
        /// Of which repository.
        repository: RepositoryId,
        /// At which index.
        index: u64,
    },
    /// Dials a peer; success shows as [`super::Input::PeerConnected`], failure is silent.
    Connect {
        /// Who.
        peer: NodeId,
        /// Addresses as multiaddr text; may be empty, the DHT may know more.
        addresses: Vec<String>,
    },
    /// Closes all connections to a peer and refuses new ones until [`Output::Pardon`].
    Ban {
        /// Who.
        peer: NodeId,
    },
    /// Asks a connected peer, then [`super::Input::Response`].
    SendRequest {
        /// Names the question.
        request: RequestId,
        /// Whom.
        peer: NodeId,
        /// The question.
        message: wire::Request,
    },
    /// Answers a peer's question.
    Respond {
        /// Which question.
        request: InboundId,
        /// The answer.
        message: wire::Response,
    },
    /// Judges a gossip message.
    JudgeGossip {
        /// Which message.
        message: GossipId,
        /// The verdict.
        verdict: Verdict,
    },
    /// Publishes an announcement by gossip.
    Announce(wire::Announcement),
    /// Looks a record up in the DHT: [`super::Input::RecordFound`]…, then [`super::Input::QueryFinished`].
    FindRecord {
        /// Names the query.
        request: RequestId,
        /// Under which key.
        key: DhtKey,
    },
    /// Stores a record in the DHT, then [`super::Input::QueryFinished`].
    PutRecord {
        /// Names the query.
        request: RequestId,
        /// Under which key.
        key: DhtKey,
        /// The record.
        record: Box<RepositoryRecord>,
    },
    /// Looks for providers: [`super::Input::ProvidersFound`]…, then [`super::Input::QueryFinished`].
    FindProviders {
        /// Names the query.
        request: RequestId,
        /// Of what.
        key: DhtKey,
    },
    /// Announces this node as provider until [`Output::StopProviding`]; the driver repeats it in time.
    Provide {
        /// Of what.
        key: DhtKey,
    },
    /// Stops announcing.
    StopProviding {
        /// Of what.
        key: DhtKey,
    },
    /// Tells the data plane where a peer can be reached.
    LearnDataAddresses {
        /// Who.
        peer: NodeId,
        /// Socket addresses `ip:port` that the peer gave.
        addresses: Vec<String>,
    },
    /// Looks what is here of these blobs, then [`super::Input::BlobsInspected`].
    InspectBlobs {
        /// Names the question.
        request: RequestId,
        /// Blobs with their sizes in bytes.
        blobs: Vec<(BlobHash, u64)>,
    },
    /// Replaces the set of blobs that garbage collection must leave alone. Sent whenever it changes,
    /// always before a byte of a new blob is asked for.
    Protect {
        /// All protected blobs, sorted.
        blobs: Vec<BlobHash>,
    },
    /// Replaces the set of blobs that the data plane may serve to peers (those of seeded revisions, complete
    /// or not). Everything else is refused, whoever asks. Sent whenever it changes.
    Offer {
        /// All offered blobs, sorted.
        blobs: Vec<BlobHash>,
    },
    /// Watches which pieces of a blob a peer has: [`super::Input::Availability`]… until
    /// [`super::Input::AvailabilityLost`] or [`Output::Unobserve`].
    Observe {
        /// Whom.
        peer: NodeId,
        /// Which blob.
        blob: BlobHash,
        /// Its size in bytes, from the signed manifest.
        size: u64,
    },
    /// Stops watching.
    Unobserve {
        /// Whom.
        peer: NodeId,
        /// Which blob.
        blob: BlobHash,
    },
    /// Fetches pieces of one blob from one peer, then [`super::Input::PiecesFetched`]. The peer may let the request
    /// wait; the first bytes are reported at once ([`super::Input::PiecesProgress`]), so that the machine knows
    /// which requests move. Chunk groups of these pieces that are here already are not asked for again.
    FetchPieces {
        /// Names the transfer.
        request: RequestId,
        /// From whom.
        peer: NodeId,
        /// Which blob.
        blob: BlobHash,
        /// The blob's size in bytes.
        size: u64,
        /// Which pieces: one contiguous run.
        pieces: PieceRange,
    },
    /// Looks which bytes of a revision's blobs can be copied from blobs that are here ([`crate::delta`]), then
    /// [`super::Input::CopiesPlanned`].
    PlanCopies {
        /// Names the question.
        request: RequestId,
        /// Of which revision.
        revision: RevisionId,
        /// Revisions that may share something with it, likeliest first.
        relatives: Vec<RevisionId>,
    },
    /// Fetches the groups beside what can be copied of a blob, as far as they lie in these pieces; the hashes by which
    /// copies are checked come with them. Reported like [`Output::FetchPieces`].
    FetchBeside {
        /// Names the transfer.
        request: RequestId,
        /// From whom.
        peer: NodeId,
        /// Which blob.
        blob: BlobHash,
        /// The blob's size in bytes.
        size: u64,
        /// In which pieces.
        pieces: PieceSet,
    },
    /// Copies what was planned for a blob and can be checked: [`super::Input::CopyProgress`]…, then
    /// [`super::Input::CopyEnded`].
    CopyBlob {
        /// Names the copy.
        request: RequestId,
        /// Which blob.
        blob: BlobHash,
        /// Its size in bytes.
        size: u64,
    },
    /// Ends a transfer or a copy early; [`super::Input::PiecesFetched`] or [`super::Input::CopyEnded`] still follows.
    CancelPieces {
        /// Which one.
        request: RequestId,
    },
    /// Serves a request that [`super::Input::UploadAsked`] told of. Nothing is sent to a peer before this: a choked
    /// peer is one whose requests wait. [`super::Input::UploadEnded`] follows.
    StartUpload {
        /// Which request.
        upload: UploadId,
    },
    /// Refuses a request that waits, or breaks off one that is served. [`super::Input::UploadEnded`] follows.
    RefuseUpload {
        /// Which request.
        upload: UploadId,
    },
    /// Replaces the byte rates that the data plane keeps to; before the first one nothing is limited.
    SetRates(Rates),
    /// Lets a banned peer come back: its time is over.
    Pardon {
        /// Who.
        peer: NodeId,
    },
    /// Asks the holder of the freshness key for a statement about the tip, then
    /// [`super::Input::FreshnessSigned`].
    SignFreshness {
        /// Names the question.
        request: RequestId,
        /// Whose key.
        publisher: PublisherId,
        /// What to sign.
        freshness: crate::freshness::Freshness,
    },
}
