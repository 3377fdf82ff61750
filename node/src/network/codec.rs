//! The bytes of `/weft/registry/1`: one length-prefixed CBOR item each way.
//!
//! The length is four bytes, big-endian. It is checked against the limit before anything is read, and
//! memory grows with what arrives, not with what is promised. Encoding and decoding happen on the
//! connection's task, so a large answer does not hold up the actor.

use std::io;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::{StreamProtocol, request_response};
use weft_protocol::wire::{self, Message as _};

/// Reads and writes requests and responses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Codec;

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = wire::Request;
    type Response = wire::Response;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<wire::Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        let bytes = read(io, wire::Request::LEN_MAX).await?;
        wire::decode(&bytes).map_err(invalid)
    }

    async fn read_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<wire::Response>
    where
        T: AsyncRead + Unpin + Send,
    {
        let bytes = read(io, wire::Response::LEN_MAX).await?;
        wire::decode(&bytes).map_err(invalid)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: wire::Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &wire::encode(&request), wire::Request::LEN_MAX).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: wire::Response,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &wire::encode(&response), wire::Response::LEN_MAX).await
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn too_long(len: usize, len_max: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{len} bytes are more than the {len_max} allowed"),
    )
}

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T, len_max: usize) -> io::Result<Vec<u8>> {
    let mut prefix = [0; 4];
    io.read_exact(&mut prefix).await?;
    let len = u32::from_be_bytes(prefix);
    let expected = usize::try_from(len).unwrap_or(usize::MAX);
    if expected > len_max {
        return Err(too_long(expected, len_max));
    }
    let mut bytes = Vec::new();
    io.take(u64::from(len)).read_to_end(&mut bytes).await?;
    if bytes.len() < expected {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

async fn write<T: AsyncWrite + Unpin + Send>(
    io: &mut T,
    bytes: &[u8],
    len_max: usize,
) -> io::Result<()> {
    if bytes.len() > len_max {
        return Err(too_long(bytes.len(), len_max));
    }
    let len = u32::try_from(bytes.len()).map_err(invalid)?;
    io.write_all(&len.to_be_bytes()).await?;
    io.write_all(bytes).await?;
    io.close().await
}

#[cfg(test)]
mod tests {
    use futures::{executor::block_on, io::Cursor};

    use super::*;

    #[test]
    fn frame_reads_back_what_was_written() {
        let mut frame = Vec::new();
        block_on(write(&mut frame, b"weft", 4)).unwrap();
        assert_eq!(frame, b"\0\0\0\x04weft");
        assert_eq!(block_on(read(&mut Cursor::new(frame), 4)).unwrap(), b"weft");
    }

    #[test]
    fn frame_over_the_limit_is_refused_before_it_is_read() {
        let error = block_on(read(&mut Cursor::new(b"\xff\xff\xff\xff".to_vec()), 4)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = block_on(write(&mut Vec::new(), b"weft!", 4)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn truncated_frame_is_an_early_end() {
        let error = block_on(read(&mut Cursor::new(b"\0\0\0\x04we".to_vec()), 4)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
