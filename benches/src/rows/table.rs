//! The rows of the goals: what is asked, and how much Weir may take.

use crate::rooms::Size;
use crate::unit::Unit;

/// Rows that need the same servers and clients.
pub(crate) struct Group {
    pub(crate) shape: Shape,
    pub(crate) rows: &'static [Row],
    /// Whether Weir takes part with two and with four shards too.
    pub(crate) shards: bool,
}

/// One line of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Messages in one write, or connections at once.
    pub(crate) burst: usize,
    /// Most writes per contestant and round; slow ones make fewer.
    pub(crate) times: usize,
    /// What Weir may take for what the floor takes; memory in bytes. Nothing where nobody has
    /// promised anything.
    pub(crate) goal: Option<f64>,
}

/// Who is connected, and what they do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// One speaks, and so many others hear it.
    Room { members: usize, payload_bytes: usize },
    /// In each room somebody else speaks every time.
    Rooms(Size),
    /// Everyone hears themselves.
    Echo { clients: usize, payload_bytes: usize },
    /// They come, are served and leave.
    Upgrade,
    /// They come and stay, and say nothing.
    Idle { connections: usize },
}

/// What Weir with several shards may take for what it takes with one.
pub(crate) const SHARDS_GOAL: f64 = 1.10;

/// Everything, in the order in which it is measured and told.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        shape: Shape::Room { members: 1000, payload_bytes: 512 },
        rows: &[
            row("fanout", "1,000 × 512 B, one at a time", 1, 200, Some(0.95)),
            row("bursts", "1,000 × 512 B, in bursts of 16", 16, 200, Some(1.0)),
        ],
        shards: false,
    },
    Group {
        shape: Shape::Room { members: 100, payload_bytes: 65_536 },
        rows: &[row("large", "100 × 64 KiB, one at a time", 1, 700, Some(0.72))],
        shards: false,
    },
    Group {
        shape: Shape::Room { members: 5000, payload_bytes: 64 },
        rows: &[row("wide", "5,000 × 64 B, one at a time", 1, 50, Some(1.05))],
        shards: false,
    },
    Group {
        shape: Shape::Echo { clients: 64, payload_bytes: 64 },
        rows: &[
            row("echo", "echo of 64 B on 64 connections, depth 1", 1, 1500, Some(1.03)),
            row("echo16", "echo of 64 B on 64 connections, depth 16", 16, 1000, Some(1.03)),
        ],
        shards: false,
    },
    Group {
        shape: Shape::Upgrade,
        rows: &[row("upgrade", "connect and upgrade, 64 at once", 64, 40, Some(1.15))],
        shards: false,
    },
    Group {
        shape: Shape::Idle { connections: 10_000 },
        rows: &[row("idle", "user memory of an idle raw connection, bytes", 1, 1, Some(512.0))],
        shards: false,
    },
    rooms(1, 5000, &[row("room-5000", "1 room × 5,000, each speaks in turn, 64 B", 1, 40, None)]),
    rooms(1, 15_000, &[row("room-15000", "1 room × 15,000, each speaks in turn", 1, 20, None)]),
    rooms(1000, 10, &[row("rooms", "1,000 rooms × 10, 64 B", 1, 40, None)]),
    rooms(5000, 2, &[row("pairs", "5,000 pairs, 64 B", 1, 60, None)]),
];

const fn row(
    name: &'static str,
    title: &'static str,
    burst: usize,
    times: usize,
    goal: Option<f64>,
) -> Row {
    Row { name, title, burst, times, goal }
}

const fn rooms(rooms: usize, members: usize, rows: &'static [Row]) -> Group {
    Group { shape: Shape::Rooms(Size { rooms, members, payload_bytes: 64 }), rows, shards: true }
}

impl Shape {
    /// So small that it is only tried whether things work.
    pub(crate) fn smoked(self) -> Self {
        match self {
            Self::Room { members, payload_bytes } => {
                Self::Room { members: members.min(20), payload_bytes }
            }
            Self::Rooms(size) => Self::Rooms(Size {
                rooms: size.rooms.min(8),
                members: size.members.min(20),
                ..size
            }),
            Self::Echo { payload_bytes, .. } => Self::Echo { clients: 8, payload_bytes },
            Self::Upgrade => self,
            Self::Idle { .. } => Self::Idle { connections: 100 },
        }
    }

    /// Connections that a server has at a time, `burst` of which are new at once.
    pub(crate) fn connections(self, burst: usize) -> usize {
        match self {
            Self::Room { members, .. } => members + 1,
            Self::Rooms(size) => size.rooms * size.members,
            Self::Echo { clients, .. } => clients,
            Self::Upgrade => burst,
            Self::Idle { connections } => connections + crate::idle::FIRST,
        }
    }

    pub(crate) fn payload_bytes(self) -> usize {
        match self {
            Self::Room { payload_bytes, .. } | Self::Echo { payload_bytes, .. } => payload_bytes,
            Self::Rooms(size) => size.payload_bytes,
            Self::Upgrade | Self::Idle { .. } => 8,
        }
    }

    /// What is counted.
    pub(crate) fn counts(self) -> Unit {
        match self {
            Self::Room { .. } | Self::Rooms(_) => Unit::Delivery,
            Self::Echo { .. } => Unit::Echo,
            Self::Upgrade | Self::Idle { .. } => Unit::Connection,
        }
    }

    /// What is measured of each.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Room { .. } | Self::Rooms(_) | Self::Echo { .. } | Self::Upgrade => {
                self.counts().cost()
            }
            Self::Idle { .. } => "bytes of user memory per connection",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_row_has_a_name_of_its_own() {
        let rows = || GROUPS.iter().flat_map(|group| group.rows);
        let names: BTreeSet<_> = rows().map(|row| row.name).collect();
        assert_eq!(names.len(), rows().count());
    }

    #[test]
    fn whoever_is_idle_is_alone_in_its_group() {
        for group in GROUPS {
            assert!(!matches!(group.shape, Shape::Idle { .. }) || group.rows.len() == 1);
        }
    }
}
