//! What must be true of every frame that a network interface sees.

use std::cell::Cell;

use gateway_ebpf::{HEADERS_BYTES_MAX, Packet, parse};

use crate::packet_letter;

pub(crate) fn check(frame: &[u8]) {
    let watched = Watched { bytes: frame, end: Cell::new(0) };
    assert_eq!(parse(&watched), packet_letter::parse(frame), "as the standards say by the letter");
    let end = watched.end.get();
    assert!(end <= HEADERS_BYTES_MAX, "byte {end} is not for the parser");
}

/// A packet that remembers how far it was asked for.
struct Watched<'a> {
    bytes: &'a [u8],
    end: Cell<usize>,
}

impl Packet for Watched<'_> {
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.end.set(self.end.get().max(offset + N));
        self.bytes.load(offset)
    }
}
