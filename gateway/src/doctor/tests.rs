//! Made-up machines, and what the doctor says of them.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod made;

use std::io;

use super::*;
use crate::plan::Numa;
use made::{ALL, Made, found, naming};

/// What is told and with which exit code.
fn told(made: &Made, asked: &Asked, options: Options) -> (String, u8) {
    let mut out = Vec::new();
    let code = run(made.root(), &made.system, asked, options, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), code)
}

fn screen(made: &Made, asked: &Asked) -> (String, u8) {
    told(made, asked, Options::default())
}

#[test]
fn one_screen_says_it_all() {
    let made = Made::virtio();
    let asked = naming(made.asked("0.0.0.0", None), &["eth0"]);
    let (screen, code) = screen(&made, &asked);
    let golden = include_str!("tests/virtio.txt").replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert_eq!(screen, golden, "{screen}");
    assert_eq!(code, 2);
}

#[test]
fn a_screen_is_at_most_100_columns_wide_and_50_lines_long() {
    for made in [Made::virtio(), Made::container(), Made::server(), Made::empty()] {
        for addr in ["127.0.0.1", "0.0.0.0", "::", "192.0.2.2"] {
            let (screen, _) = screen(&made, &made.asked(addr, None));
            let wide = screen.lines().find(|line| line.chars().count() > 100);
            assert_eq!(wide, None);
            assert!(screen.lines().count() <= 50, "{screen}");
            assert!(screen.is_ascii(), "{screen}");
        }
    }
}

#[test]
fn json_has_the_same_names_and_the_same_end() {
    for made in [Made::virtio(), Made::container(), Made::server(), Made::empty()] {
        let asked = naming(made.asked("::", None), &["eth0", "eth1:generic"]);
        let report = made.examine(&asked);
        let (text, code) = told(&made, &asked, Options { json: true, fix: false });
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["exit_code"], code);
        assert_eq!(object["shards"], asked.plan.shards());
        let findings = object["findings"].as_array().unwrap();
        assert_eq!(findings.len(), report.findings.len());
        for (value, finding) in findings.iter().zip(&report.findings) {
            assert_eq!(value["name"], finding.name);
            assert_eq!(value["state"], finding.state.name());
            assert_eq!(value["severity"], finding.severity.name());
        }
    }
}

#[test]
fn json_tells_what_it_is_about() {
    let made = Made::virtio();
    let (text, _) = told(&made, &made.asked("0.0.0.0", None), Options { json: true, fix: false });
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["facts"]["kernel"], "6.18.44");
    assert_eq!(object["facts"]["capabilities"]["bpf"], true);
    let eth0 = &object["facts"]["devices"][0];
    assert_eq!((&eth0["name"], &eth0["driver"]), (&"eth0".into(), &"virtio_net".into()));
    assert_eq!((&eth0["receive_queues"], &eth0["arrivals"]), (&1.into(), &"1".into()));
}

#[test]
fn the_exit_code_is_the_worst_of_all() {
    let mut server = Made::server();
    server.numa = Numa::Nodes([1].into());
    let near = server.asked("192.0.2.2", None);
    let (text, _) = screen(&server, &near);
    assert!(text.contains("nothing is slower than it could be; nothing that was asked"), "{text}");
    assert_eq!(screen(&server, &near).1, 0, "{text}");
    server.file("proc/sys/net/core/somaxconn", "128");
    assert_eq!(screen(&server, &near).1, 1);
    assert_eq!(screen(&server, &naming(near, &["eth9"])).1, 2);
}

#[test]
fn nobody_who_reads_is_an_error_that_is_told() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let made = Made::empty();
    let asked = made.asked("::", None);
    let error = run(made.root(), &made.system, &asked, Options::default(), &mut Gone).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn the_rung_is_the_best_that_kernel_and_privilege_allow() {
    let nothing = "0000000000000000";
    for (release, capabilities, rung) in [
        ("6.18.44", ALL, "program: "),
        ("6.1.0", ALL, "program: "),
        ("5.15.0", ALL, "program: "),
        ("5.10.0", ALL, "cbpf: "),
        ("6.18.44", nothing, "incoming-cpu: "),
        ("6.1.0", nothing, "cbpf: "),
        ("5.15.0", nothing, "cbpf: "),
        ("5.10.0", nothing, "cbpf: "),
        ("4.4.0", nothing, "hash: "),
    ] {
        let made = Made::linux(release, capabilities, &[&[0, 1]]);
        let report = made.examine(&made.asked("127.0.0.1", None));
        let selector = found(&report, "selector");
        assert!(selector.why.starts_with(rung), "{release}: {}", selector.why);
        let is_best = rung == "program: ";
        assert_eq!(selector.severity == Severity::Fine, is_best, "{release}: {}", selector.why);
        assert_eq!(selector.turn_on.is_none(), is_best);
        let is_old = release < "5.15";
        assert_eq!(found(&report, "kernel").severity == Severity::Slower, is_old, "{release}");
    }
}

