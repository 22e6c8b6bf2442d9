//! A story about steering: what it needs, and a stage to play it on.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Result, ensure};

use super::bed::{Bed, Cable, Family};
use super::crowd::{Tally, Way};
use super::gateway::{Gateway, Launch};
use super::ground::{Ground, Need};
use super::rung::{Rung, Selector, Xdp};
use super::team::Team;
use super::visitor::Visitor;

/// Visitors that a scenario has come unless it needs fewer.
pub(super) const CROWD: usize = 1000;

type Play = dyn Fn(&Stage<'_>) -> Result<String>;

/// A story with its name.
pub(super) struct Scenario {
    pub(super) name: String,
    /// Whether it belongs to the short form.
    pub(super) is_short: bool,
    /// Beside a bed.
    pub(super) needs: Vec<Need>,
    pub(super) cable: Cable,
    /// What it shows, in a few words; an error if it does not.
    pub(super) play: Box<Play>,
}

impl Scenario {
    /// One that belongs to the long form, and needs programs in the kernel.
    pub(super) fn new(
        name: impl Into<String>,
        play: impl Fn(&Stage<'_>) -> Result<String> + 'static,
    ) -> Self {
        let mut needs = vec![Need::Flag("--steer")];
        needs.extend(Need::BPF);
        Self {
            name: name.into(),
            is_short: false,
            needs,
            cable: Cable::Native,
            play: Box::new(play),
        }
    }

    /// In the short form too.
    pub(super) fn short(self) -> Self {
        Self { is_short: true, ..self }
    }

    /// Without programs in the kernel.
    pub(super) fn without_bpf(mut self) -> Self {
        self.needs.retain(|need| !Need::BPF.contains(need));
        self
    }

    /// Whatever the gateway is told of steering, or if it cannot be told.
    pub(super) fn without_flags(mut self) -> Self {
        self.needs.clear();
        self
    }

    /// On this cable, and not on one that takes native XDP.
    pub(super) fn on(self, cable: Cable) -> Self {
        Self { cable, ..self }
    }

    /// With more needs.
    pub(super) fn needing(mut self, need: Need) -> Self {
        self.needs.push(need);
        self
    }
}

/// Namespaces of a scenario's own, and the gateway to be started there.
pub(super) struct Stage<'a> {
    pub(super) bed: &'a Bed,
    pub(super) team: Team<'a>,
    ground: &'a Ground,
}

impl<'a> Stage<'a> {
    /// # Errors
    /// If the system does not say which CPUs may be used.
    pub(super) fn new(bed: &'a Bed, ground: &'a Ground) -> Result<Self> {
        Ok(Self { bed, team: Team::everywhere(bed)?, ground })
    }

    pub(super) fn weir(&self) -> &Path {
        &self.ground.weir
    }

    /// A gateway with a shard and a worker for each CPU.
    pub(super) fn launch(&self, flags: impl IntoIterator<Item = impl Into<String>>) -> Launch {
        let shards = self.team.len().to_string();
        Launch::new(self.weir(), ["--shards", &shards, "--workers", &shards]).with(flags)
    }

    /// Whether the gateway can be told how to steer.
    pub(super) fn can_steer(&self) -> bool {
        self.ground.has_flag("--steer")
    }

    /// Starts a gateway that steers like this over IPv4, with shards as these flags say.
    ///
    /// # Errors
    /// As of [`steer`](Self::steer).
    pub(super) fn launch_bare(&self, rung: Rung, flags: &[&str]) -> Result<Gateway<'a>> {
        let launch = Launch::new(self.weir(), rung.flags()).with(flags.iter().copied());
        let gateway = launch.start(self.bed, Family::V4.gateway())?;
        expect_mode(&gateway, rung.xdp, rung.selector)?;
        Ok(gateway)
    }

    /// Starts such a gateway over IPv4.
    ///
    /// # Errors
    /// If it does not start.
    pub(super) fn start(
        &self,
        flags: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Gateway<'a>> {
        self.launch(flags).start(self.bed, Family::V4.gateway())
    }

    /// Starts one that steers like this, and makes sure that it does.
    ///
    /// # Errors
    /// If it does not, or does something else.
    pub(super) fn steer(&self, rung: Rung, flags: &[&str]) -> Result<Gateway<'a>> {
        self.steer_over(Family::V4, rung, flags)
    }

    /// As [`steer`](Self::steer), over this family.
    ///
    /// # Errors
    /// As of [`steer`](Self::steer).
    pub(super) fn steer_over(
        &self,
        family: Family,
        rung: Rung,
        flags: &[&str],
    ) -> Result<Gateway<'a>> {
        let launch = self.launch(rung.flags()).with(flags.iter().copied());
        let gateway = launch.start(self.bed, family.gateway())?;
        expect_mode(&gateway, rung.xdp, rung.selector)?;
        Ok(gateway)
    }

    /// From these addresses to the gateway.
    pub(super) fn way_from(&self, gateway: &Gateway<'_>, from: &[IpAddr]) -> Way {
        Team::way(gateway.addr(), from.to_vec())
    }

    /// From all client addresses to the gateway.
    pub(super) fn way(&self, gateway: &Gateway<'_>) -> Way {
        let to = gateway.addr();
        let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
        Team::way(to, family.sources())
    }

    /// Has so many visitors come, all of whom are served, and stay.
    ///
    /// # Errors
    /// If one is not served.
    pub(super) fn crowd(&self, gateway: &Gateway<'_>, total: usize) -> Result<Vec<Visitor>> {
        let (visitors, tally) = self.team.gather(&self.way(gateway), total)?;
        tally.expect(total)?;
        Ok(visitors)
    }

    /// Has visitors come and go while something is done; what became of them.
    ///
    /// # Errors
    /// If it cannot be done.
    pub(super) fn meanwhile<T>(
        &self,
        way: &Way,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Tally)> {
        self.team.churn_while(way, work)
    }
}

/// # Errors
/// Unless the gateway says that it steers like this.
pub(super) fn expect_mode(gateway: &Gateway<'_>, xdp: Xdp, selector: Selector) -> Result<()> {
    let mode = gateway.mode()?;
    let is = |label: &str, value: &str| mode.get(label).is_some_and(|found| found == value);
    let as_told = is("xdp", xdp.name()) && is("selector", selector.name());
    ensure!(as_told, "it was told {} and {}, but says {mode:?}", xdp.name(), selector.name());
    Ok(())
}
