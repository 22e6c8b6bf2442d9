//! What a client of `weir.probe.v1` is told.

use super::{Fields, Malformed, put, put_kind, put_position};
use crate::frame::Kind;
use crate::id::Author;
use crate::position::{Epoch, Offset, Position};

/// Bytes before the payload of [`ToClient::Message`], as [`message_header`] appends them.
pub const MESSAGE_HEADER_BYTES: usize = 26;

const SUBSCRIBED: u8 = 1;
const MESSAGE: u8 = 2;
const ACK: u8 = 3;
const REFUSED: u8 = 4;
const GAP: u8 = 5;
const RESET: u8 = 6;
const JOINED: u8 = 7;
const LEFT: u8 = 8;
const MEMBERS: u8 = 9;

/// What a client is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ToClient<'a> {
    /// The first frame: what follows is linked from here.
    Subscribed {
        /// The client's own position if that is recovered, also if it was ahead of the room;
        /// else where the room is.
        position: Position,
        /// Whether nothing since the client's position is missing.
        recovered: bool,
    },
    /// A message of the room.
    Message {
        /// Which count of offsets.
        epoch: Epoch,
        /// The message before it.
        prev: Offset,
        /// Its place.
        offset: Offset,
        /// Text or binary.
        kind: Kind,
        /// What it carries; UTF-8 if it is text.
        payload: &'a [u8],
    },
    /// A message of the client's is sequenced.
    Ack {
        /// Which.
        id: u64,
        /// Where it is.
        position: Position,
    },
    /// A message of the client's is not in the room.
    Refused {
        /// Which.
        id: u64,
        /// Why not.
        why: Why,
    },
    /// What came up to this position is lost for the client.
    Gap {
        /// What follows is linked from here.
        position: Position,
    },
    /// The room began anew.
    Reset {
        /// What follows is linked from here.
        position: Position,
    },
    /// A member came.
    Joined {
        /// Who.
        who: Author,
    },
    /// A member went.
    Left {
        /// Who.
        who: Author,
    },
    /// The answer to [`ToServer::Members`](super::ToServer::Members).
    Members {
        /// Which question.
        id: u64,
        /// Everyone who shows itself, in order.
        who: Vec<Author>,
    },
}

/// Why a message is not in its room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Why {
    /// The engine took no more.
    Full = 0,
    /// The room is no more.
    Gone = 1,
}

impl Why {
    fn from_u8(number: u8) -> Option<Self> {
        [Self::Full, Self::Gone].into_iter().find(|&why| why as u8 == number)
    }
}

impl<'a> ToClient<'a> {
    /// Appends the frame's payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Subscribed { position, recovered } => {
                out.push(SUBSCRIBED);
                put_position(out, *position);
                out.push(u8::from(*recovered));
            }
            Self::Message { epoch, prev, offset, kind, payload } => {
                message_header(out, *epoch, *prev, *offset, *kind);
                out.extend_from_slice(payload);
            }
            Self::Ack { id, position } => {
                out.push(ACK);
                put(out, *id);
                put_position(out, *position);
            }
            Self::Refused { id, why } => {
                out.push(REFUSED);
                put(out, *id);
                out.push(*why as u8);
            }
            Self::Gap { position } => {
                out.push(GAP);
                put_position(out, *position);
            }
            Self::Reset { position } => {
                out.push(RESET);
                put_position(out, *position);
            }
            Self::Joined { who } => {
                out.push(JOINED);
                put(out, who.to_bits());
            }
            Self::Left { who } => {
                out.push(LEFT);
                put(out, who.to_bits());
            }
            Self::Members { id, who } => {
                out.push(MEMBERS);
                put(out, *id);
                put(out, who.len() as u64);
                who.iter().for_each(|who| put(out, who.to_bits()));
            }
        }
    }

    /// Reads a frame's payload.
    ///
    /// # Errors
    /// If it is none of the protocol's.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(bytes);
        let told = match fields.byte()? {
            SUBSCRIBED => {
                Self::Subscribed { position: fields.position()?, recovered: fields.flag()? }
            }
            MESSAGE => {
                let (epoch, prev) = (Epoch(fields.number()?), Offset(fields.number()?));
                let offset = Offset(fields.number()?);
                let (kind, payload) = fields.words()?;
                Self::Message { epoch, prev, offset, kind, payload }
            }
            ACK => Self::Ack { id: fields.number()?, position: fields.position()? },
            REFUSED => {
                let id = fields.number()?;
                Self::Refused { id, why: Why::from_u8(fields.byte()?).ok_or(Malformed::Value)? }
            }
            GAP => Self::Gap { position: fields.position()? },
            RESET => Self::Reset { position: fields.position()? },
            JOINED => Self::Joined { who: fields.author()? },
            LEFT => Self::Left { who: fields.author()? },
            MEMBERS => Self::Members { id: fields.number()?, who: fields.authors()? },
            _ => return Err(Malformed::Tag),
        };
        fields.end()?;
        Ok(told)
    }
}

/// Appends what stands before a message's payload: [`MESSAGE_HEADER_BYTES`], whatever the values,
/// so that a frame's length is known before anything of it is written.
pub fn message_header(out: &mut Vec<u8>, epoch: Epoch, prev: Offset, offset: Offset, kind: Kind) {
    out.push(MESSAGE);
    put(out, epoch.0);
    put(out, prev.0);
    put(out, offset.0);
    put_kind(out, kind);
}
