//! The XDP programs: who asks too often is dropped, and others go to their CPU.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_get_smp_processor_id, bpf_ktime_get_ns};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::{debug, warn};
use gateway_ebpf::abi::{Counter, Door, Flow, Placement, SLOTS, Word};
use gateway_ebpf::{
    Address, Admit, Ask, Bucket, Rate, Segment, Source, Strategy, Tables, Verdict, admit, choose,
    hash, is_opening, judge, parse,
};

use crate::frame::Frame;
use crate::maps::{self, Maps, count, count_at};

/// For frames of one buffer.
#[xdp]
pub(crate) fn steer(ctx: XdpContext) -> u32 {
    run(&ctx)
}

/// For frames of several: the headers are always in the first.
#[xdp(frags)]
pub(crate) fn steer_frags(ctx: XdpContext) -> u32 {
    run(&ctx)
}

#[inline(always)]
fn run(ctx: &XdpContext) -> u32 {
    let segment = match parse(&Frame(ctx)) {
        Ok(segment) => segment,
        Err(skip) => {
            count_at(Counter::Skipped.index() + skip.index());
            return XDP_PASS;
        }
    };
    // Other programs' packets are none of our business, not even to be counted.
    if !door().is_at(segment.destination, segment.destination_port) {
        return XDP_PASS;
    }
    let opening = is_opening(segment.flags);
    if opening && let Some(counter) = turned_away(ctx, &segment) {
        count(counter);
        return XDP_DROP;
    }
    place(ctx, &segment, opening)
}

#[inline(always)]
fn door() -> Door {
    let [first, last] = maps::ADDRESS.load();
    let octets = u128::from(first) | u128::from(last) << 64;
    Door { address: Address::v6(octets.to_le_bytes()), port: maps::PORT.load() as u16 }
}

/// What to count if whoever asks for a connection gets none.
#[inline(always)]
fn turned_away(ctx: &XdpContext, segment: &Segment) -> Option<Counter> {
    match judge(maps::listed(segment.source), || rate(segment.source)) {
        Verdict::Pass => None,
        Verdict::Deny => {
            // A thousandth of a flood is enough to see it.
            if is_thousandth() {
                debug!(ctx, "denied: one of about a thousand from {:i}", ipv6(segment.source));
            }
            Some(Counter::Deny)
        }
        Verdict::Rate => {
            if is_thousandth() {
                debug!(ctx, "too often: one of about a thousand from {:i}", ipv6(segment.source));
            }
            Some(Counter::Rate)
        }
        Verdict::Shed => Some(Counter::Shed),
    }
}

#[inline(always)]
fn is_thousandth() -> bool {
    // SAFETY: the helper takes nothing and returns a number.
    let random = unsafe { bpf_get_prandom_u32() };
    random & 1023 == 0
}

#[inline(always)]
fn ipv6(address: Address) -> [u8; 16] {
    address.octets()
}

/// Takes a token of the source's bucket.
#[inline(always)]
fn rate(address: Address) -> Verdict {
    let (interval, burst) = (maps::RATE_INTERVAL.load(), maps::RATE_BURST.load());
    let Some(rate) = Rate::of_nanos(interval, burst) else { return Verdict::Pass };
    if address.is_loopback() && maps::LIMIT_LOOPBACK.load() == 0 {
        return Verdict::Pass;
    }
    let source = Source::of(address);
    // SAFETY: the helper takes nothing and returns a number.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some(word) = maps::SOURCES.get_ptr_mut(source) else {
        let word = Bucket::FULL.without_one(rate, now).unwrap_or_default().word();
        // Whoever cannot be remembered cannot be bounded: the host's own bound remains.
        let _ = maps::SOURCES.insert(source, word, 0);
        return Verdict::Pass;
    };
    // SAFETY: a map's value of 8 bytes is aligned to 8, stays in the map's memory while the
    // program runs, and is only ever changed as a whole. Should it be given to another source
    // meanwhile, that one has a token less.
    let word = unsafe { &*word.cast::<Word>() };
    // SAFETY: the helper takes nothing and returns a number.
    let random = unsafe { bpf_get_prandom_u32() };
    // CPUs that come at the same moment take one token together.
    match admit(Bucket::from_word(word.get()), rate, now, random) {
        Admit::Pass(less) => {
            word.set(less.word());
            Verdict::Pass
        }
        Admit::Shed => Verdict::Shed,
        Admit::Over => Verdict::Rate,
    }
}

