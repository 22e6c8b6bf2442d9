//! What must be true of messages that are deflated, and of those that say they are.

use gateway_core::deflate::{
    Agreement, Compression, Deflater, InflateError, Inflater, Reach, Slice, WINDOW_BYTES_MAX,
    Window,
};
use letter::inflate;

/// Bytes of a message: few, so that the limit is reached.
const BYTES_MAX: usize = 1024;
/// How far back anything refers that those read who asked for a window of eight bits.
const NARROWEST: usize = 1 << 8;

/// The first byte says how hard we work, the second where the second message begins; both, how much
/// is inflated at a time.
pub(crate) fn check(data: &[u8]) {
    let Some((&[level, cut], bytes)) = data.split_first_chunk() else { return };
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let (mut inflater, mut window) = (Inflater::default(), Window::default());
    let mut deflater = Deflater::new(u32::from(level % 9) + 1);
    let slice = Slice {
        came_bytes_max: 1 + usize::from(level / 9),
        out_bytes_max: 1 + 4 * usize::from(cut),
    };
    let mut said = Vec::new();
    for deflated in [first, second] {
        let message = check_inflater(&mut inflater, deflated, window.as_slice(), slice);
        if let Some(message) = &message {
            window.push(message);
            said.extend_from_slice(message);
        }
        let last = &said[said.len().saturating_sub(WINDOW_BYTES_MAX)..];
        assert_eq!(window.as_slice(), last, "what was said last is remembered");
        for message in [&stretched(deflated), &message.unwrap_or_default()] {
            check_deflater(&mut deflater, &mut inflater, message);
        }
    }
}

/// A message is what RFC 1951 says by the letter, and no longer than it may be, whether it is
/// inflated at once or in slices.
fn check_inflater(
    inflater: &mut Inflater,
    deflated: &[u8],
    window: &[u8],
    slice: Slice,
) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let inflated = inflater.inflate(deflated, window, BYTES_MAX, &mut out).map(|()| &out);
    assert!(out.capacity() <= 2 * BYTES_MAX, "{} bytes of memory", out.capacity());
    let in_slices = inflate_in_slices(inflater, deflated, window, slice);
    let expected = inflate(deflated, window, BYTES_MAX).map(|read| read.bytes);
    for inflated in [inflated, in_slices.as_ref().map_err(|error| *error)] {
        match (inflated, &expected) {
            (Ok(message), expected) => assert_eq!(Ok(message), expected.as_ref()),
            (Err(InflateError::TooBig), expected) => {
                assert_eq!(*expected, Err(letter::InflateError::TooBig));
            }
            // What is malformed behind the limit may be seen first.
            (Err(InflateError::Malformed), expected) => assert!(expected.is_err(), "{expected:?}"),
        }
    }
    expected.ok()
}

/// As often as it goes on, it takes or gives as much as a slice may.
fn inflate_in_slices(
    inflater: &mut Inflater,
    deflated: &[u8],
    window: &[u8],
    slice: Slice,
) -> Result<Vec<u8>, InflateError> {
    inflater.begin(window)?;
    let (mut message, mut out) = (Vec::new(), Vec::new());
    for _ in 0..deflated.len() / slice.came_bytes_max + BYTES_MAX / slice.out_bytes_max + 2 {
        let ended = inflater.go_on(deflated, slice, BYTES_MAX - message.len(), &mut out)?;
        message.extend_from_slice(&out);
        if ended {
            return Ok(message);
        }
    }
    panic!("{deflated:?} is not at its end in slices of {slice:?}");
}

/// What we deflate is smaller, refers to nothing before it, and is read back with any window that
/// was agreed on.
fn check_deflater(deflater: &mut Deflater, inflater: &mut Inflater, message: &[u8]) {
    let (mut out, mut back) = (Vec::new(), Vec::new());
    assert!(!deflater.deflate(message, Reach::None, &mut out), "nothing is agreed on");
    for (reach, reach_max) in [(Reach::Wide, WINDOW_BYTES_MAX), (Reach::Narrow, NARROWEST)] {
        if !deflater.deflate(message, reach, &mut out) {
            continue;
        }
        assert!(out.len() < message.len(), "{} of {} bytes", out.len(), message.len());
        let read = inflate(&out, b"", message.len()).expect("we deflate by the letter");
        assert_eq!(read.bytes, message, "{reach:?}");
        assert!(read.reach <= reach_max, "{} is too far for {reach:?}", read.reach);
        assert_eq!(inflater.inflate(&out, b"", message.len(), &mut back), Ok(()), "{reach:?}");
        assert_eq!(back, message, "{reach:?}");
    }
}

/// Something that can be deflated: each pair is a byte and how often it comes, and all comes twice.
fn stretched(bytes: &[u8]) -> Vec<u8> {
    let runs = bytes.chunks_exact(2).flat_map(|pair| (0..pair[1]).map(|at| pair[0] ^ at & 1));
    let once: Vec<_> = runs.take(BYTES_MAX / 2).collect();
    once.repeat(2)
}

/// What is agreed on was offered, and answered as RFC 7692 §7.1 has it.
pub(crate) fn check_offers(offers: &str) {
    let agreed = |compression| Agreement::of([offers.as_bytes()].into_iter(), compression);
    let off = agreed(Compression::Off);
    for compression in [Compression::Shared, Compression::Takeover] {
        let agreed = agreed(compression);
        assert_eq!(agreed.is_err(), off.is_err(), "what is no list is none for anybody");
        let Ok(Some(agreement)) = agreed else { continue };
        assert_eq!(off, Ok(None), "nothing is agreed on where nothing is deflated");
        check_answer(offers, agreement, compression);
    }
}

fn check_answer(offers: &str, agreement: Agreement, compression: Compression) {
    let answer = agreement.to_string();
    let mut words = answer.split("; ");
    assert_eq!(words.next(), Some("permessage-deflate"));
    assert!(offers.contains("permessage-deflate"), "{offers:?}");
    assert_eq!(words.next(), Some("server_no_context_takeover"), "we never refer back");
    let rest: Vec<_> = words.collect();
    let alone = rest.first() == Some(&"client_no_context_takeover");
    assert_eq!(alone, !agreement.keeps_window());
    assert!(alone || compression == Compression::Takeover && !offers.is_empty());
    let bits = match &rest[usize::from(alone)..] {
        [] => 15,
        [bits] => {
            let number = bits.strip_prefix("server_max_window_bits=").expect("it is the window");
            assert!(offers.contains("server_max_window_bits"), "{offers:?}");
            number.parse().expect("it is a number")
        }
        more => panic!("{more:?} was not asked for"),
    };
    let reach = if bits == 15 { Reach::Wide } else { Reach::Narrow };
    assert!((8..=15).contains(&bits) && agreement.reach() == reach, "{answer}");
}
