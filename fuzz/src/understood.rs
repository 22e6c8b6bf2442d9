//! What a client's messages say once they are inflated, by the letter of RFC 1951.

use gateway_core::close::CloseCode;
use gateway_core::deflate::WINDOW_BYTES_MAX;
use gateway_core::frame::Kind;
use gateway_core::limits::Limits;
use letter::{InflateError, inflate};

use crate::agreed::Agreed;
use crate::story::{Heard, Story};

/// What is understood, and with which codes its client may be closed: none if it may stay.
#[derive(Debug)]
pub(crate) struct Understood {
    pub(crate) heard: Vec<Heard>,
    pub(crate) codes: Vec<CloseCode>,
}

/// Reads the messages of a story as they come, until one is wrong.
pub(crate) fn understand((said, error): Story, agreed: Agreed, limits: &Limits) -> Understood {
    let (mut heard, mut window) = (Vec::new(), Vec::new());
    for said in said {
        let Heard::Deflated(kind, deflated) = said else {
            heard.push(said);
            continue;
        };
        match message(kind, &deflated, &window, limits) {
            Ok(message) => {
                if agreed.keeps_window {
                    window.extend_from_slice(&message);
                    window.drain(..window.len().saturating_sub(WINDOW_BYTES_MAX));
                }
                heard.push(Heard::Message(kind, message));
            }
            Err(codes) => return Understood { heard, codes },
        }
    }
    let codes = match (error, heard.last()) {
        (Some(error), _) => vec![error.code()],
        (None, Some(Heard::Close(code, _))) => vec![code.unwrap_or(CloseCode::NORMAL)],
        (None, _) => Vec::new(),
    };
    Understood { heard, codes }
}

/// What is deflated; or the codes of what is wrong with it.
fn message(
    kind: Kind,
    deflated: &[u8],
    window: &[u8],
    limits: &Limits,
) -> Result<Vec<u8>, Vec<CloseCode>> {
    match inflate(deflated, window, limits.message_bytes_max) {
        Ok(read) if kind == Kind::Text && std::str::from_utf8(&read.bytes).is_err() => {
            Err(vec![CloseCode::INVALID])
        }
        Ok(read) => Ok(read.bytes),
        Err(InflateError::Malformed(_)) => Err(vec![CloseCode::INVALID]),
        // What else is wrong with it, before the limit or behind, may be seen first.
        Err(InflateError::TooBig) => Err(vec![CloseCode::TOO_BIG, CloseCode::INVALID]),
    }
}
