//! Time as an argument: nanoseconds for the driver, coarse ticks for deadlines.

/// Nanoseconds since the shard started, from a clock that never runs backwards.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Now(pub u64);

/// Length of a [`Tick`]: every deadline is kept, and met, with this resolution.
pub const TICK_NANOS: u64 = 250_000_000;

/// Ticks in a second.
pub(crate) const TICKS_PER_SEC: u32 = (1_000_000_000 / TICK_NANOS) as u32;

impl Now {
    /// A moment this many seconds after the shard's start.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// The tick this moment falls into.
    #[must_use]
    pub fn tick(self) -> Tick {
        Tick(u32::try_from(self.0 / TICK_NANOS).unwrap_or(u32::MAX - 1))
    }

    /// Nanoseconds from `earlier` to this moment; 0 if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A quarter of a second: four bytes hold a deadline for 34 years.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Tick(pub u32);

impl Tick {
    /// No deadline at all.
    pub const NEVER: Self = Self(u32::MAX);

    /// The tick by whose start at least `secs` full seconds have passed since any moment
    /// of this one; [`NEVER`](Self::NEVER) for 0, which turns a deadline off.
    #[must_use]
    pub fn after_secs(self, secs: u32) -> Self {
        if secs == 0 {
            return Self::NEVER;
        }
        let ticks = secs.saturating_mul(TICKS_PER_SEC).saturating_add(1);
        Self(self.0.saturating_add(ticks))
    }

    /// The first moment of this tick.
    #[must_use]
    pub const fn start(self) -> Now {
        Now(self.0 as u64 * TICK_NANOS)
    }
}
