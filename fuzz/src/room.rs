//! What a room makes of a client's bytes, through a whole hub.

use std::sync::Arc;

use gateway_core::close::CloseCode;
use gateway_core::event::{CloseReason, Event};
use gateway_core::frame::Kind;
use gateway_core::hub::{Config, Hub};
use gateway_core::limits::Limits;
use gateway_core::route::{RouteConfig, Routes};
use gateway_core::slot::Slot;

use crate::agreed::Agreed;
use crate::frame_letter::payload_bytes_max;
use crate::frames;
use crate::story::Heard;
use crate::understood::Understood;
use crate::world::{self, Frame, World};

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PONG: u8 = 0xA;

/// Times that a client waits before it is read from again: more than any input can ask for.
const WAITS_MAX: usize = 10_000;

/// Bytes up to which a message is inflated at once, and of what inflates one that is longer.
const SLICE_BYTES: usize = 256 << 10;
const INFLATER_BYTES: usize = 48 << 10;

/// What became of it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Told {
    /// To the client itself.
    client: Vec<Frame>,
    /// To another member of its room, and to one that reads deflated messages, where any does.
    witnesses: Vec<Vec<Frame>>,
    /// Whether the client's connection ended, and how.
    released: Option<CloseReason>,
}

/// Gives the hub the bytes in pieces of these lengths, of which the last may be longer than what is
/// left, behind a good handshake, as long as the connection is there.
pub(crate) fn tell(
    bytes: &[u8],
    pieces: impl IntoIterator<Item = usize>,
    agreed: Agreed,
    limits: &Limits,
) -> Told {
    let mut world = serving(agreed, limits);
    let client = enter(&mut world, Some(agreed));
    let plain = enter(&mut world, None);
    let reader = agreed.deflates.then(|| enter(&mut world, Some(agreed)));
    let mut received = 0;
    for len in pieces {
        if world.wire(client).released.is_some() {
            break;
        }
        let piece = &bytes[received..];
        let piece = &piece[..len.min(piece.len())];
        received += piece.len();
        world.raw(client, piece);
        hear_out(&mut world, client, received, limits);
        let held = world.hub.inbound_bytes();
        let held_max = payload_bytes_max(limits, agreed.deflates).min(2 * received);
        assert!(held <= held_max, "{held} bytes held of {received}");
    }
    let mut witnesses = vec![world.heard(plain)];
    witnesses.extend(reader.map(|reader| heard_inflated(&mut world, reader, agreed, limits)));
    let client_heard = world.heard(client);
    assert!(world.wire(client).got.is_empty(), "no frame is cut");
    let released = world.wire(client).released;
    for slot in [client, plain].into_iter().chain(reader) {
        if world.hub.is_live(slot) {
            world.end(slot);
        }
    }
    world.assert_empty();
    Told { client: client_heard, witnesses, released }
}

/// A world with a lobby, where messages may be deflated as the operator says.
fn serving(agreed: Agreed, limits: &Limits) -> World {
    let lobby = RouteConfig {
        path: "/lobby".to_owned(),
        namespace: Some("lobby".to_owned()),
        compression: agreed.compression,
        ..RouteConfig::default()
    };
    let routes = Arc::new(Routes::new(&[lobby]).expect("a lobby makes sense"));
    let mut world = World::new();
    world.hub = Hub::new(Config { routes, limits: limits.clone(), ..Config::default() });
    world
}

/// A member that offers what is to be agreed on, and is answered so, or that offers nothing.
fn enter(world: &mut World, agreed: Option<Agreed>) -> Slot {
    let mut request = world::request("/lobby");
    if let Some(agreed) = agreed {
        request.truncate(request.len() - 2);
        let offer = agreed.offer();
        request.extend(format!("Sec-WebSocket-Extensions: {offer}\r\n\r\n").into_bytes());
    }
    let slot = world.accept();
    world.raw(slot, &request);
    world.settle();
    let got = std::mem::take(&mut world.wire(slot).got);
    let got = String::from_utf8(got).expect("a response is text");
    assert!(got.starts_with("HTTP/1.1 101 "), "{got}");
    let answer = got.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    assert_eq!(answer, agreed.and_then(Agreed::answer).as_deref());
    slot
}

