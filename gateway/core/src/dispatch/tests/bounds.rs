//! What piles up on a shard while others do not take it, and what is told too early.

use std::collections::VecDeque;

use super::world::Act::{Enter, Migrate, Publish};
use super::world::Step::{
    Answer as Answers, Command as Commands, Delivery as Deliveries, Exchange,
};
use super::world::{Setup, World};
use crate::dispatch::{Answer, Config, Dispatch, RoomKey, Sequencing, Told};
use crate::envelope::{Attach, Command, Delivery, Link, Post, RoomName, RoomPolicy, Term};
use crate::frame::Kind;
use crate::id::{Author, ShardId};
use crate::log::Retention;
use crate::message::Words;
use crate::position::{Offset, Position};
use crate::route::Namespace;
use crate::time::Tick;

#[derive(Default)]
struct Rings {
    refuses: bool,
    refused: usize,
    commands: VecDeque<Command>,
    deliveries: VecDeque<Delivery>,
}

impl Post for Rings {
    fn command(&mut self, _: ShardId, command: Command) -> Result<(), Command> {
        if self.refuses {
            self.refused += 1;
            return Err(command);
        }
        self.commands.push_back(command);
        Ok(())
    }
    fn deliver(&mut self, _: ShardId, delivery: Delivery) -> Result<(), Delivery> {
        if self.refuses {
            self.refused += 1;
            return Err(delivery);
        }
        self.deliveries.push_back(delivery);
        Ok(())
    }
}

const NOW: Tick = Tick(100);

fn dispatch(change: impl FnOnce(&mut Config)) -> Dispatch {
    let mut config = Config { seed: 1, ..Config::default() };
    change(&mut config);
    Dispatch::new(config)
}

fn name(n: usize) -> RoomName {
    RoomName { namespace: Namespace::WS, name: format!("r{n}").into() }
}

/// A room whose home is `home`.
fn enter(dispatch: &mut Dispatch, n: usize, home: u16, fresh: bool) -> RoomKey {
    let room = name(n);
    let (key, _) = dispatch.enter(room.namespace, &room.name);
    let (home, term) = (ShardId(home), Term(n as u64 + 1));
    dispatch.answer(NOW, Answer::Claimed { room, home, term, fresh });
    key
}

fn attach(dispatch: &mut Dispatch, n: usize, from: u16) {
    let (link, term) = (Link { room: n as u32, serial: n as u32 + 1 }, Term(n as u64 + 1));
    let (from, room) = (ShardId(from), name(n));
    let attach = Attach { from, link, room, term, since: None, roster: Vec::new() };
    dispatch.command(NOW, Command::Attach(Box::new(attach)));
}

fn say(dispatch: &mut Dispatch, key: RoomKey, words: &[u8]) {
    dispatch.publish(NOW, key, Author::NOBODY, Kind::Text, Words::Bytes(words));
}

fn drain(dispatch: &mut Dispatch) -> Vec<Told> {
    std::iter::from_fn(|| dispatch.poll()).collect()
}

/// As often as one turn may exchange.
const EXCHANGES: usize = 17;

/// Each room copied what it owed a shard whose ring was full, in each exchange anew.
#[test]
fn a_full_ring_is_not_copied_for_by_each_room() {
    const ROOMS: usize = 1_000;
    let mut home = dispatch(|_| ());
    let keys: Vec<_> = (0..ROOMS).map(|n| enter(&mut home, n, 0, true)).collect();
    (0..ROOMS).for_each(|n| attach(&mut home, n, 1));
    let mut rings = Rings::default();
    home.exchange(NOW, &mut rings);
    for &key in &keys {
        say(&mut home, key, &[7; 200]);
    }
    drain(&mut home);
    rings.refuses = true;
    home.exchange(NOW, &mut rings);
    let (hits, misses) = home.pool_counts();
    rings.refused = 0;
    for _ in 0..EXCHANGES {
        assert!(!home.exchange(NOW, &mut rings));
    }
    let (hits2, misses2) = home.pool_counts();
    assert!(hits2 + misses2 - hits - misses <= 1, "what was refused is copied once");
    assert_eq!(rings.refused, EXCHANGES, "the ring is tried once in each exchange");
    rings.refuses = false;
    assert!(home.exchange(NOW, &mut rings), "all is sent when there is room");
    let said = rings.deliveries.iter().filter(|it| matches!(it, Delivery::Said { .. })).count();
    assert_eq!(said, ROOMS);
}

