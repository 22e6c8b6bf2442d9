//! Every bound in one place, each with its unit and the reason for its number.

use crate::hub::GATHERED_BYTES_MAX;
use crate::log::Retention;

/// What [`Limits::empty_fragments_max`] is if nobody says otherwise.
pub(crate) const EMPTY_FRAGMENTS_MAX: u32 = 1_000;

/// Bounds of one shard and its connections.
///
/// What happens at a bound is always a named outcome: an HTTP error, a close code, a read
/// that waits, or a counted drop.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections served at a time, per shard. Beyond it a client hears 503.
    pub connections_max: u32,
    /// Extra slots in which refused clients hear their 503; beyond them they are cut.
    /// 64 bounds what a storm of refused clients may cost.
    pub refusals_max: u32,
    /// Seconds that a refused client has to send its request and to hear 503.
    pub refusal_secs: u32,
    /// Bytes of an upgrade request up to its empty line. 8 KiB is what common servers and
    /// proxies allow; beyond it the client hears 431.
    pub handshake_bytes_max: usize,
    /// Header lines of an upgrade request. Browsers behind proxies send fewer than 40.
    pub handshake_headers_max: usize,
    /// Seconds from accept to a complete upgrade request; then the client is cut.
    pub handshake_secs: u32,
    /// Bytes of a room's name after percent-decoding.
    pub room_name_bytes_max: usize,
    /// Payload bytes of a message, over all of its fragments. A frame whose header declares
    /// more is refused with 1009 before a byte of it is kept.
    pub message_bytes_max: usize,
    /// Seconds from a message's first byte to its last, whatever comes between; then it is closed
    /// with 1008. While it is not read from they do not run, and then begin anew. 30 bring 32 MiB
    /// over a line of 9 Mbit/s; raise it for large uploads over slow lines. 0 turns it off.
    pub message_secs: u32,
    /// Fragments without a byte in one message, the last one not counted. Beyond it the client is
    /// closed with 1008. Encoders that flush often send a few; a flood of them costs its author
    /// six bytes each and fills nothing that another bound counts.
    pub empty_fragments_max: u32,
    /// Pings and pongs in a second, averaged, that a client may send; 0 turns the bound off.
    /// Clients ping every few seconds, and answer ours.
    pub controls_per_sec: u32,
    /// Pings and pongs that may come at once, at least one. Beyond both bounds the client is closed
    /// with 1008. 100 are more than a client ever had to say after a pause.
    pub controls_burst: u32,
    /// Bytes of unfinished requests and messages, and of those that are being inflated with what
    /// inflates them and what came out so far, per shard. Beyond it the client that sent more
    /// hears 503 or 1013, so that many half-sent messages cannot exhaust memory.
    pub inbound_bytes_max: usize,
    /// Bytes that a member may owe, accepted for it and refused by the kernel, beside the message
    /// that is being sent: so an empty outbox takes one message of any allowed size. Each range
    /// of a chunk counts 32 bytes more. Who missed more than this, each message with 96 bytes
    /// more, has not recovered. 1 MiB is minutes of chat and milliseconds of feed.
    pub outbox_bytes_max: usize,
    /// Bytes kept for all members of a shard that owe, each shared chunk counted once. Beyond
    /// it the members owing most are closed until it fits.
    pub shard_outbox_bytes_max: usize,
    /// Bytes that all echoes of a shard may owe together. Beyond it none is read from until half of
    /// that is taken back; the turn that reached it may still complete what was unfinished.
    pub echo_outbox_bytes_max: usize,
    /// Bytes read in one turn; then it flushes before it reads on. Bounds both what a turn
    /// can add to a lane, beside messages that were unfinished, and how long a flush is put off.
    pub turn_bytes_max: usize,
    /// Bytes read from one connection at a time: the size of a shard's read buffer.
    pub read_bytes_max: usize,
    /// Ranges up to this many bytes in total are joined into one send.
    pub cork_bytes_max: usize,
    /// Payloads of at least this many bytes are shared as they are instead of being appended
    /// to a lane's buffer.
    pub share_bytes_min: usize,
    /// Payloads of at least this many bytes are kept in the store, if the system gives one, for
    /// rooms that are large enough: sent from where they lie, without a copy for each member.
    pub store_bytes_min: usize,
    /// Members of a shard who read a payload as it is, for whom it is kept in the store: to write
    /// it there and to free it costs what a few copies do. 0 keeps nothing there.
    pub store_members_min: usize,
    /// Bytes of the shortest message that is deflated for members who read that (RFC 7692): a
    /// shorter one fits into a packet as it is, and a compressor costs microseconds.
    pub deflate_bytes_min: usize,
    /// Bytes of the longest: 1 MiB takes a few milliseconds, in which the shard does nothing else.
    pub deflate_bytes_max: usize,
    /// How hard it is tried: 1, the fastest, to 9.
    pub deflate_level: u32,
    /// Bytes that a shard may deflate in a second, before they are; then messages are sent as they
    /// are. 64 MiB take a quarter of a core.
    pub deflate_bytes_per_sec: usize,
    /// Bytes that what a connection sends may become in a second when it is inflated, after a
    /// second's worth at once; each byte that came counts four. Who makes more of it is read from
    /// more slowly.
    pub inflated_bytes_per_sec: usize,
    /// Bytes that what all connections of a shard send may become in a turn, each byte that came
    /// counting 64 more, and each slice of a message 1,024: so each stands for 2 ns. Beyond it what
    /// they deflated waits for the next turn. 32 MiB hold a turn up for 70 ms at worst.
    pub inflated_turn_bytes_max: usize,
    /// Bytes kept so that messages of clients can refer back, per shard: 32 KiB for each client
    /// that may. Beyond it newcomers are told that theirs must not.
    pub windows_bytes_max: usize,
    /// Rooms that a program may put a connection into, beside the one that its path names.
    pub rooms_max: usize,
    /// Bytes that handlers and layers of a shard may say between two flushes, each message with 64
    /// more; beyond it they are told so. 64 MiB are a thousand short ones to each of a thousand.
    pub handler_bytes_max: usize,
    /// Seconds of silence after which a client is sent a ping; 0 turns pings off.
    pub ping_secs: u32,
    /// Seconds a client has for any answer to a ping before it is closed; one more if the shard did
    /// not turn meanwhile, in which what had come is read. So it is for requests and messages.
    pub pong_secs: u32,
    /// Seconds from a close frame until the socket is cut. While a peer takes what it is still
    /// owed they begin anew, but not for a slow member nor in a drain.
    pub close_secs: u32,
    /// Seconds after which a refused client is told to come back, at most: each hears another
    /// number from 1 to this, in `Retry-After`, and in milliseconds in the reason of 1001, 1012 and
    /// 1013, so that a crowd comes back over as long a time.
    pub retry_secs_max: u32,
    /// Seconds in which everyone is told that the node goes, and gone: who does not read is cut at
    /// their end. Told at an even pace, or those who come back would come all at once; but 256 in a
    /// quarter of a second at least.
    pub drain_secs: u32,
    /// Messages of a room that one shard may have under way to the room's home. Beyond it the
    /// room's publishers there are not read from until some are answered. A batch that is more
    /// alone goes alone. 1,024 ride out a turn of the home's.
    pub unanswered_max: u32,
    /// Bytes of a shard's messages that are on their way to homes and not answered yet, each with
    /// 96 more. Beyond it nobody there is read from who publishes elsewhere, until half of them
    /// are answered; the turn that reached it may still add what it reads.
    pub underway_bytes_max: usize,
    /// Commands of a shard that wait for rings. Beyond it newcomers to rooms hear 503.
    pub commands_waiting_max: usize,
    /// Messages that a home sends to a shard in one delivery; what is left goes in the next.
    pub delivery_messages_max: usize,
    /// Bytes of payload in one delivery, beyond the first message.
    pub delivery_bytes_max: usize,
    /// What a room's home keeps, beside its history, for shards that are behind and connections
    /// between two shards. Beyond it they are told of a gap.
    pub transit: Retention,
    /// Seconds, at least one, that a room's past is kept for a connection between two shards.
    pub pin_secs: u32,
    /// Members that a room may have on its home's shard for a newcomer to follow it there, so that
    /// small rooms live on one shard; 0 leaves everyone where it came.
    pub small_room_members_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1 << 20,
            refusals_max: 64,
            refusal_secs: 1,
            handshake_bytes_max: 8 << 10,
            handshake_headers_max: 64,
            handshake_secs: 5,
            room_name_bytes_max: 255,
            message_bytes_max: 32 << 20,
            message_secs: 30,
            empty_fragments_max: EMPTY_FRAGMENTS_MAX,
            controls_per_sec: 10,
            controls_burst: 100,
            inbound_bytes_max: 256 << 20,
            outbox_bytes_max: 1 << 20,
            shard_outbox_bytes_max: 256 << 20,
            echo_outbox_bytes_max: 128 << 20,
            turn_bytes_max: 4 << 20,
            read_bytes_max: 256 << 10,
            cork_bytes_max: 16 << 10,
            share_bytes_min: 64 << 10,
            store_bytes_min: 64 << 10,
            store_members_min: 16,
            deflate_bytes_min: 1024,
            deflate_bytes_max: 1 << 20,
            deflate_level: 1,
            deflate_bytes_per_sec: 64 << 20,
            inflated_bytes_per_sec: 16 << 20,
            inflated_turn_bytes_max: 32 << 20,
            windows_bytes_max: 64 << 20,
            rooms_max: 1024,
            handler_bytes_max: 64 << 20,
            ping_secs: 25,
            pong_secs: 8,
            close_secs: 5,
            retry_secs_max: 10,
            drain_secs: 10,
            unanswered_max: 1024,
            underway_bytes_max: 64 << 20,
            commands_waiting_max: 1 << 16,
            delivery_messages_max: 1024,
            delivery_bytes_max: 1 << 20,
            transit: Retention { messages_max: 1 << 16, bytes_max: 4 << 20, age_secs: 30 },
            pin_secs: 10,
            small_room_members_max: 8,
        }
    }
}

