//! Plays a case against a gateway, and says what came instead of what was expected.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::answer;
use super::case::{Case, Cut, Expected, Kind, Message, Step};
use super::deflate::deflated;
use super::ear::{Came, Ear};
use super::payload::Payload;
use super::script::fragments;
use crate::raw::{DEFLATED, Raw, Trouble};

/// Bytes that are shown of what was said last.
const SHOWN_BYTES: usize = 96;

/// How a gateway failed a case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What should have come.
    pub expected: String,
    /// What came.
    pub came: String,
    /// What had been said last.
    pub said: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, came, said } = self;
        write!(f, "said {said}; expected {expected}; came {came}")
    }
}

impl std::error::Error for Failure {}

/// Plays a case against the gateway at `addr`, which has `patience` for each of its answers.
///
/// # Errors
/// If anything comes that the case does not expect, in the words of both.
pub fn judge(case: &Case, addr: SocketAddr, patience: Duration) -> Result<(), Failure> {
    let mut player = Player { said: "nothing".to_owned(), untaken: None };
    let raw = Raw::connect(addr, patience);
    let raw = raw.map_err(|error| player.failure("a connection", error.to_string()))?;
    let mut ear = Ear::new(raw);
    player.say(&mut ear, &case.opening.request, case.opening.cut);
    if let Err((expected, came)) = answer::check(&mut ear, &case.opening.answer) {
        return Err(player.failure(expected, came));
    }
    case.steps.iter().try_for_each(|step| player.play(&mut ear, step))
}

/// Who plays, and remembers what a failure is told with.
struct Player {
    said: String,
    /// Why the gateway did not take all of it.
    untaken: Option<Trouble>,
}

impl Player {
    fn play(&mut self, ear: &mut Ear, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Say(bytes, cut) => self.say(ear, bytes, *cut),
            Step::Tell(message, cut) => {
                self.say(ear, &bytes_of(message), *cut);
                self.said = in_words(message);
            }
            Step::HangUp => {
                let taken = ear.raw().hang_up();
                self.note(taken);
                self.said.push_str(", and nothing more");
            }
            Step::Hear(expected) => {
                let came = ear.next().map_err(|trouble| self.seen(trouble));
                if !fits(expected, &came) {
                    let came = came.map_or_else(|trouble| trouble.to_string(), Came::describe);
                    return Err(self.failure(expected.to_string(), came));
                }
            }
        }
        Ok(())
    }

    /// Who fails a connection need not take all that is said: what it answers is judged.
    fn say(&mut self, ear: &mut Ear, bytes: &[u8], cut: Cut) {
        self.said = shown(bytes);
        let taken = match cut {
            Cut::Whole => ear.raw().say(bytes),
            Cut::Pieces(piece_bytes) => ear.raw().say_in_pieces(bytes, piece_bytes),
        };
        self.note(taken);
    }

    fn note(&mut self, taken: Result<(), Trouble>) {
        self.untaken = self.untaken.take().or_else(|| taken.err());
    }

    /// A reset that was met while something was said is not met again: it looks like an end then.
    fn seen(&self, trouble: Trouble) -> Trouble {
        match (&trouble, &self.untaken) {
            (Trouble::Ended, Some(Trouble::Reset)) => Trouble::Reset,
            _ => trouble,
        }
    }

    fn failure(&self, expected: impl Into<String>, came: String) -> Failure {
        let came = match &self.untaken {
            Some(trouble) => format!("{came} (and while it was said to: {trouble})"),
            None => came,
        };
        Failure { expected: expected.into(), came, said: self.said.clone() }
    }
}

/// The frames of a message.
fn bytes_of(message: &Message) -> Vec<u8> {
    let plain = message.payload.bytes();
    let payload = if message.deflated { deflated(&plain) } else { plain.into_owned() };
    let fragment_bytes = message.fragment_bytes.unwrap_or(usize::MAX);
    let parts: Vec<_> = payload.chunks(fragment_bytes).collect();
    let parts = if parts.is_empty() { vec![&[][..]] } else { parts };
    let mut frames = fragments(message.kind, &parts);
    if message.deflated {
        frames[0].reserved = DEFLATED;
    }
    let mut bytes = Vec::with_capacity(payload.len() + 14 * frames.len());
    frames.iter().for_each(|frame| frame.put(&mut bytes));
    bytes
}

fn in_words(message: &Message) -> String {
    let packed = if message.deflated { "deflated " } else { "" };
    let Message { kind, payload, .. } = message;
    match message.fragment_bytes {
        Some(bytes) => format!("{packed}{kind} {payload} in fragments of {bytes} bytes"),
        None => format!("{packed}{kind} {payload}"),
    }
}

/// The last of these bytes, by two digits each, or as text if they are a request.
fn shown(bytes: &[u8]) -> String {
    if bytes.first().is_some_and(u8::is_ascii_uppercase) {
        return format!("{:?}", String::from_utf8_lossy(bytes));
    }
    let shown = &bytes[bytes.len().saturating_sub(SHOWN_BYTES)..];
    let digits: Vec<_> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    let more = if shown.len() < bytes.len() { "… " } else { "" };
    format!("{} bytes: {more}{}", bytes.len(), digits.join(" "))
}

fn fits(expected: &Expected, came: &Result<Came, Trouble>) -> bool {
    let message = |kind: Kind, payload: &Payload, packed: Option<bool>| match came {
        Ok(Came::Message { kind: came, bytes, deflated }) => {
            *came == kind
                && packed.is_none_or(|packed| packed == *deflated)
                && *bytes == *payload.bytes()
        }
        Ok(Came::Pong(_) | Came::Close(_)) | Err(_) => false,
    };
    match expected {
        Expected::Message(kind, payload) => message(*kind, payload, None),
        Expected::Deflated(kind, payload) => message(*kind, payload, Some(true)),
        Expected::Plain(kind, payload) => message(*kind, payload, Some(false)),
        Expected::Pong(bytes) => matches!(came, Ok(Came::Pong(came)) if came == bytes),
        Expected::Close(codes) => {
            matches!(came, Ok(Came::Close(code)) if codes.contains(&code.unwrap_or(1005)))
        }
        Expected::End => *came == Err(Trouble::Ended),
        Expected::Gone => matches!(came, Err(Trouble::Ended | Trouble::Cut | Trouble::Reset)),
    }
}
