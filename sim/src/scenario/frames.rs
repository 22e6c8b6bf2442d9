//! Frames on the wire, written and read by tungstenite's codec: nothing here is Weir's own.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};

use super::message::{Kind, Message};
use super::plan::Say;
use crate::rng::Rng;

/// The upgrade request of a client.
pub(super) fn request(path: &str, key: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: weir.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
}

/// The frames of a message as its plan cuts it, pings included.
pub(super) fn of_say(say: &Say) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut rest = &say.message.payload[..];
    for (index, len) in say.fragments.iter().enumerate() {
        let (fragment, left) = rest.split_at(*len);
        rest = left;
        let data = match (index, say.message.kind) {
            (0, Kind::Text) => Data::Text,
            (0, Kind::Binary) => Data::Binary,
            _ => Data::Continue,
        };
        let last = index + 1 == say.fragments.len();
        frames.push(Frame::message(fragment.to_vec(), OpCode::Data(data), last));
        if say.pings {
            frames.push(Frame::ping(index.to_be_bytes().to_vec()));
        }
    }
    frames
}

/// A close frame with this code, and no reason.
pub(crate) fn goodbye(code: u16) -> CloseFrame {
    CloseFrame { code: CloseCode::from(code), reason: "".into() }
}

/// Appends a frame as a client sends it, masked with a key that the seed decides.
pub(super) fn put(out: &mut Vec<u8>, mut frame: Frame, rng: &mut Rng) {
    frame.header_mut().mask = Some(mask(rng));
    frame.format(out).expect("a vector takes all bytes");
}

/// A masking key.
pub(super) fn mask(rng: &mut Rng) -> [u8; 4] {
    rng.next_u64().to_le_bytes()[..4].try_into().expect("four of eight bytes")
}

/// Bytes that arrive in pieces, and what they say so far.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    bytes: Vec<u8>,
    /// How far they are read.
    at: usize,
    partial: Option<Message>,
}

/// What frames say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Word {
    Message(Message),
    Ping,
    Pong,
    /// A close frame, with its code if it has one.
    Close(Option<u16>),
}

impl Decoder {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether bytes were fed that are no whole word.
    pub(super) fn is_amid(&self) -> bool {
        self.at < self.bytes.len() || self.partial.is_some()
    }

    /// The lines of an HTTP head, once it is complete.
    pub(super) fn head(&mut self) -> Option<String> {
        let left = &self.bytes[self.at..];
        let end = left.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&left[..end]).into_owned();
        self.at += end;
        Some(head)
    }

    /// The next word; `None` if it is not complete.
    pub(super) fn word(&mut self) -> Result<Option<Word>, String> {
        while let Some((header, payload)) = self.frame()? {
            if header.rsv1 || header.rsv2 || header.rsv3 {
                return Err("reserved bits are set".to_owned());
            }
            match header.opcode {
                OpCode::Control(Control::Ping) => return Ok(Some(Word::Ping)),
                OpCode::Control(Control::Pong) => return Ok(Some(Word::Pong)),
                OpCode::Control(Control::Close) => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    return Ok(Some(Word::Close(code)));
                }
                OpCode::Data(data) => {
                    if let Some(message) = self.fragment(data, header.is_final, payload)? {
                        return Ok(Some(Word::Message(message)));
                    }
                }
                OpCode::Control(Control::Reserved(_)) => {
                    return Err("a reserved opcode".to_owned());
                }
            }
        }
        Ok(None)
    }

    fn frame(&mut self) -> Result<Option<(FrameHeader, Vec<u8>)>, String> {
        let mut cursor = Cursor::new(&self.bytes[self.at..]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|error| error.to_string())?;
        let Some((header, len)) = parsed else { return Ok(None) };
        let start = usize::try_from(cursor.position()).map_err(|error| error.to_string())?;
        let len = usize::try_from(len).map_err(|error| error.to_string())?;
        let left = &self.bytes[self.at + start..];
        let Some(payload) = left.get(..len) else { return Ok(None) };
        let key = header.mask.unwrap_or_default();
        let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        let payload = payload.collect();
        self.at += start + len;
        Ok(Some((header, payload)))
    }

    fn fragment(
        &mut self,
        data: Data,
        last: bool,
        payload: Vec<u8>,
    ) -> Result<Option<Message>, String> {
        let message = match (data, self.partial.take()) {
            (Data::Text, None) => Message { kind: Kind::Text, payload },
            (Data::Binary, None) => Message { kind: Kind::Binary, payload },
            (Data::Continue, Some(mut message)) => {
                message.payload.extend(payload);
                message
            }
            (data, _) => return Err(format!("{data} out of place")),
        };
        if last {
            return Ok(Some(message));
        }
        self.partial = Some(message);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: Kind, payload: &[u8], fragments: &[usize]) -> Say {
        let message = Message { kind, payload: payload.to_vec() };
        Say { message, fragments: fragments.to_vec(), pings: true }
    }

    #[test]
    fn what_is_put_reads_back_however_it_arrives() {
        let say = said(Kind::Text, "zwölf€".as_bytes(), &[3, 0, 6]);
        let mut bytes = b"HTTP/1.1 101 \r\n\r\n".to_vec();
        for frame in of_say(&say) {
            put(&mut bytes, frame, &mut Rng::new(1));
        }
        put(&mut bytes, Frame::close(Some(goodbye(3000))), &mut Rng::new(2));
        let mut decoder = Decoder::default();
        let mut words = Vec::new();
        let mut head = None;
        for byte in bytes {
            decoder.feed(&[byte]);
            if head.is_none() {
                head = decoder.head();
                continue;
            }
            words.extend(decoder.word().unwrap());
        }
        let message = Word::Message(say.message);
        let close = Word::Close(Some(3000));
        assert_eq!(words, [Word::Ping, Word::Ping, message, Word::Ping, close]);
        assert!(!decoder.is_amid());
    }

    #[test]
    fn what_no_peer_may_send_is_an_error() {
        for bytes in [&b"\xc1\x00"[..], b"\x80\x00", b"\x01\x00\x81\x00", b"\x8b\x00"] {
            let mut decoder = Decoder::default();
            decoder.feed(bytes);
            assert!(decoder.word().is_err(), "{bytes:?}");
        }
    }
}
