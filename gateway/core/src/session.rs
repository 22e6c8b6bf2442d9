//! From a client's bytes to its messages: reassembly, with control frames in between.

mod error;
mod partial;

use std::fmt;

pub use self::error::ProtocolError;
use self::partial::Partial;
use crate::close::Closing;
use crate::frame::{CONTROL_BYTES_MAX, Header, Kind, Opcode, Reserved};
use crate::limits;
use crate::time::Tick;
use crate::utf8;

/// What one client has said so far, if the end of it is still to come.
///
/// For each run of bytes received, call [`next`](Self::next) until it gives `None`. After an
/// error or a close frame nothing more is to be understood, and it is not called again.
#[derive(Debug, Default)]
pub struct Session {
    /// Nothing while nothing is half received, so that an idle session is eight bytes.
    partial: Option<Box<Partial>>,
}

/// What a client may say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rules {
    /// Payload bytes of a message, over all of its fragments and before it is deflated.
    message_bytes_max: usize,
    /// Fragments of a message without a byte, the last one not counted.
    empty_fragments_max: u32,
    reserved: Reserved,
}

impl Rules {
    /// Messages of up to so many bytes, which may be deflated where that was negotiated.
    #[inline]
    #[must_use]
    pub const fn new(message_bytes_max: usize, deflates: bool) -> Self {
        let empty_fragments_max = limits::EMPTY_FRAGMENTS_MAX;
        Self { message_bytes_max, empty_fragments_max, reserved: Reserved::of(deflates) }
    }

    /// With another bound to fragments without a byte in a message, the last one not counted.
    #[inline]
    #[must_use]
    pub const fn with_empty_fragments(self, empty_fragments_max: u32) -> Self {
        Self { empty_fragments_max, ..self }
    }

    /// Bytes of the payload of a message that comes deflated, or as it is.
    #[inline]
    fn payload_bytes_max(self, deflated: bool) -> usize {
        // What cannot be deflated grows by some bytes for each block, and some clients end one with
        // each fragment. More than that is nothing but blocks.
        let growth = if deflated { self.message_bytes_max / 4 + 64 } else { 0 };
        self.message_bytes_max.saturating_add(growth)
    }
}

impl From<usize> for Rules {
    /// So many bytes, as many empty fragments as goes without saying, and no extensions.
    #[inline]
    fn from(message_bytes_max: usize) -> Self {
        Self::new(message_bytes_max, false)
    }
}

/// Something that a client said.
#[derive(Debug, Eq, PartialEq)]
pub enum Input<'a> {
    /// A whole message, its fragments joined; text is valid UTF-8.
    Message {
        /// Text or binary.
        kind: Kind,
        /// What it carries.
        payload: Payload<'a>,
    },
    /// A whole message that is still deflated; for an [`Inflater`](crate::deflate::Inflater).
    Deflated {
        /// What it is to be.
        kind: Kind,
        /// RFC 7692 §7.2.2: without the last four bytes of its stream.
        payload: Payload<'a>,
    },
    /// To be answered with a pong of the same bytes.
    Ping(Control),
    /// An answer to a ping, or a sign of life.
    Pong(Control),
    /// The client's last frame.
    Close(Closing),
}

/// A message's bytes, unmasked.
#[derive(Debug, Eq, PartialEq)]
pub enum Payload<'a> {
    /// Received in one piece, and still where it was received.
    Whole(&'a [u8]),
    /// Put together from what came in pieces; holds no more memory than it needs.
    Assembled(Vec<u8>),
}

impl Payload<'_> {
    /// The bytes, wherever they are.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Assembled(bytes) => bytes,
        }
    }
}

/// A control frame's payload: up to 125 bytes, by value.
#[derive(Clone, Eq, PartialEq)]
pub struct Control {
    len: u8,
    /// Zero beyond `len`.
    bytes: [u8; CONTROL_BYTES_MAX],
}

impl Control {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Appends `more`, which fits: whoever appends has checked the frame's length.
    pub(crate) fn extend(&mut self, more: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + more.len()].copy_from_slice(more);
        self.len += more.len() as u8;
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { len: 0, bytes: [0; CONTROL_BYTES_MAX] }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Control").field(&self.as_slice()).finish()
    }
}

