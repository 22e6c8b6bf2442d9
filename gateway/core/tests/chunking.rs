//! However a client's bytes are cut into pieces, the same is heard, and it is what was said.

use gateway_core::close::{self, CloseCode};
use gateway_core::frame::{self, Kind, Opcode};
use gateway_core::limits::Limits;
use gateway_core::session::{Input, ProtocolError, Session};

/// An input that outlives its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Heard {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<CloseCode>, String),
}

/// All that was heard, and the error that ended it.
type Story = (Vec<Heard>, Option<ProtocolError>);

#[test]
fn a_stream_is_heard_alike_wherever_it_is_cut() {
    for seed in 0..6 {
        let (bytes, story) = Client::new(seed).speak(12, 100);
        assert_eq!(hear(&bytes, [bytes.len()]), story, "seed {seed} in one piece");
        for cut in 0..=bytes.len() {
            let heard = hear(&bytes, [cut, bytes.len() - cut]);
            assert_eq!(heard, story, "seed {seed} cut at {cut}");
        }
    }
}

#[test]
fn a_stream_is_heard_alike_byte_by_byte_and_in_random_pieces() {
    for seed in 0..60 {
        let mut client = Client::new(seed);
        let (bytes, story) = client.speak(20, 400);
        assert_eq!(hear(&bytes, vec![1; bytes.len()]), story, "seed {seed} byte by byte");
        for longest in [3, 17, 300, 2000] {
            let pieces = client.random.pieces(bytes.len(), longest);
            let heard = hear(&bytes, pieces);
            assert_eq!(heard, story, "seed {seed} in pieces of up to {longest}");
        }
    }
}

#[test]
fn lengths_at_the_edges_of_their_encodings_are_heard_alike() {
    let mut client = Client::new(1);
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537] {
        let payload: Vec<u8> = (0..len).map(|at: usize| at as u8).collect();
        let mut bytes = client.frame(Opcode::Binary, true, &payload);
        bytes.extend(client.frame(Opcode::Ping, true, b"after"));
        let heard = vec![Heard::Message(Kind::Binary, payload), Heard::Ping(b"after".to_vec())];
        let story = (heard, None);
        // Through both headers, and through the ends of both payloads.
        let near_ends = (0..40).chain(bytes.len().saturating_sub(40)..=bytes.len());
        for cut in near_ends.filter(|cut| *cut <= bytes.len()) {
            assert_eq!(hear(&bytes, [cut, bytes.len() - cut]), story, "{len} cut at {cut}");
        }
        assert_eq!(hear(&bytes, vec![1; bytes.len()]), story, "{len} byte by byte");
    }
}

#[test]
fn broken_streams_fail_alike_after_the_same_inputs() {
    let mut errors = Vec::new();
    for seed in 0..1500 {
        let mut client = Client::new(seed);
        let (mut bytes, _) = client.speak(6, 5);
        let at = client.random.below(bytes.len());
        bytes[at] ^= 1 << client.random.below(8);
        let story = hear(&bytes, [bytes.len()]);
        assert_eq!(hear(&bytes, vec![1; bytes.len()]), story, "seed {seed} byte by byte");
        for _ in 0..8 {
            let pieces = client.random.pieces(bytes.len(), 50);
            assert_eq!(hear(&bytes, pieces), story, "seed {seed} in random pieces");
        }
        if let (_, Some(error)) = story
            && !errors.contains(&error)
        {
            errors.push(error);
        }
    }
    assert!(errors.len() >= 8, "the streams break in many ways, not only by {errors:?}");
}

#[test]
fn every_rule_is_broken_alike_wherever_the_stream_is_cut() {
    let mut client = Client::new(7);
    let first = client.frame(Opcode::Text, true, b"heard");
    let open = client.frame(Opcode::Text, false, b"begun");
    let cases = [
        (client.frame(Opcode::Continuation, true, b"x"), ProtocolError::NothingToContinue),
        ([&open[..], &open].concat(), ProtocolError::Unfinished),
        (client.frame(Opcode::Ping, false, b"x"), ProtocolError::FragmentedControl),
        (client.frame(Opcode::Ping, true, &[0; 126]), ProtocolError::LongControl),
        (client.frame(Opcode::Close, true, b"\x03"), ProtocolError::CloseCode),
        (client.frame(Opcode::Close, true, b"\x03\xe8\xc0"), ProtocolError::NotUtf8),
        (client.frame(Opcode::Text, true, b"\xed\xa0\x80"), ProtocolError::NotUtf8),
        (client.frame(Opcode::Text, true, b"\xf4\x90"), ProtocolError::NotUtf8),
        (client.frame(Opcode::Text, true, b"cut \xe2\x82"), ProtocolError::NotUtf8),
        (client.frame(Opcode::Binary, true, &[0; 70_001])[..20].to_vec(), ProtocolError::TooBig),
        (b"\x82\x05hello".to_vec(), ProtocolError::Unmasked),
        (b"\xc2\x80abcd".to_vec(), ProtocolError::ReservedBits),
        (b"\x83\x80abcd".to_vec(), ProtocolError::UnknownOpcode),
        (b"\x82\xfe\0\x05abcdhello".to_vec(), ProtocolError::PaddedLength),
        (b"\x82\xff\x80\0\0\0\0\0\0\0abcd".to_vec(), ProtocolError::NegativeLength),
    ];
    for (bad, error) in cases {
        let bytes = [&first[..], &bad].concat();
        let story = (vec![Heard::Message(Kind::Text, b"heard".to_vec())], Some(error));
        for cut in 0..=bytes.len() {
            assert_eq!(hear(&bytes, [cut, bytes.len() - cut]), story, "{error} cut at {cut}");
        }
        assert_eq!(hear(&bytes, vec![1; bytes.len()]), story, "{error} byte by byte");
    }
}

