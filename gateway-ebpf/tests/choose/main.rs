//! Which shard a connection goes to, by each strategy, and what every choice keeps.

mod drawn;
mod tables;

use gateway_ebpf::abi::Word;
use gateway_ebpf::{Choice, How, NOBODY, Rules, SLACK_MIN, Strategy, UNLIMITED, choose, slots};
use tables::{Memory, ask, rules};

#[test]
fn affinity_keeps_a_connection_on_its_cpu_as_long_as_there_is_slack() {
    let memory = Memory::new(4, 2, 10_000);
    for number in 0..4_000 {
        let cpu = number % 4;
        let choice = memory.come(rules(Strategy::Affinity), ask(cpu, number));
        assert_eq!(choice, Choice { shard: cpu, how: How::Placed });
    }
}

#[test]
fn what_arrives_on_one_cpu_alone_is_spread_and_stays_on_its_node_first() {
    let memory = Memory::new(4, 2, 100_000);
    let rules = rules(Strategy::Affinity);
    let choices: Vec<_> = (0..8_000).map(|number| memory.come(rules, ask(0, number))).collect();
    // Each choice was within its bound when it was made.
    let mut live = [0_u64; 4];
    for (before, choice) in choices.iter().enumerate() {
        let share = (before as f64 + 1.0) / 4.0;
        let here = live[choice.shard as usize] + 1;
        let bound = (share * 1.125).max(share + SLACK_MIN as f64);
        assert!(choice.how == How::Spilled || here as f64 <= bound + 1.0, "{before}: {choice:?}");
        live[choice.shard as usize] += 1;
    }
    assert!(live[0] > live[2] && live[1] >= live[2], "near ones have more: {live:?}");
    assert!(live.iter().all(|&live| live > 1_500), "all help: {live:?}");
    assert_eq!(choices[..SLACK_MIN as usize].iter().filter(|it| it.how == How::Placed).count(), 64);
}

#[test]
fn without_a_bound_all_stay_where_they_arrive() {
    let memory = Memory::new(4, 1, 100_000);
    let rules = Rules { strategy: Strategy::Affinity, slack_permille: UNLIMITED };
    (0..5_000).for_each(|number| _ = memory.come(rules, ask(3, number)));
    assert_eq!(memory.live(), [0, 0, 0, 5_000]);
}

#[test]
fn a_cpu_without_a_shard_and_one_that_is_not_known_are_served_too() {
    let memory = Memory::new(4, 2, 1_000);
    for (number, cpu) in [4, 1_023, u32::MAX].into_iter().cycle().take(300).enumerate() {
        let choice = memory.come(rules(Strategy::Affinity), ask(cpu, number as u32));
        assert_eq!(choice.how, How::Spilled);
    }
    assert!(memory.live().iter().all(|&live| live > 40), "{:?}", memory.live());
}

#[test]
fn of_several_shards_on_a_cpu_the_less_loaded_of_two_is_taken() {
    let mut memory = Memory::new(3, 1, 10_000);
    memory.cpus[0].count = Word::new(3);
    memory.cpus[0].shards[1] = Word::new(1);
    memory.cpus[0].shards[2] = Word::new(2);
    let rules = Rules { strategy: Strategy::Affinity, slack_permille: UNLIMITED };
    (0..3_000).for_each(|number| _ = memory.come(rules, ask(0, number)));
    let live = memory.live();
    assert!(live.iter().all(|live| (990..=1_010).contains(live)), "{live:?}");
}

#[test]
fn the_fewest_connections_differ_by_one() {
    let memory = Memory::new(5, 1, 10_000);
    memory.seat(2, 100);
    (0..400).for_each(|number| _ = memory.come(rules(Strategy::LeastConnections), ask(0, number)));
    assert_eq!(memory.live(), [100; 5]);
    (0..7).for_each(|number| _ = memory.come(rules(Strategy::LeastConnections), ask(0, number)));
    assert_eq!(memory.live().iter().max(), Some(&102));
    assert_eq!(memory.live().iter().min(), Some(&101));
}

#[test]
fn round_robin_takes_one_after_the_other_and_passes_over_who_takes_none() {
    let memory = Memory::new(4, 1, 1_000);
    let come = |number| memory.come(rules(Strategy::RoundRobin), ask(0, number));
    let shards: Vec<_> = (0..8).map(|number| come(number).shard).collect();
    assert_eq!(shards, [0, 1, 2, 3, 0, 1, 2, 3]);
    memory.leave(1);
    let choices: Vec<_> = (0..400).map(come).collect();
    assert!(choices.iter().all(|choice| choice.shard != 1));
    assert_eq!(choices.iter().filter(|choice| choice.how == How::Spilled).count(), 100);
}

