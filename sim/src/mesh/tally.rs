//! The counters, beside what clients and the world have counted themselves.

use gateway_core::counters::Counters;
use gateway_core::event::CloseReason;
use gateway_core::hit::Hit;

use super::client::{Client, Stage};
use super::world::World;
use crate::promise::Promise;

/// What the world has done to its hubs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Newcomers, those refused included.
    pub(super) accepted: u64,
    /// Connections that hubs gave away, and that were brought to them.
    pub(super) shipped: u64,
    pub(super) adopted: u64,
    /// Orders, each once for each shard.
    pub(super) orders: u64,
}

impl World {
    /// Each connection ends once, over all shards, and what was counted is what happened.
    pub(super) fn check_counters(&mut self) {
        let mut sum = Counters::default();
        self.shards.iter().for_each(|shard| sum.merge(shard.hub.counters()));
        let live: u64 = self.shards.iter().map(|shard| u64::from(shard.hub.live())).sum();
        let between = self.travellers.iter().filter(|one| one.frozen.is_some()).count() as u64;
        let checks = self.ledger(&sum, live, between).into_iter();
        let wrong = checks.chain(self.reasons(&sum, live)).chain(self.hits(&sum, live));
        let wrong = wrong.into_iter().find(|(_, holds)| !holds);
        if let Some((what, _)) = wrong {
            self.complain(Promise::Accounted, || format!("{what}: {live} live, {sum:?}"));
        }
        self.ears.coverage.lossy = sum.dropped;
        self.ears.coverage.moves = sum.moved_in;
        self.ears.coverage.coalesced = sum.coalesced;
        self.ears.coverage.cut = sum.cut;
    }

    /// Every field of [`Counters`] but the arrays.
    fn ledger(&self, sum: &Counters, live: u64, between: u64) -> Vec<(String, bool)> {
        let Done { accepted, shipped, adopted, orders } = self.done;
        let clients = &self.ears.clients;
        let count =
            |which: fn(&Client) -> bool| clients.iter().filter(|it| which(it)).count() as u64;
        let over = count(|client| client.reason.is_some());
        let answered = count(|client| client.was_open);
        let unsure = count(|client| !client.was_open && client.status == 0);
        let wordless = count(|client| {
            client.reason == Some(CloseReason::Drained)
                && client.heard_close.is_none()
                && !client.severed
        });
        let lossy = self.setting.is_lossy();
        let coverage = &self.ears.coverage;
        let rows = [
            ("who came and who went", sum.accepted == sum.closed_total() + live + between),
            ("who came", sum.accepted == accepted),
            ("who is over", sum.closed_total() == over),
            ("who moved away", sum.moved_out == shipped),
            ("who moved here", sum.moved_in == adopted),
            ("who is between", shipped == adopted + between),
            ("who was let in", (answered..=answered + unsure).contains(&sum.opened)),
            ("what was read", coverage.published <= sum.messages),
            ("what was said", sum.messages <= self.ears.uttered),
            ("what was heard", coverage.deliveries <= sum.deliveries),
            ("who was cut in a drain", wordless <= sum.cut),
            ("what was dropped", lossy || self.setting.chats > 0 || sum.dropped == 0),
            ("what was missed", !lossy || sum.gaps > 0 || self.ears.missed <= sum.dropped),
            ("gaps", coverage.gaps + coverage.gap_closes + coverage.resets == 0 || sum.gaps > 0),
            ("what waited for more", self.setting.coalesce_micros > 0 || sum.coalesced == 0),
            ("orders", sum.orders == orders),
            // No route here has a handler or a rate, and hubs count nobody who was passed on.
            ("panics", sum.panics == 0),
            ("slowed", sum.slowed == 0),
            ("passed", sum.passed == 0),
        ];
        rows.map(|(what, holds)| (what.to_owned(), holds)).into()
    }

    /// Reasons: those that clients were released for.
    fn reasons(&self, sum: &Counters, _live: u64) -> Vec<(String, bool)> {
        let mut reasons = [0; CloseReason::NAMES.len()];
        for reason in self.ears.clients.iter().filter_map(|client| client.reason) {
            reasons[reason.index()] += 1;
        }
        let rows = CloseReason::NAMES.iter().enumerate();
        rows.map(|(at, name)| (format!("closed as {name}"), sum.closed[at] == reasons[at]))
            .collect()
    }

    /// Bounds that were hit, beside what became of those who hit them; who is still here may have
    /// hit one and not be counted as closed yet.
    fn hits(&self, sum: &Counters, live: u64) -> Vec<(String, bool)> {
        let hits = |hits: &[Hit]| hits.iter().map(|&hit| sum.hits_of(hit)).sum::<u64>();
        let closed = |reason: CloseReason| sum.closed[reason.index()];
        let answered = |statuses: &[u16]| {
            let clients = self.ears.clients.iter();
            let so = |client: &&Client| match client.reason {
                Some(CloseReason::Answered(status)) => statuses.contains(&status),
                _ => false,
            };
            clients.filter(so).count() as u64
        };
        let broken = [
            Hit::Protocol,
            Hit::Utf8,
            Hit::MessageBytes,
            Hit::FrameRate,
            Hit::ControlRate,
            Hit::MessageSecs,
        ];
        let protocol = closed(CloseReason::Protocol(gateway_core::close::CloseCode::PROTOCOL));
        let within = |least: u64, hits: u64| (least..=least + live).contains(&hits);
        let rows = [
            ("pongs", within(closed(CloseReason::NoPong), hits(&[Hit::PongSecs]))),
            ("broken rules", within(protocol, hits(&broken))),
            ("slow", closed(CloseReason::Slow) <= hits(&[Hit::OutboxBytes, Hit::ShardOutboxBytes])),
            ("refusals", closed(CloseReason::Overloaded) == hits(&[Hit::Refusals])),
            ("goodbyes", hits(&[Hit::CloseSecs]) <= sum.cut),
            ("tokens", within(answered(&[401]), hits(&[Hit::Token]))),
            (
                "requests",
                within(
                    answered(&[400, 404, 405, 426]),
                    hits(&[Hit::HandshakeInvalid, Hit::RoomName]),
                ),
            ),
            (
                "heads",
                within(answered(&[431]), hits(&[Hit::HandshakeBytes, Hit::HandshakeHeaders])),
            ),
            ("no room has such rates", hits(&[Hit::MessageRate, Hit::InflateRate]) == 0),
        ];
        rows.map(|(what, holds)| (format!("hits of {what}"), holds)).into()
    }
}

impl Client {
    /// Notes that it was let in.
    pub(super) fn open(&mut self) {
        self.stage = Stage::Open;
        self.was_open = true;
    }
}
