//! The ladder of selectors: who gives a connection to a shard's listener.

use super::super::asked::{Asked, Selector, Steer};
use super::super::facts::Facts;
use super::super::finding::{Finding, State};
use super::super::release::{CBPF, INCOMING_CPU, MIGRATE, Since};
use super::kernel;

/// From the top.
const RUNGS: [Selector; 4] =
    [Selector::Program, Selector::IncomingCpu, Selector::Cbpf, Selector::Hash];

/// The rung that connections are given to shards by, and why it is not a higher one.
pub(super) fn check(facts: &Facts, asked: &Asked) -> Finding {
    let steering = &asked.steering;
    if asked.plan.shards() == 1 {
        return Finding::idle("selector", "one shard: there is nothing to select");
    }
    if steering.steer == Steer::Off && steering.selector == Selector::Auto {
        let why = "--steer off: the kernel's hash, whatever CPU packets arrive on";
        return Finding::idle("selector", why).by("--steer auto");
    }
    if steering.selector != Selector::Auto {
        return named(facts, asked, steering.selector);
    }
    if steering.steer == Steer::Require
        && let Some((why, help)) = blocked(facts, asked, Selector::Program)
    {
        return Finding::refused("selector", format!("--steer require: {why}"), help);
    }
    climbed(facts, asked)
}

/// The rung that is asked for, or else the best that can be had.
#[must_use]
pub fn rung(facts: &Facts, asked: &Asked) -> Selector {
    match asked.steering.selector {
        Selector::Auto if asked.steering.steer == Steer::Off => Selector::Hash,
        Selector::Auto => {
            let free = RUNGS.into_iter().find(|&rung| blocked(facts, asked, rung).is_none());
            free.unwrap_or(Selector::Hash)
        }
        named @ (Selector::Program | Selector::IncomingCpu | Selector::Cbpf | Selector::Hash) => {
            named
        }
    }
}

fn named(facts: &Facts, asked: &Asked, rung: Selector) -> Finding {
    match blocked(facts, asked, rung) {
        Some((why, help)) => {
            Finding::refused("selector", format!("--selector {}: {why}", rung.name()), help)
        }
        None => Finding::active("selector", format!("{}, as asked: {}", rung.name(), does(rung))),
    }
}

fn climbed(facts: &Facts, asked: &Asked) -> Finding {
    let rung = rung(facts, asked);
    let does = does(rung);
    let why = format!("{}: {does}", rung.name());
    match blocked(facts, asked, Selector::Program) {
        None => Finding::active("selector", why),
        Some((block, help)) => {
            let why = format!("{why}; not program: {block}");
            // A lower rung that follows the CPU is still one.
            let state = if rung == Selector::Hash { State::Inactive } else { State::Active };
            Finding { state, ..Finding::slower("selector", why, help) }
        }
    }
}

fn does(rung: Selector) -> &'static str {
    match rung {
        Selector::Auto | Selector::Program => "the CPU's shard, or another by --balance and load",
        Selector::IncomingCpu => "the listener of the CPU, by SO_INCOMING_CPU",
        Selector::Cbpf => "the listener of the CPU, by a classic program",
        Selector::Hash => "the kernel's hash, whatever CPU packets arrive on",
    }
}

/// Why a rung cannot be had, and what would help.
fn blocked(facts: &Facts, asked: &Asked, rung: Selector) -> Option<(String, String)> {
    let since = |since: Since| match facts.kernel {
        Some(kernel) if !kernel.has(since) => {
            let (major, minor) = since;
            let why = format!("Linux {kernel} is older than {major}.{minor}");
            Some((why, format!("a kernel of {major}.{minor} or later")))
        }
        _ => None,
    };
    match rung {
        Selector::Program if asked.steering.steer == Steer::Off => {
            Some(("--steer off loads no programs".to_owned(), "--steer auto".to_owned()))
        }
        Selector::Program => since(MIGRATE).or_else(|| kernel::in_the_way(facts)),
        Selector::IncomingCpu => since(INCOMING_CPU).or_else(|| roaming(asked)),
        Selector::Cbpf => since(CBPF).or_else(|| roaming(asked)),
        Selector::Auto | Selector::Hash => None,
    }
}

/// Who follows CPUs needs workers that stay on theirs.
fn roaming(asked: &Asked) -> Option<(String, String)> {
    let stays = asked.plan.workers.iter().all(|worker| worker.cpu.is_some());
    let why = "workers are not pinned, so that no CPU is a shard's";
    (!stays).then(|| (why.to_owned(), "an affinity mask that can be read".to_owned()))
}
