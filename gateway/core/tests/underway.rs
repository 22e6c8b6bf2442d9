//! What is on its way to homes elsewhere is bounded, and whoever adds to it waits.

mod world;

use gateway_core::dispatch::{Answer, Inquiry};
use gateway_core::envelope::{Command, Delivery, Link, Post, Term};
use gateway_core::event::{CloseReason, Effect, Event};
use gateway_core::hub::{Config, Flush, Hub};
use gateway_core::id::ShardId;
use gateway_core::limits::Limits;
use gateway_core::position::{Epoch, Offset, Position};
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use world::{Wires, fresh_wire, masked, request};

const NOW: Now = Now::from_secs(100);

/// The other shard: it keeps what it is sent, or takes nothing.
#[derive(Default)]
struct Home {
    refuses: bool,
    commands: Vec<Command>,
}

impl Post for Home {
    fn command(&mut self, _: ShardId, command: Command) -> Result<(), Command> {
        if self.refuses {
            return Err(command);
        }
        self.commands.push(command);
        Ok(())
    }

    fn deliver(&mut self, _: ShardId, delivery: Delivery) -> Result<(), Delivery> {
        panic!("it is nobody's home: {delivery:?}")
    }
}

/// Shard 1, all of whose rooms have their home on shard 0.
struct Shard {
    hub: Hub,
    wires: Wires,
    home: Home,
    terms: u64,
}

impl Shard {
    fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let hub = Hub::new(Config { shard: Some(ShardId(1)), limits, ..Config::default() });
        Self { hub, wires: Wires::default(), home: Home::default(), terms: 0 }
    }

    fn knock(&mut self, path: &str) -> Slot {
        let slot = Slot::from(self.wires.0.len());
        self.wires.0.push(fresh_wire());
        self.hub.handle(NOW, Event::Accepted { slot });
        self.hub.handle(NOW, Event::Received { slot, bytes: &mut request(path) });
        self.settle();
        slot
    }

    /// A member of a room that nobody else is in; its attachment.
    fn member(&mut self, path: &str) -> (Slot, Link, Term) {
        let slot = self.knock(path);
        let Some(Command::Attach(attach)) = self.home.commands.pop() else {
            panic!("it asks for the room")
        };
        let (link, term) = (attach.link, attach.term);
        let position = Position { epoch: Epoch(1), offset: Offset::START };
        self.hear(Delivery::Attached { link, term, position, population: 100 });
        (slot, link, term)
    }

    fn settle(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            if let Effect::Inquire(Inquiry::Claim { room }) = effect {
                self.terms += 1;
                let (home, term, fresh) = (ShardId(0), Term(self.terms), false);
                let answer = Answer::Claimed { room, home, term, fresh };
                self.hub.handle(NOW, Event::Answer(answer));
            }
        }
        self.hub.exchange(NOW, &mut self.home);
        while self.hub.flush(NOW, 8, &mut self.wires) == Flush::More {}
    }

    fn hear(&mut self, delivery: Delivery) {
        self.hub.handle(NOW, Event::Delivery(delivery));
        self.settle();
    }

    /// Reads a message from a member if it is read from; whether it was.
    fn read(&mut self, slot: Slot, payload: &[u8]) -> bool {
        let reads = self.hub.may_read(slot);
        if reads {
            self.hub.handle(NOW, Event::Received { slot, bytes: &mut masked(0x82, payload) });
        }
        reads
    }
}

/// Each room could have as many messages of any size under way as it was allowed to.
#[test]
fn publishers_of_all_rooms_wait_while_too_much_is_under_way() {
    const ROOMS: usize = 100;
    let mut shard = Shard::with(|limits| limits.underway_bytes_max = 1 << 20);
    let members: Vec<_> = (0..ROOMS).map(|n| shard.member(&format!("/ws/{n}"))).collect();
    let echo = shard.knock("/ws/simple");
    let read = |shard: &mut Shard| {
        members.iter().filter(|member| shard.read(member.0, &[7; 60_000])).count()
    };
    assert_eq!(read(&mut shard), 18, "until the bound is passed");
    assert!((1 << 20..1_200_000).contains(&shard.hub.underway_bytes()));
    shard.settle();
    assert!(shard.read(echo, b"still"), "who publishes nothing elsewhere is read from");
    assert_eq!(read(&mut shard), 0, "sent is not answered");

    for command in std::mem::take(&mut shard.home.commands) {
        let Command::Publish { term, batch } = command else { panic!("nothing else was said") };
        let (_, link, _) = *members.iter().find(|member| member.2 == term).expect("it is a room's");
        let answers = batch.iter().map(|(meta, _)| (meta.id, Offset::START)).collect();
        shard.hear(Delivery::Answers { link, answers });
    }
    assert_eq!(shard.hub.underway_bytes(), 0);
    assert_eq!(read(&mut shard), 18, "and they are read from again");
}

/// It was not read from any more, and cut when it did not seem to answer.
#[test]
fn who_waits_to_publish_is_heard_saying_goodbye() {
    let mut shard = Shard::with(|limits| limits.underway_bytes_max = 1_000);
    let (ann, ..) = shard.member("/ws/lobby");
    assert!(shard.read(ann, &[7; 2_000]));
    shard.settle();
    assert!(!shard.read(ann, &[7; 2_000]));
    shard.settle();
    shard.hub.handle(NOW, Event::Drain);
    shard.settle();
    assert!(shard.hub.may_read(ann));
    shard.hub.handle(NOW, Event::Received { slot: ann, bytes: &mut masked(0x88, b"\x03\xe9") });
    shard.settle();
    let counters = shard.hub.counters();
    assert_eq!((counters.closed_total(), counters.cut), (1, 0));
}

/// Who came and went made a command each time, whether or not any was sent.
#[test]
fn newcomers_are_refused_while_too_many_commands_wait() {
    const MAX: usize = 50;
    let mut shard = Shard::with(|limits| limits.commands_waiting_max = MAX);
    shard.home.refuses = true;
    for n in 0..3 * MAX {
        let slot = shard.knock(&format!("/ws/{n}"));
        shard.hub.handle(NOW, Event::Ended { slot });
        shard.settle();
    }
    let refused = shard.hub.counters().closed[CloseReason::Answered(503).index()];
    assert_eq!(refused as usize, 3 * MAX - MAX - 1);
    assert_eq!(shard.hub.rooms(), MAX + 1);
    let echo = shard.knock("/ws/simple");
    assert!(shard.wires.0[echo.index()].got.starts_with(b"HTTP/1.1 101 "));
}
