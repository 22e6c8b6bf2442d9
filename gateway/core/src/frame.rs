//! Frame headers of RFC 6455 §5.2: writing ours, reading a client's.

use crate::mask::Mask;
use crate::session::ProtocolError;

/// Bytes of the longest header: two, a length of eight, a masking key of four.
pub const HEADER_BYTES_MAX: usize = 14;

/// RFC 6455 §5.5: control frames carry at most 125 bytes.
pub const CONTROL_BYTES_MAX: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
/// RFC 7692 §6: the message is deflated, where that was negotiated.
const DEFLATED: u8 = 0x40;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7F;
/// RFC 6455 §5.2: in place of a length, two bytes of length follow.
const LENGTH_IN_2: u8 = 126;
/// RFC 6455 §5.2: in place of a length, eight bytes of length follow.
const LENGTH_IN_8: u8 = 127;

/// What a frame is, RFC 6455 §5.2 and §11.8.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The last frame of its sender.
    Close = 0x8,
    /// To be answered with a pong.
    Ping = 0x9,
    /// The answer to a ping, or a sign of life.
    Pong = 0xA,
}

impl Opcode {
    /// The opcode with this number; `None` for the reserved ones.
    #[inline]
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// Its number on the wire.
    #[inline]
    #[must_use]
    pub const fn to_u8(self) -> u8 {
        self as u8
    }

    /// RFC 6455 §5.5: control frames have the highest bit of the opcode set.
    #[inline]
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.to_u8() & 0x8 != 0
    }
}

/// Whether a message is text, which is valid UTF-8, or binary.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

impl Kind {
    /// The opcode of a message's first frame.
    #[inline]
    #[must_use]
    pub const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// Appends the header of a whole server frame: final, unmasked, its length in the fewest bytes.
///
/// # Panics
/// If a control frame would carry more than [`CONTROL_BYTES_MAX`].
#[inline(always)]
pub fn put_header(out: &mut Vec<u8>, opcode: Opcode, payload_len: usize) {
    assert!(
        !opcode.is_control() || payload_len <= CONTROL_BYTES_MAX,
        "a control frame carries at most 125 bytes"
    );
    put_header_with(out, FIN | opcode.to_u8(), payload_len);
}

/// As [`put_header`], for a message that is deflated (RFC 7692 §6.1).
///
/// # Panics
/// If it is none.
#[inline]
pub(crate) fn put_deflated_header(out: &mut Vec<u8>, opcode: Opcode, payload_len: usize) {
    assert!(!opcode.is_control(), "a control frame is never deflated");
    put_header_with(out, FIN | DEFLATED | opcode.to_u8(), payload_len);
}

#[inline(always)]
fn put_header_with(out: &mut Vec<u8>, first: u8, payload_len: usize) {
    match header_len(payload_len) {
        2 => out.extend_from_slice(&[first, payload_len as u8]),
        4 => {
            let [a, b] = (payload_len as u16).to_be_bytes();
            out.extend_from_slice(&[first, LENGTH_IN_2, a, b]);
        }
        _ => {
            let [a, b, c, d, e, f, g, h] = (payload_len as u64).to_be_bytes();
            out.extend_from_slice(&[first, LENGTH_IN_8, a, b, c, d, e, f, g, h]);
        }
    }
}

/// Length in bytes of a server frame's header: 2, 4 or 10.
#[inline]
#[must_use]
pub const fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

/// Lengths in bytes of the header and of the payload of the server frame that `bytes` starts
/// with, which is one that [`put_header`] wrote. The payload itself may be elsewhere.
///
/// # Panics
/// If a whole header of ours is not there: we wrote it.
#[inline]
#[must_use]
pub fn own_frame_len(bytes: &[u8]) -> (usize, u64) {
    match *bytes {
        [FIN..=0xFF, len, ..] if len < LENGTH_IN_2 => (2, u64::from(len)),
        [FIN..=0xFF, LENGTH_IN_2, a, b, ..] => (4, u64::from(u16::from_be_bytes([a, b]))),
        [FIN..=0xFF, LENGTH_IN_8, a, b, c, d, e, f, g, h, ..] => {
            (10, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
        }
        _ => panic!("our own output starts with a header of ours"),
    }
}

/// A client frame's header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) opcode: Opcode,
    /// Whether this is the last, or only, frame of its message.
    pub(crate) fin: bool,
    /// Whether this is the first frame of a message that is deflated.
    pub(crate) deflated: bool,
    pub(crate) payload_len: u64,
    pub(crate) mask: Mask,
}

/// Which of a first byte's bits have no meaning on a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reserved(u8);

impl Reserved {
    /// RFC 6455 §5.2: all three, unless an extension was negotiated that uses one.
    pub(crate) const fn of(deflates: bool) -> Self {
        Self(if deflates { RESERVED & !DEFLATED } else { RESERVED })
    }
}

impl Header {
    /// The header that `bytes` starts with and its length, or `None` if its end is not there yet.
    ///
    /// # Errors
    /// For the first byte that breaks a rule, whether or not the rest is there.
    #[inline]
    pub(crate) fn parse(
        bytes: &[u8],
        reserved: Reserved,
    ) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (fin, deflated, opcode) = first_byte(first, reserved)?;
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let len = second_byte(second, opcode)?;
        let Some((payload_len, key_at)) = payload_len(len, bytes)? else { return Ok(None) };
        let Some(&key) = bytes[key_at..].first_chunk() else { return Ok(None) };
        Ok(Some((Self { opcode, fin, deflated, payload_len, mask: Mask(key) }, key_at + key.len())))
    }
}

