//! A room whose home has forgotten it: members of another shard hear that they missed something.

mod world;

use gateway_core::dispatch::{Answer, Inquiry};
use gateway_core::envelope::{Command, Delivery, Link, Post, Term};
use gateway_core::event::{CloseReason, Effect, Event};
use gateway_core::hub::{Config, Flush, Hub, MemberPolicy};
use gateway_core::id::ShardId;
use gateway_core::position::{Epoch, Offset, Position};
use gateway_core::slot::Slot;
use gateway_core::time::Now;
use world::{Wires, close_code, frames, fresh_wire, request};

const NOW: Now = Now::from_secs(100);
const MEMBER: Slot = Slot(0);

/// The attachment that was asked for last.
#[derive(Default)]
struct Asked(Option<(Link, Term)>);

impl Post for Asked {
    fn command(&mut self, _: ShardId, command: Command) -> Result<(), Command> {
        if let Command::Attach(attach) = command {
            self.0 = Some((attach.link, attach.term));
        }
        Ok(())
    }

    fn deliver(&mut self, _: ShardId, delivery: Delivery) -> Result<(), Delivery> {
        panic!("it is nobody's home: {delivery:?}")
    }
}

/// A raw member on shard 1, of a room whose home is shard 0.
struct Member {
    hub: Hub,
    wires: Wires,
    asked: Asked,
}

impl Member {
    fn with(member_policy: MemberPolicy) -> Self {
        let shard = Some(ShardId(1));
        let hub = Hub::new(Config { shard, member_policy, ..Config::default() });
        let mut member = Self { hub, wires: Wires(vec![fresh_wire()]), asked: Asked::default() };
        member.hub.handle(NOW, Event::Accepted { slot: MEMBER });
        member.hub.handle(NOW, Event::Received { slot: MEMBER, bytes: &mut request("/ws/room") });
        member.settle();
        member
    }

    fn settle(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            if let Effect::Inquire(Inquiry::Claim { room }) = effect {
                let (home, term, fresh) = (ShardId(0), Term(1), false);
                let answer = Answer::Claimed { room, home, term, fresh };
                self.hub.handle(NOW, Event::Answer(answer));
            }
        }
        assert!(self.hub.exchange(NOW, &mut self.asked));
        while self.hub.flush(NOW, 8, &mut self.wires) == Flush::More {}
    }

    fn hear(&mut self, delivery: Delivery) {
        self.hub.handle(NOW, Event::Delivery(delivery));
        self.settle();
    }

    /// The home answers from this epoch.
    fn attached(&mut self, epoch: u64) {
        let (link, term) = self.asked.0.take().expect("it has asked for the room");
        let position = Position { epoch: Epoch(epoch), offset: Offset(5) };
        self.hear(Delivery::Attached { link, term, position, population: 100 });
    }

    /// It is told to ask another home, which is in this epoch.
    fn sent_on(&mut self, link: Link, epoch: u64) {
        self.hear(Delivery::Moved { link, to: ShardId(2), term: Term(2) });
        self.attached(epoch);
    }

    /// A member that has been answered, and its attachment.
    fn seated(member_policy: MemberPolicy) -> (Self, Link) {
        let mut member = Self::with(member_policy);
        let (link, _) = member.asked.0.expect("it has asked for the room");
        member.attached(1);
        let got = std::mem::take(&mut member.wires.0[0].got);
        assert!(got.starts_with(b"HTTP/1.1 101 "));
        (member, link)
    }

    fn got(&self) -> Vec<world::Frame> {
        frames(&self.wires.0[0].got).0
    }
}

/// It went on in the new epoch as if it had heard everything of the old one.
#[test]
fn a_raw_member_is_closed_when_its_room_begins_anew() {
    let (mut member, link) = Member::seated(MemberPolicy::Close);
    member.sent_on(link, 2);
    assert_eq!(member.got().iter().map(close_code).collect::<Vec<_>>(), [Some(1013)]);
    member.hub.handle(NOW, Event::Ended { slot: MEMBER });
    assert_eq!(member.hub.counters().closed[CloseReason::Gap.index()], 1);
    assert_eq!(member.hub.counters().gaps, 1);
}

#[test]
fn a_lossy_member_stays_when_its_room_begins_anew() {
    let (mut member, link) = Member::seated(MemberPolicy::Lossy);
    member.sent_on(link, 2);
    assert_eq!((member.got().len(), member.hub.counters().gaps), (0, 1));
    assert!(member.hub.is_live(MEMBER));
}

#[test]
fn a_raw_member_stays_when_its_home_moves_within_an_epoch() {
    let (mut member, link) = Member::seated(MemberPolicy::Close);
    member.sent_on(link, 1);
    assert_eq!((member.got().len(), member.hub.counters().gaps), (0, 0));
    assert!(member.hub.is_live(MEMBER));
}
