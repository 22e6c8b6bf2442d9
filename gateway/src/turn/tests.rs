//! A turn over sockets that are not there.

mod passing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;

use gateway_core::dispatch::{Answer, Inquiry};
use gateway_core::envelope::{Link, Term};
use gateway_core::frame::Kind;
use gateway_core::hub::Config;
use gateway_core::id::Author;
use gateway_core::limits::Limits;
use gateway_core::message::{self, Meta, Words};
use gateway_core::position::{Offset, Position};
use gateway_core::transmit::{Part, Sent, Transmit};

use crate::config::SourceConfig;
use crate::guard::{Guard, Verdict};
use crate::others::{Alone, Found, Moved, Passed};

use super::*;

/// Sockets that have an upgrade request and then echoes without end to read, or nothing.
#[derive(Default)]
struct Talkers {
    /// They ask for a room, and listen.
    listen: bool,
    /// Those who listen say that they are there.
    answers: bool,
    /// Nothing of theirs becomes ready.
    quiet: bool,
    /// The system watches them, so that they can be taken out of their slots.
    watched: bool,
    pauses: u64,
    accepted: bool,
    upgraded: Vec<bool>,
    read: [usize; TALKERS as usize],
}

const TALKERS: u32 = 8;
const HEADERS: &str = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

impl Transmit for Talkers {
    fn send(&mut self, _: Slot, bytes: &[u8]) -> Sent {
        Sent::Wrote(bytes.len())
    }

    fn send_parts(&mut self, _: Slot, parts: &[Part<'_>]) -> Sent {
        Sent::Wrote(parts.iter().map(Part::len).sum())
    }
}

impl Net for Talkers {
    type Socket = ();

    fn poll(&mut self, _: &mut Context<'_>, out: &mut Batch) -> Poll<io::Result<()>> {
        if self.quiet {
            return Poll::Pending;
        }
        let slots = (0..TALKERS).map(Slot);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        if !self.accepted {
            self.accepted = true;
            self.upgraded = vec![false; TALKERS as usize];
            // None for each fourth, else 0 to 2.
            let cpu = |slot: Slot| (slot.0 % 4).checked_sub(1);
            let of = |slot| Ready::Accepted { slot, peer, cpu: cpu(slot), own: false };
            out.ready.extend(slots.clone().map(of));
        }
        out.ready.extend(slots.map(Ready::Readable));
        Poll::Ready(Ok(()))
    }

