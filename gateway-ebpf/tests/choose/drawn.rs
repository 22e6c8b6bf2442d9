//! Whatever tables say, a choice is one that can be kept, or says that there is none.

use gateway_ebpf::abi::{CPU_SHARDS_MAX, Cpu, Group, SHARDS_MAX, Shard, Word};
use gateway_ebpf::{Ask, Choice, How, NOBODY, Rules, SCAN_MAX, Strategy, UNLIMITED, choose, slots};

use crate::tables::Memory;

/// The same numbers for each seed (xorshift64).
struct Draw(u64);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Numbers of shards, CPUs and groups, that there are and that there are not.
    fn any(&mut self) -> u64 {
        let some = self.below(1 << 11);
        self.one_of(&[0, 1, some, some, some, u32::MAX.into(), u64::MAX])
    }

    /// Connections that a machine might have.
    fn many(&mut self) -> u64 {
        let bound = self.one_of(&[2, 1_000, 1 << 31]);
        self.below(bound)
    }

    fn ask(&mut self) -> Ask {
        let [cpu, hash, source_hash] = [(); 3].map(|()| self.below(1 << 32) as u32);
        Ask { cpu: self.one_of(&[cpu, cpu % 4, cpu % 64, u32::MAX]), hash, source_hash }
    }

    fn rules(&mut self) -> Rules {
        let slack_permille = self.one_of(&[0, 125, 10_000, UNLIMITED]);
        Rules { strategy: self.one_of(&Strategy::ALL), slack_permille }
    }
}

/// Tables in which nothing fits.
fn nonsense(draw: &mut Draw) -> Memory {
    let mut memory = Memory::new(0, 1, 0);
    memory.shards.extend((0..draw.below(40)).map(|_| {
        let [live, capacity] = [(); 2].map(|()| Word::new(draw.many()));
        let [serving, cpu, group] = [(); 3].map(|()| Word::new(draw.any()));
        Shard { live, capacity, serving, cpu, group }
    }));
    memory.cpus.extend((0..draw.below(10)).map(|_| {
        let cpu = Cpu::default();
        cpu.count.set(draw.below(2 * CPU_SHARDS_MAX as u64));
        cpu.group.set(draw.any());
        cpu.shards.iter().for_each(|shard| shard.set(draw.any()));
        cpu
    }));
    memory.groups = (0..draw.below(4)).map(|_| group(draw)).collect();
    memory.slots = slots::all().map(|_| draw.any() as u32).collect();
    memory.total.live.set(draw.many());
    memory.total.turn.set(draw.any());
    memory.total.serving.set(draw.below(1 + SHARDS_MAX as u64));
    memory
}

fn group(draw: &mut Draw) -> Group {
    let group = Group::default();
    let count = [draw.below(4), draw.below(200), SHARDS_MAX as u64];
    group.count.set(draw.one_of(&count));
    group.shards.iter().for_each(|shard| shard.set(draw.any()));
    group
}

#[test]
fn tables_of_nonsense_give_a_choice_and_never_a_panic() {
    for seed in 1..=400 {
        let mut draw = Draw::new(seed);
        let memory = nonsense(&mut draw);
        for _ in 0..50 {
            let (rules, ask) = (draw.rules(), draw.ask());
            let Choice { shard, how } = choose(&memory, rules, ask);
            let found = memory.shards.get(shard as usize);
            match how {
                // Whatever tables say of others: the one chosen has room.
                How::Placed | How::Spilled => {
                    assert!(found.is_some_and(Shard::is_open), "seed {seed}: {rules:?} {ask:?}");
                }
                How::Full => {}
            }
        }
    }
}

/// Opens each shard with this chance, in percent; others are full, or leave.
fn open_some(draw: &mut Draw, memory: &Memory, percent: u64) {
    for shard in &memory.shards {
        let is_open = draw.below(100) < percent;
        let is_full = !is_open && draw.below(2) == 0;
        shard.serving.set(u64::from(is_open || is_full));
        shard.live.set(if is_full { 1_000 } else { draw.below(1_000) });
    }
    let serving = memory.shards.iter().map(|shard| shard.serving.get()).sum();
    memory.total.serving.set(serving);
    memory.total.live.set(memory.live().iter().sum());
}

#[test]
fn an_open_shard_is_found_if_there_is_one_among_those_that_are_looked_at() {
    for (seed, shards) in (1..).zip([1, 2, 3, 7, 16, 40, SCAN_MAX]) {
        let mut draw = Draw::new(seed);
        let memory = Memory::new(shards, 1 + shards.min(3), 1_000);
        for round in 0..500 {
            let percent = draw.one_of(&[0, 1, 5, 50, 95]);
            open_some(&mut draw, &memory, percent);
            let any = memory.shards.iter().any(Shard::is_open);
            for strategy in Strategy::ALL {
                let rules = Rules { strategy, ..draw.rules() };
                let Choice { shard, how } = choose(&memory, rules, draw.ask());
                assert_eq!(how != How::Full, any, "{shards}, round {round}: {rules:?}");
                let chosen = memory.shards.get(shard as usize).expect("there are shards");
                assert_eq!(chosen.is_open(), any, "{shards}, round {round}: {rules:?}");
            }
        }
    }
}

#[test]
fn of_more_shards_than_are_looked_at_full_ones_may_hide_an_open_one_but_not_half_of_them() {
    let mut draw = Draw::new(1);
    // So many in a row are never all full, if every other one is open.
    let memory = Memory::new(SHARDS_MAX as u32, 4, 1_000);
    (0..SHARDS_MAX as u32).step_by(2).for_each(|shard| memory.seat(shard, 1_000));
    for _ in 0..2_000 {
        let choice = choose(&memory, draw.rules(), draw.ask());
        assert!(choice.how != How::Full && choice.shard % 2 == 1, "{choice:?}");
    }
    // One that is open may be too far away: then a choice says full, and names some shard.
    (1..SHARDS_MAX as u32).step_by(2).skip(1).for_each(|shard| memory.seat(shard, 1_000));
    for _ in 0..2_000 {
        let choice = choose(&memory, draw.rules(), draw.ask());
        assert!(choice.how == How::Full || choice.shard == 1, "{choice:?}");
        assert_ne!(choice.shard, NOBODY);
    }
}
