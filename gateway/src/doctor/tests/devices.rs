//! Devices: which are looked at, which run programs, where packets arrive, when they are moved.

use super::made::{ALL, Made, found, naming};
use super::*;

fn names(report: &Report) -> Vec<&str> {
    report.facts.devices.iter().map(|device| device.name.as_str()).collect()
}

#[test]
fn devices_are_those_that_the_address_is_on() {
    let made = Made::virtio();
    for (addr, devices) in [
        ("127.0.0.1", vec!["lo"]),
        ("::1", vec!["lo"]),
        ("192.0.2.2", vec!["eth0"]),
        ("198.51.100.1", vec!["eth0"]),
        ("2001:db8::2", vec!["eth0"]),
        ("2001:db8::3", vec![]),
        ("0.0.0.0", vec!["eth0"]),
        ("::", vec!["eth0"]),
    ] {
        assert_eq!(names(&made.examine(&made.asked(addr, None))), devices, "{addr}");
    }
    let named = naming(made.asked("::", None), &["lo:generic", "eth7"]);
    assert_eq!(names(&made.examine(&named)), ["lo", "eth7"], "and no others");
}

#[test]
fn a_device_is_not_touched_unless_it_is_named() {
    let made = Made::server();
    let asked = made.asked("0.0.0.0", Some(16));
    let report = made.examine(&asked);
    let xdp = found(&report, "xdp");
    assert_eq!((xdp.state, xdp.severity), (State::Inactive, Severity::Fine));
    assert_eq!(xdp.turn_on.as_deref(), Some("--iface eth1 (native)"));
    let report = made.examine(&naming(asked, &["eth1"]));
    let xdp = found(&report, "xdp");
    assert_eq!((xdp.state, xdp.why.as_str()), (State::Active, "native, in the driver"));
}

#[test]
fn loopback_has_programs_only_if_there_is_something_to_do() {
    let made = Made::virtio();
    let idle = made.asked("127.0.0.1", None);
    assert_eq!(found(&made.examine(&idle), "xdp").state, State::Inactive);
    let mut guarded = idle.clone();
    guarded.steering.guard = Some("guard.txt".into());
    let report = made.examine(&guarded);
    let generic = "generic, behind the driver: loopback runs no programs natively";
    assert_eq!(found(&report, "xdp").why, generic);
    assert_eq!(found(&report, "guard").severity, Severity::Fine);
    guarded.steering.steer = Steer::Off;
    let report = made.examine(&guarded);
    assert_eq!(found(&report, "xdp").state, State::Inactive);
    assert_eq!(found(&report, "guard").severity, Severity::Slower);
}

#[test]
fn a_named_device_that_cannot_have_programs_is_refused() {
    let wrong = |made: &Made, iface: &str| {
        let report = made.examine(&naming(made.asked("0.0.0.0", None), &[iface]));
        let xdp = found(&report, "xdp");
        assert_eq!(xdp.severity, Severity::Refused, "{xdp:?}");
        format!("{} -> {}", xdp.why, xdp.turn_on.as_ref().unwrap())
    };
    let virtio = Made::virtio();
    assert!(wrong(&virtio, "eth0").contains("--iface eth0:generic"));
    assert!(wrong(&virtio, "lo:native").contains("loopback runs no programs natively"));
    assert!(wrong(&virtio, "eth9").contains("there is no device eth9"));
    let mut container = Made::container();
    assert!(wrong(&container, "eth0").contains("lacks CAP_BPF CAP_NET_ADMIN CAP_PERFMON"));
    container.file("proc/self/status", "CapEff:\t000001ffffffffff\n");
    assert!(wrong(&container, "eth0").contains("bpf(2) is refused: EPERM"));
    container.system.bpf = Answer::Yes;
    let report = container.examine(&naming(container.asked("0.0.0.0", None), &["eth0"]));
    assert_eq!(found(&report, "xdp").severity, Severity::Fine);

    let mut server = Made::server();
    server.system.xdp = Some(Attached { program: 609, name: None, generic: false });
    assert!(wrong(&server, "eth1").contains("program 609 (of unknown name) is on it already"));
    let name = Some("balancer".to_owned());
    server.system.xdp = Some(Attached { program: 609, name, generic: false });
    assert!(wrong(&server, "eth1").contains("program 609 (balancer)"));

    let old = Made::linux("5.4.0", ALL, &[&[0, 1]]);
    old.device("eth0", 2);
    old.bus("eth0", "pci0/0000:04", "mlx5_core");
    assert!(wrong(&old, "eth0").contains("older than 5.9"));
}

#[test]
fn a_program_of_a_weir_that_runs_is_not_in_the_way() {
    let mut made = Made::server();
    let name = Some("steer_frags".to_owned());
    made.system.xdp = Some(Attached { program: 7, name, generic: true });
    let report = made.examine(&naming(made.asked("0.0.0.0", None), &["eth1"]));
    let why = "generic: program 7 (steer_frags) of a Weir that runs is on it";
    assert_eq!(found(&report, "xdp").why, why);
    assert_eq!(report.severity().exit_code(), 1, "of the interrupts");
}

