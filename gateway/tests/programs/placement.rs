//! Where the kernel sends packets: by made-up tables, to this CPU and another one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use gateway_ebpf::abi::{Counter, Flow, Placement, SLOTS, Shard, Total, Word, names};
use gateway_ebpf::{Ask, Flags, Rules, Segment, Source, Strategy, choose, hash, is_opening, parse};

use crate::kernel::{Counts, Kernel, PASS, REDIRECT, Setup, possible_cpus, skip};
use crate::mutant::Chance;
use crate::packets::packet;
use crate::tables::Memory;

/// Shards of the tables: one turned here, one on another CPU.
const HERE: u32 = 0;
pub(crate) const THERE: u32 = 1;

/// A kernel with two shards, and the host's copy of its tables.
pub(crate) struct World {
    pub(crate) kernel: Kernel,
    memory: Memory,
    setup: Setup,
    /// The CPUs of the two shards.
    cpus: [u32; 2],
}

impl World {
    /// As many nodes: one or two. Both CPUs have queues.
    pub(crate) fn load(setup: Setup, nodes: u32) -> Option<Self> {
        let here = gateway::machine::allowed_cpus()[0] as u32;
        let Some(there) = (0..possible_cpus()).find(|cpu| *cpu != here) else {
            return skip("this machine has one CPU, and a queue is only made for one that may be");
        };
        gateway::machine::pin(here as usize).unwrap();
        let mut kernel = Kernel::load(setup)?;
        kernel.queue(here);
        kernel.queue(there);
        let cpus = [here, there];
        let mut world = Self { kernel, memory: memory(cpus, nodes), setup, cpus };
        world.publish();
        Some(world)
    }

    /// Has the kernel know what the host's copy says.
    fn publish(&mut self) {
        self.publish_loads();
        for (at, cpu) in (0..).zip(&self.memory.cpus) {
            let words: [u64; 24] = std::array::from_fn(|word| match word {
                0 => cpu.count.get(),
                1 => cpu.group.get(),
                2..18 => cpu.shards[word - 2].get(),
                _ => 0,
            });
            self.kernel.set(names::CPUS, at, words);
        }
        for (at, group) in (0..).zip(&self.memory.groups) {
            let words: [u64; 1032] = std::array::from_fn(|word| match word {
                0 => group.count.get(),
                1..8 => 0,
                _ => group.shards[word - 8].get(),
            });
            self.kernel.set(names::GROUPS, at, words);
        }
        for (at, slot) in (0..).zip(&self.memory.slots) {
            self.kernel.set(names::SLOTS, at, [u64::from(*slot)]);
        }
    }

    /// Has the kernel know what changes all the time.
    fn publish_loads(&mut self) {
        for (at, shard) in (0..).zip(&self.memory.shards) {
            let Shard { live, capacity, serving, cpu, group } = shard;
            let [live, capacity, serving, cpu, group] =
                [live, capacity, serving, cpu, group].map(Word::get);
            let words = [live, capacity, serving, cpu, group, 0, 0, 0];
            self.kernel.set(names::SHARDS, at, words);
        }
        let Total { live, turn, serving, flows, guard } = &self.memory.total;
        let [live, turn, serving, flows, guard] =
            [live, turn, serving, flows, guard].map(Word::get);
        self.kernel.set(names::TOTAL, 0, [live, turn, serving, flows, guard, 0, 0, 0]);
    }

    /// A shard holds so many connections from now on.
    fn holds(&mut self, shard: u32, live: u64) {
        self.memory.shards[shard as usize].live.set(live);
        self.publish_loads();
    }

    /// A client whose slot is this shard's.
    pub(crate) fn client_of(&self, shard: u32) -> Client {
        let clients = (1_024..=u16::MAX).map(Client);
        let usual = |client: &Client| self.memory.slots[client.slot()] == shard;
        clients.into_iter().find(usual).expect("each shard has slots")
    }

