//! Shards that come and go while visitors do, and listeners that are closed with someone waiting.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::clock;
use crate::metrics::Metrics;
use crate::steer::bed::Side;
use crate::steer::beside::Beside;
use crate::steer::crowd::{PATIENCE, Tally, Way};
use crate::steer::gateway::{Gateway, PORT};
use crate::steer::rung::{Rung, Selector};
use crate::steer::scenario::{Scenario, Stage};
use crate::steer::team::Team;
use crate::steer::visitor::Visitor;

/// Visitors that stay while shards come and go.
const STAYING: usize = 300;
/// Visitors that wait at listeners which are closed.
const WAITING: usize = 50;
/// Visitors that came and went before, between and after orders.
const SOME: u64 = 200;

pub(super) fn scenarios() -> Vec<Scenario> {
    let removal = |selector| {
        let name = format!("shard added and removed under load, {}", Selector::name(selector));
        let play = move |stage: &Stage<'_>| removed_under_load(stage, selector);
        let scenario = Scenario::new(name, play);
        if selector == Selector::Program { scenario.short() } else { scenario.without_bpf() }
    };
    let mut all: Vec<_> = Selector::ALL.map(removal).into_iter().collect();
    all.push(Scenario::new("shard drained: its visitors are told to go", drained));
    all.push(Scenario::new("shard removed with 50 waiting", removed_with_some_waiting));
    all.push(Scenario::new("process killed with 50 waiting", killed_with_some_waiting));
    all.push(Scenario::new("all shards full", all_full).without_flags());
    all
}

/// Nobody who comes meanwhile is turned away, and nobody who stays is lost.
fn removed_under_load(stage: &Stage<'_>, selector: Selector) -> Result<String> {
    let gateway = stage.steer(Rung::selector(selector), &[])?;
    let mut visitors = stage.crowd(&gateway, STAYING)?;
    let way = stage.way(&gateway);
    let ((), tally) = stage.meanwhile(&way, || {
        some_more(&gateway)?;
        let added = add(&gateway)?;
        some_more(&gateway)?;
        let on_it = |it: &Metrics| shard(it, "weir_accepted_total", &added) > 0;
        gateway.until("visitors come to the new shard", on_it)?;
        remove(&gateway, "0", "")?;
        let is_vacant = |it: &Metrics| shard(it, "weir_shard_connections", "0") == 0;
        gateway.until("nobody is on the removed shard", is_vacant)?;
        some_more(&gateway)
    })?;
    tally.expect(usize::try_from(tally.served)?)?;
    stage.team.echo_once(&mut visitors)?;
    visitors.into_iter().for_each(Visitor::reset);
    Ok(format!("{tally} meanwhile, {STAYING} stayed"))
}

/// Those who were on a drained shard are told to go, and whoever comes afterwards is served.
fn drained(stage: &Stage<'_>) -> Result<String> {
    let gateway = stage.steer(Rung::selector(Selector::Program), &[])?;
    let visitors = stage.crowd(&gateway, STAYING)?;
    let before = gateway.metrics()?.by("weir_shard_connections", "shard");
    let on_it = before.get("0").copied().unwrap_or_default();
    let others = STAYING as u64 - on_it;
    remove(&gateway, "0", "?drain=true")?;
    let left = |it: &Metrics| it.sum("weir_connections") <= others;
    gateway.until("those of the drained shard are gone", left)?;
    let more = stage.crowd(&gateway, STAYING)?;
    visitors.into_iter().chain(more).for_each(Visitor::reset);
    Ok(format!("{on_it} of {STAYING} told to go, {STAYING} served afterwards"))
}

/// Whoever waits at the listeners of a shard that is removed is served.
fn removed_with_some_waiting(stage: &Stage<'_>) -> Result<String> {
    let gateway = stage.steer(Rung::selector(Selector::Program), &[])?;
    let way = stage.way(&gateway);
    gateway.stop()?;
    let (_, tally) = waiting(stage, &way, || {
        std::thread::scope(|scope| {
            // It is answered only when the process goes on.
            let removing = scope.spawn(|| remove(&gateway, "0", ""));
            let going_on = gateway.signal(Signal::CONT);
            let removed = removing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            going_on.and(removed)
        })
    })?;
    tally.expect(WAITING)?;
    let late = gateway.metrics()?.sum("weir_accepted_late_total");
    Ok(format!("{tally}, {late} of them accepted late"))
}

