//! RFC 1951 read by the letter: strictly, slowly, and sharing nothing with what it is to judge.
#![forbid(unsafe_code)]

mod bits;
mod codes;
mod inflate;

pub use self::inflate::{InflateError, Inflated, inflate};
