//! Where steering stands and what the kernel's programs have counted, for `/metrics` and `/probes`.

use gateway_ebpf::Skip;
use gateway_ebpf::abi::Counter;
use serde_json::{Map, Value, json};

use super::metrics::{Exposition, Kind};
use crate::steer::{State, Steered, Tally, placement_name};

/// What becomes of packets.
const VERDICTS: [(&str, Counter); 6] = [
    ("pass", Counter::Pass),
    ("deny", Counter::Deny),
    ("rate", Counter::Rate),
    ("shed", Counter::Shed),
    ("redirect", Counter::Redirect),
    ("stuck", Counter::Stuck),
];

/// Choices of a listener: runs of the program, of which one connection may take two.
const CHOICES: [(&str, Counter, &str); 5] = [
    ("placed", Counter::Placed, "Runs of select that took the strategy's first choice."),
    ("spilled", Counter::Spilled, "Runs of select that took another shard than the first choice."),
    ("full", Counter::Full, "Runs of select that found no shard open."),
    ("unlisted", Counter::Unlisted, "Runs of select that left the choice to the kernel."),
    ("migrated", Counter::Migrated, "Connections of a closed listener that another one got."),
];

/// Why the parser skips a packet.
const fn skip_name(skip: Skip) -> &'static str {
    match skip {
        Skip::Short => "short",
        Skip::NotIp => "not-ip",
        Skip::NotTcp => "not-tcp",
        Skip::Fragment => "fragment",
        Skip::TooDeep => "too-deep",
    }
}

/// The families of steering.
pub(super) fn render(text: &mut Exposition, steered: &Steered) {
    let Steered { state, strategy, tally } = steered;
    let help = "Always 1, with what steers connections as labels.";
    let State { rung, placement, .. } = state;
    let labels = [
        ("xdp", state.xdp()),
        ("selector", rung.name()),
        ("placement", placement_name(*placement)),
        ("balance", strategy.name()),
    ];
    text.gauge("weir_steer_mode", help, &labels, 1);
    if let Some(tally) = tally {
        choices(text, tally);
        packets(text, tally);
    }
}

fn choices(text: &mut Exposition, tally: &Tally) {
    for (name, counter, help) in CHOICES {
        let family = format!("weir_steer_{name}_total");
        text.one(&family, help, Kind::Counter, &[], tally.of(counter));
    }
}

fn packets(text: &mut Exposition, tally: &Tally) {
    let name = "weir_steer_packets_total";
    text.family(name, "Packets for us that XDP saw, by what became of them.", Kind::Counter);
    for (verdict, counter) in VERDICTS {
        text.sample(name, &[("verdict", verdict)], tally.of(counter));
    }
    let name = "weir_steer_skipped_total";
    text.family(name, "Packets in which XDP found no TCP segment, by why.", Kind::Counter);
    for skip in Skip::ALL {
        text.sample(name, &[("reason", skip_name(skip))], tally.skipped(skip));
    }
    let name = "weir_steer_redirects_total";
    text.family(name, "Packets that XDP sent to the CPU.", Kind::Counter);
    for (cpu, count) in &tally.redirects {
        text.sample(name, &[("cpu", &cpu.to_string())], *count);
    }
}

/// The same as one probe.
pub(super) fn probe(steered: &Steered) -> Value {
    let Steered { state, strategy, tally } = steered;
    let devices = state.devices.iter();
    let devices: Map<_, _> =
        devices.map(|(name, mode)| (name.clone(), mode.name().into())).collect();
    let mut shown = json!({
        "selector": state.rung.name(),
        "placement": placement_name(state.placement),
        "balance": strategy.name(),
        "xdp": state.xdp(),
        "devices": devices,
    });
    if let Some(tally) = tally {
        for (name, counter, _) in CHOICES {
            shown[name] = tally.of(counter).into();
        }
        shown["packets"] = named(VERDICTS.map(|(name, counter)| (name, tally.of(counter))));
        shown["skipped"] = named(Skip::ALL.map(|skip| (skip_name(skip), tally.skipped(skip))));
        let redirects = tally.redirects.iter();
        shown["redirects"] =
            redirects.map(|(cpu, count)| (cpu.to_string(), json!(count))).collect();
    }
    shown
}

fn named<const N: usize>(numbers: [(&str, u64); N]) -> Value {
    numbers.into_iter().map(|(name, number)| (name.to_owned(), Value::from(number))).collect()
}

#[cfg(test)]
mod tests {
    use gateway_ebpf::{Strategy, abi};

    use super::*;
    use crate::steer::{Mode, Selector};

    fn steered() -> Steered {
        Steered {
            state: State {
                rung: Selector::Program,
                devices: vec![("eth0".to_owned(), Mode::Native), ("lo".to_owned(), Mode::Generic)],
                placement: abi::Placement::Core,
            },
            strategy: Strategy::LeastConnections,
            tally: Some(Tally {
                counters: (100..).take(Counter::COUNT).collect(),
                redirects: vec![(3, 7)],
            }),
        }
    }

    #[test]
    fn each_counter_is_shown_under_its_own_name() {
        let mut text = Exposition::default();
        render(&mut text, &steered());
        let shown = text.into_text();
        for line in [
            "weir_steer_mode{xdp=\"generic\",selector=\"program\",placement=\"core\",\
             balance=\"least-connections\"} 1",
            "weir_steer_placed_total 106",
            "weir_steer_spilled_total 107",
            "weir_steer_migrated_total 110",
            "weir_steer_packets_total{verdict=\"pass\"} 100",
            "weir_steer_packets_total{verdict=\"stuck\"} 105",
            "weir_steer_skipped_total{reason=\"short\"} 111",
            "weir_steer_skipped_total{reason=\"too-deep\"} 115",
            "weir_steer_redirects_total{cpu=\"3\"} 7",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
        }
        let probe = probe(&steered());
        assert_eq!(probe["devices"], json!({ "eth0": "native", "lo": "generic" }));
        assert_eq!(probe["packets"]["deny"], 101);
        assert_eq!((&probe["full"], &probe["skipped"]["not-ip"]), (&json!(108), &json!(112)));
    }

    #[test]
    fn without_programs_there_is_a_mode_and_nothing_to_count() {
        let mut steered = steered();
        steered.tally = None;
        let mut text = Exposition::default();
        render(&mut text, &steered);
        let shown = text.into_text();
        assert!(shown.contains("weir_steer_mode{") && !shown.contains("_total"), "{shown}");
        assert_eq!(probe(&steered)["placed"], Value::Null);
    }
}
