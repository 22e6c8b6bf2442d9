//! Bytes that no client may send, before and behind the handshake, and what each has to lead to.

use super::client::{Client, Said};
use super::ears::Ears;
use super::wire;
use super::world::World;
use crate::rng::Rng;

/// How a connection has to end that said what it may not: by an answer with one of these statuses,
/// or a close frame with this code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spoiled {
    pub(super) statuses: &'static [u16],
    pub(super) code: Option<u16>,
    /// Whether it must end: some of it is wrong only if it comes fast.
    pub(super) surely: bool,
}

const PROTOCOL: u16 = 1002;
const INVALID: u16 = 1007;
const POLICY: u16 = 1008;
const TOO_BIG: u16 = 1009;

/// A head that is cut at its end.
const ENDLESS: usize = 9_000;
/// Header lines, and pings: more than any limit.
const MANY: usize = 300;

impl World {
    /// Somebody breaks the protocol, or a newcomer never speaks it.
    pub(super) fn talk_garbage(&mut self, id: u32) {
        self.ears.coverage.garbage += 1;
        let can_speak = self.ears.clients[id as usize].can_speak();
        if can_speak && !self.rng.one_in(3) {
            let empty_max = self.setting.limits.empty_fragments_max as usize;
            return self.ears.spoil(id, empty_max, &mut self.rng);
        }
        let wish = super::actions::Wish { room: Some(0), ..Default::default() };
        let Some(id) = self.connect(wish) else { return };
        let (request, statuses) = request(&mut self.rng);
        let client = &mut self.ears.clients[id as usize];
        client.up.clear();
        client.said.clear();
        client.up.extend_from_slice(&request);
        client.spoiled = Some(Spoiled { statuses, code: None, surely: true });
    }
}

/// A request that is none, and what it may be answered; with nothing if it never ends.
fn request(rng: &mut Rng) -> (Vec<u8>, &'static [u16]) {
    let good = "Host: weir.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let text = |text: String| text.into_bytes();
    match rng.below(10) {
        0 => {
            let mut bytes: Vec<u8> = (0..1 + rng.below(200)).map(|_| noise(rng)).collect();
            bytes.extend_from_slice(b"\r\n\r\n");
            (bytes, &[400])
        }
        // The hello of TLS, behind which nothing comes.
        1 => (vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], &[]),
        2 => (text("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n".into()), &[400]),
        3 => (text(format!("POST / HTTP/1.1\r\n{good}\r\n")), &[405]),
        4 => (text(format!("GET /no/such/path HTTP/1.1\r\n{good}\r\n")), &[404]),
        5 => (text("GET /ws/room-1 HTTP/1.1\r\nHost: weir.test\r\n\r\n".into()), &[426]),
        6 => (text(format!("GET / HTTP/1.1\r\n{}{good}\r\n", "X-A: b\r\n".repeat(MANY))), &[431]),
        7 => (vec![b'G'; ENDLESS], &[431, 400]),
        8 => (text(format!("GET /ws/a%00b HTTP/1.1\r\n{good}\r\n")), &[400]),
        _ => (text(format!("GET /ws/chat/a HTTP/1.1\r\n{good}\r\n")), &[401]),
    }
}

/// A byte of no text.
fn noise(rng: &mut Rng) -> u8 {
    0x80 | rng.below(128) as u8
}

impl Ears {
    /// A member says something after which nobody listens to it any more.
    fn spoil(&mut self, id: u32, empty_max: usize, rng: &mut Rng) {
        let client = &mut self.clients[id as usize];
        let code = match rng.below(15) {
            0 => raw(client, &[0xc2, 0x80, 1, 2, 3, 4], PROTOCOL),
            1 => raw(client, &[0x83, 0x80, 1, 2, 3, 4], PROTOCOL),
            2 => raw(client, &[0x09, 0x80, 1, 2, 3, 4], PROTOCOL),
            3 => framed(client, wire::PING, true, &[b'x'; 126], rng, PROTOCOL),
            4 => raw(client, &[0x82, 1, b'x'], PROTOCOL),
            5 => raw(client, &[0x82, 0xfe, 0, 5, 1, 2, 3, 4], PROTOCOL),
            6 => raw(client, &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], PROTOCOL),
            7 => framed(client, wire::CONTINUATION, true, b"x", rng, PROTOCOL),
            8 => {
                framed(client, wire::BINARY, false, b"x", rng, PROTOCOL);
                framed(client, wire::BINARY, true, b"x", rng, PROTOCOL)
            }
            9 => framed(client, wire::CLOSE, true, &1005_u16.to_be_bytes(), rng, PROTOCOL),
            10 => framed(client, wire::CLOSE, true, b"\x03\xe8\xff\xfe", rng, INVALID),
            11 => framed(client, wire::TEXT, true, b"\xc3\x28", rng, INVALID),
            12 => raw(client, &[0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4], TOO_BIG),
            13 => {
                framed(client, wire::BINARY, false, b"x", rng, POLICY);
                (0..=empty_max + 1).for_each(|_| {
                    framed(client, wire::CONTINUATION, false, b"", rng, POLICY);
                });
                POLICY
            }
            _ if client.probes => {
                // The frame is a message, and none of the subprotocol.
                framed(client, wire::BINARY, true, &[9, 9, 9], rng, POLICY);
                let end = client.before + client.up.len();
                client.said.push_back(Said { message: None, end });
                self.uttered += 1;
                POLICY
            }
            _ => {
                (0..MANY).for_each(|_| {
                    framed(client, wire::PING, true, b"", rng, POLICY);
                });
                client.spoiled = Some(Spoiled { statuses: &[], code: Some(POLICY), surely: false });
                return self.wake(id);
            }
        };
        client.spoiled = Some(Spoiled { statuses: &[], code: Some(code), surely: true });
        let junk = rng.below(40);
        client.up.extend((0..junk).map(|_| noise(rng)));
        self.wake(id);
    }
}

fn raw(client: &mut Client, bytes: &[u8], code: u16) -> u16 {
    client.up.extend_from_slice(bytes);
    code
}

fn framed(
    client: &mut Client,
    opcode: u8,
    last: bool,
    payload: &[u8],
    rng: &mut Rng,
    code: u16,
) -> u16 {
    wire::frame(&mut client.up, opcode, last, payload, rng);
    code
}
