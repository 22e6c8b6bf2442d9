//! From a request's path to what serves it; literal routes beat patterns.

use crate::handshake::{Refusal, decode_segment};
use crate::limits::Limits;

/// A family of rooms that one route opens: the same name in two namespaces is two rooms.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Namespace(u16);

impl Namespace {
    /// The one room behind `/`.
    pub const ROOT: Self = Self(0);
    /// The rooms behind `/ws/{room}`.
    pub const WS: Self = Self(1);
    /// How many there are.
    pub(crate) const COUNT: usize = 2;

    /// Its place in an array with an entry for each family.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What serves a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Route {
    /// Others in the room hear what is sent; the sender does not.
    Room {
        /// Which family of rooms.
        namespace: Namespace,
        /// The room's name, percent-decoded.
        name: String,
    },
    /// Everything comes back to its sender.
    Echo,
}

impl Route {
    /// Finds what serves `path`, which has no query.
    ///
    /// A segment is decoded before it is compared, so that `/ws/simpl%65` is `/ws/simple`.
    ///
    /// # Errors
    /// 404 for a path that nothing serves, 400 for a room name that is not one.
    pub fn of(path: &str, limits: &Limits) -> Result<Self, Refusal> {
        if path == "/" {
            return Ok(Self::Room { namespace: Namespace::ROOT, name: String::new() });
        }
        let segment = path.strip_prefix("/ws/").filter(|rest| !rest.is_empty());
        let segment = segment.filter(|rest| !rest.contains('/'));
        let Some(segment) = segment else { return Err(Refusal::not_found(path)) };
        let name = decode_segment(segment, limits.room_name_bytes_max)?;
        match name.as_str() {
            "simple" => Ok(Self::Echo),
            _ => Ok(Self::Room { namespace: Namespace::WS, name }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> Route {
        Route::Room { namespace: Namespace::WS, name: name.into() }
    }

    #[test]
    fn literal_routes_beat_patterns_however_they_are_spelt() {
        let limits = Limits::default();
        for path in ["/ws/simple", "/ws/simpl%65"] {
            assert_eq!(Route::of(path, &limits), Ok(Route::Echo), "{path}");
        }
        assert_eq!(Route::of("/ws/simple2", &limits), Ok(room("simple2")));
    }

    #[test]
    fn room_names_are_percent_decoded_and_bounded() {
        let limits = Limits::default();
        assert_eq!(Route::of("/ws/caf%C3%A9%20%2F", &limits), Ok(room("café /")));
        let longest = "x".repeat(limits.room_name_bytes_max);
        assert_eq!(Route::of(&format!("/ws/{longest}"), &limits), Ok(room(&longest)));
        assert!(Route::of(&format!("/ws/{longest}x"), &limits).is_err());
    }

    #[test]
    fn other_paths_are_not_found() {
        let limits = Limits::default();
        for path in ["/ws", "/ws/", "/ws/a/b", "/ws/lobby/", "/other", "//", "", "*", "/WS/lobby"] {
            let refusal = Route::of(path, &limits).expect_err(path);
            assert_eq!(refusal.status as u16, 404, "{path}");
        }
    }
}
