//! One connection of the load generator: it checks every byte that it gets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::{frames, machine, upgrade};

/// How long a server may leave bytes unread.
const WRITE_WAIT: Duration = Duration::from_secs(10);
const WRITE_POLL: Duration = Duration::from_micros(100);

/// What is to arrive: whole frames of one length.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) bytes: Vec<u8>,
    pub(crate) frame_bytes: usize,
}

/// A WebSocket client after its upgrade.
pub(crate) struct Client {
    stream: TcpStream,
    /// How much of what is expected has arrived.
    got: usize,
    /// A control frame that is not complete yet.
    rest: Vec<u8>,
}

impl Client {
    /// Connects and upgrades, waiting for both.
    ///
    /// # Errors
    /// If the server does not take it.
    pub(crate) fn connect(addr: SocketAddr, path: &str) -> Result<Self> {
        Self::connect_with(addr, path, None)
    }

    /// As [`connect`](Self::connect), with an extension that the server must agree on.
    ///
    /// # Errors
    /// If the server does not take it.
    pub(crate) fn connect_with(
        addr: SocketAddr,
        path: &str,
        extension: Option<&str>,
    ) -> Result<Self> {
        let mut stream = TcpStream::connect(addr).context("cannot connect")?;
        stream.set_nodelay(true)?;
        upgrade::request(&mut stream, path, extension)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, got: 0, rest: Vec::new() })
    }

    /// Whatever is expected is about to be sent.
    pub(crate) fn rewind(&mut self) {
        self.got = 0;
    }

    /// How much of what is expected has arrived, in bytes.
    pub(crate) fn got(&self) -> usize {
        self.got
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// If the server does not read them.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        let mut deadline = None;
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let deadline = *deadline.get_or_insert_with(|| machine::now() + WRITE_WAIT);
                    ensure!(machine::now() < deadline, "it did not read for {WRITE_WAIT:?}");
                    std::thread::sleep(WRITE_POLL);
                }
                Err(error) => return Err(error).context("writing to it"),
            }
        }
        Ok(())
    }

    /// Takes what has arrived, without waiting; says whether that was the last of it.
    ///
    /// # Errors
    /// If something else than the expected arrived, or the connection ended.
    pub(crate) fn receive(&mut self, expected: &Expected, scratch: &mut [u8]) -> Result<bool> {
        match self.stream.read(scratch) {
            Ok(0) => bail!("it ended a connection"),
            Ok(read) => self.check(&scratch[..read], expected)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("reading from it"),
        }
        Ok(self.got == expected.bytes.len())
    }

    fn check(&mut self, bytes: &[u8], expected: &Expected) -> Result<()> {
        if self.rest.is_empty() && expected.bytes[self.got..].starts_with(bytes) {
            self.got += bytes.len();
            return Ok(());
        }
        self.check_slowly(bytes, expected)
    }

    /// Frame by frame, as a ping may be among them.
    fn check_slowly(&mut self, bytes: &[u8], expected: &Expected) -> Result<()> {
        self.rest.extend_from_slice(bytes);
        while let Some(&first) = self.rest.first() {
            let between = self.got.is_multiple_of(expected.frame_bytes);
            match first {
                frames::PING if between => {
                    if !self.answer_ping()? {
                        break;
                    }
                }
                frames::CLOSE if between => bail!("it said goodbye: {:?}", self.rest),
                _ => self.check_data(expected)?,
            }
        }
        Ok(())
    }

    /// Says whether the ping was complete.
    fn answer_ping(&mut self) -> Result<bool> {
        let [_, len, payload @ ..] = &self.rest[..] else { return Ok(false) };
        let Some(payload) = payload.get(..usize::from(*len)) else { return Ok(false) };
        let mut pong = Vec::new();
        frames::append_masked(&mut pong, frames::PONG, payload, [0; 4]);
        self.rest.drain(..2 + usize::from(self.rest[1]));
        self.write(&pong)?;
        Ok(true)
    }

    /// Compares up to the end of the frame at most.
    fn check_data(&mut self, expected: &Expected) -> Result<()> {
        let left = &expected.bytes[self.got..];
        ensure!(!left.is_empty(), "it sent {} bytes too many", self.rest.len());
        let len = (expected.frame_bytes - self.got % expected.frame_bytes).min(self.rest.len());
        ensure!(
            left[..len] == self.rest[..len],
            "wrong bytes in frame {} of {}, after {} bytes",
            self.got / expected.frame_bytes + 1,
            expected.bytes.len() / expected.frame_bytes,
            self.got
        );
        self.rest.drain(..len);
        self.got += len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Longer than anything takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A client and the other end of its connection.
    fn pair() -> (Client, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || Client::connect(addr, "/").unwrap());
        let (mut server, _) = listener.accept().unwrap();
        upgrade::accept(&mut server).unwrap();
        (client.join().unwrap(), server)
    }

    fn two_frames() -> Expected {
        let mut bytes = Vec::new();
        frames::append_served(&mut bytes, &frames::payload(1, 200));
        frames::append_served(&mut bytes, &frames::payload(2, 200));
        Expected { frame_bytes: bytes.len() / 2, bytes }
    }

    /// Lets the client receive until it has everything or finds fault.
    fn finish(client: &mut Client, expected: &Expected) -> Result<()> {
        let deadline = machine::now() + PATIENCE;
        while !client.receive(expected, &mut [0; 150])? {
            ensure!(machine::now() < deadline, "it never came");
            std::thread::yield_now();
        }
        Ok(())
    }

    #[test]
    fn pings_between_frames_are_answered() {
        let (mut client, mut server) = pair();
        let expected = two_frames();
        let mut sent = expected.bytes.clone();
        let ping = [frames::PING, 2, b'h', b'i'];
        sent.splice(expected.frame_bytes..expected.frame_bytes, ping);
        server.write_all(&sent).unwrap();
        finish(&mut client, &expected).unwrap();
        let mut pong = [0; 8];
        server.read_exact(&mut pong).unwrap();
        assert_eq!(pong, [frames::PONG, 0x82, 0, 0, 0, 0, b'h', b'i']);
    }

    #[test]
    fn a_changed_lost_or_doubled_frame_is_found() {
        let good = two_frames();
        let (first, second) = good.bytes.split_at(good.frame_bytes);
        let mut changed = good.bytes.clone();
        changed[300] ^= 1;
        let swapped = [second, first].concat();
        let doubled = [first, first].concat();
        let goodbye = [first, &[frames::CLOSE, 2, 3, 0xe8]].concat();
        for bad in [changed, swapped, doubled, goodbye] {
            let (mut client, mut server) = pair();
            server.write_all(&bad).unwrap();
            assert!(finish(&mut client, &good).is_err());
        }
    }

    #[test]
    fn a_frame_that_nobody_published_is_found() {
        let (mut client, mut server) = pair();
        server.write_all(&two_frames().bytes).unwrap();
        let deadline = machine::now() + PATIENCE;
        while client.receive(&Expected::default(), &mut [0; 16]).is_ok() {
            assert!(machine::now() < deadline);
        }
    }

    #[test]
    fn an_ended_connection_is_found() {
        let (mut client, server) = pair();
        drop(server);
        assert!(finish(&mut client, &two_frames()).is_err());
    }
}
