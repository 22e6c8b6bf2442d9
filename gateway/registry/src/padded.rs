//! A value on cache lines of its own, so that its writers slow nobody else down.

use std::ops::Deref;

/// Two lines of 64 bytes, since processors fetch them in pairs; one line of Apple's.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
