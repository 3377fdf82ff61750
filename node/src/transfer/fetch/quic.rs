//! Getting over a stream of a QUIC connection.

use bytes::Bytes;
use iroh::endpoint::{Connection, ReadError, RecvStream, VarInt, WriteError};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use weft_protocol::service::TransferError;

use super::intake::Intake;
use crate::transfer::fault;

/// Bytes taken from the stream at once; a packet brings one or a few KiB.
const RECEIVE_LEN: usize = 256 * 1024;
/// What a peer is told about a stream that is not wanted any more.
const STOPPED: VarInt = VarInt::from_u32(0);

/// Asks, waits for the answer to begin, and takes it on a thread.
pub(super) async fn get(
    connection: &Connection,
    request: Vec<u8>,
    cancel: &CancellationToken,
    mut intake: Intake,
) -> Result<(), TransferError> {
    let begin = cancel.run_until_cancelled(begin(connection, &request));
    let (recv, first) = begin.await.ok_or(TransferError::Cancelled)??;
    let cancel = cancel.clone();
    let taken = tokio::task::spawn_blocking(move || {
        let ended = take(recv, first, &cancel, &mut intake);
        let stored = intake.finish();
        match ended {
            Err(TransferError::Storage(_)) | Ok(()) => stored,
            Err(error) => stored.and(Err(error)),
        }
    });
    taken.await.unwrap_or(Err(TransferError::Connection))
}

async fn begin(
    connection: &Connection,
    request: &[u8],
) -> Result<(RecvStream, Bytes), TransferError> {
    let (mut send, mut recv) = connection
        .open_bi()
        .await
        .map_err(|error| fault::connection(&error))?;
    send.write_all(request).await.map_err(|error| match error {
        WriteError::Stopped(code) => fault::reset(code),
        WriteError::ConnectionLost(error) => fault::connection(&error),
        WriteError::ClosedStream | WriteError::ZeroRttRejected => TransferError::Connection,
    })?;
    send.finish().map_err(|_| TransferError::Connection)?;
    let first = recv
        .read_chunk(RECEIVE_LEN)
        .await
        .map_err(|error| read(&error))?
        .ok_or(TransferError::Unavailable)?;
    Ok((recv, first))
}

fn take(
    mut recv: RecvStream,
    first: Bytes,
    cancel: &CancellationToken,
    intake: &mut Intake,
) -> Result<(), TransferError> {
    let runtime = Handle::current();
    let mut chunk = first;
    loop {
        if let Err(failure) = intake.take(&chunk) {
            recv.stop(STOPPED).ok();
            return Err(failure);
        }
        if intake.is_done() {
            return Ok(());
        }
        match runtime.block_on(cancel.run_until_cancelled(recv.read_chunk(RECEIVE_LEN))) {
            None => {
                recv.stop(STOPPED).ok();
                return Err(TransferError::Cancelled);
            }
            Some(Ok(Some(next))) => chunk = next,
            // The peer ended the answer before everything was there.
            Some(Ok(None)) => return Err(TransferError::Unavailable),
            Some(Err(error)) => return Err(read(&error)),
        }
    }
}

fn read(error: &ReadError) -> TransferError {
    match error {
        ReadError::Reset(code) => fault::reset(*code),
        ReadError::ConnectionLost(error) => fault::connection(error),
        ReadError::ClosedStream | ReadError::ZeroRttRejected => TransferError::Connection,
    }
}