/// Gives a new session the bytes in pieces of these lengths, until an error or a close frame.
fn hear(bytes: &[u8], pieces: impl IntoIterator<Item = usize>) -> Story {
    let limits = limits();
    let mut session = Session::default();
    let (mut heard, mut received) = (Vec::new(), 0);
    for len in pieces {
        let mut piece = bytes[received..received + len].to_vec();
        received += len;
        let mut input = &mut piece[..];
        loop {
            match session.next(&mut input, limits.message_bytes_max) {
                Ok(Some(said)) => heard.push(owned(said)),
                Ok(None) => break,
                Err(error) => return (heard, Some(error)),
            }
            if matches!(heard.last(), Some(Heard::Close(..))) {
                return (heard, None);
            }
        }
        assert!(input.is_empty(), "what is kept is taken off the input");
        let held_max = limits.message_bytes_max.min(2 * received);
        assert!(session.held_bytes() <= held_max, "held memory is bounded by what was received");
    }
    assert_eq!(received, bytes.len());
    (heard, None)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.message_bytes_max = 70_000;
    limits
}

fn owned(input: Input<'_>) -> Heard {
    match input {
        Input::Message { kind, payload } => Heard::Message(kind, payload.as_slice().to_vec()),
        Input::Ping(control) => Heard::Ping(control.as_slice().to_vec()),
        Input::Pong(control) => Heard::Pong(control.as_slice().to_vec()),
        Input::Deflated { .. } => unreachable!("no extension was negotiated"),
        Input::Close(closing) => Heard::Close(closing.code, closing.reason().to_owned()),
    }
}

/// Says random things, and remembers what should be heard.
struct Client {
    random: Random,
}

impl Client {
    fn new(seed: u64) -> Self {
        Self { random: Random(seed) }
    }

    /// Bytes of this many messages of up to `len_max` characters, and their story.
    fn speak(&mut self, messages: usize, len_max: usize) -> (Vec<u8>, Story) {
        let (mut bytes, mut heard) = (Vec::new(), Vec::new());
        for _ in 0..messages {
            self.control(&mut bytes, &mut heard);
            self.message(len_max, &mut bytes, &mut heard);
        }
        if self.random.below(2) == 0 {
            let payload = close::payload(CloseCode::AWAY, "bye, café");
            bytes.extend(self.frame(Opcode::Close, true, payload.as_slice()));
            heard.push(Heard::Close(Some(CloseCode::AWAY), "bye, café".into()));
        }
        (bytes, (heard, None))
    }

    /// A message, in one frame or in fragments with control frames in between.
    fn message(&mut self, len_max: usize, bytes: &mut Vec<u8>, heard: &mut Vec<Heard>) {
        let (kind, payload) = self.payload(len_max);
        let fragments = if self.random.below(2) == 0 { 1 } else { 1 + self.random.below(4) };
        let (mut opcode, mut rest) = (kind.opcode(), &payload[..]);
        for _ in 1..fragments {
            let (fragment, after) = rest.split_at(self.random.below(rest.len() + 1));
            bytes.extend(self.frame(opcode, false, fragment));
            self.control(bytes, heard);
            (opcode, rest) = (Opcode::Continuation, after);
        }
        bytes.extend(self.frame(opcode, true, rest));
        heard.push(Heard::Message(kind, payload));
    }

    fn payload(&mut self, len_max: usize) -> (Kind, Vec<u8>) {
        let len = self.random.below(len_max + 1);
        if self.random.below(3) == 0 {
            return (Kind::Binary, (0..len).map(|_| self.random.below(256) as u8).collect());
        }
        let characters = ['a', '\u{7ff}', '\u{d7ff}', '\u{1f600}', '\u{10ffff}', '\0'];
        let text: String = (0..len).map(|_| characters[self.random.below(6)]).collect();
        (Kind::Text, text.into_bytes())
    }

    /// Sometimes a ping or a pong.
    fn control(&mut self, bytes: &mut Vec<u8>, heard: &mut Vec<Heard>) {
        let payload = vec![b'c'; self.random.below(126)];
        match self.random.below(6) {
            0 => {
                bytes.extend(self.frame(Opcode::Ping, true, &payload));
                heard.push(Heard::Ping(payload));
            }
            1 => {
                bytes.extend(self.frame(Opcode::Pong, true, &payload));
                heard.push(Heard::Pong(payload));
            }
            _ => {}
        }
    }

    /// A masked frame, made from one of ours.
    fn frame(&mut self, opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
        let key: [u8; 4] = std::array::from_fn(|_| self.random.below(256) as u8);
        let mut frame = Vec::new();
        frame::put_header(&mut frame, Opcode::Binary, payload.len());
        frame[0] = u8::from(fin) << 7 | opcode.to_u8();
        frame[1] |= 0x80;
        frame.extend(key);
        frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }
}

/// A linear congruential generator with Knuth's constants: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// Lengths of up to `longest` that add up to `total`.
    fn pieces(&mut self, total: usize, longest: usize) -> Vec<usize> {
        let mut pieces = Vec::new();
        let mut left = total;
        while left > 0 {
            pieces.push(self.below(longest + 1).min(left));
            left -= pieces[pieces.len() - 1];
        }
        pieces
    }
}
