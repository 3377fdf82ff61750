//! One TLS connection between buffers: ciphertext in, plaintext out, and back. No socket here, so that the same
//! code runs under async tasks (handshakes, waiting, small messages) and on threads that do nothing but pump.
//!
//! rustls' unbuffered form is used because it takes hundreds of KiB of ciphertext at a time; its buffered one reads
//! 4 KiB from the socket, whatever one offers it.

use std::sync::Arc;

use rustls::{
    ClientConfig, Error, ServerConfig,
    client::UnbufferedClientConnection,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncryptError, UnbufferedStatus},
};
use weft_protocol::id::NodeId;

use super::keys;

/// Ciphertext taken from the socket at once. Half a second-level cache, so that what was just copied out of the
/// kernel is still there when it is decrypted, hashed and copied on.
const RECEIVE_LEN: usize = 256 * 1024;

/// A record: 16 KiB of plaintext and what TLS adds to it, generously.
const RECORD_LEN: usize = 16 * 1024;
const RECORD_OVERHEAD: usize = 64;

/// Plaintext that may arrive while something is being encrypted; what the receive buffer held at most.
const EARLY_LEN_MAX: usize = 2 * RECEIVE_LEN;

/// A connection's cryptography.
pub(crate) struct Tls {
    side: Side,
    incoming: Vec<u8>,
    /// What of `incoming` is filled and not yet used.
    start: usize,
    end: usize,
    outgoing: Vec<u8>,
    outgoing_len: usize,
    /// Plaintext that turned up while encrypting, for the next [`Self::receive`].
    early: Vec<u8>,
    closed: bool,
}

enum Side {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What one turn of the state machine led to.
enum Turn {
    /// There may be more to do.
    Again,
    /// The handshake needs more ciphertext.
    Starved,
    /// The connection is open and all ciphertext is used up.
    Open,
    /// The peer said goodbye.
    Closed,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl Tls {
    pub(crate) fn client(config: Arc<ClientConfig>) -> Result<Self, Error> {
        let connection = UnbufferedClientConnection::new(config, keys::server_name()?)?;
        Ok(Self::new(Side::Client(connection)))
    }

    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(Side::Server(connection)))
    }