/// Sends a packet to its CPU, if the placement says so.
#[inline(always)]
fn place(ctx: &XdpContext, segment: &Segment, opening: bool) -> u32 {
    let placement = maps::PLACEMENT.load();
    if placement == Placement::Observe as u32 {
        count(Counter::Pass);
        return XDP_PASS;
    }
    // SAFETY: the helper takes nothing and returns a number.
    let here = unsafe { bpf_get_smp_processor_id() } as u32;
    let by_node = placement == Placement::Node as u32;
    let cpu = destination(segment, opening, by_node);
    if cpu == NO_CPU || cpu == here || by_node && is_same_node(cpu, here) {
        count(Counter::Pass);
        return XDP_PASS;
    }
    redirect(ctx, cpu)
}

#[inline(always)]
fn redirect(ctx: &XdpContext, cpu: u32) -> u32 {
    match maps::QUEUES.redirect(cpu, u64::from(XDP_PASS)) {
        Ok(action) => {
            count(Counter::Redirect);
            maps::count_redirect(cpu);
            action
        }
        Err(action) => {
            if is_thousandth() {
                warn!(ctx, "CPU {} has no queue: its packets stay where they arrive", cpu);
            }
            count(Counter::Stuck);
            action
        }
    }
}

#[inline(always)]
fn is_same_node(one: u32, other: u32) -> bool {
    let group = |cpu| Maps.cpu(cpu).map(|cpu| cpu.group.get());
    group(one) == group(other)
}

/// The CPU of a flow's shard: its slot's, unless that one took no more when the flow began.
#[inline(always)]
fn destination(segment: &Segment, opening: bool, by_node: bool) -> u32 {
    let hash = hash::of_flow(segment);
    let usual = cpu_of(Maps.slot(hash::below(hash, SLOTS as u32)));
    let Some(total) = Maps.total() else { return usual };
    if opening {
        let cpu = chosen(segment, by_node, usual, hash);
        if cpu != usual {
            total.flows.set(1);
            let _ = maps::FLOWS.insert(flow(segment), cpu, 0);
        } else if total.flows.get() != 0 {
            // Its ports may have been another's, that went elsewhere.
            let _ = maps::FLOWS.remove(flow(segment));
        }
        return cpu;
    }
    if total.flows.get() != 0
        && let Some(cpu) = maps::FLOWS.get_ptr(flow(segment))
    {
        // SAFETY: a map's value of 4 bytes is aligned to 4, and stays in the map's memory while
        // the program runs. Should it be given to another flow meanwhile, a packet goes astray to
        // another CPU, which serves it as well.
        return unsafe { *cpu };
    }
    usual
}

/// The CPU of the shard that takes a new flow.
#[inline(always)]
fn chosen(segment: &Segment, by_node: bool, usual: u32, hash: u32) -> u32 {
    let mut rules = maps::rules();
    if by_node {
        // Which shard of the node it will be, `select` decides.
        rules.strategy = Strategy::Affinity;
    }
    let source_hash = hash::of_source(Source::of(segment.source));
    cpu_of(choose(&Maps, rules, Ask { cpu: usual, hash, source_hash }).shard)
}

#[inline(always)]
fn cpu_of(shard: u32) -> u32 {
    match Maps.shard(shard) {
        Some(shard) => shard.cpu.number(),
        None => NO_CPU,
    }
}

/// Of a shard that has none of its own.
const NO_CPU: u32 = u32::MAX;

#[inline(always)]
fn flow(segment: &Segment) -> Flow {
    Flow {
        source: segment.source.octets(),
        destination: segment.destination.octets(),
        source_port: u32::from(segment.source_port),
        destination_port: u32::from(segment.destination_port),
    }
}
