//! Listens to a gateway: frames into messages, by the strictest reading of both RFCs.

use super::case::Kind;
use super::payload::Payload;
use crate::raw::{Frame, Heard, Raw, Trouble, opcode};

/// Bytes that a message may become.
const MESSAGE_BYTES_MAX: usize = 1 << 28;

/// What was agreed on about compression.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Agreed {
    /// The server's window: it reaches back no farther than two to the power of this.
    pub(super) window_bits: u8,
}

/// What a gateway said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Came {
    /// A whole message, inflated.
    Message { kind: Kind, bytes: Vec<u8>, deflated: bool },
    /// An answer to a ping.
    Pong(Vec<u8>),
    /// Its last frame, with its code if it has one.
    Close(Option<u16>),
}

impl Came {
    /// What it was, in words.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Message { kind, bytes, deflated } => {
                let packed = if deflated { "deflated" } else { "plain" };
                format!("{packed} {kind} {}", Payload::Bytes(bytes))
            }
            Self::Pong(bytes) => format!("a pong {}", Payload::Bytes(bytes)),
            Self::Close(Some(code)) => format!("a close frame {code}"),
            Self::Close(None) => "a close frame without a code".to_owned(),
        }
    }
}

/// Hears whole messages.
#[derive(Debug)]
pub(super) struct Ear {
    raw: Raw,
    agreed: Option<Agreed>,
    /// Whether it has said goodbye.
    closed: bool,
}

impl Ear {
    pub(super) fn new(raw: Raw) -> Self {
        Self { raw, agreed: None, closed: false }
    }

    pub(super) fn raw(&mut self) -> &mut Raw {
        &mut self.raw
    }

    /// From now on messages may be compressed.
    pub(super) fn agree(&mut self, agreed: Agreed) {
        self.agreed = Some(agreed);
    }

    /// What comes next. Pings are answered, and of no interest.
    pub(super) fn next(&mut self) -> Result<Came, Trouble> {
        let mut begun: Option<Heard> = None;
        loop {
            let frame = self.raw.frame()?;
            if self.closed {
                return broken("a frame after its close frame");
            }
            match (frame.opcode, &mut begun) {
                (opcode::PING, _) => {
                    // If that fails, so will reading.
                    let _ = self.raw.say(&Frame::pong(frame.payload).to_bytes());
                }
                (opcode::PONG, _) => return Ok(Came::Pong(frame.payload)),
                (opcode::CLOSE, _) => return self.close(&frame.payload),
                (opcode::CONTINUATION, Some(begun)) => {
                    begun.payload.extend(frame.payload);
                    begun.fin = frame.fin;
                }
                (opcode::CONTINUATION, None) => return broken("a continuation of nothing"),
                (_, Some(_)) => return broken("a new message before the end of the last"),
                (_, none) => *none = Some(frame),
            }
            if let Some(whole) = begun.take_if(|begun| begun.fin) {
                return self.message(whole);
            }
        }
    }

    fn close(&mut self, payload: &[u8]) -> Result<Came, Trouble> {
        self.closed = true;
        let Some((code, reason)) = payload.split_first_chunk() else {
            let empty = payload.is_empty();
            return if empty { Ok(Came::Close(None)) } else { broken("half a close code") };
        };
        let code = u16::from_be_bytes(*code);
        // RFC 6455 §7.4: others are reserved, or stand for something that is not said.
        if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            return broken(format!("the close code {code}"));
        }
        if str::from_utf8(reason).is_err() {
            return broken("a reason that is not UTF-8");
        }
        Ok(Came::Close(Some(code)))
    }

    fn message(&self, Heard { opcode, deflated, payload, .. }: Heard) -> Result<Came, Trouble> {
        let bytes = if deflated { self.inflated(&payload)? } else { payload };
        let kind = if opcode == opcode::TEXT { Kind::Text } else { Kind::Binary };
        if kind == Kind::Text && str::from_utf8(&bytes).is_err() {
            return broken("text that is not UTF-8");
        }
        Ok(Came::Message { kind, bytes, deflated })
    }

    fn inflated(&self, payload: &[u8]) -> Result<Vec<u8>, Trouble> {
        let Some(Agreed { window_bits }) = self.agreed else {
            return broken("RSV1, which nobody agreed on");
        };
        let inflated = letter::inflate(payload, b"", MESSAGE_BYTES_MAX)
            .map_err(|how| Trouble::Broken(how.to_string()))?;
        if inflated.reach > 1 << window_bits {
            let reach = inflated.reach;
            return broken(format!("a reach of {reach} bytes in a window of {window_bits} bits"));
        }
        Ok(inflated.bytes)
    }
}

fn broken<T>(how: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Broken(how.into()))
}