    fn recv(&mut self, slot: Slot, buf: &mut [u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.upgraded[slot.index()], true) {
            let path = if self.listen { "room" } else { "simple" };
            let request = format!("GET /ws/{path} HTTP/1.1\r\n{HEADERS}");
            buf[..request.len()].copy_from_slice(request.as_bytes());
            return Ok(request.len());
        }
        if self.listen && self.answers {
            buf[..6].copy_from_slice(b"\x8a\x80mask");
            return Ok(6);
        }
        if self.listen {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for frame in buf.as_chunks_mut::<6>().0 {
            *frame = *b"\x82\x80mask";
        }
        let read = buf.len() / 6 * 6;
        self.read[slot.index()] += read;
        Ok(read)
    }

    fn interest(&mut self, _: Slot, _: bool, _: bool) {}
    fn shutdown(&mut self, _: Slot) {}
    fn accepting(&mut self, _: bool) {}
    fn accept_pauses(&self) -> u64 {
        self.pauses
    }
    fn adopt(&mut self, _: Slot, (): ()) {}
    fn vacant(&mut self) -> Slot {
        Slot(TALKERS)
    }
    fn release(&mut self, _: Slot) -> Option<()> {
        self.watched.then_some(())
    }
}

/// A turn in which eight of one address came and spoke, and what its sources have.
fn crowd(change: impl FnOnce(&mut SourceConfig)) -> (Turn<Talkers>, Arc<Sources>) {
    crowd_of(|turn| turn, change)
}

/// The same of a turn that is not like others.
fn crowd_of(
    with: impl FnOnce(Turn<Talkers>) -> Turn<Talkers>,
    change: impl FnOnce(&mut SourceConfig),
) -> (Turn<Talkers>, Arc<Sources>) {
    let mut config = SourceConfig { loopback: true, rate: 0, ..SourceConfig::default() };
    change(&mut config);
    let sources = Arc::new(Sources::new(&config));
    let turn = Turn::new(Talkers::default(), Hub::new(Config::default()), SLICE_DEFAULT);
    let turn = turn.with_sources(Arc::clone(&sources)).trusting(config.proxies.into());
    let mut turn = with(turn);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(turn.poll(&mut cx, Now(0), &mut Alone::default()).is_ready());
    (turn, sources)
}

/// How many were turned away: by connections, by rate, and for want of a header.
fn turned_away(turn: &Turn<Talkers>) -> [u64; 3] {
    let hits = turn.counters().hits;
    [Hit::SourceConnections, Hit::SourceRate, Hit::ProxyHeader].map(|hit| hits[hit.index()])
}

#[test]
fn who_is_turned_away_is_counted_by_what_there_was_too_much_of() {
    let (turn, sources) = crowd(|config| config.connections_max = 5);
    assert_eq!((turned_away(&turn), sources.connections()), ([3, 0, 0], 5));
    assert_eq!((turn.counters().opened, turn.counters().accepted), (5, 8));

    let (turn, sources) = crowd(|config| (config.rate, config.burst) = (1, 2));
    assert_eq!((turned_away(&turn), sources.connections()), ([0, 6, 0], 2));
    assert_eq!(turn.counters().accepted, 2, "the hub never heard of the others");

    let (turn, sources) = crowd(|config| config.proxies = vec!["127.0.0.0/8".parse().unwrap()]);
    assert_eq!((turned_away(&turn), sources.connections()), ([0, 0, 8], 0));
    assert_eq!(turn.counters().closed[CloseReason::Reset.index()], 8);
    assert!((0..TALKERS).all(|slot| !turn.heralds.awaits(Slot(slot))));
}

#[test]
fn who_is_denied_costs_nothing_and_who_is_allowed_has_no_bounds() {
    let guard = Guard::new();
    let denied = |turn: &Turn<Talkers>| turn.counters().hits[Hit::Denied.index()];
    let _ = guard.set("127.0.0.0/8".parse().unwrap(), Verdict::Deny);
    let (turn, sources) = crowd_of(|turn| turn.with_guard(&guard), |_| ());
    assert_eq!((denied(&turn), turn.counters().accepted, sources.known()), (8, 0, 0));
    assert_eq!(turn.net.read, [0; 8], "nothing was read");

    // A proxy that is denied speaks for nobody.
    let proxied = |config: &mut SourceConfig| config.proxies = vec!["127.0.0.1".parse().unwrap()];
    let (turn, _) = crowd_of(|turn| turn.with_guard(&guard), proxied);
    assert_eq!((denied(&turn), turned_away(&turn)), (8, [0, 0, 0]));

    let _ = guard.set("127.0.0.1".parse().unwrap(), Verdict::Allow);
    let (turn, sources) = crowd_of(
        |turn| turn.with_guard(&guard),
        |config| (config.connections_max, config.rate, config.burst) = (1, 1, 1),
    );
    assert_eq!((denied(&turn), turned_away(&turn), sources.known()), (0, [0, 0, 0], 0));
    assert_eq!((turn.counters().accepted, turn.counters().opened), (8, 8));
}

#[test]
fn chance_is_the_same_for_the_same_seed_and_not_for_all() {
    let accepted = |seed| {
        let few = |config: &mut SourceConfig| (config.rate, config.burst) = (1, 8);
        crowd_of(|turn| turn.drawing_from(seed), few).0.counters().accepted
    };
    let twice = [(); 2].map(|()| (0..20).map(accepted).collect::<Vec<_>>());
    assert_eq!(twice[0], twice[1]);
    assert!(twice[0].contains(&7) && twice[0].contains(&8), "{twice:?}");
    assert!(twice[0].iter().all(|accepted| [7, 8].contains(accepted)), "{twice:?}");
}

#[test]
fn a_turn_stops_reading_at_its_bound_and_the_next_goes_on_behind_it() {
    let mut limits = Limits::default();
    limits.read_bytes_max = 6_000;
    limits.turn_bytes_max = 20_000;
    let hub = Hub::new(Config { limits, ..Config::default() });
    let mut turn = Turn::new(Talkers::default(), hub, SLICE_DEFAULT);
    let mut cx = Context::from_waker(Waker::noop());
    let mut alone = Alone::default();
    assert!(turn.poll(&mut cx, Now(0), &mut alone).is_ready());
    assert_eq!(turn.net.read, [0; 8], "the requests come first");
    for rounds in 1..4 {
        for half in [1, 2] {
            assert!(turn.poll(&mut cx, Now(0), &mut alone).is_ready());
            let read = turn.net.read.iter().sum::<usize>();
            let reads = (rounds - 1) * 8 + half * 4;
            assert_eq!(read, reads * 6_000, "four reads reach the bound, not eight");
            assert_eq!(turn.hub.counters().deliveries, (reads * 1_000) as u64);
        }
        assert_eq!(turn.net.read, [rounds * 6_000; 8], "nobody is read twice before another");
    }
}

#[test]
fn who_is_accepted_on_another_cpu_than_the_shards_is_counted_if_both_are_known() {
    for (pinned_to, off_cpu) in [(None, 0), (Some(1), 4), (Some(7), 6)] {
        let hub = Hub::new(Config::default());
        let turn = Turn::new(Talkers::default(), hub, SLICE_DEFAULT);
        let mut turn = turn.pinned_to(pinned_to);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(turn.poll(&mut cx, Now(0), &mut Alone::default()).is_ready());
        assert_eq!(turn.off_cpu(), off_cpu);
    }
}

/// Or nobody would be told of it before something else happens.
#[test]
fn a_pause_of_accepting_is_a_turn_of_its_own() {
    let quiet = Talkers { quiet: true, ..Talkers::default() };
    let mut turn = Turn::new(quiet, Hub::new(Config::default()), SLICE_DEFAULT);
    let mut cx = Context::from_waker(Waker::noop());
    let mut polled = |pauses| {
        turn.net.pauses = pauses;
        (turn.poll(&mut cx, Now(0), &mut Alone::default()).is_ready(), turn.accept_pauses())
    };
    assert_eq!([polled(0), polled(1), polled(1)], [(false, 0), (true, 1), (false, 1)]);
}

/// Shard 0, home of every room, which says a message whenever it is listened to.
#[derive(Default)]
struct Chatterbox {
    link: Option<Link>,
    /// What it says next, and whether it may: once each time somebody looks around.
    offset: u64,
    speaks: bool,
    greeted: bool,
}

/// It stops some time, so that a shard that never does fails instead of hanging.
const MESSAGES_MAX: u64 = 10_000;
const TERM: Term = Term(7);

impl Post for Chatterbox {
    fn command(&mut self, _: ShardId, command: Command) -> Result<(), Command> {
        if let Command::Attach(attach) = command {
            self.link = Some(attach.link);
        }
        Ok(())
    }

