//! RFC 6455 read by the letter, and RFC 7692 as far as frames know of it: slow, in one piece, and
//! sharing nothing with the core.

use gateway_core::close::CloseCode;
use gateway_core::frame::Kind;
use gateway_core::limits::Limits;
use gateway_core::session::ProtocolError as Error;

use crate::story::{Heard, Story};

/// What a client says with these bytes, of which the last frame may be cut.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// The message whose last fragment is still to come.
    open: Option<Open>,
    limits: &'a Limits,
    /// Whether messages may be deflated.
    deflates: bool,
}

struct Open {
    kind: Kind,
    deflated: bool,
    payload: Vec<u8>,
    /// Fragments without a byte.
    empty: u32,
}

/// The first byte of a head.
struct First {
    fin: bool,
    deflated: bool,
    opcode: u8,
}

struct Head {
    fin: bool,
    opcode: u8,
    len: usize,
    key: [u8; 4],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], limits: &'a Limits, deflates: bool) -> Self {
        Self { bytes, open: None, limits, deflates }
    }

    /// All that is said, up to a close frame or an error.
    pub(crate) fn story(mut self) -> Story {
        let mut heard = Vec::new();
        while !matches!(heard.last(), Some(Heard::Close(..))) {
            match self.next() {
                Ok(Some(said)) => heard.push(said),
                Ok(None) => break,
                Err(error) => return (heard, Some(error)),
            }
        }
        (heard, None)
    }

    /// What is said next; none if the bytes are at their end. Nothing is said after a close frame
    /// or an error.
    pub(crate) fn next(&mut self) -> Result<Option<Heard>, Error> {
        loop {
            let Some(head) = self.head()? else { return Ok(None) };
            let there = head.len.min(self.bytes.len());
            let (masked, rest) = self.bytes.split_at(there);
            self.bytes = rest;
            let mut payload = masked.to_vec();
            unmask(&mut payload, head.key);
            let complete = there == head.len;
            let said = match head.opcode {
                0x0..=0x2 => self.data(&head, payload, complete)?,
                _ if !complete => None,
                0x8 => {
                    let (code, reason) = close(&payload)?;
                    Some(Heard::Close(code, reason))
                }
                0x9 => Some(Heard::Ping(payload)),
                _ => Some(Heard::Pong(payload)),
            };
            if said.is_some() || !complete {
                return Ok(said);
            }
        }
    }

    fn data(
        &mut self,
        head: &Head,
        payload: Vec<u8>,
        complete: bool,
    ) -> Result<Option<Heard>, Error> {
        let mut open = self.open.take().expect("a data frame opened it");
        if open.payload.is_empty() {
            open.payload = payload;
        } else {
            open.payload.extend_from_slice(&payload);
        }
        let whole = complete && head.fin;
        if open.kind == Kind::Text && !open.deflated {
            check_text(&open.payload, whole)?;
        }
        if !whole {
            self.open = Some(open);
            return Ok(None);
        }
        Ok(Some(match open.deflated {
            true => Heard::Deflated(open.kind, open.payload),
            false => Heard::Message(open.kind, open.payload),
        }))
    }

    /// §5.2, and the rules of §5.4 and §5.5 that a head can break.
    fn head(&mut self) -> Result<Option<Head>, Error> {
        let Some(first) = self.take(1) else { return Ok(None) };
        let first = self.first(first[0])?;
        let opcode = first.opcode;
        let Some(second) = self.take(1) else { return Ok(None) };
        let (masked, len) = (second[0] >= 0x80, second[0] & 0x7F);
        match opcode {
            _ if !masked => return Err(Error::Unmasked),
            0x8..=0xA if len > 125 => return Err(Error::LongControl),
            _ => {}
        }
        let extended_bytes = match len {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(extended) = self.take(extended_bytes) else { return Ok(None) };
        let number = extended.iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte));
        let len = if extended_bytes == 0 { u128::from(len) } else { number };
        match extended_bytes {
            2 if len <= 125 => return Err(Error::PaddedLength),
            8 if len <= 0xFFFF => return Err(Error::PaddedLength),
            8 if len >= 1 << 63 => return Err(Error::NegativeLength),
            _ => {}
        }
        let Some(key) = self.take(4) else { return Ok(None) };
        if opcode <= 0x2 {
            self.begin(&first, len)?;
        }
        // What `begin` lets through, and a control frame, is short.
        let (len, key) = (len as usize, [key[0], key[1], key[2], key[3]]);
        Ok(Some(Head { fin: first.fin, opcode, len, key }))
    }

    /// RFC 7692 §6.1: the first reserved bit is that of the message's first frame.
    fn first(&self, byte: u8) -> Result<First, Error> {
        let (fin, opcode) = (byte >= 0x80, byte & 0x0F);
        let deflated = self.deflates && byte & 0x40 != 0;
        match opcode {
            _ if byte & 0x30 != 0 => Err(Error::ReservedBits),
            _ if byte & 0x40 != 0 && !self.deflates => Err(Error::ReservedBits),
            0x3..=0x7 | 0xB..=0xF => Err(Error::UnknownOpcode),
            0x8..=0xA if !fin => Err(Error::FragmentedControl),
            0x0 | 0x8..=0xA if deflated => Err(Error::ReservedBits),
            _ => Ok(First { fin, deflated, opcode }),
        }
    }

    /// §5.4: what a data frame begins or continues; §10.4: up to a limit.
    fn begin(&mut self, first: &First, len: u128) -> Result<(), Error> {
        let &First { fin, deflated, opcode } = first;
        if matches!(opcode, 0x1 | 0x2) && self.open.is_none() {
            let kind = if opcode == 0x1 { Kind::Text } else { Kind::Binary };
            self.open = Some(Open { kind, deflated, payload: Vec::new(), empty: 0 });
        } else if opcode != 0x0 {
            return Err(Error::Unfinished);
        }
        let open = self.open.as_mut().ok_or(Error::NothingToContinue)?;
        open.empty += u32::from(len == 0 && !fin);
        if open.empty > self.limits.empty_fragments_max {
            return Err(Error::EmptyFragments);
        }
        let bytes_max = payload_bytes_max(self.limits, open.deflated);
        if open.payload.len() as u128 + len > bytes_max as u128 {
            return Err(Error::TooBig);
        }
        Ok(())
    }

    /// The next bytes, if all of them are there. Else nothing is, ever again.
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(taken)
    }
}

