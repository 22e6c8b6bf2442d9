//! What programs cost, told and not judged: `cargo test --test programs report -- --nocapture`.

use std::fmt::Write;

use aya::programs::{ProgramInfo, SkReuseport};
use gateway_ebpf::abi::{Listed, Placement, names};
use gateway_ebpf::{Flags, Rate};

use crate::kernel::{DROP, Kernel, PASS, REDIRECT, Setup, open};
use crate::packets::{packet, syn, to_door};
use crate::placement::World;

/// Measurements of each packet, of which the median is told.
const ROUNDS: usize = 5;

/// Packets of a measurement; fewer where these would take longer than a fifth of a second, since
/// other tests wait.
const REPEAT_MAX: u32 = 2_000_000;
const NANOS_MAX: u64 = 200_000_000;

/// Packets by which it is known how long one takes.
const REPEAT_MIN: u32 = 20_000;

#[test]
fn report_what_programs_cost() {
    if let Some(tables) = report() {
        println!("{tables}");
    }
}

fn report() -> Option<String> {
    let mut text = String::from("\nprogram                        verified  translated   jited\n");
    for (name, setup) in programs() {
        let kernel = Kernel::load(setup)?;
        size(&mut text, name, &kernel.xdp().info().unwrap());
    }
    let mut object = open(Setup::default())?;
    let select: &mut SkReuseport = object.program_mut(names::SELECT).unwrap().try_into().unwrap();
    select.load().unwrap();
    size(&mut text, "select, affinity", &select.info().unwrap());
    text.push_str("\npacket                      nanoseconds  of all\n");
    times(&mut text)?;
    Some(text)
}

/// Each as it is asked for: what constants rule out is not in it.
fn programs() -> [(&'static str, Setup); 5] {
    let plain = Setup::default();
    [
        ("steer, observe", plain),
        ("steer, observe, rate", Setup { rate: plenty(), ..plain }),
        ("steer, node, rate", Setup { rate: plenty(), placement: Placement::Node, ..plain }),
        ("steer, core, rate", core()),
        ("steer_frags, core, rate", Setup { program: names::STEER_FRAGS, ..core() }),
    ]
}

/// A rate that nobody reaches.
fn plenty() -> Option<Rate> {
    Rate::new(u32::MAX, 1_000_000)
}

fn core() -> Setup {
    Setup { rate: plenty(), placement: Placement::Core, ..Setup::default() }
}

fn size(text: &mut String, name: &str, info: &ProgramInfo) {
    let told = |size: Option<u32>| size.map_or_else(|| "?".to_owned(), |size| size.to_string());
    let [verified, translated] = [info.verified_instruction_count(), info.size_translated()];
    let (verified, translated) = (told(verified), told(translated));
    let jited = info.size_jitted();
    writeln!(text, "{name:<30} {verified:>8} {translated:>11} {jited:>7}").unwrap();
}

fn times(text: &mut String) -> Option<()> {
    let mut kernel = Kernel::load(Setup { rate: plenty(), ..Setup::default() })?;
    kernel.list(0, &[("10.0.0.0/8", Listed::Denied)]);
    let elsewhere =
        packet("192.0.2.7:40000".parse().unwrap(), "198.51.100.9:22".parse().unwrap(), Flags::ACK);
    time(text, &kernel, "not ours", &elsewhere, PASS);
    time(text, &kernel, "ours, passes", &to_door("192.0.2.7", Flags::ACK), PASS);
    time(text, &kernel, "SYN, denied", &syn("10.0.0.1"), DROP);
    time(text, &kernel, "SYN, within its rate", &syn("192.0.2.7"), PASS);
    let world = World::load(core(), 2)?;
    for (name, flags) in [("core, to another CPU", Flags::ACK), ("core, SYN", Flags::SYN)] {
        let client = world.client_of(crate::placement::THERE);
        time(text, &world.kernel, name, &client.says(flags), REDIRECT);
    }
    Some(())
}

/// The median of some measurements, and all of them.
fn time(text: &mut String, kernel: &Kernel, name: &str, frame: &[u8], verdict: u32) {
    let nanos = |repeat| {
        let (found, duration) = kernel.run_often(frame, repeat);
        assert_eq!(found, verdict, "{name}");
        duration.as_nanos() as u64
    };
    let fits = NANOS_MAX / nanos(REPEAT_MIN).max(1);
    let repeat = fits.min(REPEAT_MAX.into()) as u32;
    let mut all: Vec<_> = (0..ROUNDS).map(|_| nanos(repeat.max(1))).collect();
    all.sort_unstable();
    writeln!(text, "{name:<28} {:>10}  {all:?}", all[ROUNDS / 2]).unwrap();
}
