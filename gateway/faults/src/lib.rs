//! What a simulation may do to Weir's own code, and what it learns from it.
//!
//! - A [`Mutant`] is a fault put in on purpose, where a promise is kept: [`is`] says whether it is
//!   on. A harness that does not find it would not find the like of it either.
//! - A [`Point`] is a rare branch that production can take too: [`buggify!`] takes it often.
//! - A [`Mark`] is a moment that has to come in a campaign: [`sometimes!`] counts it.
//!
//! All of it is off, constant and compiled to nothing unless [`ENABLED`]: with the feature `sim`,
//! and with debug assertions in this package. So a release build has none, whatever features cargo
//! has unified; the profile `campaign`, a release that has them in this package alone, is for
//! `sim`.
//!
//! A run turns it on by a [`Scope`], whose state is the thread's own. Simulations run on one thread
//! each and many in a process: a global would have them meet, and a field would have to be carried
//! through the hub, the rings and the sockets to places that production has no use for. That the
//! core asks a thread-local makes it no less a function of state, event and time: what is drawn
//! follows from the scope's seed and from what was drawn before, and where no scope is, nothing is.
#![forbid(unsafe_code)]

mod listed;
mod mark;
mod mutant;
mod point;
#[cfg(feature = "sim")]
mod scope;

pub use mark::Mark;
pub use mutant::Mutant;
pub use point::Point;
#[cfg(feature = "sim")]
pub use scope::{Counts, Scope};

/// Whether this build can be made to fail on purpose. No release build can.
pub const ENABLED: bool = cfg!(all(feature = "sim", debug_assertions));

/// Whether the thread's scope has this fault.
#[cfg(feature = "sim")]
#[inline]
#[must_use]
pub fn is(mutant: Mutant) -> bool {
    ENABLED && scope::is(mutant)
}

/// Never.
#[cfg(not(feature = "sim"))]
#[inline(always)]
#[must_use]
pub const fn is(_: Mutant) -> bool {
    false
}

/// Whether the thread's scope takes this rare branch now. [`buggify!`] is the short form.
#[cfg(feature = "sim")]
#[inline]
#[must_use]
pub fn strikes(point: Point) -> bool {
    ENABLED && scope::strikes(point)
}

/// Never.
#[cfg(not(feature = "sim"))]
#[inline(always)]
#[must_use]
pub const fn strikes(_: Point) -> bool {
    false
}

/// Counts that this moment came. [`sometimes!`] is the short form.
#[cfg(feature = "sim")]
#[inline]
pub fn happened(mark: Mark) {
    if ENABLED {
        scope::happened(mark);
    }
}

/// Nothing.
#[cfg(not(feature = "sim"))]
#[inline(always)]
pub const fn happened(_: Mark) {}

/// Whether a rare branch is taken now: `buggify!(RingFull)`. In production it is `false`.
#[macro_export]
macro_rules! buggify {
    ($point:ident) => {
        $crate::strikes($crate::Point::$point)
    };
}

/// Says that a moment came: `sometimes!(GapTold)`, or `sometimes!(GapTold, missed > 1)` if it did.
/// In production the condition is not looked at.
#[macro_export]
macro_rules! sometimes {
    ($mark:ident) => {
        $crate::happened($crate::Mark::$mark)
    };
    ($mark:ident, $came:expr) => {
        if $crate::ENABLED && $came {
            $crate::happened($crate::Mark::$mark);
        }
    };
}