/// Bytes of a message as it comes: what cannot be deflated grows by a quarter at most, and some.
pub(crate) fn payload_bytes_max(limits: &Limits, deflated: bool) -> usize {
    limits.message_bytes_max + if deflated { limits.message_bytes_max / 4 + 64 } else { 0 }
}

/// §5.3: byte by byte, which are four at a time here because a fuzzer is slow at loops.
fn unmask(payload: &mut [u8], key: [u8; 4]) {
    let (words, rest) = payload.as_chunks_mut();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    rest.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
}

/// §8.1: a whole text is UTF-8, and the beginning of one can become it.
fn check_text(text: &[u8], whole: bool) -> Result<(), Error> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(error) if error.error_len().is_none() && !whole => Ok(()),
        Err(_) => Err(Error::NotUtf8),
    }
}

/// §5.5.1 and §7.4.
fn close(payload: &[u8]) -> Result<(Option<CloseCode>, String), Error> {
    if payload.is_empty() {
        return Ok((None, String::new()));
    }
    let Some((&[high, low], reason)) = payload.split_first_chunk() else {
        return Err(Error::CloseCode);
    };
    let reason = String::from_utf8(reason.to_vec()).map_err(|_| Error::NotUtf8)?;
    let number = u16::from(high) << 8 | u16::from(low);
    let reserved = [1004, 1005, 1006, 1015].contains(&number);
    let registered = (1000..=1014).contains(&number) || (3000..=4999).contains(&number);
    if reserved || !registered {
        return Err(Error::CloseCode);
    }
    Ok((CloseCode::from_u16(number), reason))
}
