//! Flags of `weir doctor`: those of `weir serve`, and how to tell.

use std::ffi::OsString;

use clap::Args;

use super::Serve;
use crate::config::Config;
use crate::doctor::{Asked, Options, Steering};
use crate::steer::SteerConfig;
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
    pub(super) serve: Serve,
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
            steering: steering(&config),
            plan,
        })
    }
}

fn steering(config: &Config) -> Steering {
    let SteerConfig { steer, ifaces, selector, placement, pin, .. } = config.steer.clone();
    let guard = config.sources.guard.clone();
    // Without a rate there is nothing to limit before the kernel.
    let limit_loopback = config.sources.loopback && config.sources.rate > 0;
    Steering { steer, ifaces, selector, placement, guard, limit_loopback, pin }
}
