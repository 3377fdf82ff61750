//! How requests and answers are told apart on a TCP connection. Pure code over bytes.
//!
//! A frame is eight bytes of header and its payload: kind (one byte), length of the payload (three bytes, little
//! endian), number of the request it belongs to (four bytes, little endian). Requests and answers are the iroh-blobs
//! protocol's own bytes; a QUIC stream's end and its reset code, which TCP lacks, are frames of their own.

/// Bytes of a header.
pub(crate) const HEADER_LEN: usize = 8;

/// Longest answer payload in one frame: large enough to cost nothing, small enough that another request's frame
/// gets its turn on a slow line.
pub(crate) const DATA_LEN_MAX: usize = 1024 * 1024;

/// Longest request. One for a run of pieces takes less than 64 bytes; a client may ask for scattered ranges.
pub(crate) const REQUEST_LEN_MAX: usize = 16 * 1024;

/// What a frame is. The first three go from the one who asks, the others back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request in iroh-blobs' encoding.
    Request,
    /// The asker wants no more of an answer. No payload.
    Stop,
    /// A probe sent back as it came.
    Echo,
    /// A part of the answer.
    Data,
    /// The answer is over. No payload.
    End,
    /// The answer breaks off; the payload is the QUIC reset code, four bytes, little endian.
    Reset,
    /// To be sent back at once, for the time that takes. No payload.
    Probe,
}

/// A header as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) len: usize,
    pub(crate) request: u32,
}

/// Why bytes are no frame. The connection cannot be used after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("unknown kind of frame {0}")]
    Kind(u8),
    #[error("a frame of {len} bytes where {max} are allowed")]
    Len { len: usize, max: usize },
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Request => 0x01,
            Self::Stop => 0x02,
            Self::Echo => 0x03,
            Self::Data => 0x11,
            Self::End => 0x12,
            Self::Reset => 0x13,
            Self::Probe => 0x14,
        }
    }

    fn read(code: u8) -> Result<Self, FrameError> {
        Ok(match code {
            0x01 => Self::Request,
            0x02 => Self::Stop,
            0x03 => Self::Echo,
            0x11 => Self::Data,
            0x12 => Self::End,
            0x13 => Self::Reset,
            0x14 => Self::Probe,
            _ => return Err(FrameError::Kind(code)),
        })
    }

    /// Least and most bytes of payload.
    fn len_bounds(self) -> (usize, usize) {
        match self {
            Self::Request => (1, REQUEST_LEN_MAX),
            Self::Stop | Self::Echo | Self::End | Self::Probe => (0, 0),
            Self::Data => (0, DATA_LEN_MAX),
            Self::Reset => (4, 4),
        }
    }
}

impl Header {
    pub(crate) fn new(kind: Kind, request: u32, len: usize) -> Self {
        Self { kind, len, request }
    }

    /// # Panics
    /// If the payload is longer than its kind allows; whoever writes frames cuts them.
    pub(crate) fn write(self) -> [u8; HEADER_LEN] {
        let (_, max) = self.kind.len_bounds();
        assert!(self.len <= max, "frames are cut before they are written");
        let [a, b, c, ..] = self.len.to_le_bytes();
        let [w, x, y, z] = self.request.to_le_bytes();
        [self.kind.code(), a, b, c, w, x, y, z]
    }

    pub(crate) fn read(bytes: [u8; HEADER_LEN]) -> Result<Self, FrameError> {
        let [code, a, b, c, w, x, y, z] = bytes;
        let kind = Kind::read(code)?;
        let len = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        let (min, max) = kind.len_bounds();
        if len < min || len > max {
            return Err(FrameError::Len { len, max });
        }
        let request = u32::from_le_bytes([w, x, y, z]);
        Ok(Self { kind, len, request })
    }
}

/// Cuts a stream of bytes into frames, however it is chopped up.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    header: [u8; HEADER_LEN],
    header_len: usize,
    /// The frame whose payload is being read, and how much of it is missing.
    open: Option<(Header, usize)>,
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// More of a frame's payload; `last` if the frame ends with it. A frame without payload has one empty part.
    Payload {
        header: Header,
        bytes: &'a [u8],
        last: bool,
    },
    /// All of the input is used up.
    Nothing,
}

impl Parser {
    /// Takes the next part from the front of `input`.
    ///
    /// # Errors
    /// If what came is no frame.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Part<'a>, FrameError> {
        let (header, missing) = match self.open {
            Some(open) => open,
            None => {
                let wanted = HEADER_LEN - self.header_len;
                let taken = take(input, wanted);
                self.header[self.header_len..self.header_len + taken.len()].copy_from_slice(taken);
                self.header_len += taken.len();
                if self.header_len < HEADER_LEN {
                    return Ok(Part::Nothing);
                }
                self.header_len = 0;
                let header = Header::read(self.header)?;
                (header, header.len)
            }
        };
        let bytes = take(input, missing);
        let missing = missing - bytes.len();
        let last = missing == 0;
        self.open = (!last).then_some((header, missing));
        if bytes.is_empty() && !last {
            return Ok(Part::Nothing);
        }
        Ok(Part::Payload {
            header,
            bytes,
            last,
        })
    }
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(len.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    type Frame = (Kind, u32, Vec<u8>);

    fn frames() -> Vec<Frame> {
        vec![
            (Kind::Request, 7, vec![1; 40]),
            (Kind::Data, 7, vec![2; 70_000]),
            (Kind::Data, 7, vec![]),
            (Kind::Reset, u32::MAX, vec![3, 0, 0, 0]),
            (Kind::End, 8, vec![]),
            (Kind::Stop, 9, vec![]),
            (Kind::Probe, 9, vec![]),
            (Kind::Echo, 9, vec![]),
        ]
    }

    fn encode(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, request, payload) in frames {
            bytes.extend(Header::new(*kind, *request, payload.len()).write());
            bytes.extend(payload);
        }
        bytes
    }

    fn decode(bytes: &[u8], step: usize) -> Result<Vec<Frame>, FrameError> {
        let mut parser = Parser::default();
        let mut frames = Vec::new();
        let mut payload = Vec::new();
        for mut chunk in bytes.chunks(step) {
            loop {
                match parser.next(&mut chunk)? {
                    Part::Nothing => break,
                    Part::Payload {
                        header,
                        bytes,
                        last,
                    } => {
                        payload.extend_from_slice(bytes);
                        if last {
                            let payload = std::mem::take(&mut payload);
                            frames.push((header.kind, header.request, payload));
                        }
                    }
                }
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_survive_being_chopped_up_anywhere() {
        let bytes = encode(&frames());
        for step in [1, 2, 3, 7, 8, 9, 1_000, bytes.len()] {
            assert_eq!(decode(&bytes, step).unwrap(), frames(), "{step}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_before_its_payload() {
        assert_eq!(decode(&[0; 8], 8), Err(FrameError::Kind(0)));
        let too_long = [0x01, 0x01, 0x40, 0, 0, 0, 0, 0];
        let max = REQUEST_LEN_MAX;
        let len = max + 1;
        assert_eq!(decode(&too_long, 8), Err(FrameError::Len { len, max }));
        let stop_with_payload = [0x02, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            decode(&stop_with_payload, 8),
            Err(FrameError::Len { len: 1, max: 0 })
        );
    }

    #[test]
    fn parser_survives_any_bytes() {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..2_000 {
            let mut bytes = encode(&frames()[..2]);
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len().min(64));
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(..bytes.len()));
            // Any answer is fine; a panic or an endless loop is not.
            let _ = decode(&bytes, random.usize(1..200));
        }
    }
}