#[test]
fn packets_that_take_more_than_a_page_need_a_kernel_that_can_split_them() {
    for (release, severity) in [("5.15.0", Severity::Refused), ("6.1.0", Severity::Fine)] {
        let made = Made::linux(release, ALL, &[&[0, 1]]);
        made.device("eth0", 2);
        made.bus("eth0", "pci0/0000:04", "mlx5_core");
        made.file("sys/class/net/eth0/mtu", "9000");
        let report = made.examine(&naming(made.asked("0.0.0.0", None), &["eth0"]));
        assert_eq!(found(&report, "xdp").severity, severity, "{release}");
    }
}

#[test]
fn virtio_runs_programs_where_its_offloads_can_be_switched_off() {
    let made = Made::virtio();
    let asked = naming(made.asked("0.0.0.0", None), &["eth0"]);
    // Bit 2 is the way to switch them off; without any of them there is nothing to switch.
    for features in ["1110000110010000", "0000010000000000"] {
        made.file("sys/devices/pci0/0000:04/virtio3/features", features);
        assert_eq!(found(&made.examine(&asked), "xdp").state, State::Active, "{features}");
    }
}

#[test]
fn a_driver_that_is_not_known_is_tried() {
    let made = Made::linux("6.18.44", ALL, &[&[0, 1]]);
    made.device("eth0", 2);
    made.bus("eth0", "pci0/0000:04", "some_nic");
    let report = made.examine(&naming(made.asked("0.0.0.0", None), &["eth0"]));
    let xdp = found(&report, "xdp");
    assert_eq!((xdp.state, xdp.severity), (State::Unknown, Severity::Fine));
}

#[test]
fn packets_are_moved_only_by_the_rule() {
    let made = Made::server();
    let placed = |made: &Made, shards, ifaces: &[&str]| {
        let asked = naming(made.asked("0.0.0.0", Some(shards)), ifaces);
        checks::placement(&made.examine(&asked).facts, &asked)
    };
    // A queue for each shard; no program; queues on one node and shards on two.
    assert_eq!(placed(&made, 16, &["eth1"]).0, Placement::Observe);
    assert_eq!(placed(&made, 32, &[]).0, Placement::Observe);
    let (placement, why) = placed(&made, 32, &["eth1"]);
    assert_eq!(placement, Placement::Node);
    assert_eq!(why, "eth1 receives on node 1, and shards are on others");
    // RPS deals them out already.
    made.file("sys/class/net/eth1/queues/rx-0/rps_cpus", "ffffffff");
    assert_eq!(placed(&made, 32, &["eth1"]).0, Placement::Observe);
    // Interrupts on both nodes.
    let made = Made::server();
    made.irq("pci0/0000:c1", 100, "ice-eth1-TxRx-0", "3");
    assert_eq!(placed(&made, 32, &["eth1"]).0, Placement::Observe);
    // Where interrupts go is not known: the device's own node counts.
    let made = Made::server();
    std::fs::remove_dir_all(made.root().join("proc/irq")).unwrap();
    assert_eq!(placed(&made, 32, &["eth1"]).0, Placement::Node);
    // One node, one queue.
    let made = Made::virtio();
    let (placement, why) = placed(&made, 2, &["eth0:generic"]);
    assert_eq!(placement, Placement::Observe);
    assert!(why.ends_with("spill spreads connections"), "{why}");
}

#[test]
fn what_loopback_brings_is_never_moved_by_the_rule() {
    let worker = |node| Worker { cpu: Some(node), node, shards: 0..0 };
    let mut workers = [worker(0), worker(1)];
    (workers[0].shards, workers[1].shards) = (0..1, 1..2);
    assert!(!moves_to_nodes(&["lo"], &workers));
}

#[test]
fn a_placement_that_is_asked_for_needs_a_program_and_a_priority() {
    let made = Made::server();
    let mut asked = made.asked("0.0.0.0", None);
    asked.steering.placement = Placement::Core;
    assert_eq!(found(&made.examine(&asked), "placement").severity, Severity::Refused);
    let asked = naming(asked, &["eth1"]);
    let report = made.examine(&asked);
    assert_eq!(found(&report, "placement").why, "core: as asked");
    assert_eq!(found(&report, "placement").state, State::Active);
    assert_eq!(found(&report, "kthreads").severity, Severity::Fine);
    // All but CAP_SYS_NICE.
    made.file("proc/self/status", "CapEff:\t000001ffff7fffff\n");
    assert_eq!(found(&made.examine(&asked), "kthreads").severity, Severity::Slower);
}

#[test]
fn a_single_queue_is_told_with_what_would_spread_its_packets() {
    let mut made = Made::virtio();
    let asked = made.asked("0.0.0.0", None);
    let report = made.examine(&asked);
    let queues = found(&report, "queues");
    assert_eq!(queues.severity, Severity::Slower);
    let fix = "weir doctor --fix --iface eth0 (RPS to CPUs 0-1)";
    assert_eq!(queues.turn_on.as_deref(), Some(fix));
    // One that could have more has them before RPS.
    made.system.channels = Some(Channels { receive: 1, receive_max: 8, combined: true });
    let report = made.examine(&asked);
    assert_eq!(found(&report, "queues").turn_on.as_deref(), Some("ethtool -L eth0 combined 2"));
    made.file("sys/class/net/eth0/queues/rx-0/rps_cpus", "3");
    let report = made.examine(&asked);
    assert_eq!(found(&report, "queues").why, "1 receive queue, dealt out to CPUs 0-1 by RPS");
}