impl Session {
    /// Takes the next complete input off the front of `input`, or keeps what is half received
    /// and returns `None` with `input` empty.
    ///
    /// A message in one frame that is all there is neither copied nor kept. Others are copied
    /// once, and kept in a buffer that grows with what was received.
    ///
    /// # Errors
    /// At the first byte that no valid input has at its place. A message longer than the rules
    /// say is refused at the header that says so.
    #[inline]
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        rules: impl Into<Rules>,
    ) -> Result<Option<Input<'a>>, ProtocolError> {
        let rules = rules.into();
        if self.partial.is_none() {
            let whole = whole_frame(input, rules)?;
            if whole.is_some() || input.is_empty() {
                return Ok(whole);
            }
        }
        self.next_in_pieces(input, rules)
    }

    /// Bytes of memory held for an unfinished message: its buffer's capacity, which is at most
    /// twice what was received and at most what a message may have.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.held_bytes())
    }

    /// Whether something is half received.
    #[inline]
    pub(crate) fn is_unfinished(&self) -> bool {
        self.partial.is_some()
    }

    /// When the first byte of what is half received came, if that is known.
    pub(crate) fn since(&self) -> Option<Tick> {
        self.partial.as_ref()?.since
    }

    /// Notes that what is half received came until now; whether its beginning was not known.
    pub(crate) fn begin(&mut self, now: Tick) -> bool {
        let Some(partial) = &mut self.partial else { return false };
        let begins = partial.since.is_none();
        partial.since.get_or_insert(now);
        begins
    }

    /// Forgets when what is half received began: its time begins anew.
    pub(crate) fn begin_anew(&mut self) {
        if let Some(partial) = &mut self.partial {
            partial.since = None;
        }
    }

    fn next_in_pieces<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        rules: Rules,
    ) -> Result<Option<Input<'a>>, ProtocolError> {
        let partial = self.partial.get_or_insert_default();
        let next = partial.next(input, rules)?;
        if partial.is_empty() {
            self.partial = None;
        }
        Ok(next)
    }
}

/// Takes a whole message or control frame, if `input` starts with one.
#[inline]
fn whole_frame<'a>(
    input: &mut &'a mut [u8],
    rules: Rules,
) -> Result<Option<Input<'a>>, ProtocolError> {
    let Some((header, header_len)) = Header::parse(input, rules.reserved)? else { return Ok(None) };
    let Header { opcode, fin, deflated, payload_len, mut mask } = header;
    if payload_len > (input.len() - header_len) as u64 {
        return Ok(None);
    }
    let kind = match opcode {
        Opcode::Text if fin => Some(Kind::Text),
        Opcode::Binary if fin => Some(Kind::Binary),
        Opcode::Text | Opcode::Binary | Opcode::Continuation => return Ok(None),
        Opcode::Close | Opcode::Ping | Opcode::Pong => None,
    };
    let len = payload_len as usize;
    if kind.is_some() && len > rules.payload_bytes_max(deflated) {
        return Err(ProtocolError::TooBig);
    }
    let payload = &mut take(input, header_len + len)[header_len..];
    if kind == Some(Kind::Text) && !deflated {
        // RFC 6455 §8.1: text that is not UTF-8 fails the connection.
        if !mask.apply_to_text(payload) {
            utf8::check(payload)?;
        }
    } else {
        mask.apply(payload);
    }
    let Some(kind) = kind else {
        let mut control = Control::default();
        control.extend(payload);
        return control_input(opcode, control).map(Some);
    };
    let payload = Payload::Whole(payload);
    Ok(Some(match deflated {
        true => Input::Deflated { kind, payload },
        false => Input::Message { kind, payload },
    }))
}

fn control_input<'a>(opcode: Opcode, control: Control) -> Result<Input<'a>, ProtocolError> {
    Ok(match opcode {
        Opcode::Close => Input::Close(Closing::parse(control)?),
        Opcode::Ping => Input::Ping(control),
        Opcode::Pong => Input::Pong(control),
        Opcode::Continuation | Opcode::Text | Opcode::Binary => {
            unreachable!("a data frame is no control frame")
        }
    })
}

