//! What a check finds: a fast path, whether it is there, and what that costs.

/// One fast path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What it is called: a stable name.
    pub name: &'static str,
    /// The device that it is about, if it is about one.
    pub device: Option<String>,
    /// Whether it is there.
    pub state: State,
    /// What that costs.
    pub severity: Severity,
    /// Why.
    pub why: String,
    /// What would turn it on.
    pub turn_on: Option<String>,
}

/// Whether a fast path is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It is, or will be when `weir serve` starts.
    Active,
    /// It is not.
    Inactive,
    /// It cannot be told from here.
    Unknown,
}

/// What it costs that a fast path is as it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// Nothing.
    Fine,
    /// Something is slower, or breaks sooner, than it could.
    Slower,
    /// Something that was asked for cannot be had.
    Refused,
}

impl Finding {
    /// A fast path that is there.
    #[must_use]
    pub fn active(name: &'static str, why: impl Into<String>) -> Self {
        Self {
            name,
            device: None,
            state: State::Active,
            severity: Severity::Fine,
            why: why.into(),
            turn_on: None,
        }
    }

    /// One that is not there, which costs nothing.
    #[must_use]
    pub fn idle(name: &'static str, why: impl Into<String>) -> Self {
        Self { state: State::Inactive, ..Self::active(name, why) }
    }

    /// One of which nothing is known.
    #[must_use]
    pub fn unknown(name: &'static str, why: impl Into<String>) -> Self {
        Self { state: State::Unknown, ..Self::active(name, why) }
    }

    /// One that is not there, which makes something slower, and what would turn it on.
    #[must_use]
    pub fn slower(name: &'static str, why: impl Into<String>, turn_on: impl Into<String>) -> Self {
        Self { severity: Severity::Slower, ..Self::idle(name, why).by(turn_on) }
    }

    /// One that was asked for and cannot be had, and what would help.
    #[must_use]
    pub fn refused(name: &'static str, why: impl Into<String>, turn_on: impl Into<String>) -> Self {
        Self { severity: Severity::Refused, ..Self::idle(name, why).by(turn_on) }
    }

    /// The same, and what would turn it on.
    #[must_use]
    pub fn by(self, turn_on: impl Into<String>) -> Self {
        Self { turn_on: Some(turn_on.into()), ..self }
    }

    /// The same, about a device.
    #[must_use]
    pub fn on(self, device: &str) -> Self {
        Self { device: Some(device.to_owned()), ..self }
    }
}

impl State {
    /// As screens and JSON have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Unknown => "unknown",
        }
    }
}

impl Severity {
    /// As JSON has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Slower => "slower",
            Self::Refused => "refused",
        }
    }

    /// The exit code of whoever finds nothing worse.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Slower => 1,
            Self::Refused => 2,
        }
    }
}
