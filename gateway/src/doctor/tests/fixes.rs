//! `--fix`: what it changes, and what it leaves alone.

use super::made::{Made, found, naming};
use super::*;

const RPS: &str = "sys/class/net/eth0/queues/rx-0/rps_cpus";

fn fixing(made: &Made, asked: &Asked) -> (String, u8) {
    told(made, asked, Options { json: false, fix: true })
}

#[test]
fn a_named_device_with_one_queue_deals_its_packets_out_to_the_workers() {
    let made = Made::virtio();
    made.file(RPS, "00000001\n");
    let asked = naming(made.asked("0.0.0.0", None), &["eth0:generic"]);
    let (screen, code) = fixing(&made, &asked);
    assert_eq!(made.text(RPS), "3\n");
    let lines = "eth0: RPS was 1 and is 3 now; to undo that:\n  \
                 echo 1 > /sys/class/net/eth0/queues/rx-0/rps_cpus\n";
    assert!(screen.starts_with(lines), "{screen}");
    // The screen is of what is there now.
    assert!(screen.contains("dealt out to CPUs 0-1 by RPS"), "{screen}");
    assert_eq!(code, 0, "{screen}");
    let (screen, _) = fixing(&made, &asked);
    assert!(screen.starts_with("eth0: nothing changed: RPS deals"), "{screen}");
}

#[test]
fn what_is_not_named_is_left_alone() {
    let made = Made::virtio();
    fixing(&made, &made.asked("0.0.0.0", None));
    assert_eq!(made.text(RPS), "00000000\n");
}

#[test]
fn devices_that_need_no_rps_are_left_alone() {
    for (made, iface, why) in [
        (Made::server(), "eth1", "it has 16 receive queues"),
        (Made::container(), "eth0", "packets arrive on the CPU of who sends them"),
        (Made::virtio(), "lo", "packets arrive on the CPU of who sends them"),
        (Made::virtio(), "eth9", "there is no such device"),
    ] {
        let asked = naming(made.asked("0.0.0.0", Some(2)), &[iface]);
        let (screen, _) = fixing(&made, &asked);
        assert!(screen.starts_with(&format!("{iface}: nothing changed: {why}\n")), "{screen}");
    }
    let made = Made::virtio();
    let (screen, _) = fixing(&made, &naming(made.asked("::", Some(1)), &["eth0"]));
    assert!(screen.contains("there are not two pinned workers"), "{screen}");
}

#[test]
fn nobody_is_fixed_without_being_asked() {
    let made = Made::virtio();
    let asked = naming(made.asked("0.0.0.0", None), &["eth0:generic"]);
    let (_, code) = told(&made, &asked, Options::default());
    assert_eq!((made.text(RPS).as_str(), code), ("00000000\n", 1));
}

#[test]
fn who_may_not_hears_what_to_type() {
    let made = Made::virtio();
    let asked = naming(made.asked("0.0.0.0", None), &["eth0"]);
    let report = made.examine(&asked);
    // A file that cannot be written to, whoever tries: it has gone.
    std::fs::remove_file(made.root().join(RPS)).unwrap();
    let fixed = fix(made.root(), &report.facts.devices[0], &asked.cpus());
    assert_eq!(fixed.severity(), Severity::Refused);
    let last = "type:\n  echo 3 | sudo tee /sys/class/net/eth0/queues/rx-0/rps_cpus";
    assert!(fixed.to_string().ends_with(last), "{fixed}");
    assert!(!made.root().join(RPS).exists(), "no file is made");
    assert_eq!(found(&report, "queues").severity, Severity::Slower);
}

#[test]
fn json_tells_of_changes_too() {
    let made = Made::virtio();
    let asked = naming(made.asked("0.0.0.0", None), &["eth0"]);
    let (text, _) = told(&made, &asked, Options { json: true, fix: true });
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    let change = &object["fixes"][0];
    assert_eq!(
        (&change["changed"], &change["old"], &change["new"]),
        (&true.into(), &"0".into(), &"3".into())
    );
}
