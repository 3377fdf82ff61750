//! Frames: length in bytes as 4 bytes, little-endian, then one CBOR item.

use std::io::{self, ErrorKind, Read, Write};

use weft_protocol::{
    infer::{FromEngine, ToEngine},
    wire::{Message, decode, encode},
};

/// Reads a frame; `None` where the input ends.
pub(super) fn read(input: &mut impl Read) -> io::Result<Option<ToEngine>> {
    let mut len = [0; 4];
    match input.read_exact(&mut len) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let len = u32::from_le_bytes(len) as usize;
    if len > ToEngine::LEN_MAX {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("a frame of {len} bytes"),
        ));
    }
    let mut frame = vec![0; len];
    input.read_exact(&mut frame)?;
    decode(&frame)
        .map(Some)
        .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// Writes a frame; it is sent when the output is flushed.
pub(super) fn write(output: &mut impl Write, message: &FromEngine) -> io::Result<()> {
    let frame = encode(message);
    let len = u32::try_from(frame.len())
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "a frame that is too long"))?;
    output.write_all(&len.to_le_bytes())?;
    output.write_all(&frame)
}
