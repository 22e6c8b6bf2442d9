//! Strategies of balance, decided by the kernel and, where it has no say, by the gateway.

use anyhow::{Result, ensure};

use crate::metrics::Metrics;
use crate::steer::bed::Family;
use crate::steer::rung::{Placement, Rung, Selector, Xdp};
use crate::steer::scenario::{Scenario, Stage};
use crate::steer::visitor::Visitor;

/// Visitors that are to be spread.
const SPREAD: usize = 400;

/// How connections are to lie on two shards, as the part that the fuller one may have.
struct Strategy {
    flags: &'static [&'static str],
    /// From, and to.
    fuller: [f64; 2],
}

const STRATEGIES: [(&str, Strategy); 4] = [
    ("least-connections", Strategy { flags: &[], fuller: [0.5, 0.6] }),
    ("weighted", Strategy { flags: &["--weights", "3"], fuller: [0.65, 0.85] }),
    ("round-robin", Strategy { flags: &[], fuller: [0.5, 0.55] }),
    ("random", Strategy { flags: &[], fuller: [0.5, 0.65] }),
];

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for selector in [Selector::Program, Selector::Hash] {
        let named = |name: &str| format!("balance {name}, {}", selector.name());
        let of = |scenario: Scenario| {
            if selector == Selector::Program { scenario } else { scenario.without_bpf() }
        };
        for (name, strategy) in &STRATEGIES {
            let play = move |stage: &Stage<'_>| spread(stage, selector, name, strategy);
            all.push(of(Scenario::new(named(name), play)));
        }
        let play = move |stage: &Stage<'_>| returning(stage, Rung::selector(selector), 2);
        all.push(of(Scenario::new(named("hash"), play)));
    }
    let rung = Rung { xdp: Xdp::Native, placement: Placement::Core, selector: Selector::Program };
    let play = move |stage: &Stage<'_>| returning(stage, rung, 2 * stage.team.len());
    all.push(Scenario::new("balance hash, core, two shards on each CPU", play).on(rung.cable()));
    all
}

/// Connections lie on shards as the strategy says.
fn spread(
    stage: &Stage<'_>,
    selector: Selector,
    name: &str,
    strategy: &Strategy,
) -> Result<String> {
    // Two, so that one number tells how they lie.
    let flags = [&["--shards", "2", "--balance", name], strategy.flags].concat();
    let gateway = stage.launch_bare(Rung::selector(selector), &flags)?;
    let visitors = stage.crowd(&gateway, SPREAD)?;
    let of = |it: &Metrics| it.by("weir_shard_connections", "shard");
    let all = |it: &Metrics| of(it).values().sum::<u64>() == SPREAD as u64;
    let by_shard = of(&gateway.until("all are counted", all)?);
    let fullest = by_shard.values().max().copied().unwrap_or_default();
    let [from, to] = strategy.fuller;
    let part = fullest as f64 / SPREAD as f64;
    ensure!((from..=to).contains(&part), "{by_shard:?}: the fuller one should have {from} to {to}");
    visitors.into_iter().for_each(Visitor::reset);
    Ok(format!("{by_shard:?} by shard"))
}

/// Whoever comes again from the same address meets the same shard, and not all do the same one.
fn returning(stage: &Stage<'_>, rung: Rung, shards: usize) -> Result<String> {
    let shards_flag = shards.to_string();
    let flags = ["--shards", &shards_flag, "--balance", "hash"];
    let gateway = stage.launch_bare(rung, &flags)?;
    let (mut kept, mut used) = (Vec::new(), vec![0; shards]);
    let count = || -> Result<Vec<u64>> {
        let by_shard = gateway.metrics()?.by("weir_shard_connections", "shard");
        let of = |shard: usize| by_shard.get(&shard.to_string()).copied().unwrap_or_default();
        Ok((0..shards).map(of).collect())
    };
    for source in Family::V4.sources() {
        let before = count()?;
        let (visitors, tally) = stage.team.gather(&stage.way_from(&gateway, &[source]), 4)?;
        tally.expect(4)?;
        kept.extend(visitors);
        let all = |it: &Metrics| it.sum("weir_shard_connections") == kept.len() as u64;
        gateway.until("all are counted", all)?;
        let came: Vec<_> = count()?.iter().zip(before).map(|(now, before)| now - before).collect();
        let at = came.iter().position(|&came| came == 4);
        let Some(at) = at else { anyhow::bail!("{source} met shards {came:?}") };
        used[at] += 1;
    }
    let met = used.iter().filter(|&&addresses| addresses > 0).count();
    ensure!(met > 1, "{used:?} addresses by shard: all met the same");
    Ok(format!("{used:?} addresses by shard, each always the same"))
}
