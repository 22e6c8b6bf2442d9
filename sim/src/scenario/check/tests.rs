//! The checker finds what it is for: each test breaks a run that is right in one way.

use gateway_core::limits::Limits;

use super::*;
use crate::scenario::message::Kind;
use crate::scenario::plan::{ClientPlan, Step};

const ANN: usize = 0;
const BOB: usize = 1;
const CID: usize = 2;
const DAN: usize = 3;

/// Ann, Bob and, from the second message on, Cid in one room; Dan alone in another.
struct Run {
    plan: Plan,
    reference: Reference,
    heard: Vec<Heard>,
    rest: Rest,
}

impl Run {
    fn right() -> Self {
        let log = [(ANN, "a1"), (BOB, "b1"), (ANN, "a2"), (CID, "c1"), (ANN, "a3")];
        let mut reference = Reference::default();
        reference.rooms.insert("/ws/a".into(), entries(&log));
        reference.rooms.insert("/ws/d".into(), entries(&[(DAN, "d1")]));
        for (who, room, joined_at) in
            [(ANN, "/ws/a", 0), (BOB, "/ws/a", 0), (CID, "/ws/a", 1), (DAN, "/ws/d", 0)]
        {
            let room = room.to_owned();
            let (left_at, left_in_turn, blocked) = (None, None, false);
            let member = Membership { room, joined_at, left_at, left_in_turn, blocked };
            reference.members.insert(address(who), member);
        }
        let mut plan = Plan::new(1);
        (plan.policy, plan.limits) = (MemberPolicy::Close, Limits::default());
        let client = ClientPlan {
            path: String::new(),
            arrives_at_millis: 0,
            window: 1 << 20,
            steps: Vec::new(),
        };
        plan.clients = vec![client; 4];
        let heard = [
            heard(ANN, &["b1", "c1"]),
            heard(BOB, &["a1", "a2", "c1", "a3"]),
            heard(CID, &["b1", "a2", "a3"]),
            heard(DAN, &[]),
        ];
        let mut run = Self { plan, reference, heard: heard.into(), rest: Rest::default() };
        let counters = &mut run.rest.counters;
        (counters.accepted, counters.opened, counters.messages) = (4, 4, 6);
        counters.deliveries = 9;
        counters.closed[CloseReason::Drained.index()] = 4;
        run
    }

    fn leaving(mut self, who: usize, leave: Leave, left_at: usize) -> Self {
        self.plan.clients[who].steps = vec![Step { at_millis: 0, action: Action::Leave(leave) }];
        let member = self.reference.members.get_mut(&address(who)).unwrap();
        member.left_at = Some(left_at);
        // Each message came in a turn of its own, and so did the goodbye.
        member.left_in_turn = Some(left_at as u64);
        self
    }

    /// This client was closed with 1013.
    fn slow(mut self, who: usize) -> Self {
        self.heard[who].close = Some(TRY_LATER);
        self.rest.counters.closed[CloseReason::Drained.index()] -= 1;
        self.rest.counters.closed[CloseReason::Slow.index()] += 1;
        self
    }

    fn check(&self) -> Result<Sums, Violation> {
        check(&self.plan, &self.reference, &self.heard, &self.rest)
    }

    #[track_caller]
    fn breaks(&self, rule: Rule) {
        let violation = self.check().expect_err("this run is wrong");
        assert_eq!(violation.rule, rule, "{violation}");
    }
}

fn address(who: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, who as u8], 1))
}

fn message(text: &str) -> Message {
    Message { kind: Kind::Text, payload: text.into() }
}

fn entries(log: &[(usize, &str)]) -> Vec<Entry> {
    let entries = log.iter().zip(0..);
    let entry = |(&(who, text), turn)| Entry { author: address(who), message: message(text), turn };
    entries.map(entry).collect()
}

fn heard(who: usize, texts: &[&str]) -> Heard {
    Heard {
        address: Some(address(who)),
        status: Some(101),
        messages: texts.iter().map(|text| message(text)).collect(),
        close: Some(AWAY),
        ..Heard::default()
    }
}

#[test]
fn a_right_run_passes() {
    let sums = Run::right().check().unwrap();
    assert_eq!(sums, Sums { deliveries: 9, dropped: 0, slow: 0 });
}

#[test]
fn a_message_that_is_left_out_is_missed_wherever_it_was() {
    for at in 0..4 {
        let mut run = Run::right();
        run.heard[BOB].messages.remove(at);
        run.breaks(Rule::Missing);
    }
}

#[test]
fn a_message_is_heard_once() {
    let mut run = Run::right();
    run.heard[BOB].messages.insert(1, message("a1"));
    run.breaks(Rule::Duplicate);
}

#[test]
fn messages_are_heard_in_order() {
    let mut run = Run::right();
    run.heard[BOB].messages.swap(1, 2);
    run.breaks(Rule::Order);
}

#[test]
fn nobody_hears_itself() {
    let mut run = Run::right();
    run.heard[BOB].messages.insert(1, message("b1"));
    run.breaks(Rule::OwnMessage);
}

#[test]
fn rooms_are_apart() {
    let mut run = Run::right();
    run.heard[BOB].messages.push(message("d1"));
    run.breaks(Rule::ForeignRoom);
}

#[test]
fn a_payload_or_kind_that_nobody_said_is_invented() {
    let mut run = Run::right();
    run.heard[BOB].messages[0].payload[0] ^= 1;
    run.breaks(Rule::Invented);
    let mut run = Run::right();
    run.heard[BOB].messages[0].kind = Kind::Binary;
    run.breaks(Rule::Invented);
}

