//! Flags of `weir doctor`: those of `weir serve`, and how to tell.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::Serve;
use crate::doctor::{Asked, Iface, Options, Placement, Selector, Steer, Steering};
use crate::{machine, server};

/// Flags of `weir doctor`.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// Tell it as one JSON object, whose names stay.
    #[arg(long)]
    json: bool,
    /// Have each device named by --iface that has a single receive queue deal its packets out to
    /// the workers' CPUs (RPS), until the next boot. Tells what was there before and the line that
    /// brings it back, or what to type if it may not. Nothing else is ever changed.
    #[arg(long, requires = "iface")]
    fix: bool,
    #[command(flatten)]
    steering: SteeringFlags,
    #[command(flatten)]
    pub(super) serve: Serve,
}

/// Flags about programs and devices.
#[derive(Args, Clone, Debug)]
struct SteeringFlags {
    /// Whether connections are steered: not at all, as well as it goes, or by programs or not at
    /// all.
    #[arg(long, env = "WEIR_STEER", value_enum, default_value_t = Steer::Auto)]
    steer: Steer,
    /// A device that programs may be put on, in its driver, or with :generic in the kernel's
    /// slower path. Several flags for several devices. Default: those that --addr is on are looked
    /// at, and none but loopback is ever touched.
    #[arg(long, env = "WEIR_IFACE", value_name = "NAME[:native|:generic]", value_delimiter = ',')]
    iface: Vec<Iface>,
    /// Who gives a connection to a shard; auto takes the first of the others that can be had.
    #[arg(long, env = "WEIR_SELECTOR", value_enum, default_value_t = Selector::Auto)]
    selector: Selector,
    /// Which packets are moved to their shard's node or core before the kernel looks at them.
    #[arg(long, env = "WEIR_PLACEMENT", value_enum, default_value_t = Placement::Auto)]
    placement: Placement,
    /// Networks that are denied and allowed.
    #[arg(long, env = "WEIR_GUARD", value_name = "FILE")]
    guard: Option<PathBuf>,
    /// Where programs are kept for the next process.
    #[arg(long, env = "WEIR_PIN", value_name = "DIR")]
    pin: Option<PathBuf>,
}

impl Doctor {
    /// How to tell, and whether anything may be changed.
    #[must_use]
    pub fn options(&self) -> Options {
        Options { json: self.json, fix: self.fix }
    }

    /// What `weir serve` would be asked for with these flags; `variable` as for
    /// [`Serve::config`].
    ///
    /// # Errors
    /// If it would not start with them on this machine, in words that say what would be right.
    pub fn asked(&self, variable: impl Fn(&str) -> Option<OsString>) -> Result<Asked, String> {
        let config = self.serve.config(variable)?;
        let plan = machine::plan(config.request(), config.pin).map_err(|it| it.to_string())?;
        Ok(Asked {
            addr: config.addr.ip(),
            numa: config.numa.clone(),
            max_connections: config.max_connections,
            descriptors_beside: server::descriptors_beside(&config, plan.shards()),
            steering: self.steering(config.sources.loopback),
            plan,
        })
    }

    fn steering(&self, limit_loopback: bool) -> Steering {
        let SteeringFlags { steer, iface, selector, placement, guard, pin } = self.steering.clone();
        Steering { steer, ifaces: iface, selector, placement, guard, limit_loopback, pin }
    }
}