/// Bytes that one turn can say: positions in what is said are four bytes.
const TURN_SAYS_BYTES_MAX: u64 = 1 << 32;

impl Limits {
    /// Checks that the bounds make sense together.
    ///
    /// # Errors
    /// What is wrong and how to change it.
    pub fn check(&self) -> Result<(), &'static str> {
        // What one turn can say: all that was unfinished, completed, and all that it reads.
        let bounds = [self.inbound_bytes_max, self.message_bytes_max, self.turn_bytes_max];
        let bounds = bounds.into_iter().chain([self.read_bytes_max, self.handshake_bytes_max]);
        let bounds = bounds.chain([self.handler_bytes_max]);
        // The message that reaches the bound may be as long as any.
        let bounds = bounds.chain([self.inflated_turn_bytes_max, self.message_bytes_max]);
        let says = bounds.map(|bytes| bytes as u64).fold(0, u64::saturating_add);
        // Headers of the smallest frames double what is read, and what was said before may wait.
        let waited = u64::from(GATHERED_BYTES_MAX);
        if says.saturating_add(self.turn_bytes_max as u64 + waited) >= TURN_SAYS_BYTES_MAX {
            return Err("inbound_bytes_max, message_bytes_max, turn_bytes_max, read_bytes_max, \
                 handler_bytes_max and inflated_turn_bytes_max must stay below 4 GiB together");
        }
        if self.read_bytes_max == 0 || self.turn_bytes_max == 0 {
            return Err("read_bytes_max and turn_bytes_max must be at least 1");
        }
        if self.unanswered_max == 0 || self.delivery_messages_max == 0 {
            return Err("unanswered_max and delivery_messages_max must be at least 1");
        }
        if !(1..=9).contains(&self.deflate_level) {
            return Err("deflate_level must be from 1 to 9");
        }
        if self.inflated_bytes_per_sec == 0 || self.inflated_turn_bytes_max == 0 {
            return Err("inflated_bytes_per_sec and inflated_turn_bytes_max must be at least 1");
        }
        if self.connections_max == 0 {
            return Err("connections_max must be at least 1");
        }
        if self.retry_secs_max == 0 || self.controls_burst == 0 {
            return Err("retry_secs_max and controls_burst must be at least 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_make_sense() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn bounds_that_a_turn_cannot_keep_are_refused() {
        let refused = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.check().is_err()
        };
        assert!(refused(|limits| limits.inbound_bytes_max = 4 << 30));
        assert!(refused(|limits| limits.message_bytes_max = usize::MAX));
        assert!(refused(|limits| limits.read_bytes_max = 0));
        assert!(refused(|limits| limits.connections_max = 0));
        assert!(refused(|limits| limits.retry_secs_max = 0));
        assert!(refused(|limits| limits.controls_burst = 0));
    }
}