    fn run(&self, client: Client, flags: Flags) -> u32 {
        self.kernel.run(&client.says(flags))
    }

    /// Whether flows are looked up one by one.
    fn looks_up(&self) -> bool {
        let words: [u64; 8] = self.kernel.get(names::TOTAL, 0);
        words[std::mem::offset_of!(Total, flows) / 8] != 0
    }

    /// The CPU that is remembered for a client.
    fn remembered(&self, client: Client) -> Option<u32> {
        self.kernel.look(names::FLOWS, key(&client.segment(Flags::SYN)))
    }
}

/// A client by its port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(u16);

impl Client {
    /// A segment of its to the door of tests.
    pub(crate) fn says(self, flags: Flags) -> Vec<u8> {
        let from = SocketAddr::from(([192, 0, 2, 7], self.0));
        packet(from, SocketAddr::from(([198, 51, 100, 9], 8080)), flags)
    }

    fn segment(self, flags: Flags) -> Segment {
        parse(&self.says(flags)[..]).unwrap()
    }

    fn slot(self) -> usize {
        hash::below(hash::of_flow(&self.segment(Flags::SYN)), SLOTS as u32) as usize
    }
}

/// The bytes of a flow's key.
fn key(segment: &Segment) -> [u8; size_of::<Flow>()] {
    let ports =
        [segment.source_port, segment.destination_port].map(|port| u32::from(port).to_ne_bytes());
    let [source, destination] = [segment.source, segment.destination].map(|ip| ip.octets());
    let bytes = [&source[..], &destination, &ports[0], &ports[1]].concat();
    bytes.try_into().expect("a flow has no padding")
}

/// Tables of two shards on these CPUs, both within every bound.
fn memory([here, there]: [u32; 2], nodes: u32) -> Memory {
    let mut memory = Memory::new(2, nodes, 1_000);
    let near: Vec<_> = memory.cpus.drain(..).collect();
    memory.cpus.resize_with(here.max(there) as usize + 1, Default::default);
    for ((shard, cpu), near) in [(HERE, here), (THERE, there)].into_iter().zip(near) {
        let record = &memory.shards[shard as usize];
        record.cpu.set(cpu.into());
        record.group.set(near.group.get());
        memory.cpus[cpu as usize] = near;
    }
    memory
}

fn placed(placement: Placement) -> Setup {
    Setup { placement, ..Setup::default() }
}

#[test]
fn packets_go_to_their_shards_cpu_and_stay_where_they_are_there_already() {
    for placement in [Placement::Core, Placement::Node] {
        let Some(world) = World::load(placed(placement), 2) else { return };
        for flags in [Flags::SYN, Flags::ACK, Flags::RST] {
            assert_eq!(world.run(world.client_of(HERE), flags), PASS, "{placement:?}");
            assert_eq!(world.run(world.client_of(THERE), flags), REDIRECT, "{placement:?}");
        }
        let due = Counts::default().and_times(Counter::Pass, 3).and_times(Counter::Redirect, 3);
        assert_eq!(world.kernel.counts(), due, "{placement:?}");
        let [here, there] = world.cpus.map(|cpu| world.kernel.redirects(cpu));
        assert_eq!([here, there], [0, 3], "{placement:?}");
        assert!(!world.looks_up(), "all are where their slots say");
    }
}

#[test]
fn observing_sends_nothing_anywhere() {
    let Some(world) = World::load(placed(Placement::Observe), 2) else {
        return;
    };
    for shard in [HERE, THERE] {
        assert_eq!(world.run(world.client_of(shard), Flags::SYN), PASS);
    }
    assert_eq!(world.kernel.counts(), Counts::default().and_times(Counter::Pass, 2));
}

#[test]
fn what_arrived_on_the_right_node_is_not_sent_to_another_cpu_of_it() {
    let Some(world) = World::load(placed(Placement::Node), 1) else { return };
    for shard in [HERE, THERE] {
        for flags in [Flags::SYN, Flags::ACK] {
            assert_eq!(world.run(world.client_of(shard), flags), PASS);
        }
    }
    assert_eq!(world.kernel.counts(), Counts::default().and_times(Counter::Pass, 4));
}

