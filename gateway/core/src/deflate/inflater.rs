//! Makes a client's messages large again, no larger than they may be.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use super::{TAIL, WINDOW_BYTES_MAX};

/// What follows each message: its own end, which is not sent, and an empty last block, so that a
/// stream which is cut in the middle is told from one that is not.
const ENDING: [u8; 6] = [TAIL[0], TAIL[1], TAIL[2], TAIL[3], 0x03, 0x00];

/// Bytes that the smallest buffer has.
const BUFFER_BYTES_MIN: usize = 1 << 10;

/// Why a message could not be inflated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InflateError {
    /// It is no stream of RFC 1951, or not all of one.
    Malformed,
    /// It would have more bytes than it may.
    TooBig,
}

/// How much of a message is inflated at a time: as far as one of the two reaches, both at least 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slice {
    /// Bytes of what came.
    pub came_bytes_max: usize,
    /// Bytes of what comes out.
    pub out_bytes_max: usize,
}

impl Slice {
    /// All of it at once.
    pub const ALL: Self = Self { came_bytes_max: usize::MAX, out_bytes_max: usize::MAX };
}

/// Inflates messages, one at a time. Costs nothing until the first of them, then 47 KiB.
#[derive(Default)]
pub struct Inflater {
    state: Option<Decompress>,
    /// Bytes that it has taken of the message, and of what follows each.
    taken: usize,
}

impl Inflater {
    /// Replaces what is in `out` by the message that `deflated` is (RFC 7692 §7.2.2), which may
    /// refer back to what is in the `window`.
    ///
    /// `out` grows as the message does, to no more than twice its length.
    ///
    /// # Errors
    /// If it is malformed, or as soon as it is seen to have more than `bytes_max` bytes. `out` has
    /// no meaning then.
    pub fn inflate(
        &mut self,
        deflated: &[u8],
        window: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), InflateError> {
        self.begin(window)?;
        let ended = self.go_on(deflated, Slice::ALL, bytes_max, out)?;
        assert!(ended, "all of it is a slice that ends with the message");
        Ok(())
    }

    /// Begins a message, which may refer back to what is in the `window`, whatever was before.
    ///
    /// # Errors
    /// Only if what inflates takes no window, which is not known to happen.
    #[inline]
    pub fn begin(&mut self, window: &[u8]) -> Result<(), InflateError> {
        let state = self.state.get_or_insert_with(|| Decompress::new(false));
        state.reset(false);
        self.taken = 0;
        if !window.is_empty() {
            // A raw stream takes any window; an error would be a stream of another kind.
            state.set_dictionary(window).map_err(|_| InflateError::Malformed)?;
        }
        Ok(())
    }

    /// Goes on with the message that was begun, `deflated` being all of it each time, and replaces
    /// what is in `out` by what follows of it. Whether the message has ended.
    ///
    /// It stops where a slice ends; a buffer that is larger than a slice may be filled.
    ///
    /// # Errors
    /// If the message is malformed, or as soon as more than `bytes_max` bytes follow. `out` has no
    /// meaning then.
    ///
    /// # Panics
    /// If no message was begun, or it has ended.
    #[inline]
    pub fn go_on(
        &mut self,
        deflated: &[u8],
        slice: Slice,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, InflateError> {
        let state = self.state.as_mut().expect("a message was begun");
        let all = deflated.len() + ENDING.len();
        let pause = deflated.len().min(self.taken.saturating_add(slice.came_bytes_max));
        out.clear();
        loop {
            let input = match deflated.get(self.taken..pause) {
                Some(input) if !input.is_empty() => input,
                _ => &ENDING[self.taken - deflated.len()..],
            };
            if out.len() == out.capacity() {
                let more = out.capacity().max(4 * input.len()).max(BUFFER_BYTES_MIN);
                let more = more.min(slice.out_bytes_max - out.len());
                // One byte more than there may be, to see whether there are more.
                out.reserve_exact(more.min(bytes_max + 1 - out.len()));
            }
            let before = state.total_in();
            let inflated = state.decompress_vec(input, out, FlushDecompress::Sync);
            let status = inflated.map_err(|_| InflateError::Malformed)?;
            self.taken += (state.total_in() - before) as usize;
            let ended = status == Status::StreamEnd;
            if ended {
                // RFC 7692 §7.2.3.4: a last block may be followed by others.
                state.reset(false);
            }
            if out.len() > bytes_max {
                return Err(InflateError::TooBig);
            }
            if self.taken == all && (ended || out.len() < out.capacity()) {
                return if ended { Ok(true) } else { Err(InflateError::Malformed) };
            }
            let paused = self.taken == pause && pause < deflated.len();
            if paused || out.len() >= slice.out_bytes_max {
                return Ok(false);
            }
        }
    }

    /// Bytes that it has taken of the message that was begun last, and of what follows each.
    #[inline]
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Whether it has what it needs for a message.
    #[inline]
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.state.is_some()
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("used", &self.is_used()).finish()
    }
}

