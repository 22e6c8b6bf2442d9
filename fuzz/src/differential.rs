//! Our session beside that of tungstenite: the same messages, and the same refusals.

use std::io::{self, Cursor, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_core::close::CloseCode;
use gateway_core::frame::Kind;
use gateway_core::limits::Limits;
use gateway_core::session::ProtocolError;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocket, WebSocketConfig};

use crate::frames;
use crate::story::{self, Heard};

/// In what the two may differ.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Difference {
    /// We refuse a frame at its first bad byte.
    Sooner,
    /// We refuse a length in more bytes than it needs.
    PaddedLength,
    /// We know the close code 1014.
    BadGateway,
    /// We refuse a message of many fragments without a byte.
    EmptyFragments,
}

/// Every difference that is allowed, with its name and the reason.
pub const DIFFERENCES: [(Difference, &str, &str); 4] = [
    (
        Difference::Sooner,
        "sooner",
        "a frame is refused at its first bad byte; tungstenite judges it when all of it is there, \
         and then refuses it too",
    ),
    (
        Difference::PaddedLength,
        "padded length",
        "RFC 6455 §5.2: the minimal number of bytes must be used to encode the length, which for a \
         control frame is never more than one; tungstenite takes any number of them, and what \
         follows is not compared",
    ),
    (
        Difference::BadGateway,
        "close code 1014",
        "registered with IANA since RFC 6455 (bad gateway); tungstenite knows codes up to 1013 \
         and answers 1002",
    ),
    (
        Difference::EmptyFragments,
        "empty fragments",
        "RFC 6455 §10.4 asks for limits; fragments without a byte cost us time and its sender \
         little, and tungstenite bounds only bytes; what follows is not compared",
    ),
];

/// How often each difference was seen in this process. Written by whoever compares, read by whoever
/// reports.
static SEEN: [AtomicU64; DIFFERENCES.len()] = [const { AtomicU64::new(0) }; DIFFERENCES.len()];

/// How many inputs were compared in this process.
static COMPARED: AtomicU64 = AtomicU64::new(0);

/// Name of each allowed difference, and how often it was seen in this process.
pub fn seen() -> impl Iterator<Item = (&'static str, u64)> {
    DIFFERENCES.iter().zip(&SEEN).map(|((_, name, _), seen)| (*name, seen.load(Ordering::Relaxed)))
}

/// A line about what was seen, each time that twice as many inputs have been compared.
pub fn tally() -> Option<String> {
    let compared = COMPARED.load(Ordering::Relaxed);
    let seen = || seen().map(|(name, seen)| format!("{name}: {seen}")).collect::<Vec<_>>();
    compared.is_power_of_two().then(|| format!("of {compared} inputs: {}", seen().join(", ")))
}

/// Compares what we heard with what tungstenite hears.
///
/// # Panics
/// If they differ in what is not allowed.
pub(crate) fn check(bytes: &[u8], limits: &Limits) {
    let difference = difference(bytes, limits);
    COMPARED.fetch_add(1, Ordering::Relaxed);
    let Some(difference) = difference else { return };
    let at = DIFFERENCES.iter().position(|(of, ..)| *of == difference);
    SEEN[at.expect("the table has every difference")].fetch_add(1, Ordering::Relaxed);
}

fn difference(bytes: &[u8], limits: &Limits) -> Option<Difference> {
    let (our_words, our_error) = story::hear(bytes, [bytes.len()], limits, false);
    let (their_words, their_error) = theirs(bytes, &our_words, limits);
    if our_error == Some(ProtocolError::PaddedLength)
        || our_error == Some(ProtocolError::LongControl) && frames::has_padded_control(bytes)
    {
        assert!(their_words.starts_with(&our_words), "{our_words:?} is not {their_words:?}");
        return Some(Difference::PaddedLength);
    }
    if our_error == Some(ProtocolError::EmptyFragments) {
        assert!(their_words.starts_with(&our_words), "{our_words:?} is not {their_words:?}");
        return Some(Difference::EmptyFragments);
    }
    if let Some((Heard::Close(Some(code), _), before)) = our_words.split_last()
        && code.to_u16() == 1014
    {
        assert_eq!((their_words.as_slice(), their_error.is_some()), (before, true), "1014");
        return Some(Difference::BadGateway);
    }
    assert_eq!(our_words, their_words, "{our_error:?} {their_error:?}");
    match (our_error, their_error) {
        (None, None) | (Some(_), Some(_)) => None,
        (None, Some(error)) => panic!("only tungstenite refuses: {error}"),
        (Some(error), None) => {
            let (before, rest) = frames::last(bytes)
                .unwrap_or_else(|| panic!("a whole frame is refused only by us: {error}"));
            let (_, sooner) = story::hear(before, [before.len()], limits, false);
            assert_eq!(sooner, None, "a whole frame is refused only by us");
            let (words, refusal) = theirs(&[bytes, &rest].concat(), &our_words, limits);
            assert!(refusal.is_some(), "only we refuse: {error}");
            assert_eq!(words, our_words, "{error}");
            Some(Difference::Sooner)
        }
    }
}

/// What tungstenite heard, and why it refused what came then.
///
/// In place of a close code that is never sent, it says what it answers, and only what we heard
/// tells whether the client said so itself.
fn theirs(bytes: &[u8], ours: &[Heard], limits: &Limits) -> (Vec<Heard>, Option<String>) {
    let (mut heard, mut error) = hear(bytes, limits.message_bytes_max);
    let answer = Heard::Close(Some(CloseCode::PROTOCOL), "Protocol violation".to_owned());
    if heard.last() == Some(&answer) && ours.last() != Some(&answer) {
        heard.pop();
        error = Some("close code".to_owned());
    }
    (heard, error)
}

/// Gives tungstenite all bytes, until an error or a close frame.
fn hear(bytes: &[u8], message_bytes_max: usize) -> (Vec<Heard>, Option<String>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max));
    let mut socket =
        WebSocket::from_raw_socket(Wire(Cursor::new(bytes)), Role::Server, Some(config));
    let mut heard = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => heard.push(owned(message)),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (heard, None);
            }
            Err(error) => return (heard, Some(error.to_string())),
        }
        if matches!(heard.last(), Some(Heard::Close(..))) {
            return (heard, None);
        }
    }
}

fn owned(message: Message) -> Heard {
    match message {
        Message::Text(text) => Heard::Message(Kind::Text, text.as_bytes().to_vec()),
        Message::Binary(bytes) => Heard::Message(Kind::Binary, bytes.to_vec()),
        Message::Ping(bytes) => Heard::Ping(bytes.to_vec()),
        Message::Pong(bytes) => Heard::Pong(bytes.to_vec()),
        Message::Close(None) => Heard::Close(None, String::new()),
        Message::Close(Some(frame)) => {
            let code = CloseCode::from_u16(frame.code.into());
            assert!(code.is_some(), "only tungstenite takes the close code {}", frame.code);
            Heard::Close(code, frame.reason.to_string())
        }
        Message::Frame(_) => panic!("frames are not read as they are"),
    }
}

/// A client that says what it has to say, takes every answer, and goes on living.
struct Wire<'a>(Cursor<&'a [u8]>);

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into) {
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            read => read,
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
