//! One attack from beginning to end: honest clients come, are measured in quiet and under
//! attack, and the gateway is looked at afterwards.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::attack::Attack;
use super::honest::{self, Crowd, Phase, Size};
use super::judge::{Limit, Row, allowed_resident};
use super::outcome::Seen;
use super::target::Target;
use super::warm;
use crate::clock;
use crate::metrics::Metrics;

/// Everyone has come; caches and pools fill.
const WARMING: Duration = Duration::from_millis(700);
const LOOK: Duration = Duration::from_millis(100);
/// How long an attack may take beyond its end: whatever it waits for is bounded.
const PATIENCE: Duration = Duration::from_secs(30);
/// What an attacker yields to who is measured: it would have a machine of its own.
const YIELDING: i32 = 5;
/// The lowest priority that there is.
const NICE_MAX: i32 = 19;

/// A gateway that is attacked.
pub(super) trait Gateway {
    /// Where clients connect.
    fn addr(&self) -> SocketAddr;
    /// Where operators look.
    fn admin(&self) -> SocketAddr;
    /// Bytes of memory that it has for itself.
    ///
    /// # Errors
    /// If it is gone.
    fn resident_bytes(&self) -> Result<u64>;
    /// All that it has logged.
    ///
    /// # Errors
    /// If it is not known.
    fn said(&self) -> Result<String>;
    /// Bounds the descriptors that it may have open from now on.
    ///
    /// # Errors
    /// If the system refuses.
    fn bound_descriptors(&self, most: u64) -> Result<()>;
}

impl Gateway for crate::Weir {
    fn addr(&self) -> SocketAddr {
        Self::addr(self)
    }

    fn admin(&self) -> SocketAddr {
        Self::admin(self)
    }

    fn resident_bytes(&self) -> Result<u64> {
        Self::resident_bytes(self)
    }

    fn said(&self) -> Result<String> {
        Self::said(self)
    }

    fn bound_descriptors(&self, most: u64) -> Result<()> {
        Self::bound_descriptors(self, most)
    }
}

/// How long each phase takes, and who is honest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script {
    /// The quiet phase, and the attack unless it needs longer.
    pub(super) phase: Duration,
    pub(super) size: Size,
    /// How long memory may take to come back, newcomers to be let in again, and honest clients to
    /// hear what was said.
    pub(super) patience: Duration,
}

/// Plays an attack against a gateway that has just been started.
///
/// # Errors
/// If the gateway ends, or honest clients are not let in.
pub(super) fn play(attack: &Attack, gateway: &dyn Gateway, script: Script) -> Result<Row> {
    let payload_bytes = attack.setting.payload_bytes.unwrap_or(script.size.payload_bytes);
    let crowd =
        Crowd::start(gateway.addr(), Size { payload_bytes, ..script.size }, script.patience)?;
    if attack.setting.warms {
        warm::up(gateway.addr())?;
    }
    if let Some(most) = attack.setting.descriptors {
        gateway.bound_descriptors(most)?;
    }
    crowd.enter(Phase::Warming);
    std::thread::sleep(WARMING);
    crowd.enter(Phase::Quiet);
    std::thread::sleep(script.phase);
    let before = gateway.resident_bytes()?;
    let counted = Metrics::read(gateway.admin())?;
    crowd.enter(Phase::Attacked);
    let (mut seen, peak) = assault(attack, gateway, script.phase.max(attack.setting.phase))?;
    crowd.enter(Phase::Settling);
    let after = settle(gateway, before, script.patience, &mut seen)?;
    let counting = count(gateway, &counted, &seen, script.patience);
    let report = crowd.finish()?;
    let counting = counting.context("after the attack")?;
    (attack.inspect)(&gateway.said()?, &counting.text, &mut seen);
    let name = |name: &&'static str| {
        let hits = counting.hits(name) - counted.hits(name);
        let due = seen.due.get(name).copied().unwrap_or_default();
        Limit { name, hits: counting.counts(name).then_some(hits), due }
    };
    let limits: Vec<_> = attack.limits.iter().map(name).collect();
    let others = counting.hits_since(&counted).into_iter();
    let others = others.filter(|(name, _)| !attack.limits.contains(&name.as_str()));
    seen.notes.extend(others.map(|(name, hits)| format!("{name} was counted {hits} times too")));
    Ok(Row {
        name: attack.name,
        limits,
        expected: attack.outcomes.to_vec(),
        seen,
        heard: report.heard,
        lost: report.lost,
        quiet: report.latency(Phase::Quiet),
        attacked: report.latency(Phase::Attacked),
        wrongs: report.wrongs,
        before,
        after,
        peak,
        growth_max: attack.growth_max,
    })
}

/// Attacks from a thread of its own while this one watches the gateway's memory.
fn assault(attack: &Attack, gateway: &dyn Gateway, phase: Duration) -> Result<(Seen, u64)> {
    let (addr, admin, run) = (gateway.addr(), gateway.admin(), attack.run);
    let thread = std::thread::Builder::new().name("attack".to_owned()).spawn(move || {
        yield_to_others();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let until = tokio::time::Instant::now() + phase;
            let target = Target { addr, admin, until };
            let late = || format!("the attack has not ended {PATIENCE:?} after its end");
            tokio::time::timeout(phase + PATIENCE, run(target)).await.with_context(late)?
        })
    })?;
    let mut peak = 0;
    while !thread.is_finished() {
        peak = peak.max(gateway.resident_bytes()?);
        std::thread::sleep(LOOK);
    }
    let seen = thread.join().map_err(|_| anyhow::anyhow!("the attack panicked"))?;
    Ok((seen?, peak))
}

/// The attackers' thread lets others go first. A mere nice value is not enough: whoever wakes waits
/// until the thread that runs has had its slice, 1.4 ms here, unless that is an idle one.
fn yield_to_others() {
    let nice = rustix::process::getpriority_process(None).unwrap_or_default();
    // Without it they only compete harder.
    let _ = rustix::process::setpriority_process(None, (nice + YIELDING).min(NICE_MAX));
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let mut idle = Command::new("chrt");
    idle.args(["--idle", "--pid", "0", &thread]).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = idle.status();
}

/// Waits until everything that is due was counted, or too long: shards tell their numbers now and
/// then, not with each hit.
fn count(
    gateway: &dyn Gateway,
    before: &Metrics,
    seen: &Seen,
    patience: Duration,
) -> Result<Metrics> {
    let start = clock::now();
    loop {
        let metrics = Metrics::read(gateway.admin())?;
        let told = |(limit, due): (&&str, &u64)| metrics.hits(limit) - before.hits(limit) >= *due;
        // Who does not count at all need not be waited for.
        let is_known = |(limit, _): &(&&str, &u64)| metrics.counts(limit);
        if seen.due.iter().filter(is_known).all(told) || start.elapsed() > patience {
            return Ok(metrics);
        }
        std::thread::sleep(LOOK);
    }
}

/// Waits until memory is back and newcomers are served, or too long; what is resident then.
fn settle(gateway: &dyn Gateway, before: u64, patience: Duration, seen: &mut Seen) -> Result<u64> {
    let start = clock::now();
    loop {
        let resident = gateway.resident_bytes()?;
        let newcomer = honest::newcomer(gateway.addr());
        let late = start.elapsed() > patience;
        if late || (resident <= allowed_resident(before) && newcomer.is_ok()) {
            if let Err(error) = newcomer {
                seen.wrong(format!("afterwards {error:#}"));
            }
            seen.notes.push(format!("settled after {:.1} s", start.elapsed().as_secs_f64()));
            return Ok(resident);
        }
        std::thread::sleep(LOOK);
    }
}
