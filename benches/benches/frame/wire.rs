//! Clients' frames, and a stream that says the same bytes without end.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// First byte of a whole text message.
pub(crate) const TEXT: u8 = 0x81;
/// First byte of a whole binary message.
pub(crate) const BINARY: u8 = 0x82;
/// First byte of a text's first fragment.
pub(crate) const FIRST_OF_TEXT: u8 = 0x01;
/// First byte of a fragment between the first and the last.
pub(crate) const CONTINUATION: u8 = 0x00;
/// First byte of the last fragment.
pub(crate) const FINAL_CONTINUATION: u8 = 0x80;

/// A client's frame that begins with `first`.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let key = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend_from_slice(&key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A stream that says the same bytes in each round, and no two rounds in one read.
pub(crate) struct Wire {
    bytes: Vec<u8>,
    at: usize,
}

impl Wire {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), at: 0 }
    }

    /// What comes next, up to `len_max` bytes.
    fn say(&mut self, len_max: usize) -> &[u8] {
        let rest = &self.bytes[self.at..];
        let taken = &rest[..rest.len().min(len_max)];
        self.at = (self.at + taken.len()) % self.bytes.len();
        taken
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let taken = self.say(buf.len());
        buf[..taken.len()].copy_from_slice(taken);
        Ok(taken.len())
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len_max = buf.remaining();
        buf.put_slice(self.say(len_max));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