    fn new(side: Side) -> Self {
        Self {
            side,
            incoming: Vec::new(),
            start: 0,
            end: 0,
            outgoing: Vec::new(),
            outgoing_len: 0,
            early: Vec::new(),
            closed: false,
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match &self.side {
            Side::Client(connection) => connection.is_handshaking(),
            Side::Server(connection) => connection.is_handshaking(),
        }
    }

    /// Whether the peer has said goodbye.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Who is at the other end, after a handshake about our protocol.
    pub(crate) fn peer(&self) -> Option<NodeId> {
        let (keys, alpn) = match &self.side {
            Side::Client(connection) => {
                (connection.peer_certificates(), connection.alpn_protocol())
            }
            Side::Server(connection) => {
                (connection.peer_certificates(), connection.alpn_protocol())
            }
        };
        if self.is_handshaking() || alpn != Some(keys::ALPN) {
            return None;
        }
        keys::node_id(keys?.first()?)
    }

    /// Where ciphertext from the socket goes. Never empty: what is left of the last filling is less than a record.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.incoming.len() < RECEIVE_LEN {
            self.incoming.resize(RECEIVE_LEN, 0);
        }
        self.incoming.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.incoming[self.end..]
    }

    /// Notes that the first `len` bytes of [`Self::space`] were filled.
    pub(crate) fn filled(&mut self, len: usize) {
        self.end += len;
        assert!(self.end <= self.incoming.len(), "filled within the space");
    }

    /// Decrypts all whole records, handing their content to `sink` piece by piece.
    ///
    /// # Errors
    /// If the peer does not keep to TLS, or is not the one that was dialled.
    pub(crate) fn receive(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        if !self.early.is_empty() {
            sink(&std::mem::take(&mut self.early));
        }
        loop {
            match self.turn(None, sink)? {
                Turn::Again => {}
                Turn::Starved | Turn::Open => return self.check_space(),
                Turn::Closed => {
                    self.closed = true;
                    return Ok(());
                }
            }
        }
    }

    /// Encrypts `plain` behind what already waits in [`Self::outgoing`].
    ///
    /// # Errors
    /// During the handshake, after a goodbye, or if the peer broke TLS.
    pub(crate) fn seal(&mut self, plain: &[u8]) -> Result<(), Error> {
        loop {
            let mut early = std::mem::take(&mut self.early);
            let turn = self.turn(Some(plain), &mut |bytes| early.extend_from_slice(bytes));
            self.early = early;
            match turn? {
                Turn::Again if self.early.len() <= EARLY_LEN_MAX => {}
                Turn::Open => return Ok(()),
                Turn::Again | Turn::Starved | Turn::Closed => {
                    return Err(Error::HandshakeNotComplete);
                }
            }
        }
    }

    /// Ciphertext for the socket.
    pub(crate) fn outgoing(&self) -> &[u8] {
        &self.outgoing[..self.outgoing_len]
    }

    /// Notes that the first `len` bytes of [`Self::outgoing`] are on their way.
    pub(crate) fn sent(&mut self, len: usize) {
        self.outgoing.copy_within(len..self.outgoing_len, 0);
        self.outgoing_len -= len;
    }

    /// Gives the buffers' memory back; for a connection that waits.
    pub(crate) fn rest(&mut self) {
        if self.start == self.end {
            self.incoming = Vec::new();
            (self.start, self.end) = (0, 0);
        }
        if self.outgoing_len == 0 {
            self.outgoing = Vec::new();
        }
    }

    /// Whether something came that was not handed out yet.
    pub(crate) fn has_unread(&self) -> bool {
        self.start < self.end || !self.early.is_empty()
    }

    fn check_space(&self) -> Result<(), Error> {
        // A record is refused by its length long before it could fill the buffer; a handshake message is not.
        if self.end - self.start >= RECEIVE_LEN {
            return Err(Error::General("a message that does not end".to_owned()));
        }
        Ok(())
    }

    fn turn(&mut self, plain: Option<&[u8]>, sink: &mut dyn FnMut(&[u8])) -> Result<Turn, Error> {
        let incoming = &mut self.incoming[self.start..self.end];
        let mut outgoing = Outgoing {
            buffer: &mut self.outgoing,
            len: &mut self.outgoing_len,
        };
        let (discard, turn) = match &mut self.side {
            Side::Client(connection) => {
                outgoing.turn(connection.process_tls_records(incoming), plain, sink)
            }
            Side::Server(connection) => {
                outgoing.turn(connection.process_tls_records(incoming), plain, sink)
            }
        };
        self.start += discard;
        if turn.is_err() {
            self.closed = true;
        }
        turn
    }
}

/// Where ciphertext is appended.
struct Outgoing<'a> {
    buffer: &'a mut Vec<u8>,
    len: &'a mut usize,
}

impl Outgoing<'_> {
    fn turn<Data>(
        &mut self,
        status: UnbufferedStatus<'_, '_, Data>,
        plain: Option<&[u8]>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> (usize, Result<Turn, Error>) {
        let mut discard = status.discard;
        let turn = match status.state {
            Err(error) => Err(error),
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    None => break Ok(Turn::Again),
                    Some(Ok(record)) => {
                        discard += record.discard;
                        sink(record.payload);
                    }
                    Some(Err(error)) => break Err(error),
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut message)) => {
                // One flight of a handshake without certificates, or an alert.
                let space = self.space(RECORD_LEN + RECORD_OVERHEAD);
                match message.encode(space) {
                    Ok(len) => {
                        *self.len += len;
                        Ok(Turn::Again)
                    }
                    Err(error) => Err(Error::General(error.to_string())),
                }
            }
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                // Whoever drives this sends what is outgoing before it waits for more.
                transmit.done();
                Ok(Turn::Again)
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => match plain {
                None => Ok(Turn::Open),
                Some(plain) => {
                    let records = plain.len() / RECORD_LEN + 1;
                    let space = self.space(plain.len() + records * RECORD_OVERHEAD);
                    match traffic.encrypt(plain, space) {
                        Ok(len) => {
                            *self.len += len;
                            Ok(Turn::Open)
                        }
                        Err(EncryptError::EncryptExhausted) => Err(Error::EncryptError),
                        Err(error) => Err(Error::General(error.to_string())),
                    }
                }
            },
            Ok(ConnectionState::BlockedHandshake) => Ok(Turn::Starved),
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Ok(Turn::Closed),
            Ok(_) => Err(Error::General("early data was not offered".to_owned())),
        };
        (discard, turn)
    }

    fn space(&mut self, len: usize) -> &mut [u8] {
        let wanted = *self.len + len;
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        &mut self.buffer[*self.len..]
    }
}
