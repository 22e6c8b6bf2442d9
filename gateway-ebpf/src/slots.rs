//! The table that hashes are looked up in: each shard has slots in proportion to its weight, and a
//! shard that comes or goes moves no others'.

use crate::abi::SLOTS;
use crate::hash::mix;

/// A shard's weight at most; the least is 1.
pub const WEIGHT_MAX: u32 = 1000;

/// The shard of a slot, by weighted rendezvous: each shard draws a number for the slot, and the
/// highest wins. `None` if there are no shards.
///
/// The draw of a shard depends on slot, shard and weight alone. So a shard that comes takes about
/// its share of all slots, one that goes leaves its own to the others in proportion, and no slot
/// moves between two that stay. For the host, which calls it for each of [`SLOTS`] slots when
/// shards change.
#[must_use]
pub fn shard_of(slot: u32, shards: impl IntoIterator<Item = (u32, u32)>) -> Option<u32> {
    let mut best = None;
    for (shard, weight) in shards {
        let cost = cost(draw(slot, shard), weight);
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, shard));
        }
    }
    best.map(|(_, shard)| shard)
}

/// All slots.
pub fn all() -> impl Iterator<Item = u32> {
    0..SLOTS as u32
}

/// A number that looks drawn, below 2^32.
const fn draw(slot: u32, shard: u32) -> u32 {
    mix(mix(slot ^ 0x68BC_21EB).wrapping_add(mix(shard ^ 0x02E5_BE93)))
}

/// The waiting time of an event that comes `weight` times as often: -ln(u) / weight for a `u`
/// drawn, in units of 2^-40. Whoever waits least wins, so that each wins in proportion.
fn cost(draw: u32, weight: u32) -> u64 {
    let weight = u64::from(if weight == 0 { 1 } else { weight });
    minus_ln(draw) / weight
}

/// -ln((draw + 1) / 2^32) in units of 2^-40, by squaring: the logarithm's bits come out one by
/// one, all in whole numbers, so that every machine builds the same table.
fn minus_ln(draw: u32) -> u64 {
    /// ln(2) in units of 2^-32.
    const LN_2: u128 = 2_977_044_472;
    let number = u64::from(draw) + 1;
    let whole = 63 - u64::from(number.leading_zeros() as u8);
    // In [1, 2), with 32 bits behind the point.
    let mut rest = (u128::from(number) << 32) >> whole;
    let mut log: u128 = u128::from(whole);
    for _ in 0..32 {
        rest = (rest * rest) >> 32;
        log <<= 1;
        if rest >= 2 << 32 {
            rest >>= 1;
            log |= 1;
        }
    }
    // The logarithm to base 2 of 2^32 is 32.
    let below = (32_u128 << 32) - log;
    ((below * LN_2) >> 24) as u64
}
