//! Everything that can happen to a node.

use std::ops::Range;

use super::{Command, CommandId, output::*};
use crate::{
    id::{BlobHash, NodeId},
    layout::PieceRange,
    piece_set::PieceSet,
    sign::Envelope,
    wire,
};

/// One thing that happened. The machine takes it together with the time at which it did.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The user asks something.
    Command(CommandId, Command),
    /// A control-plane connection to a peer exists (the first one; further ones are not told).
    PeerConnected {
        /// Who.
        peer: NodeId,
        /// The remote address as multiaddr text.
        address: String,
    },
    /// Addresses at which a connected peer says it can be dialled (libp2p identify). They are what the peer
    /// book remembers and peer exchange hands on, because the remote address of an inbound connection is not
    /// one to dial.
    PeerAddresses {
        /// Who.
        peer: NodeId,
        /// Multiaddr texts; only the first [`crate::limits::ADDRESSES_PER_PEER_MAX`] count.
        addresses: Vec<String>,
    },
    /// A connection to a connected peer is one that this node dialled: it can be dialled there again. Told once
    /// for each such connection, after [`Input::PeerConnected`].
    PeerReached {
        /// Who.
        peer: NodeId,
        /// The address that was dialled, as multiaddr text.
        address: String,
    },
    /// A dial to a peer led nowhere. Peers that nobody asked for may be among them.
    PeerUnreachable {
        /// Who.
        peer: NodeId,
    },
    /// An HTTP origin can be asked for the files of a revision, as if it were a connected peer that has all of it:
    /// the driver answers [`Output::Observe`] and [`Output::FetchPieces`] for its id.
    OriginOpened {
        /// A made-up id, which no peer has and no other origin of this run.
        origin: NodeId,
        /// What it holds.
        revision: crate::id::RevisionId,
    },
    /// An HTTP origin is not to be asked any more.
    OriginClosed {
        /// Which.
        origin: NodeId,
    },
    /// The last control-plane connection to a peer is gone.
    PeerDisconnected {
        /// Who.
        peer: NodeId,
    },
    /// A peer asks; answer with [`Output::Respond`].
    Request {
        /// Who asks.
        peer: NodeId,
        /// Names the question.
        request: InboundId,
        /// The question.
        message: wire::Request,
    },
    /// A peer answered [`Output::SendRequest`].
    Response {
        /// Which question.
        request: RequestId,
        /// The answer or why there is none.
        result: Result<wire::Response, RequestError>,
    },
    /// An announcement arrived by gossip; judge it with [`Output::JudgeGossip`].
    Gossip {
        /// Who forwarded it.
        peer: NodeId,
        /// Names the message.
        message: GossipId,
        /// Its content; undecodable ones never get here.
        announcement: wire::Announcement,
    },
    /// One answer to [`Output::FindRecord`]; there may be many, the best one counts.
    RecordFound {
        /// Which query.
        request: RequestId,
        /// The decoded record.
        record: Box<crate::accept::RepositoryRecord>,
    },
    /// Providers found by [`Output::FindProviders`]; may come in several parts.
    ProvidersFound {
        /// Which query.
        request: RequestId,
        /// Who.
        peers: Vec<NodeId>,
    },
    /// A DHT query (find, put or provide) has ended, well or not.
    QueryFinished {
        /// Which query.
        request: RequestId,
    },
    /// The registry's answer to [`Output::Commit`].
    Committed {
        /// Which batch.
        request: RequestId,
        /// Whether it is durable. After an error nothing of the batch is.
        result: Result<(), StorageError>,
    },
    /// The registry's or blob store's answer to [`Output::ReadObject`].
    ObjectRead {
        /// Which.
        request: RequestId,
        /// Domain prefix and body, if it is stored.
        preimage: Option<Vec<u8>>,
    },
    /// The registry's answer to [`Output::ReadHead`].
    HeadRead {
        /// Which.
        request: RequestId,
        /// The head, if it is stored.
        head: Option<Envelope>,
    },
    /// The blob store's answer to [`Output::InspectBlobs`].
    BlobsInspected {
        /// Which.
        request: RequestId,
        /// What is here of each blob, in the order asked.
        have: Vec<PieceSet>,
    },
    /// A peer's availability of a blob, whole, first or changed ([`Output::Observe`]).
    Availability {
        /// Who.
        peer: NodeId,
        /// Of which blob.
        blob: BlobHash,
        /// The pieces that peer has.
        have: PieceSet,
    },
    /// A peer has more pieces of an observed blob than [`Input::Availability`] told; cheaper than the whole.
    AvailabilityGained {
        /// Who.
        peer: NodeId,
        /// Of which blob.
        blob: BlobHash,
        /// Pieces it has besides what was told before.
        pieces: PieceRange,
    },
    /// An observation ended: the peer is gone or refuses.
    AvailabilityLost {
        /// Who.
        peer: NodeId,
        /// Of which blob.
        blob: BlobHash,
    },
    /// Verified bytes of a running [`Output::FetchPieces`] have been written. The first ones are told at once, later
    /// ones together.
    PiecesProgress {
        /// Which request.
        request: RequestId,
        /// Bytes since the last report; zero says that the peer began to answer.
        bytes: u64,
    },
    /// A [`Output::FetchPieces`] ended.
    PiecesFetched {
        /// Which request.
        request: RequestId,
        /// Whether all of its pieces are now here.
        result: Result<(), TransferError>,
    },
    /// The answer to [`Output::PlanCopies`].
    CopiesPlanned {
        /// Which.
        request: RequestId,
        /// The blobs of which something can be copied.
        plans: Vec<CopyPlan>,
    },
    /// Bytes of a blob were copied and are here now.
    CopyProgress {
        /// Which copy.
        request: RequestId,
        /// Bytes since the last report.
        bytes: u64,
    },
    /// A [`Output::CopyBlob`] ended.
    CopyEnded {
        /// Which copy.
        request: RequestId,
        /// The pieces of the blob that are here now.
        have: PieceSet,
    },
    /// A peer asks for bytes of an offered blob. The request waits until [`Output::StartUpload`].
    UploadAsked {
        /// Names the request.
        upload: UploadId,
        /// Who asks.
        peer: NodeId,
        /// Which blob.
        blob: BlobHash,
        /// Which bytes: first and one past the last that are asked for, whatever lies between.
        bytes: Range<u64>,
    },
    /// Payload of a started upload was sent.
    UploadProgress {
        /// Which request.
        upload: UploadId,
        /// Bytes since the last report; reported each MiB or second.
        bytes: u64,
    },
    /// A request for an upload is over: sent, broken off, refused, or taken back by the peer.
    UploadEnded {
        /// Which request.
        upload: UploadId,
        /// Bytes since the last report.
        bytes: u64,
    },
    /// Somebody reads a blob that may be incomplete and waits for what follows. Repeated as the reader moves on.
    Reading {
        /// Names the reader.
        reader: ReaderId,
        /// Which blob.
        blob: BlobHash,
        /// From where it reads to where it will: what it waits for comes first.
        bytes: Range<u64>,
    },
    /// A reader is done.
    ReadingEnded {
        /// Which reader.
        reader: ReaderId,
    },
    /// The node key's owner signed what [`Output::SignFreshness`] asked for.
    FreshnessSigned {
        /// Which.
        request: RequestId,
        /// The statement; `None` if this node does not hold the key.
        freshness: Option<Envelope>,
    },
}

/// That something of a blob can be copied from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPlan {
    /// Which blob.
    pub blob: BlobHash,
    /// The pieces with the groups to fetch first ([`Output::FetchBeside`]).
    pub beside: PieceSet,
    /// Bytes of those groups.
    pub bytes_beside: u64,
}