#[test]
fn a_flow_that_spilled_keeps_its_cpu_and_reused_ports_begin_anew() {
    let Some(mut world) = World::load(placed(Placement::Core), 2) else { return };
    let (client, other) = (world.client_of(HERE), world.client_of(THERE));
    world.holds(HERE, 1_000);
    assert_eq!(world.run(client, Flags::SYN), REDIRECT, "its shard is full");
    assert!(world.looks_up());
    assert_eq!(world.remembered(client), Some(world.cpus[1]));
    // The host's copy would take the mark away, which only a program sets.
    world.memory.total.flows.set(1);
    world.holds(HERE, 0);
    assert_eq!(world.run(client, Flags::ACK), REDIRECT, "it is there, whatever is free now");
    assert_eq!(world.run(other, Flags::ACK), REDIRECT, "it is where its slot says");
    assert_eq!(world.remembered(other), None);
    // The same ports once more, and room at home.
    assert_eq!(world.run(client, Flags::SYN), PASS);
    assert_eq!(world.remembered(client), None);
    assert_eq!(world.run(client, Flags::ACK), PASS);
}

#[test]
fn a_cpu_without_a_queue_keeps_its_packets_here() {
    let Some(world) = World::load(placed(Placement::Core), 2) else { return };
    // Another kernel object with the same tables, and no queue.
    let World { memory, setup, cpus, .. } = world;
    let Some(kernel) = Kernel::load(setup) else { return };
    let mut world = World { kernel, memory, setup, cpus };
    world.publish();
    for flags in [Flags::SYN, Flags::ACK] {
        assert_eq!(world.run(world.client_of(THERE), flags), PASS);
    }
    assert_eq!(world.kernel.counts(), Counts::default().and_times(Counter::Stuck, 2));
    assert_eq!(world.cpus.map(|cpu| world.kernel.redirects(cpu)), [0, 0]);
}

#[test]
fn without_tables_and_without_a_cpu_of_its_own_nothing_is_sent() {
    for placement in [Placement::Core, Placement::Node] {
        let Some(kernel) = Kernel::load(placed(placement)) else { return };
        assert_eq!(kernel.run(&Client(40_000).says(Flags::SYN)), PASS, "no tables: {placement:?}");
        let Some(mut world) = World::load(placed(placement), 2) else { return };
        world.memory.shards[THERE as usize].cpu.set(u32::MAX.into());
        world.publish();
        assert_eq!(world.run(world.client_of(THERE), Flags::ACK), PASS, "it is not pinned");
        assert_eq!(world.kernel.counts(), Counts::default().and(Counter::Pass));
    }
}

#[test]
fn kernel_and_host_find_the_same_slot_whatever_the_addresses_are() {
    let Some(world) = World::load(placed(Placement::Core), 2) else { return };
    let mut chance = Chance(0x51075);
    let mut redirected = 0;
    for nth in 0..4_000 {
        let ip = |chance: &mut Chance| -> IpAddr {
            let octets: [u8; 16] = std::array::from_fn(|_| chance.below(256) as u8);
            // 2000::/3, where nothing is a mapped address.
            let v6 = u128::from_be_bytes(octets) >> 3 | 1 << 125;
            if nth % 2 == 0 {
                IpAddr::from((v6 as u32).to_be_bytes())
            } else {
                Ipv6Addr::from(v6).into()
            }
        };
        let (from, to) = (ip(&mut chance), ip(&mut chance));
        let from = SocketAddr::new(from, chance.below(1 << 16) as u16);
        let frame = packet(from, (to, 8080).into(), Flags::ACK);
        let slot = hash::below(hash::of_flow(&parse(&frame[..]).unwrap()), SLOTS as u32);
        let is_here = world.memory.slots[slot as usize] == HERE;
        let due = if is_here { PASS } else { REDIRECT };
        assert_eq!(world.kernel.run(&frame), due, "{from} to {to}");
        redirected += u32::from(!is_here);
    }
    assert!((1_500..2_500).contains(&redirected), "both had their turns: {redirected}");
}

