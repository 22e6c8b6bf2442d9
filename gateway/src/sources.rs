//! What one source may have of a node: connections at a time, and new ones a second.
//!
//! A source that nears its rate is told so by chance before it is told surely: see
//! [`admit`]. So of a crowd behind one address those get in whom chance lets in, and
//! not those who come again at the right moment; and nobody beyond the rate does.
//!
//! The bounds are the node's, since the kernel spreads a source's connections over all shards, and
//! connections move between them. So one table serves all of them, behind striped locks that are
//! taken when a connection comes and when it has gone, and never in between. Both together were
//! measured at 0.3 µs with 1,000 sources and 0.6 with 50,000, beside accept(2) and close(2), which
//! cost many. Sources that are exempt never touch it.
//!
//! The table is bounded. What it may forget is a source without connections whose bucket is full:
//! nothing is known of such a one that a stranger would not have too, so that nobody gains by being
//! forgotten, nor by having others forgotten. When all it knows is worth knowing, strangers share
//! what one source may have, those of each stripe together.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gateway_core::time::Now;
use gateway_ebpf::{Address, Admit, Bucket, Network, Rate, Source, admit};

use crate::config::SourceConfig;

/// Sources of a stripe, unless there is only one.
const STRIPE_MIN: usize = 1024;
/// Stripes at most: enough that two of a few dozen workers seldom meet.
const STRIPES_MAX: usize = 64;
/// Sources that a stranger has looked at, of those that might be forgotten for it.
const PROBES: usize = 16;
/// The entry that a stripe's unknown sources share.
const SHARED: usize = 0;

/// All sources of a node. Whoever was admitted has a [`Seat`], which is to be given back once.
#[derive(Debug)]
pub struct Sources {
    /// Connections at a time; nothing for as many as come.
    connections_max: Option<NonZeroU32>,
    /// New ones; nothing for as many as come.
    rate: Option<Rate>,
    loopback: bool,
    exempt: Box<[Network]>,
    /// Keyed, so that nobody can tell which sources meet in a stripe.
    hasher: RandomState,
    stripes: Box<[Mutex<Stripe>]>,
    /// Entries of a stripe, the shared one included.
    stripe_max: usize,
}

/// That a connection is counted for its source. It cannot be given back twice.
#[derive(Debug, Eq, PartialEq)]
#[must_use = "a seat that is not given back is taken for ever"]
pub struct Seat(NonZeroU32);

/// What a source has too many of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Over {
    /// Connections at a time.
    Connections,
    /// New connections in the last moments, or nearly too many, and chance was against this one.
    Rate,
}

/// A part of the sources, by their hashes.
#[derive(Debug)]
struct Stripe {
    index: HashMap<Source, u32, RandomState>,
    entries: Vec<Entry>,
    /// Where to look next for somebody to forget.
    hand: usize,
}

/// What is known of a source.
#[derive(Clone, Debug)]
struct Entry {
    source: Source,
    bucket: Bucket,
    connections: u32,
}

impl Sources {
    /// An empty table with these bounds.
    #[must_use]
    pub fn new(config: &SourceConfig) -> Self {
        let stripes = (config.known_max / STRIPE_MIN).clamp(1, STRIPES_MAX);
        let hasher = RandomState::new();
        let stripe = || Mutex::new(Stripe::new(hasher.clone()));
        Self {
            connections_max: NonZeroU32::new(config.connections_max),
            rate: Rate::new(config.rate, config.burst),
            loopback: config.loopback,
            exempt: config.exempt.clone().into(),
            stripes: (0..stripes).map(|_| stripe()).collect(),
            stripe_max: config.known_max / stripes + 1,
            hasher,
        }
    }

    /// Counts a connection that has come from this address; nothing is to be given back for one
    /// that is exempt. `random` is drawn for this one, uniform over all `u32`; 0 has it shed where
    /// chance decides at all.
    ///
    /// Clocks of a node's workers may differ by some milliseconds, which admits nobody more: see
    /// [`Bucket`].
    ///
    /// # Errors
    /// What its source has too many of: it is not counted then.
    pub fn admit(&self, now: Now, ip: IpAddr, random: u32) -> Result<Option<Seat>, Over> {
        let address = Address::from(ip);
        if self.is_exempt(address) {
            return Ok(None);
        }
        let source = Source::of(address);
        let which = self.hasher.hash_one(source) as usize % self.stripes.len();
        let mut stripe = self.lock(which);
        let at = stripe.entry(source, self.stripe_max, now);
        let entry = &mut stripe.entries[at];
        if let Some(rate) = self.rate {
            let Admit::Pass(less) = admit(entry.bucket, rate, now.0, random) else {
                return Err(Over::Rate);
            };
            entry.bucket = less;
        }
        if self.connections_max.is_some_and(|max| entry.connections >= max.get()) {
            return Err(Over::Connections);
        }
        entry.connections += 1;
        let number = u32::try_from(which * self.stripe_max + at + 1).ok().and_then(NonZeroU32::new);
        Ok(Some(Seat(number.expect("there are fewer entries than numbers"))))
    }

