//! The clock: measuring is what this program is for.

use std::time::Instant;

/// Now, on a clock that only goes forward.
#[expect(clippy::disallowed_methods, reason = "latency is measured with a clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
