//! What a gateway is told about steering, as flags and as words.

use super::bed::{Cable, DEVICE};

/// Whether packets meet a program before the kernel has made anything of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Xdp {
    None,
    Native,
    Generic,
}

/// Who chooses a listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Selector {
    Program,
    IncomingCpu,
    Cbpf,
    Hash,
}

/// What becomes of a packet that came to another shard's CPU.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Placement {
    Observe,
    Node,
    Core,
}

/// One way to steer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Rung {
    pub(super) xdp: Xdp,
    pub(super) placement: Placement,
    pub(super) selector: Selector,
}

impl Xdp {
    pub(super) const ATTACHED: [Self; 2] = [Self::Native, Self::Generic];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

impl Selector {
    pub(super) const ALL: [Self; 4] = [Self::Program, Self::IncomingCpu, Self::Cbpf, Self::Hash];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::IncomingCpu => "incoming-cpu",
            Self::Cbpf => "cbpf",
            Self::Hash => "hash",
        }
    }

    /// Whether it gives a connection to the shard of the CPU that its packets come to.
    pub(super) fn follows_the_cpu(self) -> bool {
        self != Self::Hash
    }
}

impl Placement {
    pub(super) const ALL: [Self; 3] = [Self::Observe, Self::Node, Self::Core];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Node => "node",
            Self::Core => "core",
        }
    }
}

impl Rung {
    /// A selector without XDP.
    pub(super) fn selector(selector: Selector) -> Self {
        Self { xdp: Xdp::None, placement: Placement::Observe, selector }
    }

    /// The cable that it can be had on.
    pub(super) fn cable(self) -> Cable {
        if self.xdp == Xdp::Generic { Cable::Generic } else { Cable::Native }
    }

    /// As people call it.
    pub(super) fn name(self) -> String {
        let selector = self.selector.name();
        match self.xdp {
            Xdp::None => selector.to_owned(),
            Xdp::Native | Xdp::Generic => {
                format!("{} {} {selector}", self.xdp.name(), self.placement.name())
            }
        }
    }

    /// Flags of `weir serve` that mean this and nothing less.
    pub(super) fn flags(self) -> Vec<String> {
        let device = format!("{DEVICE}:{}", self.xdp.name());
        // A selector that is named is had or an error, whatever else is.
        let mut flags = vec!["--selector", self.selector.name()];
        if self.xdp != Xdp::None {
            flags.extend(["--steer", "require"]);
            flags.extend(["--iface", &device, "--placement", self.placement.name()]);
        }
        flags.into_iter().map(str::to_owned).collect()
    }

    /// Every way with XDP.
    pub(super) fn matrix() -> Vec<Self> {
        let mut rungs = Vec::new();
        for xdp in Xdp::ATTACHED {
            for placement in Placement::ALL {
                let rung = |selector| Self { xdp, placement, selector };
                rungs.extend(Selector::ALL.map(rung));
            }
        }
        rungs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_has_each_way_once() {
        let mut names: Vec<_> = Rung::matrix().into_iter().map(Rung::name).collect();
        assert_eq!(names.len(), 2 * 3 * 4);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 2 * 3 * 4);
    }

    #[test]
    fn a_selector_alone_names_no_device() {
        let flags = Rung::selector(Selector::Cbpf).flags();
        assert_eq!(flags, ["--selector", "cbpf"]);
        let flags = Rung::matrix()[0].flags().join(" ");
        let told = "--selector program --steer require --iface weir0:native --placement observe";
        assert_eq!(flags, told);
    }
}
