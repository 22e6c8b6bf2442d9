//! Blocks of every kind, made by hand: what they say, and what is wrong with them.

mod stream;

use letter::{InflateError, inflate};
use stream::{DYNAMIC, END_OF_BLOCK, FIXED, RESERVED, STORED, Stream};

fn said(stream: Stream) -> Vec<u8> {
    stream.read().expect("it is a stream").bytes
}

fn block(kind: usize) -> Stream {
    Stream::default().block(kind)
}

/// Literals up to `a`, each with seven bits but for `a` and the end of the block, which have two.
fn literals() -> Vec<usize> {
    let mut lens = vec![0; 257];
    lens[..64].fill(7);
    (lens[usize::from(b'a')], lens[END_OF_BLOCK]) = (2, 2);
    lens
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    let read = |deflated: &[u8], window: &[u8]| inflate(deflated, window, 5);
    // RFC 7692 §7.2.3.1 and §7.2.3.3 to §7.2.3.5.
    for deflated in [
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    ] {
        assert_eq!(read(deflated, b"").map(|read| read.bytes).as_deref(), Ok(&b"Hello"[..]));
    }
    // §7.2.3.6.
    assert_eq!(read(b"\x00", b"").map(|read| read.bytes).as_deref(), Ok(&b""[..]));
    // §7.2.3.2.
    let again = b"\xf2\x00\x11\x00\x00";
    let hello = read(again, b"Hello").expect("it refers to what is there");
    assert_eq!((&hello.bytes[..], hello.reach), (&b"Hello"[..], 5));
    assert!(read(again, b"").is_err(), "nothing is there");
    assert!(read(again, b"llo").is_err(), "it is not long enough");
}

#[test]
fn stored_bytes_are_what_they_are() {
    assert_eq!(said(block(STORED).padded().bytes(b"\0\0\xFF\xFF")), b"");
    let long = vec![b'x'; 0xFFFF];
    assert_eq!(said(block(STORED).padded().bytes(b"\xFF\xFF\0\0").bytes(&long)), long);
    let short = block(STORED).padded().bytes(b"\x02\0\xFD\xFF").bytes(b"hi");
    assert_eq!(said(short.block(FIXED).fixed(33).fixed(END_OF_BLOCK)), b"hi!");
    let flipped = block(STORED).padded().bytes(b"\x02\0\xFD\xFE").bytes(b"hi");
    assert_eq!(flipped.mistake(), "a stored block whose lengths differ");
    let cut = block(STORED).padded().bytes(b"\xFF\0\0\xFF").bytes(b"hi");
    assert_eq!(cut.mistake(), "a block without its end");
}

#[test]
fn every_literal_has_a_fixed_code() {
    let all = (0..256).fold(block(FIXED), Stream::fixed).fixed(END_OF_BLOCK);
    assert_eq!(said(all), (0..=255).collect::<Vec<u8>>());
}

#[test]
fn every_length_has_its_code_and_its_bits() {
    // §3.2.5: codes come in fours, each four with one bit more than the last; but the last code
    // stands for the longest length alone.
    let mut least = 3;
    for code in 0..29 {
        let bits = if code == 28 { 0 } else { (code as u32 / 4).saturating_sub(1) };
        let least_here = if code == 28 { 258 } else { least };
        for more in [0, (1 << bits) - 1] {
            let stream = block(FIXED).fixed(b'x'.into()).fixed(257 + code);
            let stream = stream.bits(more, bits as usize).code(0, 5).fixed(END_OF_BLOCK);
            let expected = vec![b'x'; 1 + least_here + more];
            assert_eq!(said(stream), expected, "code {code} and {more}");
        }
        least += 1 << bits;
    }
}

