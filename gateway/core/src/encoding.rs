//! The encodings in which members read their rooms, by the subprotocol they ask for.

/// How a member's frames look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Encoding {
    /// A message is a frame, and nothing else is said. `weir.raw`, or no subprotocol at all.
    #[default]
    Raw,
    /// As raw, for members that chat: they are told who is there too.
    Line,
    /// `weir.chat.v1`: JSON objects that say what they are.
    Chat,
    /// `weir.probe.v1`, for simulation and tests.
    #[cfg(feature = "probe")]
    Probe,
}

impl Encoding {
    /// How many there are.
    pub const COUNT: usize = if cfg!(feature = "probe") { 4 } else { 3 };

    /// The encoding as an array index.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Raw => 0,
            Self::Line => 1,
            Self::Chat => 2,
            #[cfg(feature = "probe")]
            Self::Probe => 3,
        }
    }

    /// Whether what its members hear may be deflated, RFC 7692.
    #[must_use]
    pub const fn deflates(self) -> bool {
        match self {
            Self::Raw | Self::Line | Self::Chat => true,
            #[cfg(feature = "probe")]
            Self::Probe => false,
        }
    }

    /// The encoding of a subprotocol, RFC 6455 §1.9; none for one that is not served.
    #[must_use]
    pub fn of_subprotocol(name: &str) -> Option<Self> {
        match name {
            "weir.raw" => Some(Self::Raw),
            crate::chat::SUBPROTOCOL => Some(Self::Chat),
            #[cfg(feature = "probe")]
            crate::probe::SUBPROTOCOL => Some(Self::Probe),
            _ => None,
        }
    }

    /// What the response says was picked, if it was offered.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Raw | Self::Line => "weir.raw",
            Self::Chat => crate::chat::SUBPROTOCOL,
            #[cfg(feature = "probe")]
            Self::Probe => crate::probe::SUBPROTOCOL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Encoding] = &[
        Encoding::Raw,
        Encoding::Line,
        Encoding::Chat,
        #[cfg(feature = "probe")]
        Encoding::Probe,
    ];

    #[test]
    fn each_encoding_has_a_place_of_its_own() {
        let places: Vec<_> = ALL.iter().map(|encoding| encoding.index()).collect();
        assert_eq!(places, (0..Encoding::COUNT).collect::<Vec<_>>());
    }

    #[test]
    fn an_encoding_is_found_by_the_name_that_it_gives() {
        // Those who read lines say the same as those who read them raw.
        for &encoding in ALL.iter().filter(|encoding| **encoding != Encoding::Line) {
            assert_eq!(Encoding::of_subprotocol(encoding.subprotocol()), Some(encoding));
        }
    }

    #[test]
    fn names_are_compared_letter_by_letter() {
        // RFC 6455 §4.1: what the response picks is one of the values offered, as it was offered.
        for name in ["", "raw", "chat", "weir.probe", "weir.probe.v2", "Weir.Probe.V1"] {
            assert_eq!(Encoding::of_subprotocol(name), None, "{name}");
        }
    }

    #[test]
    fn the_probe_is_served_only_where_it_is_compiled() {
        let served = Encoding::of_subprotocol("weir.probe.v1").is_some();
        assert_eq!(served, cfg!(feature = "probe"));
    }
}
