//! An attacker's connection: bytes out as they are, and what the gateway makes of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::frames::{self, CLOSE, FIN, PONG};
use super::outcome::Outcome;

/// Where attackers come from unless they say otherwise; honest clients come from 127.0.1.0/24.
pub(super) const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
/// The header line that offers compression.
pub(super) const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
/// How long an attacker waits for whatever is due at once.
pub(super) const SOON: Duration = Duration::from_secs(5);
/// Bytes that are read at a time, and of an HTTP answer that are kept.
const READ_BYTES: usize = 16 << 10;

/// A connection that does as it is told.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    /// What came and is not looked at yet.
    got: Vec<u8>,
    upgraded: bool,
}

/// What the gateway says.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Word {
    /// An HTTP answer, up to its empty line.
    Head(String),
    /// A frame: its first byte and its payload.
    Frame(u8, Vec<u8>),
    /// The end, however it came.
    End,
}

impl Wire {
    /// Connects from the common source.
    pub(super) async fn connect(addr: SocketAddr) -> io::Result<Self> {
        Self::connect_from(SOURCE, addr, None).await
    }

    /// Connects from an address of this machine; with few bytes of receive buffer if it says so.
    ///
    /// When it is dropped, the connection is reset: a flood leaves no ports waiting behind.
    pub(super) async fn connect_from(
        source: IpAddr,
        addr: SocketAddr,
        receive_bytes: Option<u32>,
    ) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_zero_linger()?;
        socket.set_nodelay(true)?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if source != SOURCE {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let stream = timeout(SOON, socket.connect(addr)).await.map_err(|_| late())??;
        Ok(Self { stream, got: Vec::new(), upgraded: false })
    }

    /// Connects and upgrades at a path, with more header lines.
    ///
    /// # Errors
    /// What it was answered instead.
    pub(super) async fn open(addr: SocketAddr, path: &str, more: &str) -> Result<Self, Outcome> {
        Self::connect(addr).await.map_err(|_| Outcome::Cut)?.upgrade(path, more).await
    }

    /// Upgrades what is connected.
    ///
    /// # Errors
    /// What it was answered instead.
    pub(super) async fn upgrade(mut self, path: &str, more: &str) -> Result<Self, Outcome> {
        self.push(&frames::request(path, more)).await;
        match self.answer().await {
            Ok(_) => Ok(self),
            Err(outcome) => Err(outcome),
        }
    }

    /// The head of a 101, after which frames are read.
    ///
    /// # Errors
    /// What it was answered instead.
    pub(super) async fn answer(&mut self) -> Result<String, Outcome> {
        match self.word(SOON).await {
            Some(Word::Head(head)) => match status(&head) {
                Some(101) => {
                    self.upgraded = true;
                    Ok(head)
                }
                status => Err(status.map_or(Outcome::Cut, Outcome::Status)),
            },
            Some(Word::Frame(..) | Word::End) => Err(Outcome::Cut),
            None => Err(Outcome::Waits),
        }
    }

    /// Sends all of this; whether it was taken within [`SOON`].
    pub(super) async fn push(&mut self, bytes: &[u8]) -> bool {
        self.push_within(bytes, SOON).await == Some(true)
    }

    /// Sends all of this: whether it was taken, or nothing if the gateway does not read.
    pub(super) async fn push_within(&mut self, bytes: &[u8], wait: Duration) -> Option<bool> {
        timeout(wait, self.stream.write_all(bytes)).await.ok().map(|sent| sent.is_ok())
    }

    /// Says that nothing more will be sent.
    pub(super) async fn finish(&mut self) {
        // Whether it had gone before is seen by who reads.
        let _ = self.stream.shutdown().await;
    }

    /// What the gateway says next; nothing if it says nothing for so long.
    pub(super) async fn word(&mut self, wait: Duration) -> Option<Word> {
        let deadline = Instant::now() + wait;
        loop {
            match self.parse() {
                Ok(Some(word)) => return Some(word),
                Ok(None) => {}
                Err(()) => return Some(Word::End),
            }
            self.got.reserve(READ_BYTES);
            match timeout_at(deadline, self.stream.read_buf(&mut self.got)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Some(Word::End),
                Err(_) => return None,
            }
        }
    }

    fn parse(&mut self) -> Result<Option<Word>, ()> {
        if !self.upgraded {
            let end = self.got.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = end else { return Ok(None) };
            let head: Vec<u8> = self.got.drain(..end + 4).collect();
            return Ok(Some(Word::Head(String::from_utf8_lossy(&head).into_owned())));
        }
        let Some(heard) = frames::first_of(&self.got).map_err(drop)? else { return Ok(None) };
        let payload = self.got[heard.payload.clone()].to_vec();
        self.got.drain(..heard.payload.end);
        Ok(Some(Word::Frame(heard.first, payload)))
    }

    /// How it ends, passing over messages, pings and pongs; [`Outcome::Served`] if it does not
    /// within `wait`, or [`Outcome::Waits`] if it was not even answered.
    pub(super) async fn outcome(&mut self, wait: Duration) -> Outcome {
        let deadline = Instant::now() + wait;
        loop {
            match self.word(deadline.saturating_duration_since(Instant::now())).await {
                Some(Word::Head(head)) => match status(&head) {
                    Some(101) => self.upgraded = true,
                    Some(code) => return Outcome::Status(code),
                    None => return Outcome::Cut,
                },
                Some(Word::Frame(first, payload)) if first == FIN | CLOSE => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    return Outcome::Closed(code);
                }
                Some(Word::Frame(..)) => {}
                Some(Word::End) => return Outcome::Cut,
                None if self.upgraded => return Outcome::Served,
                None => return Outcome::Waits,
            }
        }
    }

    /// Whether a ping is answered: then all before it was read, and it is served.
    pub(super) async fn is_served(&mut self) -> Outcome {
        if !self.push(&frames::frame(FIN | frames::PING, b"here?")).await {
            return self.outcome(SOON).await;
        }
        loop {
            match self.word(SOON).await {
                Some(Word::Frame(first, payload)) if first == FIN | PONG => {
                    return if payload == b"here?" { Outcome::Served } else { Outcome::Cut };
                }
                Some(Word::Frame(first, payload)) if first == FIN | CLOSE => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    return Outcome::Closed(code);
                }
                Some(Word::Frame(..)) => {}
                Some(Word::Head(_) | Word::End) => return Outcome::Cut,
                None => return Outcome::Waits,
            }
        }
    }

    /// The stream, and what came on it and was not looked at.
    pub(super) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.got)
    }

    /// All that comes until the end, or until `wait` is over.
    pub(super) async fn rest(&mut self, wait: Duration) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.got);
        let deadline = Instant::now() + wait;
        while let Ok(Ok(1..)) = timeout_at(deadline, self.stream.read_buf(&mut rest)).await {}
        rest
    }
}

/// The status of an HTTP answer.
fn status(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// The value of a header line, by its name as the gateway writes it.
pub(super) fn header_of<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
