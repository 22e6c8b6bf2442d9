//! Who may ask for a connection: what XDP drops, and what the host turns away at the door.

use crate::abi::Listed;
use crate::packet::Flags;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It asks for a connection, and its source is on the list of those who may not.
    Deny,
    /// It asks for a connection, and its source does so too often.
    Rate,
    /// It asks for a connection, its source is near its rate, and chance was against it.
    Shed,
}

/// Whether a segment asks for a connection. All others belong to one, or the kernel will say that
/// they do not: they are never judged.
#[inline(always)]
#[must_use]
pub const fn is_opening(flags: Flags) -> bool {
    flags.contains(Flags::SYN) && !flags.contains(Flags::ACK)
}

/// Judges whoever asks for a connection: what the list says of it counts, and where it says
/// nothing, what `rate` says, which is asked only then.
#[inline(always)]
pub fn judge(listed: Listed, rate: impl FnOnce() -> Verdict) -> Verdict {
    match listed {
        Listed::Allowed => Verdict::Pass,
        Listed::Denied => Verdict::Deny,
        Listed::Nowhere => rate(),
    }
}