/// What the kernel is to do with each packet of many clients, by the host's `choose`.
struct Expected {
    /// CPUs of clients that are served elsewhere than their slots say, by port.
    flows: BTreeMap<u16, u32>,
}

impl Expected {
    fn cpu(&mut self, world: &World, client: Client, flags: Flags) -> u32 {
        let segment = client.segment(flags);
        let cpu_of = |shard: u32| world.memory.shards[shard as usize].cpu.number();
        let usual = cpu_of(world.memory.slots[client.slot()]);
        if !is_opening(flags) {
            return self.flows.get(&client.0).copied().unwrap_or(usual);
        }
        let by_node = world.setup.placement == Placement::Node;
        let strategy = if by_node { Strategy::Affinity } else { world.setup.strategy };
        let rules = Rules { strategy, slack_permille: world.setup.slack };
        let source_hash = hash::of_source(Source::of(segment.source));
        let ask = Ask { cpu: usual, hash: hash::of_flow(&segment), source_hash };
        let cpu = cpu_of(choose(&world.memory, rules, ask).shard);
        if cpu == usual {
            self.flows.remove(&client.0)
        } else {
            self.flows.insert(client.0, cpu)
        };
        cpu
    }
}

#[test]
fn kernel_and_host_choose_the_same_for_every_strategy() {
    for placement in [Placement::Core, Placement::Node] {
        for strategy in Strategy::ALL {
            let setup = Setup { strategy, ..placed(placement) };
            let Some(mut world) = World::load(setup, 2) else { return };
            agree(&mut world);
        }
    }
}

/// Loads change all the time; flows begin, go on, and begin anew.
fn agree(world: &mut World) {
    let mut chance = Chance(world.setup.strategy as u64 + 1);
    let mut expected = Expected { flows: BTreeMap::new() };
    let mut redirected = 0;
    for round in 0..60 {
        for shard in [HERE, THERE] {
            let record = &world.memory.shards[shard as usize];
            record.live.set([0, 400, 600, 1_000][chance.below(4)]);
        }
        let live = world.memory.live().iter().sum();
        world.memory.total.live.set(live);
        world.memory.total.flows.set(world.looks_up().into());
        world.publish_loads();
        for _ in 0..50 {
            let client = Client(1_024 + chance.below(200) as u16);
            let flags = if chance.below(3) == 0 { Flags::SYN } else { Flags::ACK };
            let cpu = expected.cpu(world, client, flags);
            let due = if cpu == world.cpus[0] { PASS } else { REDIRECT };
            let setup = world.setup;
            assert_eq!(world.run(client, flags), due, "{round}: {client:?} {flags:?} {setup:?}");
            redirected += u64::from(due == REDIRECT);
            assert_eq!(world.remembered(client), expected.flows.get(&client.0).copied());
        }
    }
    assert!((300..2_700).contains(&redirected), "both had their turns: {redirected}");
    let due = Counts::default()
        .and_times(Counter::Redirect, redirected)
        .and_times(Counter::Pass, 3_000 - redirected);
    assert_eq!(world.kernel.counts(), due);
}

#[test]
fn for_frames_of_several_buffers_packets_go_the_same_ways() {
    let setup = Setup { program: names::STEER_FRAGS, ..placed(Placement::Core) };
    let Some(world) = World::load(setup, 2) else { return };
    for (shard, due) in [(HERE, PASS), (THERE, REDIRECT)] {
        let mut frame = world.client_of(shard).says(Flags::ACK);
        assert_eq!(world.kernel.run(&frame), due);
        frame.resize(3 * rustix::param::page_size(), 0x5A);
        assert_eq!(world.kernel.run(&frame), due, "its headers are in the first buffer");
    }
}
