//! A room whose home has forgotten it: members of another shard hear that they missed something.

mod elsewhere;
mod world;

use elsewhere::{NOW, Shard};
use gateway_core::envelope::{Delivery, Link, Term};
use gateway_core::event::{CloseReason, Event};
use gateway_core::hub::MemberPolicy;
use gateway_core::id::ShardId;
use gateway_core::position::{Epoch, Offset, Position};
use gateway_core::slot::Slot;
use world::close_code;

const MEMBER: Slot = Slot(0);

/// A raw member on shard 1, of a room whose home is shard 0 and in its first epoch.
fn seated(member_policy: MemberPolicy) -> (Shard, Link) {
    let mut shard = Shard::with(|config| config.member_policy = member_policy);
    let (slot, link, _) = shard.member("/ws/room", at(1));
    assert_eq!(slot, MEMBER);
    (shard, link)
}

/// The shard is told to ask another home, which is in this epoch.
fn sent_on(shard: &mut Shard, link: Link, epoch: u64) {
    shard.hear(Delivery::Moved { link, to: ShardId(2), term: Term(2) });
    shard.attached(at(epoch));
}

fn at(epoch: u64) -> Position {
    Position { epoch: Epoch(epoch), offset: Offset(5) }
}

/// It went on in the new epoch as if it had heard everything of the old one.
#[test]
fn a_raw_member_is_closed_when_its_room_begins_anew() {
    let (mut shard, link) = seated(MemberPolicy::Close);
    sent_on(&mut shard, link, 2);
    assert_eq!(shard.got(MEMBER).iter().map(close_code).collect::<Vec<_>>(), [Some(1013)]);
    shard.hub.handle(NOW, Event::Ended { slot: MEMBER });
    assert_eq!(shard.hub.counters().closed[CloseReason::Gap.index()], 1);
    assert_eq!(shard.hub.counters().gaps, 1);
}

#[test]
fn a_lossy_member_stays_when_its_room_begins_anew() {
    let (mut shard, link) = seated(MemberPolicy::Lossy);
    sent_on(&mut shard, link, 2);
    assert_eq!((shard.got(MEMBER).len(), shard.hub.counters().gaps), (0, 1));
    assert!(shard.hub.is_live(MEMBER));
}

#[test]
fn a_raw_member_stays_when_its_home_moves_within_an_epoch() {
    let (mut shard, link) = seated(MemberPolicy::Close);
    sent_on(&mut shard, link, 1);
    assert_eq!((shard.got(MEMBER).len(), shard.hub.counters().gaps), (0, 0));
    assert!(shard.hub.is_live(MEMBER));
}
