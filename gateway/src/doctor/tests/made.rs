//! Machines that are made up: folders that look like `/proc` and `/sys`, and a plan for them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::{
    Answer, Asked, Attached, Build, Channels, Cpus, Finding, Hwloc, Iface, Offload, Report, Steer,
    Steering, System, examine,
};
use crate::plan::{Core, Machine, Node, Numa, Request, plan};

/// All capabilities that a kernel of today has.
pub(super) const ALL: &str = "000001ffffffffff";

/// A machine below a folder of its own, which goes with it.
pub(super) struct Made {
    pub(super) root: PathBuf,
    pub(super) system: Answers,
    /// Cores by node.
    nodes: Vec<Vec<usize>>,
    /// Those that the plan uses.
    pub(super) numa: Numa,
}

/// What its kernel answers.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) drivers: BTreeMap<&'static str, &'static str>,
    pub(super) channels: Option<Channels>,
    pub(super) offloads: BTreeMap<String, Offload>,
    pub(super) xdp: Option<Attached>,
    pub(super) bpf: Answer,
    pub(super) build: Build,
}

impl System for Answers {
    fn driver(&self, device: &str) -> Option<String> {
        self.drivers.get(device).map(ToString::to_string)
    }

    fn channels(&self, _device: &str) -> Option<Channels> {
        self.channels
    }

    fn offloads(&self, _device: &str) -> BTreeMap<String, Offload> {
        self.offloads.clone()
    }

    fn xdp(&self, _device: &str) -> Option<Attached> {
        self.xdp.clone()
    }

    fn bpf(&self) -> Answer {
        self.bpf.clone()
    }

    fn build(&self) -> Build {
        self.build
    }
}

