//! Paths with at most one name in them, ordered by how literal they are.

use std::borrow::Cow;
use std::fmt;

/// The place of a room's name.
const ROOM: &str = "{room}";

/// The segments of a path after its first slash; none for a path without one.
pub(super) fn segments(path: &str) -> Option<impl Iterator<Item = &str> + Clone> {
    let rest = path.strip_prefix('/')?;
    // The root has no segment, not an empty one.
    let count = if rest.is_empty() { 0 } else { usize::MAX };
    Some(rest.split('/').take(count))
}

/// One segment; a literal one comes before a name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Segment {
    Literal(String),
    Room,
}

/// A path to be compared with.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Pattern(Vec<Segment>);

impl Pattern {
    /// What is written is what is compared: nothing is percent-decoded.
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        let segments = segments(path).ok_or("its path must begin with a slash")?;
        let segments = segments.map(|segment| match segment {
            "" => Err("a segment of its path is empty; remove a slash".to_owned()),
            ROOM => Ok(Segment::Room),
            _ if segment.contains(['{', '}']) => {
                Err(format!("{segment:?} is no segment; write {ROOM}, or letters without braces"))
            }
            _ => Ok(Segment::Literal(segment.to_owned())),
        });
        let segments = segments.collect::<Result<Vec<_>, String>>()?;
        if segments.iter().filter(|segment| **segment == Segment::Room).count() > 1 {
            return Err(format!("{ROOM} may be there once"));
        }
        Ok(Self(segments))
    }

    /// How many segments it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Which segment is the room's name.
    pub(super) fn room(&self) -> Option<usize> {
        self.0.iter().position(|segment| *segment == Segment::Room)
    }

    /// Whether the same paths match.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self == other
    }

    /// Whether a path of these segments matches. A room's name is not empty.
    pub(super) fn takes(&self, segments: &[Cow<'_, str>]) -> bool {
        self.0.len() == segments.len()
            && self.0.iter().zip(segments).all(|(pattern, segment)| match pattern {
                Segment::Literal(literal) => literal == segment,
                Segment::Room => !segment.is_empty(),
            })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Literal(literal) => write!(f, "/{literal}"),
            Segment::Room => write!(f, "/{ROOM}"),
        })
    }
}