/// Who was away long was sent all of a large past at once, in one piece.
#[test]
fn who_missed_more_than_it_may_owe_is_told_so() {
    let history = Retention { messages_max: 50_000, bytes_max: 64 << 20, age_secs: 100 };
    let policy = RoomPolicy { history, presence: false };
    let mut home = dispatch(|config| config.policies = vec![policy.clone(), policy]);
    let key = enter(&mut home, 0, 0, true);
    attach(&mut home, 0, 1);
    let mut rings = Rings::default();
    home.exchange(NOW, &mut rings);
    let epoch = home.position(key).epoch;
    (0..20_000).for_each(|_| say(&mut home, key, &[7; 1000]));
    let (from, term) = (ShardId(1), Term(1));
    let since = |offset| Position { epoch, offset: Offset(offset) };
    for (ask, offset) in [(1, 0), (2, 19_500)] {
        let since = since(offset);
        home.command(NOW, Command::Recover { from, term, ask, since, pin: None });
    }
    home.exchange(NOW, &mut rings);
    let recovered = rings.deliveries.iter().filter_map(|delivery| {
        let Delivery::Recovered { ask, batch, complete, .. } = delivery else { return None };
        Some((*ask, batch.len(), *complete))
    });
    assert_eq!(recovered.collect::<Vec<_>>(), [(1, 0, false), (2, 500, true)]);
}

/// The home's own publishers were read from for ever.
#[test]
fn a_slow_engine_stalls_the_homes_own_publishers() {
    let mut home = dispatch(|config| config.sequencing = Sequencing::Engine);
    let key = enter(&mut home, 0, 0, true);
    let mut rings = Rings::default();
    for _ in 0..100 {
        if home.is_stalled(key) {
            break;
        }
        (0..100).for_each(|_| say(&mut home, key, b"x"));
        home.exchange(NOW, &mut rings);
        drain(&mut home);
    }
    let kept = home.homes[0].unsequenced.len();
    assert!(kept <= 2 * 1024, "{kept} messages are under way, unanswered_max is 1024");
}

/// Each of them was remembered.
#[test]
fn who_comes_and_goes_while_a_ring_is_full_is_told_as_a_whole() {
    let policy = RoomPolicy { history: Retention::default(), presence: true };
    let mut shard = dispatch(|config| config.policies = vec![policy.clone(), policy]);
    let mut rings = Rings { refuses: true, ..Rings::default() };
    let key = enter(&mut shard, 0, 1, false);
    let link = Link { room: key.0, serial: 1 };
    let position = Position::default();
    shard.deliver(NOW, Delivery::Attached { link, term: Term(1), position, population: 1 });
    for n in 0..100_000 {
        shard.show(key, Author::named(n));
        shard.hide(key, Author::named(n));
        shard.exchange(NOW, &mut rings);
        drain(&mut shard);
    }
    let kept = shard.sides[0].changes.len();
    assert!(kept <= 1024, "{kept} changes wait for an empty roster");
}

/// Who had gone on to the next home was said to have left by the old one.
#[test]
fn a_shard_that_hears_late_that_a_home_moved_is_not_told_that_others_left() {
    let setup = Setup { shards: 4, presence: true, capacity: 1, ..Setup::default() };
    let mut world = World::after(setup, &[Enter(0, 0), Enter(2, 0), Enter(3, 0)]);
    world.act(Publish(0, 0));
    world.run(&[Exchange(0), Deliveries(0, 3)]);
    world.act(Migrate(0, 1, 0));
    let key = world.view(2, 0).expect("it is there").0;
    let before = world.view(2, 0).expect("it is there").1.present.clone();
    world.run(&[Answers(0), Exchange(0)]);
    // Shard 3 hears all; shard 2's ring holds one envelope and is not read from.
    for _ in 0..20 {
        for step in [Exchange(0), Exchange(3), Exchange(1), Deliveries(0, 3), Commands(3, 0)] {
            if world.enabled().contains(&step) {
                world.take(step);
            }
        }
    }
    let mut least = before.len();
    for _ in 0..50 {
        for step in [Deliveries(0, 2), Exchange(0), Exchange(2)] {
            if world.enabled().contains(&step) {
                world.take(step);
                let present = &world.views[2][&key].present;
                least = least.min(present.len());
            }
        }
    }
    assert_eq!(least, before.len(), "nobody has left");
}