#[inline]
fn first_byte(byte: u8, reserved: Reserved) -> Result<(bool, bool, Opcode), ProtocolError> {
    // RFC 6455 §5.2: reserved bits are 0 unless an extension was negotiated.
    if byte & reserved.0 != 0 {
        return Err(ProtocolError::ReservedBits);
    }
    // RFC 6455 §5.2: an unknown opcode fails the connection.
    let opcode = Opcode::from_u8(byte & OPCODE).ok_or(ProtocolError::UnknownOpcode)?;
    let fin = byte & FIN != 0;
    // RFC 6455 §5.5: control frames are never fragmented.
    if opcode.is_control() && !fin {
        return Err(ProtocolError::FragmentedControl);
    }
    let deflated = byte & DEFLATED != 0;
    // RFC 7692 §6.1: it is said once of each message, and never of a control frame.
    if deflated && (opcode.is_control() || opcode == Opcode::Continuation) {
        return Err(ProtocolError::ReservedBits);
    }
    Ok((fin, deflated, opcode))
}

/// The second byte's length, which may stand for a longer one.
#[inline]
fn second_byte(byte: u8, opcode: Opcode) -> Result<u8, ProtocolError> {
    // RFC 6455 §5.1: a server closes upon a frame that is not masked.
    if byte & MASKED == 0 {
        return Err(ProtocolError::Unmasked);
    }
    let len = byte & LENGTH;
    // RFC 6455 §5.5: control frames carry at most 125 bytes.
    if opcode.is_control() && usize::from(len) > CONTROL_BYTES_MAX {
        return Err(ProtocolError::LongControl);
    }
    Ok(len)
}

