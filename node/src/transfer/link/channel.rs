//! A connection while little goes on: handshake, waiting for a request or the beginning of an answer, short
//! messages. Async, so that many can wait at the cost of nothing; bulk is for [`super::pump`].

use std::{io, net::SocketAddr, time::Duration};

use iroh::endpoint::VarInt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use weft_protocol::id::NodeId;

use super::{
    frame::{DATA_LEN_MAX, Header, Kind},
    keys::Keys,
    pump::Pump,
    session::{Session, ending, invalid},
    tls::Tls,
};

/// Silence after which the other side is asked whether it is there: as long as QUIC waits before it gives up.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(15);
/// Pause between asking and asking again.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
/// Questions without an answer after which the connection is lost.
const KEEP_ALIVE_TRIES: u32 = 3;

/// The same as [`super::session::EachPart`], for a task that may move between threads.
pub(crate) type SendEachPart<'a> = dyn FnMut(Header, &[u8], bool) -> io::Result<()> + Send + 'a;

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: TcpStream,
    session: Session,
}

impl Channel {
    /// Dials `peer`; fails if somebody else answers. Whoever calls bounds the time.
    ///
    /// # Errors
    /// What the network or TLS says.
    pub(crate) async fn dial(keys: &Keys, peer: NodeId, address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let tls = Tls::client(keys.dial(peer)).map_err(invalid)?;
        Self::handshake(stream, tls).await
    }

    /// Answers a dial. Whoever calls bounds the time.
    ///
    /// # Errors
    /// What the network or TLS says.
    pub(crate) async fn accept(keys: &Keys, stream: TcpStream) -> io::Result<Self> {
        let tls = Tls::server(keys.listen()).map_err(invalid)?;
        Self::handshake(stream, tls).await
    }

    async fn handshake(mut stream: TcpStream, tls: Tls) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let mut session = Session::new(tls);
        loop {
            let done = session.shake();
            // After an error an alert tells the other side.
            flush(&mut stream, &mut session).await?;
            if done? {
                return Ok(Self { stream, session });
            }
            let len = stream.read(session.tls.space()).await?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            session.tls.filled(len);
        }
    }

    /// Whose key the other side has proved to have.
    pub(crate) fn peer(&self) -> NodeId {
        self.session.peer()
    }

    /// Waits for the next request (or stop) with its payload; `None` when the peer has said goodbye.
    ///
    /// Cancel safe: what was read stays.
    ///
    /// # Errors
    /// What the network says, or that the peer does not keep to the protocol.
    pub(crate) async fn request(&mut self) -> io::Result<Option<(Header, Vec<u8>)>> {
        loop {
            if let Some(request) = self.session.next_request() {
                return Ok(Some(request));
            }
            if self.session.tls.is_closed() {
                return Ok(None);
            }
            self.fill().await?;
            self.session.receive_requests()?;
        }
    }

    /// Waits for parts of answers and hands them to `each`: number of the request, kind, payload, whether the frame
    /// ends with it. `false` when the peer has said goodbye.
    ///
    /// Cancel safe: what was read stays.
    ///
    /// # Errors
    /// What the network says, or that the peer does not keep to the protocol.
    pub(crate) async fn answers(&mut self, each: &mut SendEachPart<'_>) -> io::Result<bool> {
        loop {
            let mut any = false;
            self.session.receive(&mut |header, bytes, last| {
                any = true;
                each(header, bytes, last)
            })?;
            if any || self.session.tls.is_closed() {
                return Ok(any);
            }
            self.fill().await?;
        }
    }

    /// Returns when the peer has sent something, or nothing can come any more.
    pub(crate) async fn stirs(&self) {
        if !self.session.tls.has_unread() && !self.session.tls.is_closed() {
            // An error will show when the connection is used.
            let _ = self.stream.readable().await;
        }
    }

    /// Whether a waiting connection has been closed or is out of step: nothing should be there to read.
    pub(crate) fn is_stale(&self) -> bool {
        let mut byte = [0];
        let quiet = matches!(
            self.stream.try_read(&mut byte),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock
        );
        !quiet || self.session.tls.has_unread() || self.session.tls.is_closed()
    }

    async fn fill(&mut self) -> io::Result<()> {
        loop {
            // Memory is for connections on which something goes on.
            self.session.tls.rest();
            self.stream.readable().await?;
            match self.stream.try_read(self.session.tls.space()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => {
                    self.session.tls.filled(len);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// What the network says.
    pub(crate) async fn ask(&mut self, number: u32, request: &[u8]) -> io::Result<()> {
        let header = Header::new(Kind::Request, number, request.len());
        self.send(header, request).await
    }

    /// Asks no more.
    ///
    /// # Errors
    /// What the network says.
    pub(crate) async fn stop(&mut self, number: u32) -> io::Result<()> {
        self.send(Header::new(Kind::Stop, number, 0), &[]).await
    }

    /// Sends more of an answer, in as many frames as it takes.
    ///
    /// # Errors
    /// What the network says.
    pub(crate) async fn tell(&mut self, number: u32, answer: &[u8]) -> io::Result<()> {
        for part in answer.chunks(DATA_LEN_MAX) {
            self.send(Header::new(Kind::Data, number, part.len()), part)
                .await?;
        }
        Ok(())
    }

    /// Has the system look after the connection while it is silent, so that a peer which vanished is noticed.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn keep_alive(&self) -> io::Result<()> {
        use rustix::net::sockopt;
        sockopt::set_socket_keepalive(&self.stream, true)?;
        sockopt::set_tcp_keepidle(&self.stream, KEEP_ALIVE_AFTER)?;
        sockopt::set_tcp_keepintvl(&self.stream, KEEP_ALIVE_EVERY)?;
        sockopt::set_tcp_keepcnt(&self.stream, KEEP_ALIVE_TRIES)?;
        Ok(())
    }

    /// Ends an answer.
    ///
    /// # Errors
    /// What the network says.
    pub(crate) async fn end(&mut self, number: u32, ended: Result<(), VarInt>) -> io::Result<()> {
        let (header, payload) = ending(number, ended);
        self.send(header, &payload).await
    }

    async fn send(&mut self, header: Header, payload: &[u8]) -> io::Result<()> {
        self.session.seal(header, payload)?;
        flush(&mut self.stream, &mut self.session).await
    }

    /// The same connection for a thread that pumps.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn into_pump(self) -> io::Result<Pump> {
        let stream = self.stream.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(Pump::new(stream, self.session))
    }

    /// Back from the thread.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn from_pump(pump: Pump) -> io::Result<Self> {
        let (stream, mut session) = pump.into_parts();
        stream.set_nonblocking(true)?;
        session.tls.rest();
        Ok(Self {
            stream: TcpStream::from_std(stream)?,
            session,
        })
    }
}

async fn flush(stream: &mut TcpStream, session: &mut Session) -> io::Result<()> {
    let len = session.tls.outgoing().len();
    if len > 0 {
        stream.write_all(session.tls.outgoing()).await?;
        session.tls.sent(len);
    }
    Ok(())
}
