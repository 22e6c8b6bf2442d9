//! A room's name as a key: owned in the table, borrowed when it is looked up.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, Hasher};

use siphasher::sip::SipHasher13;

/// The name of a known room.
#[derive(Debug)]
pub(super) struct Name {
    bytes: Box<[u8]>,
    namespace: u16,
}

/// A room's name, wherever it is kept.
pub(super) trait Named {
    fn parts(&self) -> (u16, &[u8]);
}

impl Name {
    pub(super) fn new(namespace: u16, name: &[u8]) -> Self {
        Self { bytes: name.into(), namespace }
    }
}

impl Named for Name {
    fn parts(&self) -> (u16, &[u8]) {
        (self.namespace, &self.bytes)
    }
}

impl Named for (u16, &[u8]) {
    fn parts(&self) -> (u16, &[u8]) {
        *self
    }
}

// A table of `Name` is asked by `&dyn Named`, so that a look-up allocates nothing; both hash and
// compare by their parts.
impl<'a> Borrow<dyn Named + 'a> for Name {
    fn borrow(&self) -> &(dyn Named + 'a) {
        self
    }
}

impl Hash for dyn Named + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Named + '_ {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Name {}

/// `SipHash` with a key that strangers do not know: names come from them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyed(pub(super) u64);

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, !self.0)
    }
}
