//! Fuzz targets as plain functions of bytes, which panic if Weir breaks a promise.
//!
//! `cargo xtask fuzz TARGET` searches on; the tests beside this replay every file of
//! `corpus/TARGET`. What a search finds is fixed, and its input kept there.
#![forbid(unsafe_code)]

mod agreed;
mod chat;
mod command;
mod decoded;
mod deflate;
mod differential;
mod frame_letter;
mod frames;
mod guard;
mod json;
mod packet;
#[path = "../../gateway-ebpf/tests/packet/letter.rs"]
mod packet_letter;
mod proxy;
mod request;
mod room;
mod story;
mod understood;
#[path = "../../gateway/core/tests/world/mod.rs"]
mod world;

use gateway_core::frame::{self, HEADER_BYTES_MAX, Kind};
use gateway_core::limits::Limits;
use gateway_core::session::Input;

use self::agreed::Agreed;
pub use self::differential::{DIFFERENCES, Difference, seen, tally};
use self::frame_letter::Reader;
use self::understood::understand;

/// Bytes of a message in these targets: few, so that the limit is reached, as are the others.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Fragments without a byte in a message.
const EMPTY_FRAGMENTS_MAX: u32 = 8;
/// Control frames that a client may send at once; time stands still here.
const CONTROLS_BURST: u32 = 24;

/// Bytes of a message where such are asked for that are inflated in slices, of up to 256 KiB.
const LARGE_MESSAGE_BYTES_MAX: usize = 640 << 10;
/// The bit of an input that asks for them.
const LARGE: u8 = 1 << 5;
/// Bytes of the shortest message that members are sent deflated.
const DEFLATE_BYTES_MIN: usize = 32;

/// Pieces in which a hub is given what a client sends; the rest comes in one.
const HUB_PIECES_MAX: usize = 32;

/// A client's bytes in one piece are understood as RFC 6455 says by the letter, and the
/// headers that we write are read back.
///
/// # Panics
/// If that is not so.
pub fn frame_parser(data: &[u8]) {
    let limits = limits();
    let mut letter = Reader::new(data, &limits, false);
    let mut closed = false;
    // Compared as it comes: nothing is kept, so that more inputs are tried.
    let error = story::hear_each(data, [data.len()], &limits, false, |input| {
        let by_letter = letter.next();
        assert!(matches!(&by_letter, Ok(Some(heard)) if heard == input), "{by_letter:?} {input:?}");
        closed = matches!(input, Input::Close(_));
    });
    if !closed {
        assert_eq!(error.map_or(Ok(None), Err), letter.next());
    }
    if let Some(len) = data.first_chunk() {
        // A length of any magnitude, rather than always a huge one.
        let payload_len = usize::try_from(u64::from_le_bytes(*len) >> (len[0] % 64)).unwrap_or(0);
        let mut header = Vec::new();
        frame::put_header(&mut header, Kind::Binary.opcode(), payload_len);
        assert!(header.len() == frame::header_len(payload_len) && header.len() < HEADER_BYTES_MAX);
        assert_eq!(frame::own_frame_len(&header), (header.len(), payload_len as u64));
    }
}

/// A request is read, decoded and answered in whole lines without control characters, and is
/// upgraded only with the headers of a handshake; a proxy's header before it is read as soon as it
/// is whole, and says the same in its other version.
///
/// # Panics
/// If that is not so.
pub fn handshake(data: &[u8]) {
    request::check(proxy::check(data), &Limits::default());
}