    /// The connection has gone.
    pub fn release(&self, seat: Seat) {
        let number = seat.0.get() as usize - 1;
        let mut stripe = self.lock(number / self.stripe_max);
        let connections = &mut stripe.entries[number % self.stripe_max].connections;
        *connections = connections.checked_sub(1).expect("who has a seat was counted");
    }

    /// Connections that are counted now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.sum(|stripe| stripe.entries.iter().map(|entry| u64::from(entry.connections)).sum())
    }

    /// Sources that are known now; those that share an entry are not.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.sum(|stripe| stripe.index.len() as u64)
    }

    fn sum(&self, of: impl Fn(&Stripe) -> u64) -> u64 {
        (0..self.stripes.len()).map(|which| of(&self.lock(which))).sum()
    }

    fn is_exempt(&self, address: Address) -> bool {
        let unbounded = self.connections_max.is_none() && self.rate.is_none();
        unbounded
            || !self.loopback && address.is_loopback()
            || self.exempt.iter().any(|network| network.contains(address))
    }

    /// What a panic left half done is a count at most.
    fn lock(&self, which: usize) -> MutexGuard<'_, Stripe> {
        self.stripes[which].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stripe {
    fn new(hasher: RandomState) -> Self {
        let shared = Entry::new(Source::UNKNOWN);
        Self { index: HashMap::with_hasher(hasher), entries: vec![shared], hand: SHARED }
    }

    /// Where a source is, which may be forgotten as soon as the lock is.
    fn entry(&mut self, source: Source, max: usize, now: Now) -> usize {
        if let Some(&at) = self.index.get(&source) {
            return at as usize;
        }
        let at = if self.entries.len() < max {
            self.entries.push(Entry::new(source));
            self.entries.len() - 1
        } else {
            let Some(at) = self.forgettable(now) else { return SHARED };
            self.index.remove(&self.entries[at].source);
            self.entries[at] = Entry::new(source);
            at
        };
        self.index.insert(source, u32::try_from(at).expect("a stripe is small"));
        at
    }

    /// Somebody of whom nothing is known that matters, if one is found soon.
    fn forgettable(&mut self, now: Now) -> Option<usize> {
        for _ in 0..PROBES.min(self.entries.len() - 1) {
            self.hand = self.hand % (self.entries.len() - 1) + 1;
            let entry = &self.entries[self.hand];
            if entry.connections == 0 && entry.bucket.is_full(now.0) {
                return Some(self.hand);
            }
        }
        None
    }
}

