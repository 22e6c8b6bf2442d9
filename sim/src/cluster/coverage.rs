//! What a run may count, so that a name that stays at zero is seen.

use super::fault::Kind;
use crate::counts::{Counts, Group};

/// What clients do and hear.
pub(super) mod work {
    pub(crate) const SAID: &str = "messages said";
    pub(crate) const HEARD: &str = "messages heard";
    pub(crate) const ACKS: &str = "acknowledgements";
    pub(crate) const CONNECTIONS: &str = "connections";
    pub(crate) const RETURNS: &str = "returns";
    pub(crate) const RENAMES: &str = "new names";
    pub(crate) const LISTS: &str = "lists of who is there";
    pub(crate) const DRAINED_NODES: &str = "nodes that ended in order";
    pub(crate) const ALL: [&str; 8] =
        [SAID, HEARD, ACKS, CONNECTIONS, RETURNS, RENAMES, LISTS, DRAINED_NODES];
}

/// What policies decide, and what becomes of whoever comes or stays.
pub(super) mod outcome {
    pub(crate) const RECOVERED: &str = "recovered";
    pub(crate) const NOT_RECOVERED: &str = "not recovered";
    pub(crate) const GAP: &str = "told of a gap";
    pub(crate) const SLOW: &str = "closed as slow";
    pub(crate) const AWAY: &str = "told that the node goes";
    pub(crate) const LATER: &str = "told 503";
    pub(crate) const UNAUTHORIZED: &str = "told 401";
    pub(crate) const BROKEN_RULES: &str = "closed for breaking the protocol";
    pub(crate) const NO_PONG: &str = "closed for silence";
    pub(crate) const TIMED_OUT: &str = "connects that timed out";
    pub(crate) const REFUSED: &str = "connects that were refused";
    pub(crate) const GAVE_UP: &str = "clients that gave a silent node up";
    pub(crate) const DROPPED: &str = "dropped for lossy members";
    pub(crate) const ALL: [&str; 13] = [
        RECOVERED,
        NOT_RECOVERED,
        GAP,
        SLOW,
        AWAY,
        LATER,
        UNAUTHORIZED,
        BROKEN_RULES,
        NO_PONG,
        TIMED_OUT,
        REFUSED,
        GAVE_UP,
        DROPPED,
    ];
}

/// What crossed between shards.
pub(super) mod race {
    pub(crate) const MOVED: &str = "connections that moved";
    pub(crate) const PASSED: &str = "newcomers passed on";
    pub(crate) const GAPS: &str = "rooms with gaps";
    pub(crate) const ALL: [&str; 3] = [MOVED, PASSED, GAPS];
}

/// All names, at zero.
pub(super) fn nothing_yet() -> Counts {
    let mut counts = Counts::default();
    let mut known = |group, name| counts.add(group, name, 0);
    work::ALL.into_iter().for_each(|name| known(Group::Work, name));
    Kind::ALL.into_iter().for_each(|kind| known(Group::Fault, kind.name()));
    outcome::ALL.into_iter().for_each(|name| known(Group::Outcome, name));
    race::ALL.into_iter().for_each(|name| known(Group::Race, name));
    counts
}