#[test]
fn a_returning_client_meets_its_shard_by_hash_whatever_its_port() {
    let memory = Memory::new(8, 1, 100_000);
    let mut met = [None; 100];
    for number in 0..10_000 {
        let choice = memory.come(rules(Strategy::Hash), ask(number % 8, number));
        let client = &mut met[number as usize % 100];
        assert_eq!(*client.get_or_insert(choice.shard), choice.shard);
    }
    assert!(memory.live().iter().all(|&live| live > 0), "{:?}", memory.live());
}

#[test]
fn chance_and_weights_give_each_its_part() {
    let mut memory = Memory::new(4, 1, 100_000);
    (0..40_000).for_each(|number| _ = memory.come(rules(Strategy::Random), ask(0, number)));
    assert!(memory.live().iter().all(|live| (9_500..10_500).contains(live)), "{:?}", memory.live());
    let weights = [(0, 1), (1, 1), (2, 2), (3, 4)];
    memory.slots = slots::all().filter_map(|slot| slots::shard_of(slot, weights)).collect();
    let before = memory.live();
    (0..40_000).for_each(|number| _ = memory.come(rules(Strategy::Weighted), ask(0, number)));
    let gained: Vec<_> =
        memory.live().iter().zip(before).map(|(now, before)| now - before).collect();
    for ((_, weight), gained) in weights.iter().zip(&gained) {
        let due = 5_000 * u64::from(*weight);
        assert!((due * 8 / 10..=due * 12 / 10).contains(gained), "{gained:?}");
    }
}

#[test]
fn no_strategy_goes_to_a_full_or_leaving_shard_while_another_is_open() {
    for strategy in Strategy::ALL {
        for slack_permille in [125, UNLIMITED] {
            let memory = Memory::new(16, 4, 10);
            (0..16).filter(|&shard| shard != 11).for_each(|shard| match shard % 2 {
                0 => memory.seat(shard, 10),
                _ => memory.leave(shard),
            });
            for number in 0..10 {
                let choice = memory.come(Rules { strategy, slack_permille }, ask(number, number));
                assert_eq!(choice.shard, 11, "{strategy:?}");
                assert_ne!(choice.how, How::Full);
            }
            let full = choose(&memory, Rules { strategy, slack_permille }, ask(3, 3));
            assert_eq!(full.how, How::Full, "{strategy:?}");
        }
    }
}

#[test]
fn without_any_shard_there_is_no_choice() {
    let memory = Memory::new(0, 1, 10);
    for strategy in Strategy::ALL {
        let choice = choose(&memory, rules(strategy), ask(0, 1));
        assert_eq!(choice, Choice { shard: NOBODY, how: How::Full }, "{strategy:?}");
    }
}

#[test]
fn the_same_connection_asked_for_twice_goes_to_the_same_shard() {
    for strategy in Strategy::ALL.into_iter().filter(|&it| it != Strategy::RoundRobin) {
        let memory = Memory::new(7, 2, 1_000);
        memory.seat(0, 500);
        for number in 0..200 {
            let twice = [(); 2].map(|()| choose(&memory, rules(strategy), ask(number % 7, number)));
            assert_eq!(twice[0], twice[1], "{strategy:?}");
        }
    }
}

#[test]
fn a_shard_that_comes_takes_its_part_of_the_slots_and_moves_no_others() {
    let table = |shards: u32| -> Vec<u32> {
        let all = || (0..shards).map(|shard| (shard, 1));
        slots::all().filter_map(|slot| slots::shard_of(slot, all())).collect()
    };
    for shards in 1..40 {
        let (before, after) = (table(shards), table(shards + 1));
        let moved = before.iter().zip(&after).filter(|(old, new)| old != new);
        assert!(moved.clone().all(|(_, &new)| new == shards), "only to the one that came");
        let (moved, due) = (moved.count() as f64, 1024.0 / f64::from(shards + 1));
        // Five times the deviation of as many draws.
        assert!((moved - due).abs() < 5.0 * due.sqrt(), "{shards}: {moved} of {due}");
    }
}

#[test]
fn weights_are_obeyed_over_their_whole_range() {
    for (one, other) in [(1, 1), (1, 3), (1, 10), (1, 100), (999, 1_000), (1_000, 1)] {
        let won =
            slots::all().filter(|&slot| slots::shard_of(slot, [(0, one), (1, other)]) == Some(1));
        let due = 1024.0 * f64::from(other) / f64::from(one + other);
        let deviation = (due * (1.0 - due / 1024.0)).sqrt().max(1.0);
        let won = won.count() as f64;
        assert!((won - due).abs() < 5.0 * deviation, "{one}:{other} {won} of {due}");
    }
    assert_eq!(slots::shard_of(0, []), None);
}
