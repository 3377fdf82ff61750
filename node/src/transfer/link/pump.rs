//! A connection while much goes on: a thread of its own, a blocking socket, and large buffers from one end to the
//! other. What costs is the copying in the kernel, the cryptography and the hashing, and little else.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use iroh::endpoint::VarInt;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use tokio_util::sync::CancellationToken;

use super::{
    frame::{DATA_LEN_MAX, HEADER_LEN, Header, Kind},
    session::{Session, ending, invalid},
};

/// Answer bytes put into one frame, encrypted and handed to the kernel at once: fits the second-level cache.
pub(crate) const SEND_LEN: usize = 256 * 1024;

const _: () = assert!(
    SEND_LEN <= DATA_LEN_MAX / 2,
    "a frame may run over by a leaf"
);

/// How long a peer may take none of the bytes it asked for before it counts as gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a thread that waits for bytes looks whether they are still wanted.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Silence in the middle of an answer after which the peer counts as gone. The machine gives up on a slow peer long
/// before; this is for one that vanished without a word.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Probes follow each other no faster than this.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// A probe that is out for so long is a measurement before it is back.
const PROBE_LATE: Duration = Duration::from_millis(250);
/// How long an answer that is not wanted any more may take to end before the connection is given up instead.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection on a thread.
#[derive(Debug)]
pub(crate) struct Pump {
    stream: TcpStream,
    session: Session,
    probe: Option<Probe>,
}

/// The last message to whoever takes the answer that is to come back at once.
#[derive(Debug)]
struct Probe {
    sent: Instant,
    /// When what is now known of it was reported.
    told: Option<Instant>,
    is_back: bool,
}

/// How an answer ended, if not well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GetError<E> {
    /// The connection broke or its other end does not keep to the protocol. It is of no use any more.
    #[error("the connection broke")]
    Connection(#[source] io::Error),
    /// The peer broke the answer off, as a QUIC stream is reset.
    #[error("reset with code {0}")]
    Reset(VarInt),
    /// Whoever took the answer did not like it. The connection is of no use any more.
    #[error("not accepted")]
    Sink(E),
    /// It was not wanted any more.
    #[error("stopped")]
    Stopped,
}

impl Pump {
    pub(super) fn new(stream: TcpStream, session: Session) -> Self {
        Self {
            stream,
            session,
            probe: None,
        }
    }

    pub(super) fn into_parts(self) -> (TcpStream, Session) {
        (self.stream, self.session)
    }

