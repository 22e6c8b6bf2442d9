//! A message as both ends know it.

use std::fmt;

/// Whether a message is text or binary.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
}

/// A message, whoever says or hears it.
#[derive(Clone, Eq, Ord, PartialEq, PartialOrd)]
pub struct Message {
    /// Text or binary.
    pub kind: Kind,
    /// Its bytes, over all fragments.
    pub payload: Vec<u8>,
}

/// Long payloads are told by their beginnings.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.payload[..self.payload.len().min(16)];
        write!(f, "{:?} of {} bytes ", self.kind, self.payload.len())?;
        write!(f, "\"{}\"", shown.escape_ascii())
    }
}
