//! `[limits]`: the bounds of a shard, by the names of the fields of [`Limits`], and those of a
//! source.

use std::ops::RangeInclusive;

use gateway_core::limits::Limits;

use super::table::{Table, Unit, Wrong};
use crate::config::SourceConfig;

use Unit::{Bytes, Pieces, Seconds};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Where a number goes.
enum Field<'a> {
    U32(&'a mut u32),
    Usize(&'a mut usize),
}

/// A key, where its value goes, its bounds and its unit.
type Entry<'a> = (&'static str, Field<'a>, RangeInclusive<u64>, Unit);

/// The defaults with what the file says instead; what it says of sources goes there.
pub(super) fn limits(document: &Table<'_>, sources: &mut SourceConfig) -> Result<Limits, Wrong> {
    let mut limits = Limits::default();
    let Some(table) = document.table("limits")? else { return Ok(limits) };
    let transit = table.table("transit")?;
    if let Some(transit) = transit {
        set(&transit, transit_entries(&mut limits), &[])?;
    }
    let entries = entries(&mut limits).into_iter().chain(source_entries(sources));
    set(&table, entries, &["transit"])?;
    limits.check().map_err(|why| table.wrong(why))?;
    Ok(limits)
}

fn set<'a>(
    table: &Table<'_>,
    entries: impl IntoIterator<Item = Entry<'a>>,
    others: &[&'static str],
) -> Result<(), Wrong> {
    let entries: Vec<_> = entries.into_iter().collect();
    let keys: Vec<_> = entries.iter().map(|(key, ..)| *key).chain(others.iter().copied()).collect();
    table.knows(&keys)?;
    for (key, field, bounds, unit) in entries {
        match field {
            Field::U32(field) => *field = table.number(key, bounds, unit)?.unwrap_or(*field),
            Field::Usize(field) => *field = table.number(key, bounds, unit)?.unwrap_or(*field),
        }
    }
    Ok(())
}

/// All but `transit`. What contradicts itself is refused by [`Limits::check`]; these bounds refuse
/// what would overflow, or turn off what cannot be. Each segment of a path is bounded like a room's
/// name, so that bound leaves the paths built in reachable.
fn entries(limits: &mut Limits) -> [Entry<'_>; 43] {
    use Field::{U32, Usize};
    let l = limits;
    [
        ("connections_max", U32(&mut l.connections_max), 1..=MIB, Pieces),
        ("refusals_max", U32(&mut l.refusals_max), 0..=65_536, Pieces),
        ("refusal_secs", U32(&mut l.refusal_secs), 1..=HOUR, Seconds),
        ("handshake_bytes_max", Usize(&mut l.handshake_bytes_max), 256..=MIB, Bytes),
        ("handshake_headers_max", Usize(&mut l.handshake_headers_max), 5..=1024, Pieces),
        ("handshake_secs", U32(&mut l.handshake_secs), 1..=HOUR, Seconds),
        ("room_name_bytes_max", Usize(&mut l.room_name_bytes_max), 16..=4096, Bytes),
        ("message_bytes_max", Usize(&mut l.message_bytes_max), 1..=GIB, Bytes),
        ("message_secs", U32(&mut l.message_secs), 0..=DAY, Seconds),
        ("empty_fragments_max", U32(&mut l.empty_fragments_max), 0..=16 * MIB, Pieces),
        ("controls_per_sec", U32(&mut l.controls_per_sec), 0..=MIB, Pieces),
        ("controls_burst", U32(&mut l.controls_burst), 1..=MIB, Pieces),
        ("inbound_bytes_max", Usize(&mut l.inbound_bytes_max), 1024..=4 * GIB, Bytes),
        ("outbox_bytes_max", Usize(&mut l.outbox_bytes_max), 1024..=1024 * GIB, Bytes),
        ("shard_outbox_bytes_max", Usize(&mut l.shard_outbox_bytes_max), 1024..=1024 * GIB, Bytes),
        ("echo_outbox_bytes_max", Usize(&mut l.echo_outbox_bytes_max), 1024..=1024 * GIB, Bytes),
        ("turn_bytes_max", Usize(&mut l.turn_bytes_max), 1024..=GIB, Bytes),
        ("read_bytes_max", Usize(&mut l.read_bytes_max), 1024..=64 * MIB, Bytes),
        ("cork_bytes_max", Usize(&mut l.cork_bytes_max), 0..=MIB, Bytes),
        ("share_bytes_min", Usize(&mut l.share_bytes_min), 1024..=GIB, Bytes),
        ("store_bytes_min", Usize(&mut l.store_bytes_min), 1024..=GIB, Bytes),
        ("store_members_min", Usize(&mut l.store_members_min), 0..=MIB, Pieces),
        ("deflate_bytes_min", Usize(&mut l.deflate_bytes_min), 0..=GIB, Bytes),
        ("deflate_bytes_max", Usize(&mut l.deflate_bytes_max), 0..=GIB, Bytes),
        ("deflate_level", U32(&mut l.deflate_level), 1..=9, Pieces),
        ("deflate_bytes_per_sec", Usize(&mut l.deflate_bytes_per_sec), 0..=1024 * GIB, Bytes),
        ("inflated_bytes_per_sec", Usize(&mut l.inflated_bytes_per_sec), 1024..=1024 * GIB, Bytes),
        ("inflated_turn_bytes_max", Usize(&mut l.inflated_turn_bytes_max), 1024..=GIB, Bytes),
        ("windows_bytes_max", Usize(&mut l.windows_bytes_max), 0..=1024 * GIB, Bytes),
        ("rooms_max", Usize(&mut l.rooms_max), 0..=65_536, Pieces),
        ("handler_bytes_max", Usize(&mut l.handler_bytes_max), 1024..=GIB, Bytes),
        ("ping_secs", U32(&mut l.ping_secs), 0..=DAY, Seconds),
        ("pong_secs", U32(&mut l.pong_secs), 1..=HOUR, Seconds),
        ("close_secs", U32(&mut l.close_secs), 1..=HOUR, Seconds),
        ("retry_secs_max", U32(&mut l.retry_secs_max), 1..=HOUR, Seconds),
        ("drain_secs", U32(&mut l.drain_secs), 0..=HOUR, Seconds),
        ("unanswered_max", U32(&mut l.unanswered_max), 1..=MIB, Pieces),
        ("underway_bytes_max", Usize(&mut l.underway_bytes_max), 1024..=1024 * GIB, Bytes),
        ("commands_waiting_max", Usize(&mut l.commands_waiting_max), 1..=16 * MIB, Pieces),
        ("delivery_messages_max", Usize(&mut l.delivery_messages_max), 1..=MIB, Pieces),
        ("delivery_bytes_max", Usize(&mut l.delivery_bytes_max), 1..=GIB, Bytes),
        ("pin_secs", U32(&mut l.pin_secs), 1..=HOUR, Seconds),
        ("small_room_members_max", U32(&mut l.small_room_members_max), 0..=65_536, Pieces),
    ]
}

/// What each source may have of the node.
fn source_entries(sources: &mut SourceConfig) -> [Entry<'_>; 4] {
    use Field::{U32, Usize};
    let s = sources;
    [
        ("source_connections_max", U32(&mut s.connections_max), 0..=16 * MIB, Pieces),
        ("source_rate", U32(&mut s.rate), 0..=16 * MIB, Pieces),
        ("source_burst", U32(&mut s.burst), 1..=16 * MIB, Pieces),
        ("sources_max", Usize(&mut s.known_max), 1..=4 * MIB, Pieces),
    ]
}

fn transit_entries(limits: &mut Limits) -> [Entry<'_>; 3] {
    let transit = &mut limits.transit;
    [
        ("messages_max", Field::U32(&mut transit.messages_max), 1..=16 * MIB, Pieces),
        ("bytes_max", Field::Usize(&mut transit.bytes_max), 1024..=GIB, Bytes),
        ("age_secs", Field::U32(&mut transit.age_secs), 1..=DAY, Seconds),
    ]
}
