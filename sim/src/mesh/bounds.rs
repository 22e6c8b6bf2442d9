//! Every bound of [`Limits`](gateway_core::limits::Limits), at every step.
//!
//! Looked at here, behind each turn of a shard: `connections_max`, `refusals_max`,
//! `inbound_bytes_max`, `outbox_bytes_max`, `shard_outbox_bytes_max`, `underway_bytes_max`,
//! `unanswered_max`, `commands_waiting_max`, `windows_bytes_max` (no client here deflates, so
//! nothing is kept), `echo_outbox_bytes_max` (nobody echoes, so nothing is owed).
//!
//! Looked at by whoever is told: `delivery_messages_max` and `delivery_bytes_max` as letters are
//! put into rings (`rings`); `handshake_bytes_max`, `handshake_headers_max`, `room_name_bytes_max`,
//! `message_bytes_max`, `empty_fragments_max`, `controls_burst` with `controls_per_sec` by the
//! answer that garbage gets (`garbage`, `ears`); `refusal_secs`, `handshake_secs`, `message_secs`,
//! `ping_secs`, `pong_secs`, `close_secs` and `drain_secs` by who is still there when they are over
//! (`run`); `retry_secs_max` by what refused clients read (`ears`); `transit` and `pin_secs` by
//! gaps that need not be (`ears`) and by what is left at the end (`run`).
//!
//! Sizes that choose a way of sending and bound nothing that can be seen: `turn_bytes_max` and
//! `read_bytes_max` (the world itself reads no more), `cork_bytes_max`, `share_bytes_min`,
//! `store_bytes_min`, `store_members_min`, `small_room_members_max`, `deflate_*`, `inflated_*`. A
//! program's own, of which there is none here: `rooms_max`, `handler_bytes_max`.

use gateway_core::slot::Slot;

use super::clerk::registered;
use super::world::World;
use crate::promise::Promise;

/// Bytes of a message of this world with what it costs on its way, at most; a turn may go over a
/// bound by what it reads.
const MESSAGE_COST: usize = 5_000;
/// The answer to the last ping of who owes comes on top, with what it costs.
const PONG_COST: usize = 256;

impl World {
    /// Every bound that a shard keeps, after its turn.
    pub(super) fn check_bounds(&mut self, index: usize) {
        // What waited with its request is published only when its room is heard.
        self.shards[index].note_burst();
        let (limits, shard) = (&self.setting.limits, &self.shards[index]);
        let hub = &shard.hub;
        let served = self.census.live_on(registered(index));
        let rooms = self.setting.rooms + self.setting.chats;
        // Each message that one turn reads is charged; the turn that reaches the bound may go on.
        let underway = limits.underway_bytes_max + (shard.burst + 1) * MESSAGE_COST;
        let broken = if hub.outbox_bytes() > limits.shard_outbox_bytes_max {
            "shard_outbox_bytes_max"
        } else if hub.live() > limits.connections_max.saturating_add(limits.refusals_max) {
            "connections_max and refusals_max"
        } else if served > limits.connections_max {
            "connections_max in the census"
        } else if hub.inbound_bytes() > limits.inbound_bytes_max {
            "inbound_bytes_max"
        } else if hub.underway_bytes() > underway {
            "underway_bytes_max"
        } else if hub.echo_bytes() > 0 {
            "echo_outbox_bytes_max"
        } else if hub.commands_waiting() > 2 * rooms * (shard.burst + 1) {
            "what waits for a ring while nobody is read from"
        } else if self.mesh.overlong {
            "delivery_messages_max and delivery_bytes_max"
        } else if self.clerk.unknown {
            "one home for each room, which the registry knows"
        } else if self.has_debtor(index) {
            "outbox_bytes_max"
        } else {
            return;
        };
        self.complain(Promise::Bounded, || format!("shard {index} keeps not: {broken}"));
    }

    /// Whether somebody who is not being closed owes more than a member may.
    fn has_debtor(&self, index: usize) -> bool {
        let shard = &self.shards[index];
        // Who loses what its room says still owes what only it is told, up to as much again.
        let times = 1 + usize::from(self.setting.is_lossy());
        let bytes_max = self.setting.limits.outbox_bytes_max * times + PONG_COST;
        let owing = shard.seats.iter().enumerate().filter(|(_, seat)| seat.writes);
        owing.into_iter().any(|(slot, _)| shard.hub.owed_by(Slot::from(slot)) > bytes_max)
    }
}
