//! What a client of `weir.probe.v1` says: how it wants to join, then publishes and questions.

use super::{Fields, Malformed, put, put_kind};
use crate::frame::Kind;
use crate::handshake::{Query, Refusal};
use crate::position::{Epoch, Offset, Position};

const PUBLISH: u8 = 1;
const MEMBERS: u8 = 2;

/// How many different numbers [`Author::named`](crate::id::Author::named) tells apart.
pub(super) const NAMES: u64 = 1 << 62;

/// How a client wants to join: `/ws/{room}?epoch=E&offset=O&as=N`, all of which may be left out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Subscribe {
    /// Up to where it knows the room.
    pub since: Option<Position>,
    /// Who it is, if it is the same on several connections; below 2⁶².
    pub author: Option<u64>,
}

impl Subscribe {
    /// Reads a request's query. Other parameters are ignored.
    ///
    /// # Errors
    /// 400 for what is no decimal number of 64 bits (62 for `as`), for a parameter that is there
    /// twice, and for half a position.
    pub fn parse(query: Query<'_>) -> Result<Self, Refusal> {
        let since = match (number(query, "epoch")?, number(query, "offset")?) {
            (None, None) => None,
            (Some(epoch), Some(offset)) => {
                Some(Position { epoch: Epoch(epoch), offset: Offset(offset) })
            }
            (Some(_), None) | (None, Some(_)) => {
                let why = "a position is `epoch` and `offset`; give both in the query, or neither";
                return Err(Refusal::bad_request(why));
            }
        };
        let author = number(query, "as")?;
        if author.is_some_and(|name| name >= NAMES) {
            // Two of them would be taken for one author, who does not hear the other.
            let why = "`as` in the query is too large; give a number below 4611686018427387904";
            return Err(Refusal::bad_request(why));
        }
        Ok(Self { since, author })
    }
}

/// The number that a query gives under this name, if it does.
fn number(query: Query<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(value) = query.only(name)? else { return Ok(None) };
    // `parse` takes a plus sign too, which is a space in most queries.
    match value.parse() {
        Ok(number) if !value.starts_with('+') => Ok(Some(number)),
        _ => {
            let why = format!(
                "`{name}` in the query is no number; give a decimal one of at most {}",
                u64::MAX
            );
            Err(Refusal::bad_request(why))
        }
    }
}

/// What a client says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ToServer<'a> {
    /// A message for the room.
    Publish {
        /// Comes back with the answer.
        id: u64,
        /// Text or binary.
        kind: Kind,
        /// What it carries; UTF-8 if it is text.
        payload: &'a [u8],
    },
    /// Who is in the room?
    Members {
        /// Comes back with the answer.
        id: u64,
    },
}

impl<'a> ToServer<'a> {
    /// Appends the frame's payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Publish { id, kind, payload } => {
                out.push(PUBLISH);
                put(out, id);
                put_kind(out, kind);
                out.extend_from_slice(payload);
            }
            Self::Members { id } => {
                out.push(MEMBERS);
                put(out, id);
            }
        }
    }

    /// Reads a frame's payload.
    ///
    /// # Errors
    /// If it is none of the protocol's.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(bytes);
        let said = match fields.byte()? {
            PUBLISH => {
                let id = fields.number()?;
                let (kind, payload) = fields.words()?;
                Self::Publish { id, kind, payload }
            }
            MEMBERS => Self::Members { id: fields.number()? },
            _ => return Err(Malformed::Tag),
        };
        fields.end()?;
        Ok(said)
    }
}