#[test]
fn interrupts_belong_where_workers_are() {
    let made = Made::virtio();
    let asked = made.asked("0.0.0.0", None);
    let report = made.examine(&asked);
    assert_eq!(found(&report, "irqs").why, "interrupts come to CPU 1, where workers are");
    made.irq("pci0/0000:04", 41, "virtio3-input.0", "7");
    let report = made.examine(&asked);
    assert_eq!(found(&report, "irqs").why, "interrupts come to CPU 7, where no worker is");
    assert_eq!(found(&report, "irqs").severity, Severity::Slower);
    // Queues for all, and all of them on one CPU.
    let made = Made::linux("6.18.44", ALL, &[&[0, 1]]);
    made.device("eth0", 2);
    made.bus("eth0", "pci0/0000:04", "igc");
    for number in [8, 9] {
        made.irq("pci0/0000:04", number, &format!("eth0-TxRx-{}", number - 8), "0");
    }
    made.routes("eth0");
    let report = made.examine(&made.asked("0.0.0.0", None));
    assert!(found(&report, "irqs").why.starts_with("none come to CPU 1"), "{report:?}");
}

#[test]
fn a_device_on_another_node_than_its_workers_is_told() {
    let made = Made::server();
    let mut asked = made.asked("0.0.0.0", Some(16));
    assert_eq!(found(&made.examine(&asked), "near").severity, Severity::Fine);
    asked.plan.workers.retain(|worker| worker.node == 0);
    let report = made.examine(&asked);
    let near = found(&report, "near");
    assert_eq!((near.severity, near.device.as_deref()), (Severity::Slower, Some("eth1")));
    asked.numa = Numa::Off;
    assert_eq!(found(&made.examine(&asked), "numa").severity, Severity::Slower);
}

#[test]
fn offloads_that_could_be_on_are_told() {
    let mut made = Made::virtio();
    let off = Offload { on: false, fixed: false };
    made.system.offloads.insert("rx-gro".to_owned(), off);
    let report = made.examine(&made.asked("0.0.0.0", None));
    let offloads = found(&report, "offloads");
    assert_eq!(offloads.turn_on.as_deref(), Some("ethtool -K eth0 rx-gro on"));
    made.system.offloads.insert("rx-gro".to_owned(), Offload { fixed: true, ..off });
    let report = made.examine(&made.asked("0.0.0.0", None));
    assert_eq!(found(&report, "offloads").severity, Severity::Fine, "nobody can help it");
}

#[test]
fn transmit_queues_are_told_of_where_there_are_several() {
    let made = Made::server();
    let xps = |queue: usize| format!("sys/class/net/eth1/queues/tx-{queue}/xps_cpus");
    (0..16).for_each(|queue| made.file(&xps(queue), "00000000"));
    let asked = made.asked("0.0.0.0", None);
    assert_eq!(found(&made.examine(&asked), "xps").severity, Severity::Slower);
    made.file(&xps(3), "00000008");
    assert_eq!(found(&made.examine(&asked), "xps").severity, Severity::Fine);
}

#[test]
fn bounds_of_descriptors_and_pins_are_told() {
    let made = Made::server();
    let mut asked = made.asked("0.0.0.0", None);
    let report = made.examine(&asked);
    assert!(found(&report, "descriptors").why.contains("room for 65136 connections"));
    asked.max_connections = Some(65_137);
    let report = made.examine(&asked);
    assert_eq!(found(&report, "descriptors").severity, Severity::Refused);
    assert!(found(&report, "descriptors").turn_on.as_ref().unwrap().contains("65537"));
    asked.max_connections = Some(65_136);
    assert_eq!(found(&made.examine(&asked), "descriptors").severity, Severity::Fine);
    made.file("proc/self/limits", "Max open files  1024  unlimited  files\n");
    asked.max_connections = Some(u32::MAX);
    assert_eq!(found(&made.examine(&asked), "descriptors").severity, Severity::Fine);

    for (pin, severity) in [("/sys/fs/bpf/weir", Severity::Fine), ("/run/weir", Severity::Refused)]
    {
        asked.steering.pin = Some(pin.into());
        assert_eq!(found(&made.examine(&asked), "crash").severity, severity, "{pin}");
    }
}

#[test]
fn names_of_devices_may_say_how() {
    let iface = |text: &str| text.parse::<Iface>();
    assert_eq!(iface("eth0"), Ok(Iface { name: "eth0".into(), generic: false }));
    assert_eq!(iface("eth0:native"), iface("eth0"));
    assert!(iface("lo:generic").unwrap().generic);
    for bad in ["", ":generic", "eth0:fast", "a/b", "a-name-of-16-by."] {
        assert_eq!(iface(bad), Err(IfaceError), "{bad}");
    }
}
