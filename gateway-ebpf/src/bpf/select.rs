//! The program that gives a connection to a shard's listener, when it begins, when it completes a
//! cookie, and when its listener is closed before it was accepted.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::bpf_hdr_start_off::BPF_HDR_START_NET;
use aya_ebpf::bindings::sk_action::SK_PASS;
use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_skb_load_bytes_relative};
use aya_ebpf::macros::sk_reuseport;
use aya_ebpf::programs::SkReuseportContext;
use aya_log_ebpf::warn;
use gateway_ebpf::abi::{Counter, Placement};
use gateway_ebpf::{Address, Ask, How, Rules, Source, Strategy, UNLIMITED, choose, hash};

use crate::maps::{self, Maps, count};

/// Never refuses anyone: whom it cannot place the kernel gives to some listener.
#[sk_reuseport(migrate)]
pub(crate) fn select(ctx: SkReuseportContext) -> u32 {
    let rules = rules();
    // SAFETY: the helper takes nothing and returns a number.
    let cpu = unsafe { bpf_get_smp_processor_id() } as u32;
    let source_hash =
        if rules.strategy as u32 == Strategy::Hash as u32 { source_hash(&ctx) } else { 0 };
    let ask = Ask { cpu, hash: ctx.hash(), source_hash };
    let choice = choose(&Maps, rules, ask);
    if maps::LISTENERS.select_reuseport(&ctx, choice.shard).is_err() {
        count(Counter::Unlisted);
        warn!(&ctx, "shard {} has no listener: the kernel takes another", choice.shard);
        return SK_PASS;
    }
    if ctx.migrating_sk().is_some() {
        count(Counter::Migrated);
        return SK_PASS;
    }
    count(match choice.how {
        How::Placed => Counter::Placed,
        How::Spilled => Counter::Spilled,
        How::Full => Counter::Full,
    });
    SK_PASS
}

/// Where packets were sent to their shard's CPU, that is where they are now. By source it is asked
/// again, which gives the same: one of several on that CPU, and the client's own.
#[inline(always)]
fn rules() -> Rules {
    let by_source = maps::STRATEGY.load() == Strategy::Hash as u32;
    if maps::PLACEMENT.load() == Placement::Core as u32 && !by_source {
        return Rules { strategy: Strategy::Affinity, slack_permille: UNLIMITED };
    }
    maps::rules()
}

/// The number of the packet's source, or of the flow where the packet is not there, as when a
/// connection that was complete moves on.
#[inline(always)]
fn source_hash(ctx: &SkReuseportContext) -> u32 {
    if ctx.eth_protocol() == ETH_P_IP {
        let mut octets = [0; 4];
        if load(ctx, IPV4_SOURCE, &mut octets) {
            return hash::of_source(Source::of(Address::v4(octets)));
        }
    } else {
        let mut octets = [0; 16];
        if load(ctx, IPV6_SOURCE, &mut octets) {
            return hash::of_source(Source::of(Address::v6(octets)));
        }
    }
    ctx.hash()
}

/// Reads from the packet's IP header.
#[inline(always)]
fn load<const N: usize>(ctx: &SkReuseportContext, offset: u32, into: &mut [u8; N]) -> bool {
    // SAFETY: the helper writes as many bytes as it is told, which is as many as there are.
    let refused = unsafe {
        bpf_skb_load_bytes_relative(
            ctx.as_ptr(),
            offset,
            into.as_mut_ptr().cast(),
            N as u32,
            BPF_HDR_START_NET,
        )
    };
    refused == 0
}

/// IPv4, as the context gives it: in network order.
const ETH_P_IP: u32 = 0x0800_u16.to_be() as u32;
const IPV4_SOURCE: u32 = 12;
const IPV6_SOURCE: u32 = 8;