/// Lets time pass until all that came was understood: who has made much of what it sent, and who
/// comes after such a one, has to wait.
fn hear_out(world: &mut World, client: Slot, received: usize, limits: &Limits) {
    let work_bytes_max = if limits.message_bytes_max > SLICE_BYTES {
        limits.message_bytes_max + INFLATER_BYTES
    } else {
        0
    };
    for _ in 0..WAITS_MAX {
        world.settle();
        let held = world.hub.inbound_bytes();
        // What waits is put into a buffer of eight bytes at least.
        let held_max = 2 * received + 8 + work_bytes_max;
        assert!(held <= held_max, "{held} bytes held of {received} while it waits");
        let wire = world.wire(client);
        if wire.reads || wire.released.is_some() {
            return;
        }
        if let Some(due) = world.hub.poll_timeout() {
            world.now = world.now.max(due);
            world.hub.handle(world.now, Event::Tick);
        }
    }
    panic!("who waits is read from again");
}

/// What a member was told that reads deflated messages, no further back than it asked for.
fn heard_inflated(world: &mut World, slot: Slot, agreed: Agreed, limits: &Limits) -> Vec<Frame> {
    let got = std::mem::take(&mut world.wire(slot).got);
    let frames = frames::of_server(&got).into_iter();
    let inflated = frames.map(|(first, payload)| {
        assert_eq!(first & 0xB0, 0x80, "final and without other bits");
        let opcode = first & 0x0F;
        if first & 0x40 == 0 {
            return Frame { opcode, payload };
        }
        assert!(matches!(opcode, TEXT | BINARY), "{opcode} is a message");
        let read = letter::inflate(&payload, b"", limits.message_bytes_max);
        let read = read.expect("we deflate by the letter");
        assert!(read.reach <= agreed.reach_max(), "{} is too far for {agreed:?}", read.reach);
        let (made, of) = (payload.len(), read.bytes.len());
        assert!(of >= limits.deflate_bytes_min && made < of, "{made} bytes for {of}");
        Frame { opcode, payload: read.bytes }
    });
    inflated.collect()
}

impl Told {
    /// What was told is what is understood, as far as its client was listened to.
    pub(crate) fn check(&self, understood: &Understood, limits: &Limits) {
        let (heard, codes) = listened_to(understood, limits);
        for witness in &self.witnesses {
            let messages = heard.iter().filter_map(message);
            assert!(witness.iter().cloned().eq(messages), "{witness:?} of {heard:?}");
        }
        let (closes, answers): (Vec<_>, Vec<_>) =
            self.client.iter().partition(|frame| frame.opcode == CLOSE);
        check_pongs(&answers, heard);
        check_close(&closes, codes);
        if let Some(close) = closes.first() {
            assert_eq!(self.client.last(), Some(*close), "a close frame is the last");
        }
        assert!(!closes.is_empty() || self.released.is_none(), "who did nothing wrong stays");
    }
}

/// What a client says until it is closed, and with which codes it may be: its own, those of the
/// rule that it broke, or that of too many control frames, where they are counted.
fn listened_to<'a>(understood: &'a Understood, limits: &Limits) -> (&'a [Heard], &'a [CloseCode]) {
    let Understood { heard, codes } = understood;
    let is_control = |heard: &Heard| matches!(heard, Heard::Ping(_) | Heard::Pong(_));
    let mut controls = heard.iter().enumerate().filter(|(_, heard)| is_control(heard));
    match controls.nth(limits.controls_burst as usize) {
        Some((at, _)) if limits.controls_per_sec > 0 => (&heard[..at], &[CloseCode::POLICY]),
        Some(_) | None => (heard, codes),
    }
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
        Heard::Deflated(..) => unreachable!("what is understood is inflated"),
        Heard::Ping(_) | Heard::Pong(_) | Heard::Close(..) => None,
    }
}

