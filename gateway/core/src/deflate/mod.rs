//! permessage-deflate, RFC 7692: what is agreed on, and messages made smaller and larger again.
//!
//! A compressor costs 372 KiB and a decompressor 47 KiB, so both belong to the
//! shard and begin anew with each message. What a client's messages may refer back to, where it was
//! allowed to, is the only memory that a connection has for it.

mod agreement;
mod deflater;
mod inflater;

pub use self::agreement::{Agreement, Compression, Malformed};
pub use self::deflater::Deflater;
pub use self::inflater::{InflateError, Inflater, Slice, Window};

/// RFC 7692 §7.2.1: what ends each message, and is not sent.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Bytes of the longest window, RFC 7692 §7.1.2.
pub const WINDOW_BYTES_MAX: usize = 1 << 15;

/// How far back what is sent to a member may refer, if it reads deflated messages at all.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Reach {
    /// Nothing is deflated for it.
    #[default]
    None,
    /// It asked for a window of less than 2¹⁵ bytes, and gets the shortest that there is, so that
    /// all who did share what is sent to them.
    Narrow,
    /// 2¹⁵ bytes.
    Wide,
}

impl Reach {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// The reach as an array index.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}
