//! One connection of the load generator: it checks every byte that it gets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::nats::{self, Line, Stripper};
use crate::{fault, frames, machine, upgrade};

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
    /// For a server that says lines of NATS in its frames.
    stripper: Option<Stripper>,
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
        let (stream, begun) = upgraded(addr, path, extension)?;
        ensure!(begun.is_empty(), "it spoke before anyone asked: {begun:?}");
        stream.set_nonblocking(true)?;
        Ok(Self { stream, got: 0, rest: Vec::new(), stripper: None })
    }

    /// Connects to a server of NATS; with a room it hears what others say there.
    ///
    /// # Errors
    /// If the server does not take it.
    pub(crate) fn connect_nats(addr: SocketAddr, path: &str, room: Option<&str>) -> Result<Self> {
        let (mut stream, begun) = upgraded(addr, path, None)?;
        let stripper = Some(nats::introduce(&mut stream, begun, room)?);
        stream.set_nonblocking(true)?;
        Ok(Self { stream, got: 0, rest: Vec::new(), stripper })
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
            Ok(read) => {
                let arrived = &mut scratch[..read];
                let len = self.stripper.as_mut().map_or(Ok(read), |it| it.strip(arrived))?;
                self.check(&arrived[..len], expected)?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("reading from it"),
        }
        Ok(self.got == expected.bytes.len())
    }

    /// Drops what has arrived, without waiting.
    ///
    /// # Errors
    /// If the connection ended.
    pub(crate) fn discard(&mut self, scratch: &mut [u8]) -> Result<()> {
        match self.stream.read(scratch) {
            Ok(0) => bail!("it ended a connection"),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("reading from it"),
        }
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
        if self.stripper.is_some() {
            return self.check_lines(expected);
        }
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

    /// Line by line, as a server of NATS may say others than messages.
    fn check_lines(&mut self, expected: &Expected) -> Result<()> {
        while !self.rest.is_empty() {
            if !self.got.is_multiple_of(expected.frame_bytes) {
                self.check_data(expected)?;
                continue;
            }
            match nats::line_of(&self.rest)? {
                Line::Message => self.check_data(expected)?,
                Line::Other(len) => drop(self.rest.drain(..len)),
                Line::Cut => break,
                Line::Ping(len) => {
                    self.rest.drain(..len);
                    self.write(&nats::pong())?;
                }
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
            "{} in frame {} of {}, after {} bytes",
            fault::name(left, &self.rest),
            self.got / expected.frame_bytes + 1,
            expected.bytes.len() / expected.frame_bytes,
            self.got
        );
        self.rest.drain(..len);
        self.got += len;
        Ok(())
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// A stream on which a server agreed to speak frames, and what it said of them already.
fn upgraded(addr: SocketAddr, path: &str, extension: Option<&str>) -> Result<(TcpStream, Vec<u8>)> {
    let mut stream = TcpStream::connect(addr).context("cannot connect")?;
    stream.set_nodelay(true)?;
    let begun = upgrade::request(&mut stream, path, extension)?;
    Ok((stream, begun))
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

    /// Reads what a client sends until it ends so; masks of zeros leave lines as they are.
    fn read_until(server: &mut TcpStream, end: &[u8]) -> Vec<u8> {
        let mut heard = Vec::new();
        while !heard.ends_with(end) {
            let mut piece = [0; 512];
            let read = server.read(&mut piece).unwrap();
            assert!(read > 0, "it left after {heard:?}");
            heard.extend_from_slice(&piece[..read]);
        }
        heard
    }

    #[test]
    fn lines_of_nats_are_taken_out_of_frames_and_pings_among_them_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || Client::connect_nats(addr, "/", Some("a")));
        let (mut server, _) = listener.accept().unwrap();
        upgrade::accept(&mut server).unwrap();
        let framed = |lines: &[u8]| {
            let mut frame = Vec::new();
            frames::append_served(&mut frame, lines);
            frame
        };
        server.write_all(&framed(b"INFO {}\r\n")).unwrap();
        let heard = read_until(&mut server, b"PING\r\n");
        assert!(heard.windows(9).any(|line| line == b"SUB a 1\r\n"));
        server.write_all(&framed(b"PONG\r\n")).unwrap();
        let mut client = client.join().unwrap().unwrap();

        let bytes = b"MSG a 1 5\r\nfirst\r\nMSG a 1 5\r\nagain\r\n".to_vec();
        let expected = Expected { frame_bytes: bytes.len() / 2, bytes };
        let said = b"MSG a 1 5\r\nfirst\r\nPING\r\nMSG a 1 5\r\nagain\r\n";
        for piece in [&said[..12], &said[12..20], &said[20..]] {
            server.write_all(&framed(piece)).unwrap();
        }
        finish(&mut client, &expected).unwrap();
        read_until(&mut server, b"PONG\r\n");
        server.write_all(&framed(b"-ERR 'Stale Connection'\r\n")).unwrap();
        client.rewind();
        assert!(finish(&mut client, &expected).unwrap_err().to_string().contains("Stale"));
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
