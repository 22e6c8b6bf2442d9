//! A client's frame as it is to stand on the wire, with any of its fields wrong.

/// RFC 6455 §5.2: the opcodes that mean something.
pub mod opcode {
    /// A further fragment of a message.
    pub const CONTINUATION: u8 = 0x0;
    /// Text.
    pub const TEXT: u8 = 0x1;
    /// Any bytes.
    pub const BINARY: u8 = 0x2;
    /// The last frame of its sender.
    pub const CLOSE: u8 = 0x8;
    /// To be answered by a pong.
    pub const PING: u8 = 0x9;
    /// The answer to a ping.
    pub const PONG: u8 = 0xA;
}

/// RFC 7692 §6: the reserved bit that says that a message is deflated.
pub const DEFLATED: u8 = 0b100;

/// The key of frames that ask for no other.
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// How a frame's length is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Length {
    /// As it is, in the fewest bytes.
    #[default]
    Shortest,
    /// As it is, in two bytes behind the first two.
    InTwo,
    /// As it is, in eight bytes behind the first two.
    InEight,
    /// As if the payload had so many bytes, in the fewest that hold it.
    Declared(u64),
}

/// A client's frame. By default it is final, masked, and its length is the payload's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// Whether it ends its message.
    pub fin: bool,
    /// The three reserved bits, 0 to 7; the highest is RSV1.
    pub reserved: u8,
    /// 0 to 15.
    pub opcode: u8,
    /// The masking key, unless it is not masked.
    pub key: Option<[u8; 4]>,
    /// How its length is written.
    pub length: Length,
    /// What it carries, before it is masked.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame that breaks no rule by itself.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        let payload = payload.into();
        Self { fin: true, reserved: 0, opcode, key: Some(KEY), length: Length::Shortest, payload }
    }

    /// Text, or whatever claims to be.
    pub fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::TEXT, payload)
    }

    /// Any bytes.
    pub fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::BINARY, payload)
    }

    /// A further fragment, and the last unless it is told otherwise.
    pub fn continuation(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::CONTINUATION, payload)
    }

    /// A ping.
    pub fn ping(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::PING, payload)
    }

    /// A pong.
    pub fn pong(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::PONG, payload)
    }

    /// A close frame with a code and a reason, either of which may be illegal.
    #[must_use]
    pub fn close(code: u16, reason: &[u8]) -> Self {
        Self::new(opcode::CLOSE, [&code.to_be_bytes(), reason].concat())
    }

    /// With more of its message to come.
    #[must_use]
    pub fn unfinished(self) -> Self {
        Self { fin: false, ..self }
    }

    /// With these reserved bits, 0 to 7.
    #[must_use]
    pub fn reserved(self, reserved: u8) -> Self {
        Self { reserved, ..self }
    }

    /// With this masking key, or without one.
    #[must_use]
    pub fn key(self, key: Option<[u8; 4]>) -> Self {
        Self { key, ..self }
    }

    /// With its length written in this way.
    #[must_use]
    pub fn length(self, length: Length) -> Self {
        Self { length, ..self }
    }

    /// Appends its bytes.
    ///
    /// # Panics
    /// If the opcode has more than four bits, the reserved bits are more than three, or the payload
    /// does not fit the length that was asked for.
    pub fn put(&self, out: &mut Vec<u8>) {
        assert!(self.opcode < 16 && self.reserved < 8, "a first byte has four bits and three");
        out.push(u8::from(self.fin) << 7 | self.reserved << 4 | self.opcode);
        let masked = u8::from(self.key.is_some()) << 7;
        let len = self.payload.len() as u64;
        match self.length {
            Length::Shortest => put_length(out, masked, len),
            Length::Declared(len) => put_length(out, masked, len),
            Length::InTwo => {
                let len = u16::try_from(len).expect("two bytes hold the payload's length");
                out.push(masked | 126);
                out.extend(len.to_be_bytes());
            }
            Length::InEight => put_length_in_eight(out, masked, len),
        }
        let Some(key) = self.key else { return out.extend(&self.payload) };
        out.extend(key);
        let start = out.len();
        out.extend(&self.payload);
        for part in out[start..].chunks_mut(4) {
            part.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        }
    }

    /// Its bytes.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }
}

fn put_length(out: &mut Vec<u8>, masked: u8, len: u64) {
    match len {
        0..=125 => out.push(masked | len as u8),
        126..=0xFFFF => {
            out.push(masked | 126);
            out.extend((len as u16).to_be_bytes());
        }
        _ => put_length_in_eight(out, masked, len),
    }
}

fn put_length_in_eight(out: &mut Vec<u8>, masked: u8, len: u64) {
    out.push(masked | 127);
    out.extend(len.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_built() {
        // RFC 6455 §5.7.
        let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(Frame::text("Hello").to_bytes(), hello);
        assert_eq!(Frame::text("Hel").unfinished().key(None).to_bytes(), b"\x01\x03Hel");
        assert_eq!(Frame::continuation("lo").key(None).to_bytes(), b"\x80\x02lo");
        let long = Frame::binary(vec![0; 256]).key(None).to_bytes();
        assert_eq!(long[..4], *b"\x82\x7E\x01\x00");
        let longer = Frame::binary(vec![0; 65536]).key(None).to_bytes();
        assert_eq!(longer[..10], *b"\x82\x7F\0\0\0\0\0\x01\0\0");
    }

    #[test]
    fn fields_are_as_wrong_as_they_are_asked_to_be() {
        let zero = Some([0; 4]);
        let frame = Frame::new(0xB, "hi").key(zero);
        assert_eq!(frame.clone().reserved(0b100).to_bytes(), b"\xCB\x82\0\0\0\0hi");
        assert_eq!(frame.clone().unfinished().reserved(1).to_bytes(), b"\x1B\x82\0\0\0\0hi");
        assert_eq!(frame.clone().length(Length::InTwo).to_bytes(), b"\x8B\xFE\0\x02\0\0\0\0hi");
        let eight = b"\x8B\xFF\0\0\0\0\0\0\0\x02\0\0\0\0hi";
        assert_eq!(frame.clone().length(Length::InEight).to_bytes(), eight);
        let top = b"\x8B\xFF\x80\0\0\0\0\0\0\0\0\0\0\0hi";
        assert_eq!(frame.length(Length::Declared(1 << 63)).to_bytes(), top);
    }
}