#[test]
fn every_distance_has_its_code_and_its_bits() {
    let window: Vec<u8> = (0..1_u32 << 15).map(|at| (at.wrapping_mul(40_503) >> 9) as u8).collect();
    // §3.2.5: codes come in pairs, each pair with one bit more.
    let mut least = 1;
    for code in 0..30 {
        let bits = (code as u32 / 2).saturating_sub(1);
        for more in [0, (1 << bits) - 1] {
            let stream = block(FIXED).fixed(257).code(code, 5).bits(more, bits as usize);
            let read = inflate(&stream.fixed(END_OF_BLOCK).payload(), &window, 3);
            let read = read.expect("the window is long enough");
            let distance = least + more;
            let expected: Vec<_> =
                window[window.len() - distance..].iter().copied().cycle().take(3).collect();
            assert_eq!((read.bytes, read.reach), (expected, distance), "code {code} and {more}");
        }
        least += 1 << bits;
    }
    assert_eq!(least, (1 << 15) + 1, "all are seen");
}

#[test]
fn what_is_reserved_is_no_block_length_or_distance() {
    assert_eq!(block(RESERVED).mistake(), "a block of the reserved kind");
    let reserved = "a length or a distance that is reserved";
    for length in [286, 287] {
        let stream = block(FIXED).fixed(1).fixed(length).code(0, 5).fixed(END_OF_BLOCK);
        assert_eq!(stream.mistake(), reserved);
    }
    for distance in [30, 31] {
        let stream = block(FIXED).fixed(1).fixed(257).code(distance, 5).fixed(END_OF_BLOCK);
        assert_eq!(stream.mistake(), reserved);
    }
    let beyond = "codes for what is reserved";
    assert_eq!(block(DYNAMIC).lengths(&[8; 287], &[1, 1]).mistake(), beyond);
    assert_eq!(block(DYNAMIC).lengths(&[8; 257], &[5; 31]).mistake(), beyond);
}

#[test]
fn codes_of_a_block_are_its_own() {
    // Codes in the order of their lengths: `a` is 00, the end 01, and 1000000 the first byte.
    let head = block(DYNAMIC).lengths(&literals(), &[0]);
    let stream = head.code(0, 2).code(64 + 33, 7).code(0, 2).code(1, 2);
    assert_eq!(said(stream.clone()), b"a!a");
    // The next block has others.
    let again = stream.block(FIXED).fixed(33).fixed(END_OF_BLOCK);
    assert_eq!(said(again), b"a!a!");
}

#[test]
fn runs_stand_for_lengths() {
    // Nothing 33 times, `!` to `$` with three bits, nothing 219 times, and the end with one.
    let head = block(DYNAMIC).head(257, 1).length(18).bits(33 - 11, 7);
    let head = head.length(3).length(16).bits(0, 2);
    let head = head.length(18).bits(138 - 11, 7).length(18).bits(71 - 11, 7);
    let head = head.length(17).bits(10 - 3, 3).length(1).length(0);
    assert_eq!(said(head.code(0b100, 3).code(0b111, 3).code(0, 1)), b"!$");
}

#[test]
fn a_run_goes_on_from_literals_to_distances() {
    // `a`, `b` and the end with two bits, and five more with as many: a length, four distances.
    let head = block(DYNAMIC).head(258, 4).length(18).bits(97 - 11, 7).length(2).length(2);
    let head = head.length(18).bits(138 - 11, 7).length(18).bits(19 - 11, 7);
    let head = head.length(2).length(16).bits(5 - 3, 2);
    let stream = head.code(0, 2).code(1, 2).code(0b11, 2).code(1, 2);
    assert_eq!(said(stream.code(0b10, 2)), b"ababa");
}

#[test]
fn runs_of_nothing_and_runs_beyond_the_codes_are_told() {
    let repeats = block(DYNAMIC).head(257, 1).length(16).bits(0, 2);
    assert_eq!(repeats.mistake(), "a repetition of nothing");
    let most = |stream: Stream| stream.length(18).bits(127, 7);
    let beyond = most(most(block(DYNAMIC).head(257, 1)));
    assert_eq!(beyond.mistake(), "a repetition beyond the codes");
}

