//! What is counted, lost and divided by: each row names its own.

/// What a server's time is divided by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unit {
    /// A message that reached one of those who were to hear it.
    Delivery,
    /// A message that came back to whoever sent it.
    Echo,
    /// A client that was let in.
    Connection,
}

impl Unit {
    pub(crate) fn one(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Echo => "echo",
            Self::Connection => "connection",
        }
    }

    pub(crate) fn many(self) -> &'static str {
        match self {
            Self::Delivery => "deliveries",
            Self::Echo => "echoes",
            Self::Connection => "connections",
        }
    }

    /// What a server takes for one.
    pub(crate) fn cost(self) -> &'static str {
        match self {
            Self::Delivery => "ns of CPU per delivery",
            Self::Echo => "ns of CPU per echo",
            Self::Connection => "ns of CPU per connection",
        }
    }

    /// What else is known of so many of which none was lost: whoever breaks it falls out.
    pub(crate) fn promise(self) -> &'static str {
        match self {
            Self::Delivery | Self::Echo => "none twice or out of order",
            Self::Connection => "none refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_told_per_one_of_what_is_counted() {
        for unit in [Unit::Delivery, Unit::Echo, Unit::Connection] {
            assert_eq!(unit.cost(), format!("ns of CPU per {}", unit.one()));
        }
    }
}