/// Whoever waits at the listeners of a process that dies is served by who is left in its group.
fn killed_with_some_waiting(stage: &Stage<'_>) -> Result<String> {
    let rung = Rung::selector(Selector::Program);
    let first = stage.steer(rung, &[])?;
    let way = stage.way(&first);
    first.stop()?;
    let (_left, tally) = waiting(stage, &way, || {
        let left = Beside::join(stage.bed, way.to)?;
        first.signal(Signal::KILL)?;
        Ok(left)
    })?;
    tally.expect(WAITING)?;
    Ok(format!("{tally} by who is left"))
}

/// Has visitors wait at listeners that nobody accepts from, then does something; what came of it,
/// and of them.
fn waiting<T>(
    stage: &Stage<'_>,
    way: &Way,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, Tally)> {
    let way = Way { at_once: WAITING, until: clock::now() + PATIENCE, ..way.clone() };
    let team = Team::on(stage.bed, 0);
    std::thread::scope(|scope| {
        let coming = scope.spawn(|| team.gather(&way, WAITING));
        let done = until_queued(stage).and_then(|()| work());
        let came = coming.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let done = done?;
        let (visitors, tally) = came?;
        visitors.into_iter().for_each(Visitor::reset);
        Ok((done, tally))
    })
}

fn until_queued(stage: &Stage<'_>) -> Result<()> {
    let deadline = clock::now() + PATIENCE;
    loop {
        let table = stage.bed.on(Side::Gateway, || {
            std::fs::read_to_string("/proc/thread-self/net/tcp").context("no table of sockets")
        })?;
        let queued = queued(&table);
        if queued >= WAITING as u64 {
            return Ok(());
        }
        ensure!(clock::now() < deadline, "{queued} of {WAITING} wait at listeners");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Connections that wait to be accepted, of `/proc/net/tcp`: a listener's receive queue.
fn queued(table: &str) -> u64 {
    let at_listener = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, local, _, "0A", queues, ..] = words[..] else { return None };
        let (_, port) = local.rsplit_once(':')?;
        let (_, receive) = queues.split_once(':')?;
        let is_ours = u16::from_str_radix(port, 16) == Ok(PORT);
        is_ours.then(|| u64::from_str_radix(receive, 16).ok())?
    };
    table.lines().filter_map(at_listener).sum()
}

/// Who finds no place is told so, and when to come again.
fn all_full(stage: &Stage<'_>) -> Result<String> {
    const PLACES: usize = 20;
    let gateway = stage.start(["--max-connections", "20"])?;
    let (visitors, tally) = stage.team.gather(&stage.way(&gateway), PLACES * 2)?;
    let refused: u64 =
        tally.failed.iter().filter(|(why, _)| why.contains(" 503 ")).map(|(_, count)| count).sum();
    ensure!(tally.served == PLACES as u64 && refused == PLACES as u64, "{tally}");
    visitors.into_iter().for_each(Visitor::reset);
    Ok(tally.to_string())
}

/// Waits until some more have come.
fn some_more(gateway: &Gateway<'_>) -> Result<()> {
    let before = gateway.metrics()?.sum("weir_opened_total");
    let more = |it: &Metrics| it.sum("weir_opened_total") >= before + SOME;
    gateway.until("visitors come", more).map(|_| ())
}

/// Adds a shard; its number.
fn add(gateway: &Gateway<'_>) -> Result<String> {
    let (status, body) = gateway.order("POST", "/admin/shards")?;
    ensure!(status == 201, "POST /admin/shards is answered {status}: {body}");
    let shard: serde_json::Value = serde_json::from_str(&body).context("no JSON")?;
    let id = shard["id"].as_u64();
    Ok(id.with_context(|| format!("POST /admin/shards names no shard: {body}"))?.to_string())
}

fn remove(gateway: &Gateway<'_>, shard: &str, how: &str) -> Result<()> {
    let path = format!("/admin/shards/{shard}{how}");
    let (status, body) = gateway.order("DELETE", &path)?;
    ensure!((200..300).contains(&status), "DELETE {path} is answered {status}: {body}");
    Ok(())
}

/// A shard's number of a family; 0 if it has none.
fn shard(metrics: &Metrics, name: &str, shard: &str) -> u64 {
    metrics.by(name, "shard").get(shard).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_at_our_listeners_is_counted() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
             0: 01004D0A:232A 00000000:0000 0A 00000000:0000001E 00:00000000\n\
             1: 01004D0A:232A 00000000:0000 0A 00000000:00000014 00:00000000\n\
             2: 01004D0A:232B 00000000:0000 0A 00000000:00000007 00:00000000\n\
             3: 01004D0A:232A 02014D0A:9C40 01 00000000:0000007B 00:00000000\n";
        assert_eq!(queued(table), 30 + 20);
    }
}