    fn deliver(&mut self, _: ShardId, _: Delivery) -> Result<(), Delivery> {
        unreachable!("it is nobody's home")
    }
}

impl Others<()> for Chatterbox {
    fn find_place(&mut self, _: &Newcomer) -> Found {
        Found::Here
    }
    fn send_on(&mut self, _: &Newcomer) -> Option<ShardId> {
        None
    }
    fn pass(&mut self, _: ShardId, _: Passed<()>) {}
    fn release(&mut self) {}
    fn inquire(&mut self, inquiry: Inquiry) -> Option<Answer> {
        let Inquiry::Claim { room } = inquiry else { unreachable!("it is nobody's home") };
        Some(Answer::Claimed { room, home: ShardId(0), term: TERM, fresh: false })
    }
    fn make_way(&mut self, _: ShardId) -> bool {
        false
    }
    fn ship(&mut self, _: ShardId, _: Moved<()>) {}
    fn give_up(&mut self, _: ShardId) {}
    fn look_around(&mut self) {
        self.speaks = true;
    }

    fn next_arrival(&mut self) -> Option<Arrival<()>> {
        let link = self.link?;
        if !std::mem::replace(&mut self.greeted, true) {
            self.speaks = true;
            let position = Position::default();
            let attached = Delivery::Attached { link, term: TERM, position, population: 1_000 };
            return Some(Arrival::Delivery(attached));
        }
        if !std::mem::take(&mut self.speaks) || self.offset == MESSAGES_MAX {
            return None;
        }
        let (prev, offset) = (Offset(self.offset), Offset(self.offset + 1));
        self.offset += 1;
        let (author, origin, kind) = (Author::named(1), ShardId(0), Kind::Text);
        let mut batch = message::Batch::default();
        batch.push(Meta { prev, offset, author, origin, id: 0, kind }, Words::Bytes(b"and so on"));
        Some(Arrival::Delivery(Delivery::Said { link, batch: Arc::new(batch) }))
    }
}

/// It kept a shard from its sockets for eight seconds.
#[test]
fn a_room_that_others_never_stop_speaking_in_leaves_time_for_sockets() {
    let hub = Hub::new(Config { shard: Some(ShardId(1)), ..Config::default() });
    let net = Talkers { listen: true, ..Talkers::default() };
    // More members than a slice: between slices the turn looks around.
    let mut turn = Turn::new(net, hub, 2);
    let mut cx = Context::from_waker(Waker::noop());
    let mut home = Chatterbox::default();
    let mut heard = Vec::new();
    for _ in 0..4 {
        let before = home.offset;
        Others::look_around(&mut home);
        assert!(turn.poll(&mut cx, Now(0), &mut home).is_ready());
        heard.push(home.offset - before);
    }
    let last = heard[heard.len() - 1];
    assert!((1..=HEARD_MAX as u64 + 2).contains(&last), "messages heard in turns: {heard:?}");
    let deliveries = turn.hub.counters().deliveries;
    assert_eq!(deliveries, home.offset * u64::from(TALKERS), "everyone is told all of it");
}

/// A home for whose room the registry agrees to no move, as if everyone else had been withdrawn.
#[derive(Default)]
struct Stubborn {
    migrations: usize,
}

impl Post for Stubborn {
    fn command(&mut self, _: ShardId, _: Command) -> Result<(), Command> {
        Ok(())
    }