#[test]
fn the_past_is_not_heard_and_after_leaving_nothing_is() {
    let mut run = Run::right();
    run.heard[CID].messages.insert(0, message("a1"));
    run.breaks(Rule::NotThere);

    let mut run = Run::right().leaving(BOB, Leave::Goodbye(3000), 3);
    run.heard[BOB].close = Some(3000);
    run.breaks(Rule::NotThere);
    run.heard[BOB].messages.truncate(2);
    run.check().unwrap();
    run.heard[BOB].messages.remove(0);
    run.breaks(Rule::Missing);
}

#[test]
fn who_says_goodbye_hears_what_was_said_in_turns_before() {
    let mut run = Run::right().leaving(BOB, Leave::Goodbye(3000), 3);
    run.heard[BOB].close = Some(3000);
    run.heard[BOB].messages.truncate(1);
    run.breaks(Rule::Missing);
    // In the same turn it may have come too late.
    run.reference.members.get_mut(&address(BOB)).unwrap().left_in_turn = Some(2);
    run.check().unwrap();
    run.heard[BOB].messages.clear();
    run.breaks(Rule::Missing);
}

#[test]
fn who_half_closes_hears_the_same_unless_someone_was_cut() {
    let mut run = Run::right().leaving(BOB, Leave::HalfClose, 3);
    run.heard[BOB].close = None;
    run.heard[BOB].messages.truncate(1);
    run.breaks(Rule::Missing);
    run.rest.counters.cut = 1;
    run.check().unwrap();
}

#[test]
fn who_resets_may_have_heard_less_however_its_end_looked() {
    let mut run = Run::right().leaving(BOB, Leave::Reset, 3);
    run.heard[BOB].close = None;
    run.heard[BOB].messages.truncate(1);
    run.check().unwrap();
    run.heard[BOB].messages = vec![message("a2")];
    run.breaks(Rule::Missing);
}

#[test]
fn a_slow_member_hears_a_prefix() {
    let mut run = Run::right().slow(BOB);
    run.heard[BOB].messages.truncate(2);
    run.check().unwrap();
    run.heard[BOB].messages.remove(0);
    run.breaks(Rule::Missing);
}

#[test]
fn what_a_slow_member_says_after_its_close_was_decided_is_said_to_nobody() {
    let mut run = Run::right().slow(ANN);
    run.heard[BOB].messages.retain(|heard| *heard != message("a3"));
    run.heard[CID].messages.retain(|heard| *heard != message("a3"));
    run.rest.counters.messages -= 1;
    run.check().unwrap();

    // But it was open while anyone heard it.
    run.heard[BOB].messages.push(message("a3"));
    run.breaks(Rule::Missing);
}

#[test]
fn what_lossy_members_miss_is_counted() {
    let mut run = Run::right();
    run.plan.policy = MemberPolicy::Lossy;
    run.heard[BOB].messages.remove(1);
    run.rest.counters.deliveries -= 1;
    run.breaks(Rule::Counters);
    run.rest.counters.dropped = 1;
    assert_eq!(run.check().unwrap().dropped, 1);
    run.rest.counters.dropped = 2;
    run.breaks(Rule::Counters);
}

#[test]
fn every_connection_ends_with_the_word_that_is_due() {
    let mut run = Run::right();
    run.heard[BOB].close = None;
    run.breaks(Rule::LastWord);
    run.heard[BOB].close = Some(1000);
    run.breaks(Rule::LastWord);
    run.heard[BOB].close = Some(TRY_LATER);
    run.breaks(Rule::LastWord);

    let mut run = Run::right().leaving(BOB, Leave::Goodbye(3000), 5);
    run.breaks(Rule::LastWord);
    run.heard[BOB].close = Some(3000);
    run.check().unwrap();
}

#[test]
fn who_is_cut_may_miss_its_last_word_and_is_counted() {
    let mut run = Run::right();
    run.heard[BOB].close = None;
    run.heard[BOB].half_frame = true;
    run.rest.counters.cut = 1;
    run.breaks(Rule::LastWord);
    // Only who reads late is ever cut.
    run.plan.clients[BOB].window = 1;
    run.check().unwrap();
    run.heard[CID].close = None;
    run.breaks(Rule::Counters);
}

#[test]
fn frames_are_whole_and_answers_fit() {
    let mut run = Run::right();
    run.heard[BOB].half_frame = true;
    run.breaks(Rule::Frames);
    let mut run = Run::right();
    run.heard[BOB].fault = Some("nonsense".into());
    run.breaks(Rule::Frames);
    let mut run = Run::right();
    run.heard[BOB].status = Some(503);
    run.breaks(Rule::Answer);
}

#[test]
fn numbers_add_up_and_nothing_is_left() {
    let wrong: [fn(&mut Rest); 4] = [
        |rest| rest.counters.accepted += 1,
        |rest| rest.counters.opened -= 1,
        |rest| rest.counters.messages -= 1,
        |rest| rest.counters.deliveries += 1,
    ];
    for change in wrong {
        let mut run = Run::right();
        change(&mut run.rest);
        run.breaks(Rule::Counters);
    }
    let left: [fn(&mut Rest); 5] = [
        |rest| rest.live = 1,
        |rest| rest.rooms = 1,
        |rest| rest.outbox_bytes = 1,
        |rest| rest.inbound_bytes = 1,
        |rest| rest.extents = 1,
    ];
    for change in left {
        let mut run = Run::right();
        change(&mut run.rest);
        run.breaks(Rule::Empty);
    }
}
