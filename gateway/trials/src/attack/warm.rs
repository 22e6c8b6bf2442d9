//! Ordinary visitors before anything is measured: what a shard keeps to work with is no attack's.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

use super::frames::{BINARY, CONTINUATION, FIN, RSV1, deflated, frame};
use super::outcome::Outcome;
use super::wire::{DEFLATE, Wire, header_of};

/// Enough to meet every shard.
const VISITORS: usize = 8;
/// Pieces of 64 KiB that make the longest message a visitor sends.
const PIECES: usize = 15;
/// How long an echo may take; a gateway that allows shorter messages only has closed by then.
const ECHO_WAIT: Duration = Duration::from_millis(500);
/// Lets a few visitors send an echo a long message in pieces, and a deflated one.
///
/// # Errors
/// If they cannot come.
pub(super) fn up(addr: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for _ in 0..VISITORS {
            visit(addr).await.map_err(|told| anyhow::anyhow!("a visitor is told {told}"))?;
        }
        Ok(())
    })
}

async fn visit(addr: SocketAddr) -> Result<(), Outcome> {
    let mut wire = Wire::connect(addr).await.map_err(|_| Outcome::Cut)?;
    wire.push(&super::frames::request("/ws/simple", DEFLATE)).await;
    let head = wire.answer().await?;
    let piece = [b'w'; 64 << 10];
    if header_of(&head, "Sec-WebSocket-Extensions").is_some() {
        wire.push(&frame(FIN | RSV1 | BINARY, &deflated(&piece.repeat(PIECES)))).await;
        wire.word(ECHO_WAIT).await;
    }
    wire.push(&frame(BINARY, &piece)).await;
    for _ in 1..PIECES {
        // A gateway that allows less has closed; that is all there was to learn.
        wire.push(&frame(CONTINUATION, &piece)).await;
    }
    wire.push(&frame(FIN | CONTINUATION, b"")).await;
    wire.word(ECHO_WAIT).await;
    Ok(())
}