#[test]
fn one_distance_may_stand_alone_and_where_there_are_none_nothing_is_referred_to() {
    let mut lens = literals();
    // A length of three instead of half of the other bytes.
    lens[32..64].fill(0);
    lens.push(2);
    let refers = |distances: &[usize]| {
        // `a` is 00, the end 01, the length 10.
        block(DYNAMIC).lengths(&lens, distances).code(0, 2).code(0b10, 2)
    };
    assert_eq!(said(refers(&[1]).code(0, 1).code(1, 2)), b"aaaa");
    let nothing = "a code that stands for nothing";
    assert_eq!(refers(&[1]).code(1, 1).bits(0xFFFF, 16).bits(0xFFFF, 16).mistake(), nothing);
    assert_eq!(refers(&[0]).bits(0xFFFF, 16).bits(0xFFFF, 16).mistake(), nothing);
    let unused = "codes that leave bits over, or take too many";
    for distances in [&[2][..], &[1, 2], &[1, 1, 1], &[2, 2, 2]] {
        assert_eq!(refers(distances).mistake(), unused, "{distances:?}");
    }
}

#[test]
fn codes_of_literals_are_complete_and_the_end_has_one() {
    let unused = "codes that leave bits over, or take too many";
    let mut lens = literals();
    lens[0] = 0;
    assert_eq!(block(DYNAMIC).lengths(&lens, &[0]).mistake(), unused);
    lens[0] = 6;
    assert_eq!(block(DYNAMIC).lengths(&lens, &[0]).mistake(), unused);
    let mut lens = literals();
    lens.swap(END_OF_BLOCK, 255);
    assert_eq!(block(DYNAMIC).lengths(&lens, &[0]).mistake(), "a block that cannot end");
    let mut lens = vec![0; 257];
    lens[END_OF_BLOCK] = 1;
    assert_eq!(said(block(DYNAMIC).lengths(&lens, &[0]).code(0, 1)), b"", "only the end");
    let lengths = block(DYNAMIC).bits(0, 14).bits(0, 12);
    assert_eq!(lengths.mistake(), "codes for lengths that leave bits over");
}

#[test]
fn another_stream_may_follow_the_last_block_and_knows_nothing_of_it() {
    let first = Stream::default().last_block(FIXED).fixed(b'a'.into()).fixed(END_OF_BLOCK);
    let second = |stream: Stream| stream.padded().block(FIXED).fixed(b'b'.into());
    assert_eq!(said(second(first.clone()).fixed(END_OF_BLOCK)), b"ab");
    let reference = second(first).fixed(257).code(1, 5).fixed(END_OF_BLOCK);
    assert_eq!(reference.mistake(), "a distance to before the stream");
}

#[test]
fn a_message_has_as_many_bytes_as_it_may_and_no_more() {
    let bomb = block(FIXED).fixed(0).fixed(285).code(0, 5).fixed(285).code(0, 5);
    let bomb = bomb.fixed(END_OF_BLOCK).payload();
    let read = |window: &[u8], bytes_max| inflate(&bomb, window, bytes_max).map(|read| read.bytes);
    assert_eq!(read(b"", 517), Ok(vec![0; 517]));
    assert_eq!(read(b"window", 517), Ok(vec![0; 517]), "what was before does not count");
    assert_eq!(read(b"", 516), Err(InflateError::TooBig));
    assert_eq!(read(b"window", 0), Err(InflateError::TooBig));
}

#[test]
fn what_is_cut_anywhere_is_no_message() {
    let lens = literals();
    let stream = block(DYNAMIC).lengths(&lens, &[1]).code(0, 2).code(1, 2);
    let whole = stream.block(FIXED).fixed(b'b'.into()).fixed(END_OF_BLOCK).payload();
    assert!(inflate(&whole, b"", 2).is_ok());
    for len in 0..whole.len() {
        assert!(inflate(&whole[..len], b"", 2).is_err(), "the first {len} bytes");
    }
}