/// What is heard is what RFC 6455 says by the letter, with the same error, however the bytes are
/// cut into pieces, and memory is held for no more than twice what was received; and a whole hub
/// says the same: to the client, to other members of its room, and with a legal code if it closes.
/// What is deflated, by whoever, is what RFC 1951 says by the letter.
///
/// The first byte is what client and hub agree on about that: in its lowest two bits nothing (0),
/// messages by themselves (1), windows of what a client said (2), or these offered in vain (3); in
/// the next three the window that members ask for, from 8 to 15 bits. The next bit allows messages
/// that are inflated in slices. The next 8 bytes are the lengths of pieces, in turn; the rest is
/// what the client sends.
///
/// # Panics
/// If that is not so.
pub fn session(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let (lens, bytes) = data.split_at(data.len().min(8));
    let agreed = Agreed::of(*first);
    let limits = session_limits(agreed, first & LARGE != 0);
    let hear = |pieces: &mut dyn Iterator<Item = usize>| {
        story::hear(bytes, pieces, &limits, agreed.deflates)
    };
    let story = Reader::new(bytes, &limits, agreed.deflates).story();
    assert_eq!(hear(&mut [bytes.len()].into_iter()), story, "in one piece");
    assert_eq!(hear(&mut pieces(&[1], bytes.len())), story, "byte by byte");
    assert_eq!(hear(&mut pieces(lens, bytes.len())), story, "in pieces of {lens:?}");
    let told = room::tell(bytes, [bytes.len()], agreed, &limits);
    told.check(&understand(story, agreed, &limits), &limits);
    // Each piece is a turn of the hub's, which costs more than its bytes.
    let few = pieces(lens, bytes.len()).take(HUB_PIECES_MAX).chain([bytes.len()]);
    assert_eq!(room::tell(bytes, few, agreed, &limits), told, "the hub, in pieces of {lens:?}");
}

/// What a client may say beside frames means what it says by the letter: paths, queries, origins,
/// tokens, extensions, and lines typed where people chat. Operators' routes serve what they say.
///
/// The bytes are pieces with 0xFF in between, each of a kind that its first byte tells: a query
/// after `?`, an origin after `@`, credentials after `!`, a path after `%`, a route after `{`,
/// extensions after `~`; all others are typed.
///
/// # Panics
/// If that is not so.
pub fn command(data: &[u8]) {
    command::check(data);
}

/// A message that says it is deflated is what RFC 1951 says by the letter, and never longer than it
/// may be; what we deflate is read back with the smallest window that was agreed on.
///
/// The first byte is how hard we work, the second where the second message begins; the rest is two
/// messages as a client deflates them.
///
/// # Panics
/// If that is not so.
pub fn deflate(data: &[u8]) {
    deflate::check(data);
}

/// Tungstenite hears the same messages in the same order and refuses what we refuse, but for
/// [`DIFFERENCES`].
///
/// # Panics
/// If that is not so.
pub fn differential(data: &[u8]) {
    differential::check(data, &limits());
}

/// A list of who is denied and who is allowed says what its lines say by the letter, or its first
/// wrong line is named; and each address is told what the longest prefix says that has it.
///
/// # Panics
/// If that is not so.
pub fn guard(data: &[u8]) {
    guard::check(data);
}

/// The kernel's packet parser finds in a frame what the standards say by the letter, and looks no
/// further than it promises.
///
/// # Panics
/// If that is not so.
pub fn packet(data: &[u8]) {
    packet::check(data);
}

/// Lengths that add up to `total`: those of `lens` in turn.
fn pieces(lens: &[u8], total: usize) -> impl Iterator<Item = usize> {
    // If all are 0 the rest comes in one piece.
    let endless = lens.iter().any(|len| *len > 0);
    let turns = lens.iter().cycle().take(if endless { usize::MAX } else { 0 });
    let mut left = total;
    turns.map(|len| usize::from(*len)).chain([total]).map_while(move |len| {
        let len = len.min(left);
        left -= len;
        (left > 0 || len > 0).then_some(len)
    })
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.message_bytes_max = MESSAGE_BYTES_MAX;
    limits.empty_fragments_max = EMPTY_FRAGMENTS_MAX;
    limits.controls_burst = CONTROLS_BURST;
    limits
}

/// Where messages are deflated time may pass, by which nobody is pinged, late, or allowed more; and
/// so little of them may be made in a second and in a turn that clients have to wait.
fn session_limits(agreed: Agreed, large: bool) -> Limits {
    let mut limits = limits();
    if agreed.deflates {
        if large {
            limits.message_bytes_max = LARGE_MESSAGE_BYTES_MAX;
        }
        limits.inflated_bytes_per_sec = 2 * limits.message_bytes_max;
        limits.inflated_turn_bytes_max = limits.message_bytes_max;
        // Deflating large messages would take more time than all else.
        limits.deflate_bytes_max = MESSAGE_BYTES_MAX;
        limits.deflate_bytes_min = DEFLATE_BYTES_MIN;
        (limits.ping_secs, limits.message_secs, limits.controls_per_sec) = (0, 0, 0);
    }
    limits
}
