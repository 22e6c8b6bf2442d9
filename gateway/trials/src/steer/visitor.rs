//! One WebSocket connection, as cheap as can be: a socket, a phase, and bytes that are always the
//! same.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::LazyLock;
use std::time::Duration;

use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send,
    socket_with, sockopt,
};

use crate::raw::{Frame, accept_of, opcode};

/// Bytes that come back.
const PAYLOAD_BYTES: usize = 64;
/// RFC 6455 §1.3: the example, since nobody guesses anything here.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The first byte of a close frame.
const CLOSE: u8 = 0x80 | opcode::CLOSE;
/// Bytes of an answer that are kept: more than an answer to a handshake has.
const ANSWER_BYTES_MAX: usize = 1024;

/// What is said for an echo, and what comes back.
static SAID: LazyLock<Vec<u8>> = LazyLock::new(|| Frame::binary([7; PAYLOAD_BYTES]).to_bytes());
static HEARD: LazyLock<Vec<u8>> =
    LazyLock::new(|| Frame::binary([7; PAYLOAD_BYTES]).key(None).to_bytes());
static ACCEPT: LazyLock<String> = LazyLock::new(|| accept_of(KEY));

/// How far a connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Connecting,
    Upgrading,
    Echoing,
}

/// What came of looking at a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// It waits for the other side.
    Waits,
    /// What it said last has come back, as it was.
    Echoed,
    /// It was told to go, as RFC 6455 has it.
    Dismissed,
    /// It ended otherwise, in a few words.
    Failed(String),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Visitor {
    socket: OwnedFd,
    phase: Phase,
    answer: [u8; ANSWER_BYTES_MAX],
    len: usize,
}

/// The request that opens a connection whose words come back.
pub(super) fn request(addr: SocketAddr) -> Vec<u8> {
    format!(
        "GET /ws/simple HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// What a server answers to that.
pub(super) fn answer() -> Vec<u8> {
    let accept = ACCEPT.as_str();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// What is said for an echo.
pub(super) fn said() -> &'static [u8] {
    &SAID
}

/// What comes back.
pub(super) fn heard() -> &'static [u8] {
    &HEARD
}

impl Visitor {
    /// Begins to connect, from an address if one is given.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn connect(to: SocketAddr, from: Option<IpAddr>) -> Result<Self, Errno> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        if let Some(from) = from {
            bind(&socket, &SocketAddr::new(from, 0))?;
        }
        match connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Self { socket, phase: Phase::Connecting, answer: [0; ANSWER_BYTES_MAX], len: 0 })
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Has it wait from now on for what is to come, so long at most, where it did not wait.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn wait_at_most(&self, time: Duration) -> Result<(), Errno> {
        sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Recv, Some(time))?;
        ioctl_fionbio(&self.socket, false)
    }

    /// Goes on as far as it can without waiting.
    pub(super) fn advance(&mut self, request: &[u8]) -> Step {
        loop {
            let gone_on = match self.phase {
                Phase::Connecting => self.ask(request),
                Phase::Upgrading => self.upgrade(),
                Phase::Echoing => match self.hear() {
                    Ok(true) => return Step::Echoed,
                    heard => heard,
                },
            };
            match gone_on {
                Ok(true) => {}
                Ok(false) => return Step::Waits,
                // Between two messages: what came is no echo, and nothing is amiss.
                Err(_) if self.is_dismissed() => return Step::Dismissed,
                Err(why) => return Step::Failed(why),
            }
        }
    }

    /// Says what is to come back once more, after the last has.
    ///
    /// # Errors
    /// If the connection is gone.
    pub(super) fn say(&mut self) -> Result<(), String> {
        self.len = 0;
        self.phase = Phase::Echoing;
        match send(&self.socket, &SAID, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == SAID.len() => Ok(()),
            Ok(_) => Err("not all of a frame was taken".to_owned()),
            Err(error) => Err(told("saying", error)),
        }
    }

    /// Ends it by a reset, which leaves nothing behind on either side.
    pub(super) fn reset(self) {
        // If it fails, closing ends the connection in the usual way.
        let _ = sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO));
    }

    /// True once the request is under way.
    fn ask(&mut self, request: &[u8]) -> Result<bool, String> {
        match send(&self.socket, request, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == request.len() => {
                self.phase = Phase::Upgrading;
                Ok(true)
            }
            Ok(_) => Err("not all of a request was taken".to_owned()),
            // Still connecting.
            Err(Errno::AGAIN | Errno::NOTCONN) => Ok(false),
            Err(error) => Err(told("connecting", error)),
        }
    }

    /// True once the answer is there and the first words are under way.
    fn upgrade(&mut self) -> Result<bool, String> {
        if !self.receive("upgrading")? {
            return Ok(false);
        }
        let came = &self.answer[..self.len];
        let Some(end) = came.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            let is_full = self.len == ANSWER_BYTES_MAX;
            return if is_full { Err("an answer without an end".to_owned()) } else { Ok(true) };
        };
        let head = String::from_utf8_lossy(&came[..end]);
        let status = head.split("\r\n").next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 101 ") {
            return Err(format!("answered {status}"));
        }
        if !head.contains(ACCEPT.as_str()) {
            return Err("an answer that is not to this request".to_owned());
        }
        let more = end + 4..self.len;
        if !more.is_empty() {
            self.answer.copy_within(more, 0);
            self.len -= end + 4;
            self.phase = Phase::Echoing;
            return Err("something came before it was asked for".to_owned());
        }
        self.say().map(|()| true)
    }

    /// True once all has come back.
    fn hear(&mut self) -> Result<bool, String> {
        while self.len < HEARD.len() {
            if !self.receive("echoing")? {
                return Ok(false);
            }
            if self.is_dismissed() {
                return Err("told to go".to_owned());
            }
        }
        // Whoever is told to go hears what is still owed first.
        let (heard, rest) = self.answer[..self.len].split_at(HEARD.len());
        if heard == &HEARD[..] && rest.first().is_none_or(|&first| first == CLOSE) {
            Ok(true)
        } else {
            Err("what came back is not what was said".to_owned())
        }
    }

    /// Whether a close frame is all that came since something was said.
    fn is_dismissed(&self) -> bool {
        self.phase == Phase::Echoing && self.len > 0 && self.answer[0] == CLOSE
    }

    /// False if nothing is there.
    fn receive(&mut self, doing: &str) -> Result<bool, String> {
        match recv(&self.socket, &mut self.answer[self.len..], RecvFlags::empty()) {
            Ok((0, _)) => Err(format!("closed while {doing}")),
            Ok((received, _)) => {
                self.len += received;
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(told(doing, error)),
        }
    }
}

fn told(doing: &str, error: Errno) -> String {
    format!("{error} while {doing}")
}
