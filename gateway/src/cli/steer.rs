//! Flags of steering: which programs the kernel runs for us, and where.

use std::path::PathBuf;

use clap::Args;

use crate::steer::{Iface, Placement, Selector, Steer, SteerConfig};

/// Flags of steering.
#[derive(Args, Clone, Debug)]
pub struct SteerFlags {
    /// Whether the kernel runs our programs, which give each connection to the shard that will
    /// serve it: off leaves it to the kernel's hash; auto takes what can be had and says what
    /// cannot; require does not start without. It takes CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON at
    /// start, which are given up then.
    #[arg(long, env = "WEIR_STEER", value_enum, default_value_t = Steer::Auto)]
    pub steer: Steer,
    /// A device whose packets XDP judges, counts and places before the kernel looks at them: in
    /// its driver, or with :generic also behind it, where it costs each packet a copy. Give the
    /// flag once for each device; none is touched that is not named. Default: loopback if --addr
    /// is there and there is something to do (--guard, --limit-loopback, --placement node or core,
    /// --steer require), else none.
    #[arg(long, env = "WEIR_IFACE", value_name = "NAME[:native|:generic]", value_delimiter = ',')]
    pub iface: Vec<Iface>,
    /// What gives a connection to a shard; auto takes the first of the others that can be had, and
    /// any other one that cannot be had is an error. All serve the same clients alike.
    #[arg(long, env = "WEIR_SELECTOR", value_enum, default_value_t = Selector::Auto)]
    pub selector: Selector,
    /// Which packets XDP sends to another CPU: none; those that arrived on another NUMA node than
    /// their shard's; or all that arrived on another CPU. A packet that is sent on costs two CPUs,
    /// so auto takes node only where all that a device receives arrives on one node and shards are
    /// on others too, and never core; weir doctor tells.
    #[arg(long, env = "WEIR_PLACEMENT", value_enum, default_value_t = Placement::Auto)]
    pub placement: Placement,
    /// A folder in a BPF file system, such as /sys/fs/bpf/weir, where XDP's links are kept when
    /// this process ends, for the one that takes over. Default: none, and XDP ends with the
    /// process.
    #[arg(long, env = "WEIR_PIN", value_name = "DIR")]
    pub pin: Option<PathBuf>,
}

impl SteerFlags {
    /// What they ask for, of a process that serves and nothing else.
    #[must_use]
    pub fn config(&self, debug: bool) -> SteerConfig {
        let Self { steer, iface, selector, placement, pin } = self.clone();
        SteerConfig {
            steer,
            ifaces: iface,
            selector,
            placement,
            pin,
            gives_up_capabilities: true,
            debug,
        }
    }
}
