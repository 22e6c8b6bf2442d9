//! What a session makes of a client's bytes.

use gateway_core::close::CloseCode;
use gateway_core::frame::Kind;
use gateway_core::limits::Limits;
use gateway_core::session::{Input, ProtocolError, Rules, Session};

use crate::frame_letter::payload_bytes_max;

/// An input that outlives its bytes.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Heard {
    Message(Kind, Vec<u8>),
    /// As it came.
    Deflated(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<CloseCode>, String),
}

/// All that was heard, and the error that ended it.
pub(crate) type Story = (Vec<Heard>, Option<ProtocolError>);

/// Gives a new session the bytes in pieces of these lengths, until an error or a close frame.
pub(crate) fn hear(
    bytes: &[u8],
    pieces: impl IntoIterator<Item = usize>,
    limits: &Limits,
    deflates: bool,
) -> Story {
    let mut heard = Vec::new();
    let error = hear_each(bytes, pieces, limits, deflates, |input| heard.push(owned(input)));
    (heard, error)
}

/// As [`hear`], with each input as it comes.
pub(crate) fn hear_each(
    bytes: &[u8],
    pieces: impl IntoIterator<Item = usize>,
    limits: &Limits,
    deflates: bool,
    mut each: impl FnMut(&Input<'_>),
) -> Option<ProtocolError> {
    let held_bytes_max = payload_bytes_max(limits, deflates);
    let rules = Rules::new(limits.message_bytes_max, deflates)
        .with_empty_fragments(limits.empty_fragments_max);
    let mut session = Session::default();
    let mut received = 0;
    for len in pieces {
        let mut piece = bytes[received..received + len].to_vec();
        received += len;
        let mut input = &mut piece[..];
        loop {
            let before = input.len();
            match session.next(&mut input, rules) {
                Ok(Some(said)) => {
                    each(&said);
                    if matches!(said, Input::Close(_)) {
                        return None;
                    }
                }
                Ok(None) => break,
                Err(error) => return Some(error),
            }
            assert!(input.len() < before, "an input ends with bytes that were not there before");
        }
        assert!(input.is_empty(), "what is kept is taken off the input");
        let held_max = held_bytes_max.min(2 * received);
        assert!(session.held_bytes() <= held_max, "held memory is bounded by what was received");
    }
    assert_eq!(received, bytes.len(), "all bytes were given");
    None
}

impl PartialEq<Input<'_>> for Heard {
    fn eq(&self, other: &Input<'_>) -> bool {
        match (self, other) {
            (Self::Message(kind, bytes), Input::Message { kind: of, payload })
            | (Self::Deflated(kind, bytes), Input::Deflated { kind: of, payload }) => {
                (kind, bytes.as_slice()) == (of, payload.as_slice())
            }
            (Self::Ping(bytes), Input::Ping(control))
            | (Self::Pong(bytes), Input::Pong(control)) => bytes == control.as_slice(),
            (Self::Close(code, reason), Input::Close(closing)) => {
                (*code, reason.as_str()) == (closing.code, closing.reason())
            }
            (
                Self::Message(..)
                | Self::Deflated(..)
                | Self::Ping(_)
                | Self::Pong(_)
                | Self::Close(..),
                _,
            ) => false,
        }
    }
}

fn owned(input: &Input<'_>) -> Heard {
    match input {
        Input::Deflated { kind, payload } => Heard::Deflated(*kind, payload.as_slice().to_vec()),
        Input::Message { kind, payload } => Heard::Message(*kind, payload.as_slice().to_vec()),
        Input::Ping(control) => Heard::Ping(control.as_slice().to_vec()),
        Input::Pong(control) => Heard::Pong(control.as_slice().to_vec()),
        Input::Close(closing) => Heard::Close(closing.code, closing.reason().to_owned()),
    }
}