impl Made {
    /// One of which nothing is known.
    pub(super) fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-doctor-{}-{count}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(&root).unwrap();
        let system = Answers {
            drivers: BTreeMap::new(),
            channels: None,
            offloads: BTreeMap::new(),
            xdp: None,
            bpf: Answer::Unasked,
            build: Build { bpf: true, hwloc: Hwloc::Answers, jemalloc: true },
        };
        Self { root, system, nodes: vec![vec![0]], numa: Numa::Auto }
    }

    /// One with Linux on it, these cores by node, and what is usual.
    pub(super) fn linux(release: &str, capabilities: &str, nodes: &[&[usize]]) -> Self {
        let mut made = Self::empty();
        made.nodes = nodes.iter().map(|cpus| cpus.to_vec()).collect();
        let cpus: Cpus = nodes.iter().flat_map(|cpus| cpus.iter().copied()).collect();
        made.file("proc/sys/kernel/osrelease", release);
        let status = format!("Name:\tweir\nCapEff:\t{capabilities}\nCpus_allowed_list:\t{cpus}\n");
        made.file("proc/self/status", &status);
        made.file("proc/self/limits", "Max open files            1024   65536   files\n");
        made.file("proc/sys/kernel/unprivileged_bpf_disabled", "2");
        made.file("proc/sys/net/core/bpf_jit_enable", "1");
        made.file("proc/sys/net/core/somaxconn", "4096");
        made.file("proc/sys/net/ipv4/tcp_max_syn_backlog", "2048");
        made.file("proc/sys/net/ipv4/tcp_syncookies", "1");
        made.file("proc/sys/net/ipv4/tcp_migrate_req", "0");
        made.file("sys/kernel/btf/vmlinux", "");
        for (number, cpus) in nodes.iter().enumerate() {
            let cpus: Cpus = cpus.iter().copied().collect();
            let file = format!("sys/devices/system/node/node{number}/cpulist");
            made.file(&file, &cpus.to_string());
        }
        made.device("lo", 1);
        made
    }

    /// This kind of machine: two CPUs, and a network card of the host's with one queue, whose
    /// offloads stay.
    pub(super) fn virtio() -> Self {
        let mut made = Self::linux("6.18.44-fc-v595\n", ALL, &[&[0, 1]]);
        made.device("eth0", 1);
        made.bus("eth0", "pci0/0000:04/virtio3", "virtio_net");
        // Checksums and joined packets are agreed on, and no way to change that.
        made.file("sys/devices/pci0/0000:04/virtio3/features", "1100000110010000");
        made.system.bpf = Answer::Yes;
        made.irq("pci0/0000:04", 40, "virtio3-config", "0-1");
        made.irq("pci0/0000:04", 41, "virtio3-input.0", "1");
        made.irq("pci0/0000:04", 42, "virtio3-output.0", "0");
        made.routes("eth0");
        let on = Offload { on: true, fixed: false };
        let names = ["rx-gro", "tx-tcp-segmentation", "tx-checksum-ip-generic"];
        made.system.offloads = names.map(|name| (name.to_owned(), on)).into();
        made
    }

    /// A container: no capability, no answer from bpf(2), a cable to the host, CPU time for one
    /// and a half.
    pub(super) fn container() -> Self {
        let mut made = Self::linux("6.1.0-18-amd64", "0000000000000000", &[&[0, 1, 2, 3]]);
        made.device("eth0", 1);
        made.system.drivers.insert("eth0", "veth");
        made.system.bpf = Answer::Refused("EPERM".to_owned());
        made.routes("eth0");
        made.file("proc/self/cgroup", "0::/\n");
        made.file("proc/self/mountinfo", "1 2 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        made.file("sys/fs/cgroup/cpu.max", "150000 100000\n");
        made
    }

    /// A server with two nodes of sixteen CPUs, and a card with sixteen queues on the second.
    pub(super) fn server() -> Self {
        let cpus: Vec<usize> = (0..32).collect();
        let made = Self::linux("6.18.9", ALL, &[&cpus[..16], &cpus[16..]]);
        made.device("eth1", 16);
        made.bus("eth1", "pci0/0000:c1", "ice");
        made.file("sys/devices/pci0/0000:c1/numa_node", "1");
        for queue in 0..16 {
            let name = format!("ice-eth1-TxRx-{queue}");
            made.irq("pci0/0000:c1", 100 + queue, &name, &(16 + queue).to_string());
        }
        made.routes("eth1");
        let point = "30 1 0:25 / /sys/fs/bpf rw,nosuid - bpf bpf rw,mode=700\n";
        made.file("proc/self/mountinfo", point);
        made
    }

    pub(super) fn file(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    /// A device with so many queues, without RPS.
    pub(super) fn device(&self, name: &str, queues: usize) {
        let folder = format!("sys/class/net/{name}");
        self.file(&format!("{folder}/operstate"), if name == "lo" { "unknown" } else { "up" });
        self.file(&format!("{folder}/mtu"), if name == "lo" { "65536" } else { "1500" });
        for queue in 0..queues {
            self.file(&format!("{folder}/queues/rx-{queue}/rps_cpus"), "00000000\n");
            fs::create_dir_all(self.root.join(format!("{folder}/queues/tx-{queue}"))).unwrap();
        }
    }

    /// The bus that a device is on, and its driver there.
    pub(super) fn bus(&self, device: &str, place: &str, driver: &str) {
        let place = self.root.join("sys/devices").join(place);
        fs::create_dir_all(&place).unwrap();
        symlink(format!("../../bus/drivers/{driver}"), place.join("driver")).unwrap();
        symlink(&place, self.root.join(format!("sys/class/net/{device}/device"))).unwrap();
    }

    /// An interrupt of what is at this place of a bus.
    pub(super) fn irq(&self, place: &str, number: u32, name: &str, cpus: &str) {
        self.file(&format!("sys/devices/{place}/msi_irqs/{number}"), "msix\n");
        self.file(&format!("proc/irq/{number}/effective_affinity_list"), cpus);
        self.file(&format!("proc/irq/{number}/smp_affinity_list"), "0-1");
        fs::create_dir_all(self.root.join(format!("proc/irq/{number}/{name}"))).unwrap();
    }

    /// Routes by a device with 192.0.2.2/24 and 2001:db8::2, to everywhere.
    pub(super) fn routes(&self, device: &str) {
        let head =
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        // The kernel writes addresses as they lie in memory.
        let hex = |addr: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(addr));
        let route = |to: [u8; 4], mask: [u8; 4]| {
            format!("{device}\t{}\t00000000\t0001\t0\t0\t0\t{}\t0\t0\t0\n", hex(to), hex(mask))
        };
        let near = route([192, 0, 2, 0], [255, 255, 255, 0]);
        let rest = route([0; 4], [0; 4]);
        self.file("proc/net/route", &format!("{head}{rest}{near}"));
        let v6 = format!(
            "00000000000000000000000000000001 01 80 10 80       lo\n\
             20010db8000000000000000000000002 04 40 00 82     {device}\n"
        );
        self.file("proc/net/if_inet6", &v6);
    }

    /// What is asked for by default, at this address and with so many shards, each with a worker.
    pub(super) fn asked(&self, addr: &str, shards: Option<usize>) -> Asked {
        let core = |&cpu: &usize| Core { cpus: vec![cpu] };
        let nodes = self.nodes.iter().enumerate();
        let nodes =
            nodes.map(|(os_index, cpus)| Node { os_index, cores: cpus.iter().map(core).collect() });
        let machine = Machine { nodes: nodes.collect() };
        let quota = crate::plan::cgroup::quota(&self.root).unwrap();
        let numa = self.numa.clone();
        let request = Request { shards, workers: shards, numa, quota };
        Asked {
            addr: addr.parse().unwrap(),
            plan: plan(&machine, &request).unwrap(),
            numa: self.numa.clone(),
            max_connections: None,
            descriptors_beside: 400,
            steering: Steering { steer: Steer::Auto, ..Steering::default() },
        }
    }

    pub(super) fn examine(&self, asked: &Asked) -> Report {
        examine(&self.root, &self.system, asked, false)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // A folder that stays in the temporary one does no harm.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// The same, with these devices named.
pub(super) fn naming(mut asked: Asked, ifaces: &[&str]) -> Asked {
    asked.steering.ifaces = ifaces.iter().map(|text| text.parse::<Iface>().unwrap()).collect();
    asked
}

/// What was found of that name.
pub(super) fn found<'a>(report: &'a Report, name: &str) -> &'a Finding {
    let found = report.findings.iter().find(|finding| finding.name == name);
    found.unwrap_or_else(|| panic!("no {name}: {:?}", report.findings))
}
