//! What becomes of each packet, by what the host's parser finds in it.

use std::net::SocketAddr;

use gateway_ebpf::abi::{Counter, Door, Listed, names};
use gateway_ebpf::{Flags, Network, is_opening, parse};

use crate::frames;
use crate::kernel::{Counts, DROP, Kernel, PASS, Setup};
use crate::mutant::{self, Chance};
use crate::packets::{packet, to_door};

/// The kernel takes no frame of a test that is shorter: that of an Ethernet header.
const FRAME_BYTES_MIN: usize = 14;

/// Who may not come here: the sources of fixtures and no neighbour of theirs, so that each bit of
/// an address counts.
const DENIED: [(&str, Listed); 2] =
    [("192.0.2.7", Listed::Denied), ("2001:db8:1:2:3:4:5:7", Listed::Denied)];

/// At every address, so that both families come in.
fn everywhere(program: &'static str) -> Setup {
    Setup { program, ..Setup::default() }
}

/// What the kernel is to do with a frame and to count, as far as a buffer shows it.
fn due(setup: Setup, frame: &[u8]) -> (u32, Counts) {
    let none = Counts::default();
    let segment = match parse(&frame[..frame.len().min(buffer_bytes())]) {
        Ok(segment) => segment,
        Err(skip) => return (PASS, none.and_skipped(skip)),
    };
    let door = Door { address: setup.door.ip().into(), port: setup.door.port() };
    if !door.is_at(segment.destination, segment.destination_port) {
        return (PASS, none);
    }
    let is_denied = DENIED.iter().any(|(prefix, _)| {
        let network: Network = prefix.parse().unwrap();
        network.contains(segment.source)
    });
    if is_denied && is_opening(segment.flags) {
        return (DROP, none.and(Counter::Deny));
    }
    (PASS, none.and(Counter::Pass))
}

/// Bytes of a frame in its first buffer, which is all that a program sees of it: a page less what
/// the kernel keeps before and behind it.
fn buffer_bytes() -> usize {
    rustix::param::page_size() - 256 - 320
}

/// Runs frames and compares the kernel with the host.
struct Both {
    kernel: Kernel,
    setup: Setup,
    counted: Counts,
}

impl Both {
    fn load(setup: Setup) -> Option<Self> {
        let mut kernel = Kernel::load(setup)?;
        kernel.list(0, &DENIED);
        Some(Self { kernel, setup, counted: Counts::default() })
    }

    /// What becomes of the frame, on which both agree.
    fn agree(&mut self, name: &str, frame: &[u8]) -> (u32, Counts) {
        let (verdict, counts) = due(self.setup, frame);
        assert_eq!(self.kernel.run(frame), verdict, "{name}: {frame:02x?}");
        let before = std::mem::replace(&mut self.counted, self.kernel.counts());
        assert_eq!(self.counted, before.plus(counts), "{name}: {frame:02x?}");
        (verdict, counts)
    }
}

/// All fixtures, whatever the parser says about them.
fn fixtures() -> Vec<(&'static str, Vec<u8>)> {
    let segments = frames::segments().into_iter().map(|(name, frame, _)| (name, frame));
    segments.chain(frames::skips().into_iter().map(|(name, frame, ..)| (name, frame))).collect()
}

/// Whatever the kernel takes of a frame for this program: one buffer, where it is for one.
fn whole(program: &str, frame: &[u8]) -> usize {
    if program == names::STEER { frame.len().min(buffer_bytes()) } else { frame.len() }
}

#[test]
fn fixtures_are_judged_by_what_the_host_finds_in_them() {
    for program in [names::STEER, names::STEER_FRAGS] {
        let Some(mut both) = Both::load(everywhere(program)) else { return };
        let mut seen = Counts::default();
        for (name, frame) in fixtures() {
            let whole = whole(program, &frame);
            seen = seen.plus(both.agree(name, &frame[..whole]).1);
        }
        // Each rule had its turn.
        assert!(seen.of(Counter::Deny) >= 10 && seen.of(Counter::Pass) >= 9, "{seen:?}");
        assert!(gateway_ebpf::Skip::ALL.iter().all(|skip| seen.skipped(*skip) > 0), "{seen:?}");
    }
}