    /// Hands the answer to request `number` to `sink`, part by part, until its end or until `cancel` fires. Blocks.
    ///
    /// # Errors
    /// See [`GetError`].
    pub(crate) fn take_answer<E>(
        &mut self,
        number: u32,
        cancel: &CancellationToken,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), GetError<E>> {
        let broken = GetError::Connection;
        self.stream
            .set_read_timeout(Some(LOOK_INTERVAL))
            .and_then(|()| self.stream.set_write_timeout(Some(SEND_TIMEOUT)))
            .map_err(broken)?;
        let mut answer = Answer {
            number,
            code: Vec::new(),
            is_probed: false,
            ended: None,
        };
        let mut heard = Instant::now();
        let mut stopped: Option<Instant> = None;
        loop {
            let wanted = stopped.is_none();
            let received = self
                .session
                .receive(&mut |header, bytes, last| answer.part(header, bytes, last, wanted, sink));
            match answer.ended.take() {
                Some(Ok(())) if !wanted => return Err(GetError::Stopped),
                Some(Err(GetError::Reset(_))) if !wanted => return Err(GetError::Stopped),
                Some(ended) => return ended,
                None => received.map_err(broken)?,
            }
            if self.session.tls.is_closed() {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
            if std::mem::take(&mut answer.is_probed) {
                self.send(Header::new(Kind::Echo, number, 0), &[])
                    .map_err(broken)?;
            }
            if self.fill().map_err(broken)? {
                heard = Instant::now();
            } else if heard.elapsed() > SILENCE_MAX {
                return Err(broken(io::ErrorKind::TimedOut.into()));
            }
            match stopped {
                None if cancel.is_cancelled() => {
                    stopped = Some(Instant::now());
                    self.send(Header::new(Kind::Stop, number, 0), &[])
                        .map_err(broken)?;
                }
                Some(at) if at.elapsed() > STOP_TIMEOUT => {
                    return Err(broken(io::ErrorKind::TimedOut.into()));
                }
                _ => {}
            }
        }
    }

    /// Takes what the socket has; `false` if nothing came for a while.
    fn fill(&mut self) -> io::Result<bool> {
        match self.stream.read(self.session.tls.space()) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                self.session.tls.filled(len);
                Ok(true)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// Prepares for answering.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn begin_answer(&mut self) -> io::Result<()> {
        self.probe = None;
        self.stream.set_write_timeout(Some(SEND_TIMEOUT))
    }

    /// Sends a part of an answer: `frame` holds it behind [`HEADER_LEN`] bytes of room. Blocks.
    ///
    /// # Errors
    /// What the network says.
    pub(crate) fn answer(&mut self, number: u32, frame: &mut [u8]) -> io::Result<()> {
        let header = Header::new(Kind::Data, number, frame.len() - HEADER_LEN);
        frame[..HEADER_LEN].copy_from_slice(&header.write());
        self.session.tls.seal(frame).map_err(invalid)?;
        self.flush()
    }

    /// Whether the asker has meanwhile said that it wants no more of this answer.
    ///
    /// # Errors
    /// What the network says, or that the peer does not keep to the protocol.
    pub(crate) fn is_stopped(&mut self, number: u32) -> io::Result<bool> {
        self.listen(Duration::ZERO)?;
        Ok(self.session.take(Kind::Stop, number))
    }

    /// Waits so long, or until the asker says something. Blocks.
    ///
    /// # Errors
    /// What the network says, or that the peer does not keep to the protocol.
    pub(crate) fn rest(&mut self, wait: Duration) -> io::Result<()> {
        self.listen(wait)
    }

    fn listen(&mut self, wait: Duration) -> io::Result<()> {
        let mut look = [PollFd::new(&self.stream, PollFlags::IN)];
        let wait = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        match poll(&mut look, Some(&wait)) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        self.fill()?;
        self.session.receive_requests()
    }

    /// How long a probe took to come back, or how long it has been out if that is long already; then sends the next one.
    ///
    /// # Errors
    /// What the network says.
    pub(crate) fn delay(&mut self, number: u32) -> io::Result<Option<Duration>> {
        let is_back = self.session.take(Kind::Echo, number);
        let now = Instant::now();
        let mut delay = None;
        if let Some(probe) = &mut self.probe {
            let out = now.saturating_duration_since(probe.sent);
            let told = probe
                .told
                .map_or(out, |told| now.saturating_duration_since(told));
            let is_news = !probe.is_back && (is_back || told > PROBE_LATE);
            probe.is_back |= is_back;
            if is_news {
                probe.told = Some(now);
                delay = Some(out);
            }
            if !probe.is_back || out < PROBE_INTERVAL {
                return Ok(delay);
            }
        }
        self.send(Header::new(Kind::Probe, number, 0), &[])?;
        self.probe = Some(Probe {
            sent: now,
            told: None,
            is_back: false,
        });
        Ok(delay)
    }

    /// Ends an answer: well, or with a code. Blocks.
    ///
    /// # Errors
    /// What the network says.
    pub(crate) fn end_answer(&mut self, number: u32, ended: Result<(), VarInt>) -> io::Result<()> {
        let (header, payload) = ending(number, ended);
        self.send(header, &payload)
    }

    fn send(&mut self, header: Header, payload: &[u8]) -> io::Result<()> {
        self.session.seal(header, payload)?;
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let len = self.session.tls.outgoing().len();
        (&self.stream).write_all(self.session.tls.outgoing())?;
        self.session.tls.sent(len);
        Ok(())
    }
}

/// An answer as its frames come in.
struct Answer<E> {
    number: u32,
    code: Vec<u8>,
    /// The other side waits for an echo.
    is_probed: bool,
    ended: Option<Result<(), GetError<E>>>,
}

impl<E> Answer<E> {
    fn part(
        &mut self,
        header: Header,
        bytes: &[u8],
        last: bool,
        wanted: bool,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> io::Result<()> {
        if header.request != self.number || self.ended.is_some() {
            return Err(invalid("an answer to nothing"));
        }
        match header.kind {
            Kind::Data if wanted => {
                if let Err(error) = sink(bytes) {
                    self.ended = Some(Err(GetError::Sink(error)));
                    return Err(io::Error::other("not accepted"));
                }
            }
            Kind::Data => {}
            Kind::End => self.ended = Some(Ok(())),
            Kind::Reset => {
                self.code.extend_from_slice(bytes);
                if last {
                    // The frame has four bytes of payload, or it would not have been one.
                    let code = self.code[..].try_into().map_err(invalid)?;
                    let code = VarInt::from_u32(u32::from_le_bytes(code));
                    self.ended = Some(Err(GetError::Reset(code)));
                }
            }
            Kind::Probe => self.is_probed = true,
            Kind::Request | Kind::Stop | Kind::Echo => {
                return Err(invalid("a request where an answer belongs"));
            }
        }
        Ok(())
    }
}
