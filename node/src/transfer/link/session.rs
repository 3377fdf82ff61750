//! What a connection is apart from its socket: cryptography, framing, and requests that came and were not yet
//! looked at. [`super::channel`] drives it from async tasks, [`super::pump`] from a thread.

use std::{collections::VecDeque, io};

use iroh::endpoint::VarInt;
use weft_protocol::id::NodeId;

use super::{
    frame::{Header, Kind, Parser, Part},
    tls::Tls,
};

/// Requests that may wait to be looked at; a connection carries one get at a time, or many observations.
const REQUESTS_MAX: usize = 512;

/// What takes the parts of frames: the frame's header, bytes of its payload, and whether it ends with them.
pub(super) type EachPart<'a> = dyn FnMut(Header, &[u8], bool) -> io::Result<()> + 'a;

/// A connection without its socket.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) tls: Tls,
    parser: Parser,
    /// The payload of the request that is being read.
    payload: Vec<u8>,
    requests: VecDeque<(Header, Vec<u8>)>,
    peer: NodeId,
}

impl Session {
    pub(super) fn new(tls: Tls) -> Self {
        Self {
            tls,
            parser: Parser::default(),
            payload: Vec::new(),
            requests: VecDeque::new(),
            peer: NodeId::new([0; 32]),
        }
    }

    /// Moves the handshake on; `true` when it is done and the peer is known. What is then outgoing must still be sent.
    pub(super) fn shake(&mut self) -> io::Result<bool> {
        // A request may come along with the last bytes of the handshake.
        self.receive_requests()?;
        if self.tls.is_handshaking() {
            return match self.tls.is_closed() {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(false),
            };
        }
        self.peer = self
            .tls
            .peer()
            .ok_or_else(|| invalid("the peer speaks another protocol"))?;
        Ok(true)
    }

    /// Whose key the other side has proved to have.
    pub(super) fn peer(&self) -> NodeId {
        self.peer
    }

    /// Decrypts what has come and cuts it into frames.
    pub(super) fn receive(&mut self, each: &mut EachPart<'_>) -> io::Result<()> {
        let parser = &mut self.parser;
        let mut outcome = Ok(());
        self.tls
            .receive(&mut |mut bytes| {
                while outcome.is_ok() {
                    outcome = match parser.next(&mut bytes) {
                        Ok(Part::Nothing) => break,
                        Ok(Part::Payload {
                            header,
                            bytes,
                            last,
                        }) => each(header, bytes, last),
                        Err(error) => Err(invalid(error)),
                    };
                }
            })
            .map_err(invalid)?;
        outcome
    }

    /// [`Self::receive`] where only requests may come; they queue up.
    pub(super) fn receive_requests(&mut self) -> io::Result<()> {
        let mut payload = std::mem::take(&mut self.payload);
        let mut requests = std::mem::take(&mut self.requests);
        let received = self.receive(&mut |header, bytes, last| {
            if !matches!(header.kind, Kind::Request | Kind::Stop | Kind::Echo) {
                return Err(invalid("an answer where a request belongs"));
            }
            if requests.len() >= REQUESTS_MAX {
                return Err(invalid("too many requests at once"));
            }
            payload.extend_from_slice(bytes);
            if last {
                requests.push_back((header, std::mem::take(&mut payload)));
            }
            Ok(())
        });
        (self.payload, self.requests) = (payload, requests);
        received
    }

    /// The request or stop that came first; an echo that is late means nothing any more.
    pub(super) fn next_request(&mut self) -> Option<(Header, Vec<u8>)> {
        self.requests
            .retain(|(header, _)| header.kind != Kind::Echo);
        self.requests.pop_front()
    }

    /// Whether the asker has stopped wanting this answer, or has sent a probe back; forgets that it did.
    pub(super) fn take(&mut self, kind: Kind, number: u32) -> bool {
        let before = self.requests.len();
        self.requests
            .retain(|(header, _)| header.kind != kind || header.request != number);
        self.requests.len() < before
    }

    /// Encrypts a frame.
    pub(super) fn seal(&mut self, header: Header, payload: &[u8]) -> io::Result<()> {
        let mut plain = header.write().to_vec();
        plain.extend_from_slice(payload);
        self.tls.seal(&plain).map_err(invalid)
    }
}

/// The frame that ends an answer: well, or with a code as QUIC streams are reset with.
pub(super) fn ending(number: u32, ended: Result<(), VarInt>) -> (Header, Vec<u8>) {
    match ended {
        Ok(()) => (Header::new(Kind::End, number, 0), Vec::new()),
        Err(code) => {
            // Our codes and iroh-blobs' are small.
            let code = u32::try_from(code.into_inner()).unwrap_or(u32::MAX);
            let payload = code.to_le_bytes().to_vec();
            (Header::new(Kind::Reset, number, payload.len()), payload)
        }
    }
}

pub(super) fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
