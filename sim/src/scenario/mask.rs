//! Masking keys that the seed decides, for clients whose library draws its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

use super::frames;
use crate::rng::Rng;

/// A client's stream that gives every frame another masking key on its way out.
///
/// tungstenite draws keys from the system's random source. What a run sends would differ from
/// process to process; behind this it follows from the seed.
#[derive(Debug)]
pub(crate) struct Remasked<S> {
    stream: S,
    rng: Rng,
    /// Written by the client, not yet understood: part of the request or of a header.
    raw: Vec<u8>,
    state: State,
    /// On its way out.
    ready: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Request,
    Header,
    Payload { left: u64, at: usize, change: [u8; 4] },
}

impl<S> Remasked<S> {
    pub(crate) fn new(stream: S, rng: Rng) -> Self {
        Self { stream, rng, raw: Vec::new(), state: State::Request, ready: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        while let Some(count) = self.convert() {
            self.raw.drain(..count);
        }
    }

    /// Converts what can be understood; how many raw bytes that were.
    fn convert(&mut self) -> Option<usize> {
        match &mut self.state {
            State::Request => {
                let end = self.raw.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
                self.ready.extend(&self.raw[..end]);
                self.state = State::Header;
                Some(end)
            }
            State::Header => {
                let mut cursor = io::Cursor::new(&self.raw);
                let parsed = FrameHeader::parse(&mut cursor).expect("tungstenite knows its frames");
                let (mut header, left) = parsed?;
                let end = usize::try_from(cursor.position()).expect("a header is short");
                let key = frames::mask(&mut self.rng);
                let old = header.mask.replace(key).expect("a client masks its frames");
                header.format(left, &mut self.ready).expect("a vector takes all bytes");
                let change = std::array::from_fn(|at| old[at] ^ key[at]);
                self.state = State::Payload { left, at: 0, change };
                Some(end)
            }
            State::Payload { left: 0, .. } => {
                self.state = State::Header;
                Some(0)
            }
            State::Payload { left, at, change } => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(self.raw.len());
                if count == 0 {
                    return None;
                }
                let keys = change.iter().cycle().skip(*at);
                self.ready.extend(self.raw[..count].iter().zip(keys).map(|(byte, key)| byte ^ key));
                *at = (*at + count) % 4;
                *left -= count as u64;
                Some(count)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Remasked<S> {
    fn poll_ready_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ready.is_empty() {
            let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.ready))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.ready.drain(..wrote);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Remasked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Remasked<S> {
    /// Takes everything once what it took before is out, so that it holds one write at most.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_ready_out(cx))?;
        this.take(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_ready_out(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_ready_out(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;
    use crate::scenario::frames::{Decoder, Word, put};
    use crate::scenario::message::{Kind, Message};

    /// What leaves when these bytes are written in pieces of this length.
    fn remasked(bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut stream = Remasked::new((), Rng::new(1));
        bytes.chunks(piece).for_each(|piece| stream.take(piece));
        assert!(stream.raw.is_empty());
        stream.ready
    }

    fn written(payload: &[u8], seed: u64) -> Vec<u8> {
        let mut bytes = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        for payload in [payload, b""] {
            let frame = Frame::message(payload.to_vec(), OpCode::Data(Data::Binary), true);
            put(&mut bytes, frame, &mut Rng::new(seed));
        }
        bytes
    }

    #[test]
    fn what_leaves_says_the_same_whatever_the_library_drew() {
        let payload: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        let (first, second) = (written(&payload, 1), written(&payload, 2));
        assert_ne!(first, second);
        let out = remasked(&first, 1000);
        assert_eq!(out, remasked(&second, 7));
        let mut decoder = Decoder::default();
        decoder.feed(&out);
        assert!(decoder.head().is_some());
        let message =
            |payload: Vec<u8>| Some(Word::Message(Message { kind: Kind::Binary, payload }));
        assert_eq!(decoder.word(), Ok(message(payload)));
        assert_eq!(decoder.word(), Ok(message(Vec::new())));
    }
}
