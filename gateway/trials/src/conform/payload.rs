//! What messages carry, described, so that a table of large messages is small.

use std::borrow::Cow;
use std::fmt;

/// Bytes that are shown of a payload.
const SHOWN_BYTES: usize = 24;

/// The bytes of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Payload {
    /// These.
    Bytes(Vec<u8>),
    /// So many of text in several scripts, whose characters have one to four bytes.
    Text(usize),
    /// So many of what looks like records in JSON.
    Json(usize),
    /// So many that nothing makes shorter.
    Random(usize),
    /// So many zeros.
    Zeros(usize),
}

impl Payload {
    /// The bytes themselves.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match *self {
            Self::Bytes(ref bytes) => Cow::Borrowed(bytes),
            Self::Text(len) => Cow::Owned(text(len)),
            Self::Json(len) => Cow::Owned(json(len)),
            Self::Random(len) => Cow::Owned(random(len)),
            Self::Zeros(len) => Cow::Owned(vec![0; len]),
        }
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => {
                write!(f, "of {} bytes", bytes.len())?;
                if !bytes.is_empty() {
                    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
                    let more = if shown.len() < bytes.len() { "…" } else { "" };
                    write!(f, " \"{}\"{more}", shown.escape_ascii())?;
                }
                Ok(())
            }
            Self::Text(len) => write!(f, "of {len} bytes in several scripts"),
            Self::Json(len) => write!(f, "of {len} bytes of JSON"),
            Self::Random(len) => write!(f, "of {len} random bytes"),
            Self::Zeros(len) => write!(f, "of {len} zeros"),
        }
    }
}

fn text(len: usize) -> Vec<u8> {
    let words = "weir, Wehr, d\u{e9}versoir, \u{43f}\u{43b}\u{43e}\u{442}\u{438}\u{43d}\u{430}, \
                 \u{5830}, \u{1f30a}; ";
    let mut bytes = words.as_bytes().repeat(len / words.len());
    let rest = words.floor_char_boundary(len - bytes.len());
    bytes.extend(&words.as_bytes()[..rest]);
    // A character that does not fit leaves room for fewer than four bytes.
    bytes.resize(len, b'.');
    bytes
}

fn json(len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 100);
    let mut noise = Noise::default();
    while bytes.len() < len {
        let number = noise.next();
        let record = format!(
            "{{\"id\":{},\"user\":\"user{}\",\"at\":{},\"price\":{}.{:02},\"side\":\"buy\"}},\n",
            bytes.len(),
            number % 1000,
            1_700_000_000 + number % 100_000,
            number / 7 % 500,
            number / 11 % 100,
        );
        bytes.extend(record.as_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn random(len: usize) -> Vec<u8> {
    let mut noise = Noise::default();
    let mut bytes: Vec<_> = std::iter::repeat_with(|| noise.next().to_le_bytes())
        .take(len.div_ceil(8))
        .flatten()
        .collect();
    bytes.truncate(len);
    bytes
}

/// Numbers that look random and are the same each time.
struct Noise(u64);

impl Default for Noise {
    fn default() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }
}

impl Noise {
    /// Marsaglia's xorshift.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_their_length_and_text_is_text() {
        for len in [0, 1, 2, 3, 15, 16, 17, 64, 100, 1000, 4096, 65537] {
            for payload in
                [Payload::Text(len), Payload::Json(len), Payload::Random(len), Payload::Zeros(len)]
            {
                assert_eq!(payload.bytes().len(), len, "{payload}");
            }
            for payload in [Payload::Text(len), Payload::Json(len)] {
                assert!(str::from_utf8(&payload.bytes()).is_ok(), "{payload}");
            }
        }
        assert_ne!(random(16)[..8], random(16)[8..]);
    }

    #[test]
    fn payloads_are_shown_in_short() {
        assert_eq!(Payload::from("").to_string(), "of 0 bytes");
        assert_eq!(Payload::from(&b"a\xff"[..]).to_string(), r#"of 2 bytes "a\xff""#);
        assert!(Payload::from(vec![b'x'; 1000]).to_string().len() < 60);
    }
}