/// The last bytes that a client has said, to which its next message may refer: at most
/// [`WINDOW_BYTES_MAX`], and no more memory than that.
#[derive(Clone, Debug, Default)]
pub struct Window(Vec<u8>);

impl Window {
    /// The bytes, the oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Remembers a message.
    pub fn push(&mut self, message: &[u8]) {
        let message = &message[message.len().saturating_sub(WINDOW_BYTES_MAX)..];
        let kept = WINDOW_BYTES_MAX - message.len();
        self.0.drain(..self.0.len().saturating_sub(kept));
        let needed = self.0.len() + message.len();
        if needed > self.0.capacity() {
            let capacity = needed.next_power_of_two();
            self.0.reserve_exact(capacity - self.0.len());
        }
        self.0.extend_from_slice(message);
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    /// A sender that refers back to its earlier messages unless it is told to begin anew.
    struct Sender(Compress);

    impl Sender {
        fn new() -> Self {
            Self(Compress::new(Compression::default(), false))
        }

        fn say(&mut self, message: &[u8]) -> Vec<u8> {
            let mut out = Vec::with_capacity(message.len() + message.len() / 100 + 100);
            self.0.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
            assert!(out.ends_with(&TAIL));
            out.truncate(out.len() - TAIL.len());
            out
        }
    }

    fn inflated(deflated: &[u8], bytes_max: usize) -> Result<Vec<u8>, InflateError> {
        let mut out = Vec::new();
        Inflater::default().inflate(deflated, &[], bytes_max, &mut out)?;
        Ok(out)
    }

    /// Bytes that cannot be deflated, the same for the same seed.
    fn noise(len: usize, mut seed: u64) -> Vec<u8> {
        let mut byte = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        };
        (0..len).map(|_| byte()).collect()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        // RFC 7692 §7.2.3.1, .3, .4, .5 and .6.
        for deflated in [
            &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ] {
            assert_eq!(inflated(deflated, 5).as_deref(), Ok(&b"Hello"[..]), "{deflated:02x?}");
        }
        assert_eq!(inflated(b"\x00", 0).as_deref(), Ok(&b""[..]));
        assert_eq!(inflated(b"\x02\x00", 0).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn later_messages_may_refer_to_earlier_ones_where_these_are_kept() {
        // RFC 7692 §7.2.3.2: the same message, and then as a reference to it.
        let (first, second) = (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00");
        let (mut inflater, mut window, mut out) = (Inflater::default(), Window::default(), vec![]);
        for deflated in [&first[..], second] {
            inflater.inflate(deflated, window.as_slice(), 5, &mut out).unwrap();
            assert_eq!(out, b"Hello");
            window.push(&out);
        }
        assert_eq!(inflated(second, 5), Err(InflateError::Malformed), "nothing is there");
    }

    #[test]
    fn a_window_is_enough_for_any_stream_of_messages() {
        let (mut sender, mut inflater) = (Sender::new(), Inflater::default());
        let (mut window, mut out) = (Window::default(), Vec::new());
        for round in 0..60 {
            let mut message = noise(1 + round * 997 % 40_000, (round % 7) as u64);
            message.extend_from_slice(&message.clone());
            let deflated = sender.say(&message);
            inflater.inflate(&deflated, window.as_slice(), 80_000, &mut out).unwrap();
            assert_eq!(out, message, "{round}");
            window.push(&out);
            assert!(window.0.capacity() <= WINDOW_BYTES_MAX);
        }
    }

    #[test]
    fn a_message_of_the_longest_length_is_read_and_one_byte_more_is_not() {
        for len in [0, 1, 1023, 1024, 1025, 5000, 1 << 20] {
            for message in [vec![b'x'; len], noise(len, 3)] {
                let deflated = Sender::new().say(&message);
                assert_eq!(inflated(&deflated, len).as_ref(), Ok(&message), "{len}");
                if let Some(less) = len.checked_sub(1) {
                    assert_eq!(inflated(&deflated, less), Err(InflateError::TooBig), "{len}");
                }
            }
        }
    }

    #[test]
    fn a_bomb_costs_no_more_memory_than_the_longest_message() {
        let bomb = Sender::new().say(&vec![0; 64 << 20]);
        assert!(bomb.len() < 70_000);
        let mut out = Vec::new();
        let bytes_max = 100_000;
        let inflated = Inflater::default().inflate(&bomb, &[], bytes_max, &mut out);
        assert_eq!(inflated, Err(InflateError::TooBig));
        assert!(out.capacity() <= 2 * bytes_max, "{}", out.capacity());
    }

    #[test]
    fn what_is_cut_or_followed_by_anything_is_malformed() {
        let deflated = Sender::new().say(&noise(3000, 9).repeat(2));
        assert!(inflated(&deflated, 6000).is_ok());
        for len in 0..deflated.len() {
            if let Ok(message) = inflated(&deflated[..len], 6000) {
                assert_eq!((len, message.len()), (0, 0), "no message is as long as a part of it");
            }
        }
        for garbage in [&b"\xff"[..], b"\x06", b"\xff\xff\xff\xff", b"\x00\x01\x00\x00\x00"] {
            assert_eq!(inflated(garbage, 100), Err(InflateError::Malformed), "{garbage:02x?}");
        }
    }

    /// The same, in slices, each of which is looked at.
    fn inflated_in_slices(
        deflated: &[u8],
        window: &[u8],
        bytes_max: usize,
        slice: Slice,
    ) -> Result<Vec<u8>, InflateError> {
        let (mut inflater, mut message) = (Inflater::default(), Vec::new());
        inflater.begin(window)?;
        loop {
            let (taken, mut out) = (inflater.taken(), Vec::new());
            let left = bytes_max - message.len();
            let ended = inflater.go_on(deflated, slice, left, &mut out)?;
            let came = inflater.taken().min(deflated.len()) - taken.min(deflated.len());
            assert!(came <= slice.came_bytes_max && out.len() <= slice.out_bytes_max, "{slice:?}");
            assert!(ended || came == slice.came_bytes_max || out.len() == slice.out_bytes_max);
            message.extend_from_slice(&out);
            if ended {
                assert_eq!(inflater.taken(), deflated.len() + ENDING.len());
                return Ok(message);
            }
        }
    }

    #[test]
    fn slices_make_the_same_message_as_one_go() {
        let empty = [&[3, 0].repeat(500)[..], &[0]].concat();
        let later = [&Sender::new().say(&noise(900, 1)), &TAIL[..], b"\x03\x00", b"\x00"].concat();
        let window = noise(9000, 5);
        for seed in 0..40 {
            let sizes = noise(4, seed);
            let size = |at: usize| usize::from(sizes[at]);
            let mut message = noise(1 + size(0) * 9, seed);
            message.extend_from_slice(&vec![b'x'; size(1) * 40]);
            message.extend_from_slice(&window[size(2)..]);
            let mut sender = Sender::new();
            sender.say(&window);
            let refers_back = sender.say(&message);
            let cut = &refers_back[..refers_back.len() / 2];
            let slice = Slice { came_bytes_max: 1 + size(2), out_bytes_max: 1 + size(3) * 4 };
            for deflated in [&refers_back[..], cut, &Sender::new().say(&message), &empty, &later] {
                for bytes_max in [message.len(), message.len() - 1] {
                    let mut all = Vec::new();
                    let at_once =
                        Inflater::default().inflate(deflated, &window, bytes_max, &mut all);
                    for slice in [slice, Slice { came_bytes_max: 1, out_bytes_max: 1 }] {
                        let made = inflated_in_slices(deflated, &window, bytes_max, slice);
                        assert_eq!(made, at_once.map(|()| all.clone()), "{seed} {slice:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_found_in_its_slice() {
        let slice = Slice { came_bytes_max: 100, out_bytes_max: 1000 };
        let good = [&Sender::new().say(&noise(950, 7)), &TAIL[..]].concat();
        for pieces in 0..5 {
            let bad = [&good.repeat(pieces)[..], &[0xff; 900]].concat();
            let mut inflater = Inflater::default();
            inflater.begin(&[]).unwrap();
            let mut out = Vec::new();
            let slices = (0..).find(|_| inflater.go_on(&bad, slice, 9000, &mut out).is_err());
            assert_eq!(slices, Some(good.len() * pieces / 100), "{pieces}");
        }
    }

    #[test]
    fn what_one_message_was_does_not_matter_to_the_next() {
        let (mut inflater, mut out) = (Inflater::default(), Vec::new());
        let good = Sender::new().say(b"good");
        for bad in [&b"\xff\xff"[..], &good[..2], &Sender::new().say(&[7; 5000])] {
            assert!(inflater.inflate(bad, &[], 100, &mut out).is_err());
            assert_eq!(inflater.inflate(&good, &[], 100, &mut out), Ok(()));
            assert_eq!(out, b"good");
        }
    }
}
