//! What a room makes of a client's bytes, through a whole hub.

use gateway_core::close::CloseCode;
use gateway_core::event::CloseReason;
use gateway_core::frame::Kind;
use gateway_core::limits::Limits;
use gateway_core::session::ProtocolError;

use crate::story::{Heard, Story};
use crate::world::{self, Frame, World};

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PONG: u8 = 0xA;

/// What became of it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Told {
    /// To the client itself.
    client: Vec<Frame>,
    /// To another member of its room.
    witness: Vec<Frame>,
    /// Whether the client's connection ended, and how.
    released: Option<CloseReason>,
}

/// Gives the hub the bytes in pieces of these lengths, of which the last may be longer than what is
/// left, behind a good handshake, as long as the connection is there.
pub(crate) fn tell(bytes: &[u8], pieces: impl IntoIterator<Item = usize>, limits: &Limits) -> Told {
    let mut world = World::with_limits(|of| *of = limits.clone());
    let [client, witness] = world.connect_all("/ws/lobby");
    let mut received = 0;
    for len in pieces {
        if world.wire(client).released.is_some() {
            break;
        }
        let piece = &bytes[received..];
        let piece = &piece[..len.min(piece.len())];
        received += piece.len();
        world.raw(client, piece);
        world.settle();
        let held = world.hub.inbound_bytes();
        assert!(
            held <= limits.message_bytes_max.min(2 * received),
            "{held} bytes held of {received}"
        );
    }
    let told = Told {
        client: world.heard(client),
        witness: world.heard(witness),
        released: world.wire(client).released,
    };
    assert!(world.wire(client).got.is_empty(), "no frame is cut");
    for slot in [client, witness] {
        if world.hub.is_live(slot) {
            world.end(slot);
        }
    }
    world.assert_empty();
    told
}

impl Told {
    /// What was told is what the session heard, as far as its client was listened to.
    pub(crate) fn check(&self, (heard, error): &Story, limits: &Limits) {
        let (heard, code) = listened_to(heard, *error, limits);
        let messages = heard.iter().filter_map(message);
        assert!(self.witness.iter().cloned().eq(messages), "{:?} of {heard:?}", self.witness);
        let (closes, answers): (Vec<_>, Vec<_>) =
            self.client.iter().partition(|frame| frame.opcode == CLOSE);
        check_pongs(&answers, heard);
        check_close(&closes, code);
        if let Some(close) = closes.first() {
            assert_eq!(self.client.last(), Some(*close), "a close frame is the last");
        }
        assert!(!closes.is_empty() || self.released.is_none(), "who did nothing wrong stays");
    }
}

/// What a client says until it is closed, and with which code it is: its own, the one of the rule
/// that it broke, or that of too many control frames.
fn listened_to<'a>(
    heard: &'a [Heard],
    error: Option<ProtocolError>,
    limits: &Limits,
) -> (&'a [Heard], Option<CloseCode>) {
    let is_control = |heard: &Heard| matches!(heard, Heard::Ping(_) | Heard::Pong(_));
    let mut controls = heard.iter().enumerate().filter(|(_, heard)| is_control(heard));
    if let Some((at, _)) = controls.nth(limits.controls_burst as usize) {
        return (&heard[..at], Some(CloseCode::POLICY));
    }
    let code = match (error, heard.last()) {
        (Some(error), _) => Some(error.code()),
        (None, Some(Heard::Close(code, _))) => Some(code.unwrap_or(CloseCode::NORMAL)),
        (None, _) => None,
    };
    (heard, code)
}

/// The frame that the others in the room hear.
fn message(heard: &Heard) -> Option<Frame> {
    match heard {
        Heard::Message(Kind::Text, payload) => {
            Some(Frame { opcode: TEXT, payload: payload.clone() })
        }
        Heard::Message(Kind::Binary, payload) => {
            Some(Frame { opcode: BINARY, payload: payload.clone() })
        }
        Heard::Ping(_) | Heard::Pong(_) | Heard::Close(..) => None,
    }
}

/// RFC 6455 §5.5.3: each ping has its pong, or a later one's.
fn check_pongs(answers: &[&Frame], heard: &[Heard]) {
    let mut pings = heard.iter().filter_map(|heard| match heard {
        Heard::Ping(payload) => Some(payload),
        Heard::Message(..) | Heard::Pong(_) | Heard::Close(..) => None,
    });
    for answer in answers {
        assert_eq!(answer.opcode, PONG, "nobody else spoke");
        assert!(pings.any(|ping| *ping == answer.payload), "a pong answers a ping, in their order");
    }
    assert_eq!(pings.next(), None, "the last ping is answered");
}

/// RFC 6455 §5.5.1 and §7.1.7: who closes is answered with its code, who breaks a rule is told
/// which, and nobody else is closed.
fn check_close(closes: &[&Frame], expected: Option<CloseCode>) {
    let told: Vec<_> = closes.iter().filter_map(|close| world::close_code(close)).collect();
    let expected = expected.map(CloseCode::to_u16);
    assert_eq!((told.len(), told.first().copied()), (closes.len(), expected));
    for close in closes {
        let reason = std::str::from_utf8(&close.payload[2..]);
        assert!(close.payload.len() <= 125 && reason.is_ok(), "{close:?}");
        let code = CloseCode::from_u16(told[0]);
        assert!(code.is_some(), "{close:?} is legal");
    }
}