/// RFC 6455 §5.5.3: each ping has its pong, or a later one's.
fn check_pongs(answers: &[&Frame], heard: &[Heard]) {
    let mut pings = heard.iter().filter_map(|heard| match heard {
        Heard::Ping(payload) => Some(payload),
        Heard::Message(..) | Heard::Deflated(..) | Heard::Pong(_) | Heard::Close(..) => None,
    });
    for answer in answers {
        assert_eq!(answer.opcode, PONG, "nobody else spoke");
        assert!(pings.any(|ping| *ping == answer.payload), "a pong answers a ping, in their order");
    }
    assert_eq!(pings.next(), None, "the last ping is answered");
}

/// RFC 6455 §5.5.1 and §7.1.7: who closes is answered with its code, who breaks a rule is told
/// which, and nobody else is closed.
fn check_close(closes: &[&Frame], codes: &[CloseCode]) {
    assert_eq!(closes.len(), usize::from(!codes.is_empty()), "{closes:?} for one of {codes:?}");
    let Some(close) = closes.first() else { return };
    let told = world::close_code(close).and_then(CloseCode::from_u16);
    assert!(told.is_some_and(|told| codes.contains(&told)), "{close:?} for one of {codes:?}");
    let reason = std::str::from_utf8(&close.payload[2..]);
    assert!(close.payload.len() <= 125 && reason.is_ok(), "{close:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session_limits;

    /// 4,096 zeros, deflated.
    const BOMB: &[u8] =
        b"\xEC\xC1\x01\x0D\x00\x00\x00\xC2\xA0\xF7\x4F\x6D\x0F\x07\x14\x00\x00\x00\xF0\x6E\x00";

    #[test]
    fn members_are_told_deflated_what_was_said() {
        let agreed = Agreed::of(0b1_1101);
        let limits = session_limits(agreed, false);
        let mut world = serving(agreed, &limits);
        let [client, reader] = [(); 2].map(|()| enter(&mut world, Some(agreed)));
        world.raw(client, &world::masked(0xC2, BOMB));
        world.settle();
        let got = &world.wire(reader).got;
        assert!(got[0] == 0xC2 && got.len() < 100, "{}", got.escape_ascii());
        let zeros = Frame { opcode: BINARY, payload: vec![0; 4096] };
        assert_eq!(heard_inflated(&mut world, reader, agreed, &limits), [zeros]);
    }

    #[test]
    fn who_made_much_of_what_it_sent_waits_and_is_heard_then() {
        let agreed = Agreed::of(0b1_1101);
        let limits = session_limits(agreed, false);
        let mut world = serving(agreed, &limits);
        let client = enter(&mut world, Some(agreed));
        let witness = enter(&mut world, None);
        let bytes = world::masked(0xC2, BOMB).repeat(6);
        world.raw(client, &bytes);
        world.settle();
        let at_once = world.heard(witness).len();
        assert!(!world.wire(client).reads && at_once < 6, "it waits, {at_once} of 6 are heard");
        hear_out(&mut world, client, bytes.len(), &limits);
        assert!(world.wire(client).reads && world.hub.inbound_bytes() == 0, "it is heard");
        assert_eq!(at_once + world.heard(witness).len(), 6);
    }

    #[test]
    fn a_message_in_slices_is_in_work_and_heard_then() {
        let seed = include_bytes!("../corpus/session/deflated-in-two-slices");
        let (agreed, bytes) = (Agreed::of(seed[0]), &seed[9..]);
        let limits = session_limits(agreed, true);
        let mut world = serving(agreed, &limits);
        let client = enter(&mut world, Some(agreed));
        let witness = enter(&mut world, None);
        world.raw(client, bytes);
        assert!(world.hub.inbound_bytes() > INFLATER_BYTES, "it is in work");
        hear_out(&mut world, client, bytes.len(), &limits);
        let zeros = Frame { opcode: BINARY, payload: vec![0; 300_000] };
        assert_eq!(world.heard(witness), [zeros, world::text("behind")]);
    }
}