impl Entry {
    fn new(source: Source) -> Self {
        Self { source, bucket: Bucket::FULL, connections: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    fn sources(change: impl FnOnce(&mut SourceConfig)) -> Sources {
        let mut config = SourceConfig::default();
        (config.connections_max, config.rate, config.burst) = (3, 10, 5);
        change(&mut config);
        Sources::new(&config)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn nth(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0A00_0000 + n).into()
    }

    /// Somebody comes whom chance is never against.
    fn come(sources: &Sources, now: Now, ip: IpAddr) -> Result<Option<Seat>, Over> {
        sources.admit(now, ip, u32::MAX)
    }

    /// Admits somebody who is counted.
    #[track_caller]
    fn seat(sources: &Sources, now: Now, ip: IpAddr) -> Seat {
        come(sources, now, ip).expect("within its bounds").expect("not exempt")
    }

    #[test]
    fn a_source_has_its_connections_and_no_more_until_one_has_gone() {
        let sources = sources(|config| config.rate = 0);
        let mut seats: Vec<_> = (0..3).map(|_| seat(&sources, Now(0), ip("192.0.2.7"))).collect();
        assert_eq!(come(&sources, Now(0), ip("192.0.2.7")), Err(Over::Connections));
        assert_eq!(come(&sources, Now(0), ip("::ffff:192.0.2.7")), Err(Over::Connections));
        let other = seat(&sources, Now(0), ip("192.0.2.8"));
        sources.release(seats.pop().expect("there are three"));
        seats.push(seat(&sources, Now(0), ip("192.0.2.7")));
        seats.push(other);
        assert_eq!((sources.connections(), sources.known()), (4, 2));
        seats.into_iter().for_each(|seat| sources.release(seat));
        assert_eq!(sources.connections(), 0);
    }

    #[test]
    fn a_network_of_64_bits_is_one_source() {
        let sources = sources(|config| config.connections_max = 1);
        let _seat = seat(&sources, Now(0), ip("2001:db8::1"));
        assert_eq!(come(&sources, Now(0), ip("2001:db8::2")), Err(Over::Connections));
        let _seat = seat(&sources, Now(0), ip("2001:db8:0:1::1"));
    }

    #[test]
    fn a_source_comes_as_often_as_it_may_whether_it_stays_or_not() {
        let sources = sources(|_| ());
        for _ in 0..5 {
            sources.release(seat(&sources, Now(0), ip("192.0.2.7")));
        }
        assert_eq!(come(&sources, Now(99 * MILLI), ip("192.0.2.7")), Err(Over::Rate));
        sources.release(seat(&sources, Now(100 * MILLI), ip("192.0.2.7")));
        assert_eq!(come(&sources, Now(100 * MILLI), ip("192.0.2.7")), Err(Over::Rate));
    }

    #[test]
    fn chance_turns_some_away_before_the_rate_does_and_takes_nothing_from_others() {
        let sources = sources(|config| (config.rate, config.burst) = (1, 8));
        let mut passed = 0;
        while let Ok(Some(seat)) = sources.admit(Now(0), ip("192.0.2.7"), 0) {
            sources.release(seat);
            passed += 1;
        }
        assert_eq!(passed, 7, "the last one has less than a quarter before it");
        sources.release(seat(&sources, Now(0), ip("192.0.2.7")));
        assert_eq!(come(&sources, Now(0), ip("192.0.2.7")), Err(Over::Rate));
    }

    #[test]
    fn loopback_is_exempt_unless_it_is_not_and_others_if_they_are() {
        let few = |loopback| {
            sources(|config| {
                config.connections_max = 1;
                config.loopback = loopback;
                config.exempt = vec!["10.0.0.0/8".parse().expect("a network")];
            })
        };
        let exempt = few(false);
        for one in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.1.2.3"] {
            for _ in 0..9 {
                assert_eq!(come(&exempt, Now(0), ip(one)), Ok(None), "{one}");
            }
        }
        assert_eq!((exempt.connections(), exempt.known()), (0, 0));
        let strict = few(true);
        for one in ["127.0.0.1", "::1"] {
            let _seat = seat(&strict, Now(0), ip(one));
            assert_eq!(come(&strict, Now(0), ip(one)), Err(Over::Connections), "{one}");
        }
    }

    #[test]
    fn without_bounds_nothing_is_counted() {
        let sources = sources(|config| (config.connections_max, config.rate) = (0, 0));
        assert!((0..99).all(|_| come(&sources, Now(0), ip("192.0.2.7")) == Ok(None)));
        assert_eq!(sources.known(), 0);
    }

    #[test]
    fn a_crowd_of_sources_has_none_forgotten_that_a_bound_holds() {
        let sources = sources(|config| config.known_max = 8);
        let held = seat(&sources, Now(0), ip("192.0.2.7"));
        let hasty = ip("192.0.2.8");
        while let Ok(seat) = come(&sources, Now(0), hasty) {
            seat.into_iter().for_each(|seat| sources.release(seat));
        }
        // Each of them leaves at once, but was here just now.
        for n in 0..1_000 {
            if let Ok(Some(seat)) = come(&sources, Now(1), nth(n)) {
                sources.release(seat);
            }
            assert!(sources.known() <= 8);
        }
        assert_eq!(come(&sources, Now(1), hasty), Err(Over::Rate));
        assert_eq!(sources.connections(), 1);
        // When they are as good as strangers, others are known in their place.
        let later = Now(1_000 * MILLI);
        for n in 0..4 {
            sources.release(seat(&sources, later, nth(2_000 + n)));
        }
        assert_eq!(sources.known(), 8);
        sources.release(held);
        assert_eq!(sources.connections(), 0);
    }

    #[test]
    fn strangers_share_what_one_source_may_have_when_all_others_stay() {
        let sources = sources(|config| config.known_max = 4);
        let mut seats: Vec<_> = (0..4).map(|n| seat(&sources, Now(0), nth(n))).collect();
        seats.extend((10..13).map(|n| seat(&sources, Now(0), nth(n))));
        assert_eq!(come(&sources, Now(0), nth(13)), Err(Over::Connections));
        // Who is known has what is its own.
        seats.push(seat(&sources, Now(0), nth(0)));
        assert_eq!((sources.known(), sources.connections()), (4, 8));
        seats.into_iter().for_each(|seat| sources.release(seat));
        assert_eq!(sources.connections(), 0);
        let _seat = seat(&sources, Now(1_000 * MILLI), nth(13));
    }

    #[test]
    fn a_table_of_65_536_sources_knows_nearly_as_many_in_all_stripes() {
        let sources = sources(|config| config.known_max = 65_536);
        for n in 0..50_000 {
            let _seat = seat(&sources, Now(0), nth(n));
        }
        assert_eq!((sources.known(), sources.connections()), (50_000, 50_000));
    }

    #[test]
    fn a_seat_costs_four_bytes_and_a_source_32() {
        assert_eq!(size_of::<Option<Seat>>(), 4);
        assert_eq!(size_of::<Entry>(), 32);
    }
}