    fn deliver(&mut self, _: ShardId, _: Delivery) -> Result<(), Delivery> {
        Ok(())
    }
}

impl Others<()> for Stubborn {
    fn find_place(&mut self, _: &Newcomer) -> Found {
        Found::Here
    }
    fn send_on(&mut self, _: &Newcomer) -> Option<ShardId> {
        None
    }
    fn pass(&mut self, _: ShardId, _: Passed<()>) {}
    fn release(&mut self) {}
    fn inquire(&mut self, inquiry: Inquiry) -> Option<Answer> {
        match inquiry {
            Inquiry::Claim { room } => {
                Some(Answer::Claimed { room, home: ShardId(1), term: TERM, fresh: true })
            }
            Inquiry::Migrate { term, .. } => {
                self.migrations += 1;
                assert!(self.migrations < 1_000, "the turn never ends");
                Some(Answer::Migrated { term, next: None })
            }
            Inquiry::Retire { .. } | Inquiry::Confirm { .. } | Inquiry::Sequence { .. } => None,
        }
    }
    fn make_way(&mut self, _: ShardId) -> bool {
        false
    }
    fn ship(&mut self, _: ShardId, _: Moved<()>) {}
    fn give_up(&mut self, _: ShardId) {}
    fn look_around(&mut self) {}
    fn next_arrival(&mut self) -> Option<Arrival<()>> {
        None
    }
}

/// It asked again and again, within one turn.
#[test]
fn a_turn_ends_although_the_registry_lets_no_home_move() {
    let hub = Hub::new(Config { shard: Some(ShardId(1)), ..Config::default() });
    let net = Talkers { listen: true, ..Talkers::default() };
    let mut turn = Turn::new(net, hub, SLICE_DEFAULT);
    let mut cx = Context::from_waker(Waker::noop());
    let mut others = Stubborn::default();
    let mut poll = |turn: &mut Turn<Talkers>, others: &mut Stubborn, now: Now| {
        for _ in 0..4 {
            assert!(turn.poll(&mut cx, now, others).is_ready());
        }
    };
    poll(&mut turn, &mut others, Now(0));
    assert_eq!(turn.hub().homes(), 1);
    turn.evacuate(Now(0), vec![ShardId(2)]);
    poll(&mut turn, &mut others, Now(0));
    assert_eq!(others.migrations, 1, "asked once in a round");
    let later = turn.hub().poll_timeout().expect("it tries again");
    poll(&mut turn, &mut others, later);
    assert_eq!(others.migrations, 2);
}

#[test]
fn what_lies_in_a_socket_is_read_before_anyone_is_judged() {
    let closed = |answers: bool| {
        let net = Talkers { listen: true, ..Talkers::default() };
        let mut turn = Turn::new(net, Hub::new(Config::default()), SLICE_DEFAULT);
        let mut cx = Context::from_waker(Waker::noop());
        let mut poll = |turn: &mut Turn<Talkers>, millis: u64| {
            let _ = turn.poll(&mut cx, Now(millis * 1_000_000), &mut Alone::default());
        };
        (0..2).for_each(|millis| poll(&mut turn, millis));
        turn.net.quiet = true;
        // All are pinged, and have eight seconds to answer. The next turn is a little late.
        (50..26_000).step_by(50).for_each(|millis| poll(&mut turn, millis));
        (turn.net.quiet, turn.net.answers) = (false, answers);
        (34_000..34_900).step_by(4).for_each(|millis| poll(&mut turn, millis));
        turn.counters().hits[Hit::PongSecs.index()]
    };
    assert_eq!(closed(false), u64::from(TALKERS));
    assert_eq!(closed(true), 0);
}

#[test]
fn what_was_kept_for_slots_goes_when_the_hub_has_given_them_back() {
    let (mut turn, _) = crowd(|_| ());
    let talkers = TALKERS as usize;
    turn.seen.resize(10_000, 0);
    turn.placed.resize(10_000, Place::None);
    turn.seats.resize_with(10_000, || None);
    turn.hub.handle(Now(0), Event::Tick);
    turn.give_back_memory();
    assert_eq!(turn.hub().slots(), talkers);
    assert_eq!(turn.placed, [Place::Any; TALKERS as usize], "who is here keeps its place");
    let lens = (turn.seen.len(), turn.seats.len());
    assert_eq!(lens, (talkers, talkers));
    let capacities = (turn.seen.capacity(), turn.placed.capacity(), turn.seats.capacity());
    assert!(capacities.0.max(capacities.1).max(capacities.2) <= 256, "{capacities:?}");
}

#[test]
#[should_panic(expected = "who has a place is in the hub")]
fn a_place_is_never_lost() {
    let (mut turn, _) = crowd(|_| ());
    turn.placed.resize(5_000, Place::Any);
    turn.give_back_memory();
}