#[test]
fn every_truncation_of_every_fixture_is_judged_as_the_host_would() {
    for program in [names::STEER, names::STEER_FRAGS] {
        let Some(mut both) = Both::load(everywhere(program)) else { return };
        for (name, frame) in fixtures() {
            for cut in FRAME_BYTES_MIN..whole(program, &frame) {
                both.agree(name, &frame[..cut]);
            }
        }
    }
}

#[test]
fn the_kernel_agrees_on_20_000_mutants() {
    let setup = everywhere(names::STEER);
    let Some(mut both) = Both::load(setup) else { return };
    let (mut chance, frames) = (Chance(0x5EED), fixtures());
    let (mut rounds, mut seen) = (0, Counts::default());
    while rounds < 20_000 {
        let (name, frame) = &frames[chance.below(frames.len())];
        let mut frame = frame.clone();
        mutant::mutate(&mut frame, &frames[chance.below(frames.len())].1, &mut chance);
        frame.truncate(buffer_bytes());
        if frame.len() >= FRAME_BYTES_MIN {
            seen = seen.plus(both.agree(name, &frame).1);
            rounds += 1;
        }
    }
    // Mutants that all died at the first header would prove little.
    assert!(seen.of(Counter::Deny) >= 1_000 && seen.of(Counter::Pass) >= 1_000, "{seen:?}");
    assert!(gateway_ebpf::Skip::ALL.iter().all(|skip| seen.skipped(*skip) >= 300), "{seen:?}");
}

#[test]
fn only_what_comes_in_at_the_door_is_judged_and_counted() {
    let at = |door: &str| door.parse::<SocketAddr>().unwrap();
    for (door, inside, outside) in [
        ("10.0.0.1:9002", vec!["10.0.0.1:9002"], vec!["10.0.0.1:9003", "10.0.0.2:9002"]),
        ("10.0.0.1:9002", vec![], vec!["11.0.0.1:9002", "10.0.0.1:42", "[::a00:1]:9002"]),
        ("[fd00::1]:9002", vec!["[fd00::1]:9002"], vec!["[fd00::2]:9002", "[fd00::1]:9001"]),
        ("[fd00::1]:9002", vec![], vec!["[fe00::1]:9002", "10.0.0.1:9002"]),
        ("0.0.0.0:9002", vec!["10.0.0.1:9002", "[fd00::1]:9002"], vec!["10.0.0.1:9003"]),
        ("[::]:9002", vec!["10.0.0.1:9002", "[fd00::1]:9002"], vec!["[fd00::1]:9003"]),
    ] {
        let setup = Setup { door: at(door), ..Setup::default() };
        let Some(mut both) = Both::load(setup) else { return };
        let from = |to: SocketAddr| match to {
            SocketAddr::V4(_) => at("192.0.2.7:40000"),
            SocketAddr::V6(_) => at("[2001:db8:1:2:3:4:5:7]:40000"),
        };
        for (to, is_inside) in
            inside.iter().map(|to| (to, true)).chain(outside.iter().map(|to| (to, false)))
        {
            let frame = packet(from(at(to)), at(to), Flags::SYN);
            let verdict = both.agree(to, &frame);
            let denied = (DROP, Counts::default().and(Counter::Deny));
            let expected = if is_inside { denied } else { (PASS, Counts::default()) };
            assert_eq!(verdict, expected, "{to} at {door}");
        }
    }
}

#[test]
fn who_is_denied_is_denied_connections_and_nothing_else() {
    let setup = everywhere(names::STEER);
    let Some(mut both) = Both::load(setup) else { return };
    for flags in (0..=255).map(Flags) {
        for from in ["192.0.2.7", "2001:db8:1:2:3:4:5:7"] {
            let (verdict, _) = both.agree(from, &to_door(from, flags));
            let asks = flags.contains(Flags::SYN) && !flags.contains(Flags::ACK);
            assert_eq!(verdict, if asks { DROP } else { PASS }, "{flags:?} from {from}");
        }
    }
}