/// Takes `len` bytes off the front.
#[inline]
fn take<'a>(input: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    input.split_off_mut(..len).expect("no more is taken than is there")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{self, CloseCode};

    const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

    /// A client's frame: `first` is its first byte.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = Vec::new();
        crate::frame::put_header(&mut header, Opcode::Binary, payload.len());
        header[0] = first;
        header[1] |= 0x80;
        header.extend_from_slice(&KEY);
        header.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        header
    }

    /// What a new session makes of these bytes, in words, and its error.
    fn heard(pieces: &[&[u8]]) -> (Vec<String>, Option<ProtocolError>) {
        let (mut session, mut heard) = (Session::default(), Vec::new());
        for piece in pieces {
            let mut piece = piece.to_vec();
            let mut input = &mut piece[..];
            loop {
                match session.next(&mut input, usize::MAX) {
                    Ok(Some(said)) => heard.push(in_words(&said)),
                    Ok(None) => break,
                    Err(error) => return (heard, Some(error)),
                }
            }
            assert!(input.is_empty(), "what is kept is taken off the input");
        }
        (heard, None)
    }

    fn in_words(input: &Input<'_>) -> String {
        let (what, bytes) = match input {
            Input::Message { kind: Kind::Text, payload } => ("text", payload.as_slice()),
            Input::Message { kind: Kind::Binary, payload } => ("binary", payload.as_slice()),
            Input::Deflated { payload, .. } => ("deflated", payload.as_slice()),
            Input::Ping(control) => ("ping", control.as_slice()),
            Input::Pong(control) => ("pong", control.as_slice()),
            Input::Close(closing) => ("close", closing.reason().as_bytes()),
        };
        format!("{what} {}", String::from_utf8_lossy(bytes))
    }

    #[track_caller]
    fn assert_heard(bytes: &[u8], expected: &[&str], error: Option<ProtocolError>) {
        let (said, failed) = heard(&[bytes]);
        assert_eq!(said, expected);
        assert_eq!(failed, error);
    }

    #[test]
    fn whole_frames_are_heard_in_order_and_leave_nothing_behind() {
        let mut bytes = [
            frame(0x81, b"one"),
            frame(0x82, b""),
            frame(0x89, b"ping"),
            frame(0x8A, b""),
            frame(0x81, "tw\u{f6}".as_bytes()),
        ]
        .concat();
        assert_heard(&bytes, &["text one", "binary ", "ping ping", "pong ", "text tw\u{f6}"], None);

        let mut session = Session::default();
        let mut input = &mut bytes[..];
        while let Some(input) = session.next(&mut input, usize::MAX).unwrap() {
            if let Input::Message { payload, .. } = input {
                assert!(matches!(payload, Payload::Whole(_)), "nothing is copied");
            }
        }
        assert!(session.partial.is_none());
        assert_eq!(size_of::<Session>(), 8);
    }

    #[test]
    fn fragments_are_joined_around_control_frames() {
        let bytes = [
            frame(0x01, b""),
            frame(0x00, b"\xF0\x9F"),
            frame(0x89, b"ping"),
            frame(0x00, b"\x98"),
            frame(0x00, b""),
            frame(0x8A, b"pong"),
            frame(0x80, b"\x80!"),
            frame(0x02, b"a"),
            frame(0x80, b""),
        ]
        .concat();
        assert_heard(&bytes, &["ping ping", "pong pong", "text \u{1f600}!", "binary a"], None);
    }

    #[test]
    fn fragments_follow_the_rules() {
        let text = frame(0x01, b"a");
        for (bytes, error) in [
            (frame(0x80, b"a"), ProtocolError::NothingToContinue),
            (frame(0x00, b"a"), ProtocolError::NothingToContinue),
            ([&text[..], &frame(0x81, b"a")].concat(), ProtocolError::Unfinished),
            ([&text[..], &frame(0x02, b"a")].concat(), ProtocolError::Unfinished),
        ] {
            assert_heard(&bytes, &[], Some(error));
        }
        let bytes = [text, frame(0x80, b"b"), frame(0x80, b"c")].concat();
        assert_heard(&bytes, &["text ab"], Some(ProtocolError::NothingToContinue));
    }

    #[test]
    fn a_close_frame_says_why() {
        let payload = close::payload(CloseCode::AWAY, "bye");
        let mut bytes = frame(0x88, payload.as_slice());
        let mut session = Session::default();
        let next = session.next(&mut &mut bytes[..], usize::MAX);
        let Ok(Some(Input::Close(closing))) = next else { panic!("{next:?}") };
        assert_eq!((closing.code, closing.reason()), (Some(CloseCode::AWAY), "bye"));
        assert_heard(&frame(0x88, b""), &["close "], None);
        assert_heard(&frame(0x88, b"\x03"), &[], Some(ProtocolError::CloseCode));
        assert_heard(&frame(0x88, b"\x03\xEE"), &[], Some(ProtocolError::CloseCode));
        assert_heard(&frame(0x88, b"\x03\xE8\xFF"), &[], Some(ProtocolError::NotUtf8));
    }

    #[test]
    fn bad_text_fails_at_its_first_bad_byte_long_before_the_frame_ends() {
        let mut bytes = frame(0x81, &[b"fine so far \xED\xA0".as_slice(), &[b'x'; 5000]].concat());
        bytes.truncate(8 + 14);
        let (last, before) = bytes.split_last().unwrap();
        assert_eq!(heard(&[before]), (vec![], None));
        assert_eq!(heard(&[before, &[*last]]), (vec![], Some(ProtocolError::NotUtf8)));
        assert_eq!(heard(&[&bytes]), (vec![], Some(ProtocolError::NotUtf8)));
        assert_heard(&frame(0x81, b"\xE2\x82"), &[], Some(ProtocolError::NotUtf8));
        let cut = [frame(0x01, b"\xE2\x82"), frame(0x80, b"")].concat();
        assert_heard(&cut, &[], Some(ProtocolError::NotUtf8));
        assert_heard(&frame(0x82, b"\xFF"), &["binary \u{fffd}"], None);
    }

    #[test]
    fn a_message_of_the_longest_length_is_heard_and_one_byte_more_is_not() {
        let bytes_max = 300;
        let outcome = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let mut session = Session::default();
            let next = session.next(&mut &mut bytes[..], bytes_max);
            next.map(|input| input.map(|input| in_words(&input).len() - "binary ".len()))
        };
        let too_big = Err(ProtocolError::TooBig);
        assert_eq!(outcome(&frame(0x82, &[b'x'; 300])), Ok(Some(300)));
        assert_eq!(outcome(&frame(0x82, &[b'x'; 301])), too_big);
        assert_eq!(outcome(&frame(0x82, &[b'x'; 301])[..8]), too_big, "from the header alone");
        let huge = b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04";
        assert_eq!(outcome(huge), too_big);
        let fragments = |last: &[u8]| [frame(0x02, &[b'x'; 200]), frame(0x80, last)].concat();
        assert_eq!(outcome(&fragments(&[b'x'; 100])), Ok(Some(300)));
        assert_eq!(outcome(&fragments(&[b'x'; 101])[..200 + 8 + 6]), too_big);
        let none = 0;
        let mut ping = frame(0x89, b"ping");
        let next = Session::default().next(&mut &mut ping[..], none).map(|input| input.is_some());
        assert_eq!(next, Ok(true), "the limit is for messages");
    }

    #[test]
    fn memory_grows_with_what_was_received_and_not_with_what_was_declared() {
        let bytes_max = usize::MAX;
        for first in [0x82, 0x02] {
            let bytes = frame(first, &vec![7; 100_000]);
            let mut session = Session::default();
            let mut received: usize = 0;
            for piece in bytes[14 - 4..].chunks(700) {
                let mut piece = piece.to_vec();
                if received == 0 {
                    piece.splice(0..0, bytes[..14 - 4].iter().copied());
                }
                received += piece.len();
                session.next(&mut &mut piece[..], bytes_max).unwrap();
                assert!(session.held_bytes() <= 2 * received);
                assert!(first != 0x82 || session.held_bytes() <= 100_000);
            }
            let mut rest = frame(0x80, b"");
            let done = session.next(&mut &mut rest[..], bytes_max);
            match first {
                0x02 => assert!(matches!(done, Ok(Some(Input::Message { .. })))),
                _ => assert_eq!(done, Err(ProtocolError::NothingToContinue)),
            }
            drop(done);
            assert_eq!(session.held_bytes(), 0);
        }
    }

    #[test]
    fn an_assembled_message_holds_no_more_than_it_needs() {
        let mut session = Session::default();
        let mut bytes =
            [frame(0x02, &[1; 1000]), frame(0x00, &[2; 10]), frame(0x80, &[3; 5])].concat();
        let next = session.next(&mut &mut bytes[..], usize::MAX);
        let Ok(Some(Input::Message { payload: Payload::Assembled(payload), .. })) = next else {
            panic!("{next:?}")
        };
        assert_eq!((payload.len(), payload.capacity()), (1015, 1015));
        assert!(session.partial.is_none());
    }
}
