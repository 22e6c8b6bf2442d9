//! What a client has said in part: a header, a control frame, a message.

use gateway_faults::{self as faults, Mutant};

use super::error::ProtocolError;
use super::{Control, Input, Payload, Rules, control_input, take};
use crate::frame::{HEADER_BYTES_MAX, Header, Kind, Opcode};
use crate::mask::Mask;
use crate::time::Tick;
use crate::utf8::Utf8;

/// What came in pieces, until the last of them is there.
#[derive(Debug, Default)]
pub(super) struct Partial {
    stash: Stash,
    /// The frame whose payload is being received.
    frame: Option<Frame>,
    /// The payload of that frame, if it is a control frame; else empty.
    control: Control,
    /// The message being received, which control frames may interrupt, RFC 6455 §5.4.
    message: Option<Message>,
    /// When its first byte came, if that is known.
    pub(super) since: Option<Tick>,
}

/// A frame whose header was received.
#[derive(Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    /// Turned to the next byte.
    mask: Mask,
    /// Bytes of its payload that are still to come.
    left: usize,
}

impl Partial {
    pub(super) fn is_empty(&self) -> bool {
        self.stash.len == 0 && self.frame.is_none() && self.message.is_none()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.bytes.capacity())
    }

    pub(super) fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        rules: Rules,
    ) -> Result<Option<Input<'a>>, ProtocolError> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.stash.header(input, rules)? {
                    Some(header) => self.begin(&header, rules)?,
                    None => return Ok(None),
                },
            };
            let received = input.len().min(frame.left);
            let payload = take(input, received);
            frame.left -= received;
            let begun = frame.mask;
            frame.mask.apply(payload);
            if faults::is(Mutant::MaskNotTurned) {
                frame.mask = begun;
            }
            self.receive(frame.opcode, payload)?;
            if frame.left > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            let done = self.finish(&frame)?;
            if done.is_some() {
                return Ok(done);
            }
        }
    }

    /// Starts a frame, by the rules of fragmentation.
    fn begin(&mut self, header: &Header, rules: Rules) -> Result<Frame, ProtocolError> {
        let &Header { opcode, fin, deflated, payload_len, mask } = header;
        if !opcode.is_control() {
            let message = match (opcode, self.message.take()) {
                (Opcode::Continuation, Some(message)) => message,
                // RFC 6455 §5.4: a continuation continues something.
                (Opcode::Continuation, None) => return Err(ProtocolError::NothingToContinue),
                // RFC 6455 §5.4: fragments of two messages are not mixed.
                (_, Some(_)) => return Err(ProtocolError::Unfinished),
                (Opcode::Text, None) if fin || !faults::is(Mutant::WrongOpcode) => {
                    Message::new(Kind::Text, deflated)
                }
                (_, None) => Message::new(Kind::Binary, deflated),
            };
            self.message = Some(message.expecting(payload_len, fin, rules)?);
        }
        // A control frame is short, and a message that fits the limit fits the memory.
        Ok(Frame { opcode, fin, mask, left: payload_len as usize })
    }

    fn receive(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), ProtocolError> {
        if opcode.is_control() {
            self.control.extend(payload);
            return Ok(());
        }
        self.message.as_mut().expect("a data frame belongs to a message").append(payload)
    }

    /// What a complete frame completes.
    fn finish<'a>(&mut self, frame: &Frame) -> Result<Option<Input<'a>>, ProtocolError> {
        if frame.opcode.is_control() {
            return control_input(frame.opcode, std::mem::take(&mut self.control)).map(Some);
        }
        if !frame.fin {
            return Ok(None);
        }
        self.message.take().expect("a data frame belongs to a message").finish().map(Some)
    }
}

/// The beginning of a header.
#[derive(Debug, Default)]
struct Stash {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl Stash {
    /// Takes a header off `input`, whose first bytes may have come before.
    fn header(
        &mut self,
        input: &mut &mut [u8],
        rules: Rules,
    ) -> Result<Option<Header>, ProtocolError> {
        let before = usize::from(self.len);
        let more = input.len().min(HEADER_BYTES_MAX - before);
        self.bytes[before..before + more].copy_from_slice(&input[..more]);
        let begun = &self.bytes[..before + more];
        let Some((header, header_len)) = Header::parse(begun, rules.reserved)? else {
            assert_eq!(more, input.len(), "fourteen bytes hold every header");
            self.len += more as u8;
            take(input, more);
            return Ok(None);
        };
        self.len = 0;
        take(input, header_len - before);
        Ok(Some(header))
    }
}

/// A message whose last byte is still to come.
#[derive(Debug)]
struct Message {
    kind: Kind,
    deflated: bool,
    bytes: Vec<u8>,
    /// Bytes beyond which the buffer never needs to grow, as far as is known.
    bytes_max: usize,
    /// Fragments without a byte, the last one not counted.
    empty: u32,
    utf8: Utf8,
}

impl Message {
    fn new(kind: Kind, deflated: bool) -> Self {
        Self { kind, deflated, bytes: Vec::new(), bytes_max: 0, empty: 0, utf8: Utf8::default() }
    }

    /// Expects another fragment of `len` bytes, unless the message would be too long.
    fn expecting(mut self, len: u64, fin: bool, rules: Rules) -> Result<Self, ProtocolError> {
        if len == 0 && !fin {
            // RFC 6455 §5.4 allows them, and nothing that is said needs many of them.
            self.empty = self.empty.saturating_add(1);
            if self.empty > rules.empty_fragments_max {
                return Err(ProtocolError::EmptyFragments);
            }
        }
        // RFC 6455 §10.4: frames and messages are bounded against those who send huge ones.
        let message_bytes_max = rules.payload_bytes_max(self.deflated);
        let room = message_bytes_max.saturating_sub(self.bytes.len());
        if len > room as u64 {
            return Err(ProtocolError::TooBig);
        }
        let len = len as usize;
        self.bytes_max = if fin { self.bytes.len() + len } else { message_bytes_max };
        Ok(self)
    }

    fn append(&mut self, payload: &[u8]) -> Result<(), ProtocolError> {
        if self.kind == Kind::Text && !self.deflated {
            // RFC 6455 §8.1, at once: nothing that follows could make it valid.
            self.utf8.push(payload)?;
        }
        let (len, needed) = (self.bytes.len(), self.bytes.len() + payload.len());
        if needed > self.bytes.capacity() {
            // Doubling what was received, whatever was declared: many clients that declare much
            // and send little cost little.
            let capacity = needed.max(2 * len).min(self.bytes_max);
            self.bytes.reserve_exact(capacity - len);
        }
        self.bytes.extend_from_slice(payload);
        Ok(())
    }

    fn finish<'a>(mut self) -> Result<Input<'a>, ProtocolError> {
        if !self.utf8.is_complete() {
            return Err(ProtocolError::NotUtf8);
        }
        // Whoever shares the payload keeps its buffer.
        self.bytes.shrink_to_fit();
        let (kind, payload) = (self.kind, Payload::Assembled(self.bytes));
        Ok(match self.deflated {
            true => Input::Deflated { kind, payload },
            false => Input::Message { kind, payload },
        })
    }
}