/// The payload's length and where it ends in the header, or `None` if it is not all there.
#[inline]
fn payload_len(len: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    let (payload_len, end, min) = match len {
        LENGTH_IN_2 => {
            let Some(&len) = bytes[2..].first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(len)), 4, 126)
        }
        LENGTH_IN_8 => {
            let Some(&len) = bytes[2..].first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(len), 10, 0x1_0000)
        }
        _ => (u64::from(len), 2, 0),
    };
    // RFC 6455 §5.2: the fewest bytes that can hold the length are used.
    if payload_len < min {
        return Err(ProtocolError::PaddedLength);
    }
    // RFC 6455 §5.2: the most significant bit of a length in 8 bytes is 0.
    if payload_len >> 63 != 0 {
        return Err(ProtocolError::NegativeLength);
    }
    Ok(Some((payload_len, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a client that negotiated no extension.
    fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProtocolError> {
        Header::parse(bytes, Reserved::of(false))
    }

    #[test]
    fn our_headers_are_minimal_and_read_back() {
        let cases: [(usize, &[u8]); 7] = [
            (0, b"\x82\x00"),
            (125, b"\x82\x7d"),
            (126, b"\x82\x7e\x00\x7e"),
            (0xFFFF, b"\x82\x7e\xff\xff"),
            (0x1_0000, b"\x82\x7f\0\0\0\0\0\x01\0\0"),
            (32 << 20, b"\x82\x7f\0\0\0\0\x02\0\0\0"),
            (usize::MAX >> 1, b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"),
        ];
        for (payload_len, expected) in cases {
            let mut out = Vec::new();
            put_header(&mut out, Opcode::Binary, payload_len);
            assert_eq!(out, expected);
            assert_eq!(out.len(), header_len(payload_len));
            out.push(0xEE);
            assert_eq!(own_frame_len(&out), (expected.len(), payload_len as u64));
        }
    }

    #[test]
    fn what_we_never_write_is_no_header_of_ours() {
        for bytes in [&b""[..], b"\x82", b"\x02\x00", b"\x82\x7e\x01", b"\x82\x80", b"\x82\xfe\0\0"]
        {
            let bytes = bytes.to_vec();
            assert!(std::panic::catch_unwind(|| own_frame_len(&bytes)).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn opcodes_survive_the_wire_and_reserved_ones_do_not() {
        for number in 0..=u8::MAX {
            let opcode = Opcode::from_u8(number);
            let known = matches!(number, 0..=2 | 8..=10);
            assert_eq!(opcode.map(Opcode::to_u8), known.then_some(number));
            assert_eq!(opcode.is_some_and(Opcode::is_control), matches!(number, 8..=10));
        }
        assert_eq!(Kind::Text.opcode(), Opcode::Text);
        assert_eq!(Kind::Binary.opcode(), Opcode::Binary);
    }

    #[test]
    fn a_clients_header_is_read_once_it_is_whole() {
        let key = [1, 2, 3, 4];
        let cases: [(&[u8], Opcode, bool, u64); 5] = [
            (b"\x81\x85", Opcode::Text, true, 5),
            (b"\x00\x80", Opcode::Continuation, false, 0),
            (b"\x89\xfd", Opcode::Ping, true, 125),
            (b"\x02\xfe\x00\x7e", Opcode::Binary, false, 126),
            (b"\x82\xff\0\0\0\0\0\x01\0\0", Opcode::Binary, true, 0x1_0000),
        ];
        for (bytes, opcode, fin, payload_len) in cases {
            let bytes = [bytes, &key].concat();
            for len in 0..bytes.len() {
                assert_eq!(parse(&bytes[..len]), Ok(None), "{bytes:02x?} {len}");
            }
            let header = Header { opcode, fin, deflated: false, payload_len, mask: Mask(key) };
            assert_eq!(parse(&bytes), Ok(Some((header, bytes.len()))));
            let longer = [&bytes[..], b"payload"].concat();
            assert_eq!(parse(&longer), Ok(Some((header, bytes.len()))));
        }
    }

    #[test]
    fn a_rule_is_enforced_at_the_byte_that_breaks_it() {
        use ProtocolError as E;
        let cases: [(&[u8], E); 13] = [
            (b"\xc1", E::ReservedBits),
            (b"\xa1", E::ReservedBits),
            (b"\x91", E::ReservedBits),
            (b"\x83", E::UnknownOpcode),
            (b"\x8f", E::UnknownOpcode),
            (b"\x09", E::FragmentedControl),
            (b"\x08", E::FragmentedControl),
            (b"\x81\x05", E::Unmasked),
            (b"\x89\xfe", E::LongControl),
            (b"\x88\xff", E::LongControl),
            (b"\x82\xfe\x00\x7d", E::PaddedLength),
            (b"\x82\xff\0\0\0\0\0\0\xff\xff", E::PaddedLength),
            (b"\x82\xff\x80\0\0\0\0\0\0\0", E::NegativeLength),
        ];
        for (bytes, error) in cases {
            assert_eq!(parse(bytes), Err(error), "{bytes:02x?}");
            assert_eq!(parse(&bytes[..bytes.len() - 1]), Ok(None), "{bytes:02x?}");
            assert_eq!(error.code(), crate::close::CloseCode::PROTOCOL);
        }
    }

    #[test]
    fn only_a_messages_first_frame_says_that_it_is_deflated_and_only_where_that_was_negotiated() {
        let deflated = |bytes: &[u8]| {
            let header = Header::parse(&[bytes, b"\x80key!"].concat(), Reserved::of(true))?;
            Ok(header.is_some_and(|(header, _)| header.deflated))
        };
        for first in [0xc1, 0xc2, 0x41, 0x42] {
            assert_eq!(deflated(&[first]), Ok(true), "{first:02x}");
            assert_eq!(parse(&[first]), Err(ProtocolError::ReservedBits), "{first:02x}");
        }
        assert_eq!(deflated(b"\x81"), Ok(false));
        for first in [0xc0, 0x40, 0xc8, 0xc9, 0xca, 0xa1, 0x91, 0xe1] {
            assert_eq!(deflated(&[first]), Err(ProtocolError::ReservedBits), "{first:02x}");
        }
    }
}