#[test]
fn what_is_in_the_way_of_a_rung_is_named_with_what_would_help() {
    // CAP_BPF and CAP_NET_ADMIN: what is left is CAP_PERFMON.
    let made = Made::linux("6.18.44", "0000008000001000", &[&[0, 1]]);
    let report = made.examine(&made.asked("127.0.0.1", None));
    let selector = found(&report, "selector");
    assert!(selector.why.ends_with("not program: this process lacks CAP_PERFMON"), "{selector:?}");
    assert!(selector.turn_on.as_ref().unwrap().contains("grant CAP_PERFMON"), "{selector:?}");
    // A binary that cannot load programs.
    let mut made = Made::linux("6.18.44", ALL, &[&[0, 1]]);
    made.system.build.bpf = false;
    let report = made.examine(&made.asked("127.0.0.1", None));
    let selector = found(&report, "selector");
    assert_eq!(selector.turn_on.as_deref(), Some("build with the feature bpf"));
    // CAP_SYS_ADMIN stands in for two of the three.
    let made = Made::linux("6.18.44", "0000000000201000", &[&[0, 1]]);
    let report = made.examine(&made.asked("127.0.0.1", None));
    assert_eq!(found(&report, "selector").severity, Severity::Fine);
}

#[test]
fn a_rung_that_is_asked_for_is_that_one_or_refused() {
    let made = Made::linux("6.1.0", "0000000000000000", &[&[0, 1]]);
    let mut asked = made.asked("127.0.0.1", None);
    for (selector, severity) in [
        (Selector::Program, Severity::Refused),
        (Selector::IncomingCpu, Severity::Refused),
        (Selector::Cbpf, Severity::Fine),
        (Selector::Hash, Severity::Fine),
    ] {
        asked.steering.selector = selector;
        let report = made.examine(&asked);
        assert_eq!(found(&report, "selector").severity, severity, "{selector:?}");
    }
    asked.steering.selector = Selector::Auto;
    asked.steering.steer = Steer::Require;
    assert_eq!(found(&made.examine(&asked), "selector").severity, Severity::Refused);
    asked.steering.steer = Steer::Off;
    let report = made.examine(&asked);
    assert_eq!(found(&report, "selector").state, State::Inactive);
    asked.steering.selector = Selector::Program;
    assert_eq!(found(&made.examine(&asked), "selector").severity, Severity::Refused);
    asked.steering.selector = Selector::Auto;
    assert_eq!(report.severity(), Severity::Slower, "of capabilities and migration");
}

#[test]
fn one_shard_needs_no_selector() {
    let made = Made::virtio();
    let report = made.examine(&made.asked("192.0.2.2", Some(1)));
    assert_eq!(found(&report, "selector").severity, Severity::Fine);
    assert_eq!(found(&report, "queues").severity, Severity::Fine);
    assert_eq!(found(&report, "migration").severity, Severity::Fine);
}

#[test]
fn a_container_hears_what_it_lacks() {
    let made = Made::container();
    let asked = made.asked("0.0.0.0", Some(4));
    let report = made.examine(&asked);
    for (name, part) in [
        ("capabilities", "CAP_BPF CAP_NET_ADMIN CAP_PERFMON missing"),
        ("bpf", "bpf(2) is refused: EPERM"),
        ("selector", "cbpf: "),
        ("quota", "1.5 CPUs for 4 workers"),
        ("migration", "is reset"),
    ] {
        let finding = found(&report, name);
        assert!(finding.why.contains(part), "{finding:?}");
        assert_eq!(finding.severity, Severity::Slower, "{finding:?}");
    }
    assert_eq!(found(&report, "queues").severity, Severity::Fine, "veth has no interrupts");
    // By default there is a worker only for each whole CPU of the quota.
    let report = made.examine(&made.asked("0.0.0.0", None));
    assert_eq!(found(&report, "quota").severity, Severity::Fine);
}

#[test]
fn nothing_known_is_said_so() {
    let made = Made::empty();
    let report = made.examine(&made.asked("::", Some(2)));
    let unknown = ["kernel", "capabilities", "bpf", "numa", "descriptors", "backlog", "syncookies"];
    for name in unknown {
        assert_eq!(found(&report, name).state, State::Unknown, "{name}");
    }
    assert!(report.facts.devices.is_empty());
}

#[test]
fn files_that_say_nonsense_are_as_if_they_said_nothing() {
    for nonsense in ["", "\u{0}", "-1", "99999999999999999999", "a b c d e f g h i", "\n\n,,,-,\n"]
    {
        let made = Made::virtio();
        let files = [
            "proc/sys/kernel/osrelease",
            "proc/self/status",
            "proc/self/limits",
            "proc/net/route",
            "proc/net/if_inet6",
            "proc/self/mountinfo",
            "proc/sys/net/core/somaxconn",
            "proc/irq/41/effective_affinity_list",
            "sys/class/net/eth0/mtu",
            "sys/class/net/eth0/queues/rx-0/rps_cpus",
            "sys/devices/pci0/0000:04/virtio3/features",
            "sys/devices/system/node/node0/cpulist",
        ];
        let asked = naming(made.asked("::", Some(2)), &["eth0"]);
        for file in files {
            made.file(file, nonsense);
            let (screen, _) = screen(&made, &asked);
            assert!(screen.contains("Weir "), "{file}: {nonsense:?}");
        }
        let report = made.examine(&asked);
        assert_eq!((report.facts.kernel, report.facts.tcp.somaxconn), (None, None));
    }
}

mod devices;
mod fixes;
