//! What the raw client reads, and what it does not let pass.

use std::net::TcpListener;
use std::thread;

use super::*;

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of a server that says these bytes and ends.
fn hearing(bytes: &[u8]) -> Raw {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let bytes = bytes.to_vec();
    thread::spawn(move || listener.accept().unwrap().0.write_all(&bytes).unwrap());
    Raw::connect(addr, PATIENCE).unwrap()
}

#[test]
fn frames_are_read_however_long_they_are() {
    let mut bytes = b"\x81\x02hi\x89\x00".to_vec();
    let lens = [125, 126, 0xFFFF, 0x1_0000, 200_000];
    for len in lens {
        // A server's frame is a client's without its mask.
        Frame::binary(vec![7; len]).key(None).put(&mut bytes);
    }
    bytes.extend(b"\x41\x01d\x80\x00");
    let mut raw = hearing(&bytes);
    let text = Heard { fin: true, deflated: false, opcode: 1, payload: b"hi".to_vec() };
    assert_eq!(raw.frame(), Ok(text));
    assert_eq!(raw.frame().unwrap().opcode, opcode::PING);
    for len in lens {
        assert_eq!(raw.frame().unwrap().payload, vec![7; len]);
    }
    let first = raw.frame().unwrap();
    assert_eq!((first.fin, first.deflated), (false, true));
    assert_eq!(raw.frame().unwrap().opcode, opcode::CONTINUATION);
    assert_eq!(raw.frame(), Err(Trouble::Ended));
}

#[test]
fn what_no_server_may_send_is_told() {
    for (bytes, how) in [
        (&b"\x83\x00"[..], "opcode 0x3"),
        (b"\x8B\x00", "opcode 0xb"),
        (b"\xA1\x00", "bits 010"),
        (b"\x91\x00", "bits 001"),
        (b"\xC9\x00", "RSV1 on a frame with the opcode 0x9"),
        (b"\xC0\x00", "RSV1 on a frame with the opcode 0x0"),
        (b"\x09\x00", "not final"),
        (b"\x81\x80\0\0\0\0", "masked"),
        (b"\x89\x7E\x00\x7E", "126 bytes"),
        (b"\x81\x7E\x00\x7D", "shortest"),
        (b"\x81\x7F\0\0\0\0\0\0\xFF\xFF", "shortest"),
        (b"\x81\x7F\x80\0\0\0\0\0\0\0", "more than anybody"),
    ] {
        let Err(Trouble::Broken(told)) = hearing(bytes).frame() else { panic!("{bytes:02x?}") };
        assert!(told.contains(how), "{told:?} has no {how:?}");
    }
    for bytes in [&b"\x81"[..], b"\x81\x05hi", b"\x81\x7E\x01", b"\x81\x7F\0\0\0"] {
        assert_eq!(hearing(bytes).frame(), Err(Trouble::Cut), "{bytes:02x?}");
    }
    assert_eq!(hearing(b"").frame(), Err(Trouble::Ended));
}

#[test]
fn a_response_is_read_with_its_body_and_what_follows_is_frames() {
    let refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno\n";
    let mut raw = hearing(refusal);
    let response = raw.response().unwrap();
    assert_eq!((response.status, &response.body[..]), (400, &b"no\n"[..]));
    assert!(raw.is_drained());
    let mut raw = hearing(b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n\x81\x02hi");
    assert_eq!(raw.response().unwrap().value("A"), Some("b"));
    assert_eq!(raw.frame().unwrap().payload, b"hi");
    assert_eq!(hearing(&refusal[..9]).response(), Err(Trouble::Cut));
    assert_eq!(hearing(&refusal[..refusal.len() - 1]).response(), Err(Trouble::Cut));
    assert_eq!(hearing(b"").response(), Err(Trouble::Ended));
}

#[test]
fn who_says_nothing_is_late() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut raw = Raw::connect(addr, PATIENCE).unwrap();
    raw.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(raw.frame(), Err(Trouble::Late));
}

#[test]
fn bytes_arrive_whole_however_they_are_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut raw = Raw::connect(listener.local_addr().unwrap(), PATIENCE).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    raw.say(b"ab").unwrap();
    raw.say_in_pieces(b"cdefg", 2).unwrap();
    raw.hang_up().unwrap();
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"abcdefg");
}
