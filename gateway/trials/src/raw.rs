//! A blocking client that says whatever bytes it is told, and reads frames with strict eyes.
//!
//! It keeps no rule of RFC 6455 itself and forgives a server none: what a server must not send is
//! [`Trouble::Broken`].

mod frame;
mod response;

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

pub use self::frame::{DEFLATED, Frame, Length, opcode};
pub use self::response::{Response, accept_of};

/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;

/// Bytes of a response's head. More is no answer to a handshake.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Bytes of a server's frame. More is not waited for.
const FRAME_BYTES_MAX: u64 = 1 << 30;

/// A frame of the server's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heard {
    /// Whether it ends its message.
    pub fin: bool,
    /// Whether the bit is set that says that its message is deflated.
    pub deflated: bool,
    /// One of [`opcode`].
    pub opcode: u8,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Why nothing was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// The stream has ended, between two frames.
    Ended,
    /// The stream has ended within a frame or a response.
    Cut,
    /// The connection was reset.
    Reset,
    /// Nothing came within the client's patience.
    Late,
    /// What came is no frame, or not a legal one: how it breaks the protocol.
    Broken(String),
    /// What the system says besides.
    System(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the end of the stream"),
            Self::Cut => f.write_str("the end of the stream, too early"),
            Self::Reset => f.write_str("a reset"),
            Self::Late => f.write_str("nothing in time"),
            Self::Broken(how) => write!(f, "what no server may send: {how}"),
            Self::System(what) => write!(f, "an error of the system: {what}"),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "others are told in their own words")]
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Late,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::UnexpectedEof => Self::Cut,
            _ => Self::System(error.to_string()),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    /// What was received, from `start` on.
    buffer: Vec<u8>,
    start: usize,
}

impl Raw {
    /// Connects, and says nothing yet. No read and no write takes longer than `patience`.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn connect(addr: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { stream, buffer: Vec::new(), start: 0 })
    }

    /// Says these bytes in one write.
    ///
    /// # Errors
    /// If the connection is gone, or the server did not read for as long as the client's patience.
    pub fn say(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Says these bytes in pieces of `piece_bytes`, each in a write and, as far as the kernel
    /// leaves them apart, a segment of its own.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    ///
    /// # Panics
    /// If `piece_bytes` is 0.
    pub fn say_in_pieces(&mut self, bytes: &[u8], piece_bytes: usize) -> Result<(), Trouble> {
        bytes.chunks(piece_bytes).try_for_each(|piece| self.say(piece))
    }

    /// Says nothing more; what the server says is still read.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn hang_up(&mut self) -> Result<(), Trouble> {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    /// The port at this end.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Reads an HTTP response, with its body if it says how long that is.
    ///
    /// # Errors
    /// If none comes.
    pub fn response(&mut self) -> Result<Response, Trouble> {
        let end = loop {
            let came = &self.buffer[self.start..];
            if let Some(at) = came.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            if came.len() > HEAD_BYTES_MAX {
                return Err(Trouble::Broken(format!("a head of more than {HEAD_BYTES_MAX} bytes")));
            }
            let nothing = came.is_empty();
            self.read(if nothing { Trouble::Ended } else { Trouble::Cut })?;
        };
        let head = self.take(end);
        let mut response = Response::parse(&head).map_err(Trouble::Broken)?;
        if let Some(len) = response.body_bytes().map_err(Trouble::Broken)? {
            self.fill(len, Trouble::Cut)?;
            response.body = self.take(len);
        }
        Ok(response)
    }

    /// Reads one frame.
    ///
    /// # Errors
    /// If none comes, or one that breaks a rule that concerns it alone: whether it may come where
    /// it comes is the reader's to know.
    pub fn frame(&mut self) -> Result<Heard, Trouble> {
        self.fill(2, if self.is_drained() { Trouble::Ended } else { Trouble::Cut })?;
        let [first, second] = [self.buffer[self.start], self.buffer[self.start + 1]];
        let heard = first_byte(first).map_err(Trouble::Broken)?;
        if second & 0x80 != 0 {
            return Err(Trouble::Broken("a masked frame".to_owned()));
        }
        let header_len = match second {
            0..=125 => 2,
            126 => 4,
            _ => 10,
        };
        self.fill(header_len, Trouble::Cut)?;
        let header = self.take(header_len);
        let len = payload_len(&header, heard.opcode).map_err(Trouble::Broken)?;
        self.fill(len, Trouble::Cut)?;
        Ok(Heard { payload: self.take(len), ..heard })
    }

    /// Whether all that was received was looked at.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// Waits until so many bytes are there.
    fn fill(&mut self, len: usize, end: Trouble) -> Result<(), Trouble> {
        while self.buffer.len() - self.start < len {
            let nothing = self.is_drained();
            self.read(if nothing { end.clone() } else { Trouble::Cut })?;
        }
        Ok(())
    }

    /// Takes bytes that are there.
    fn take(&mut self, len: usize) -> Vec<u8> {
        let taken = self.buffer[self.start..self.start + len].to_vec();
        self.start += len;
        if self.is_drained() {
            self.buffer.clear();
            self.start = 0;
        }
        taken
    }

    fn read(&mut self, end: Trouble) -> Result<(), Trouble> {
        if self.start > READ_BYTES {
            self.buffer.drain(..std::mem::take(&mut self.start));
        }
        let len = self.buffer.len();
        self.buffer.resize(len + READ_BYTES, 0);
        let received = loop {
            match self.stream.read(&mut self.buffer[len..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        self.buffer.truncate(len + received.as_ref().map_or(0, |received| *received));
        if received? == 0 { Err(end) } else { Ok(()) }
    }
}

fn first_byte(byte: u8) -> Result<Heard, String> {
    use opcode::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
    let (fin, reserved, opcode) = (byte & 0x80 != 0, byte >> 4 & 0b111, byte & 0x0F);
    if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
        return Err(format!("a frame with the reserved opcode {opcode:#x}"));
    }
    if reserved & !DEFLATED != 0 {
        return Err(format!("a frame with the reserved bits {reserved:03b}"));
    }
    let deflated = reserved == DEFLATED;
    // RFC 7692 §6.1: only the first frame of a message says that it is deflated.
    if deflated && !matches!(opcode, TEXT | BINARY) {
        return Err(format!("RSV1 on a frame with the opcode {opcode:#x}"));
    }
    if opcode >= CLOSE && !fin {
        return Err("a control frame that is not final".to_owned());
    }
    Ok(Heard { fin, deflated, opcode, payload: Vec::new() })
}

/// The length that a whole header says, which is minimal and legal.
fn payload_len(header: &[u8], opcode: u8) -> Result<usize, String> {
    let len = match *header {
        [_, len] => u64::from(len),
        [_, _, ref long @ ..] => long.iter().fold(0, |len: u64, byte| len << 8 | u64::from(*byte)),
        [] | [_] => unreachable!("a header has two bytes at least"),
    };
    let fewest = match header.len() {
        4 => 126,
        10 => 0x1_0000,
        _ => 0,
    };
    if len < fewest {
        return Err(format!("a length of {len} that is not in its shortest form"));
    }
    if opcode >= opcode::CLOSE && len > 125 {
        return Err(format!("a control frame of {len} bytes"));
    }
    if len > FRAME_BYTES_MAX {
        return Err(format!("a frame of {len} bytes, more than anybody asked for"));
    }
    Ok(len as usize)
}

#[cfg(test)]
mod tests;
