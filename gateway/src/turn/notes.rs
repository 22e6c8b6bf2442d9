//! What an operator is told of a shard that cannot take everyone, or whose middleware or handler
//! panics: at first, and not each time.

use std::net::IpAddr;

use gateway_core::handshake::ProxyError;
use gateway_core::id::ShardId;
use gateway_core::time::Now;
use gateway_ebpf::Source;
use tracing::{error, info, warn};

use crate::sources::Over;

/// Seconds between two warnings of the same kind.
pub(crate) const WARNING_REST_SECS: u64 = 10;

/// Lets something be said, and then not again for [`WARNING_REST_SECS`].
#[derive(Debug, Default)]
pub(crate) struct Rarely {
    next: Now,
}

impl Rarely {
    /// Not before the rest is over.
    pub(crate) fn rested(now: Now) -> Self {
        Self { next: Now(now.0.saturating_add(Now::from_secs(WARNING_REST_SECS).0)) }
    }

    /// Whether it may be said now; then it is taken to be.
    pub(crate) fn may(&mut self, now: Now) -> bool {
        let may = now >= self.next;
        if may {
            *self = Self::rested(now);
        }
        may
    }

    /// When it may be said again.
    pub(crate) fn next(&self) -> Now {
        self.next
    }
}

/// What is known of shortages and panics, and was said of them.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pauses: u64,
    of_pauses: Rarely,
    of_refusals: Rarely,
    /// Refused since the first warning that no place is left; none if there is.
    refused: Option<u64>,
    /// Panics until the last line about them.
    panics: u64,
    of_panics: Rarely,
    of_sources: Rarely,
    of_headers: Rarely,
    of_denied: Rarely,
}

impl Notes {
    /// How often accepting has paused until now; whether that is more than before.
    pub(super) fn pauses(&mut self, now: Now, shard: ShardId, pauses: u64) -> bool {
        let more = std::mem::replace(&mut self.pauses, pauses) < pauses;
        if more && self.of_pauses.may(now) {
            warn!(
                %shard,
                pauses,
                "accepting pauses: descriptors or memory are short; raise the limit (ulimit -n) \
                 or lower --max-connections"
            );
        }
        more
    }

    /// How often middleware or a handler has panicked until now. What is not told since it is too
    /// soon is told in a later turn.
    pub(super) fn panics(&mut self, now: Now, shard: ShardId, panics: u64) {
        if panics > self.panics && self.of_panics.may(now) {
            let count = panics - std::mem::replace(&mut self.panics, panics);
            error!(
                %shard,
                panics = count,
                "middleware or a handler panicked, as told above; its connection is closed with \
                 1011, others go on"
            );
        }
    }

    /// Somebody was turned away for what its source has.
    pub(super) fn over(&mut self, now: Now, shard: ShardId, client: IpAddr, over: Over) {
        if !self.of_sources.may(now) {
            return;
        }
        let bound = match over {
            Over::Connections => "source_connections_max",
            Over::Rate => "source_rate",
        };
        warn!(
            %shard,
            source = %Source::of(client.into()),
            bound,
            "turning away connections of one source; if it is a proxy, have it speak the PROXY \
             protocol and give --proxy-from, or exempt it"
        );
    }

    /// Somebody was turned away whom an operator has denied.
    pub(super) fn denied(&mut self, now: Now, shard: ShardId, client: IpAddr) {
        if self.of_denied.may(now) {
            info!(%shard, %client, "turning away who is denied; see --guard");
        }
    }

    /// A connection from a trusted proxy did not begin with a header.
    pub(super) fn no_header(&mut self, now: Now, shard: ShardId, error: ProxyError) {
        if self.of_headers.may(now) {
            warn!(%shard, %error, "closing connections of a trusted proxy unanswered");
        }
    }

    /// Somebody was accepted for whom there is a place, or not.
    pub(super) fn accepted(&mut self, now: Now, shard: ShardId, placed: bool) {
        match (&mut self.refused, placed) {
            (None, true) => {}
            (None, false) => {
                // A node that is full to and fro says so once in a while.
                if self.of_refusals.may(now) {
                    self.refused = Some(1);
                    warn!(
                        %shard,
                        "full: newcomers are refused with 503; raise --max-connections or add nodes"
                    );
                }
            }
            (Some(refused), false) => *refused += 1,
            (&mut Some(refused), true) => {
                self.refused = None;
                info!(%shard, refused, "there is room for newcomers again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Lines of a log that are kept.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics with it").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged meanwhile, line by line.
    fn logged(act: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .finish();
        tracing::subscriber::with_default(subscriber, act);
        let text = String::from_utf8(lines.0.lock().expect("it is done").clone());
        text.expect("it is text").lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn a_shortage_is_said_once_in_ten_seconds() {
        let mut notes = Notes::default();
        let lines = logged(|| {
            for tenth in 0..250 {
                assert!(notes.pauses(Now(tenth * 100_000_000), ShardId(3), 1 + tenth));
            }
            assert!(!notes.pauses(Now::from_secs(60), ShardId(3), 250));
        });
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("WARN accepting pauses: "), "{lines:?}");
        assert!(lines[0].ends_with("shard=3 pauses=1") && lines[2].ends_with("pauses=201"));
    }

    #[test]
    fn panics_are_told_once_in_ten_seconds_and_none_is_left_out() {
        let mut notes = Notes::default();
        let lines = logged(|| {
            for (secs, panics) in [(0, 0), (1, 1), (2, 2), (5, 4), (11, 4), (12, 4), (30, 4)] {
                notes.panics(Now::from_secs(secs), ShardId(2), panics);
            }
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("ERROR middleware or a handler panicked, as told above"));
        assert!(lines[0].ends_with("shard=2 panics=1"), "{lines:?}");
        assert!(lines[1].ends_with("shard=2 panics=3"), "{lines:?}");
    }

    #[test]
    fn a_full_node_says_when_it_refuses_and_when_it_has_room_again() {
        let mut notes = Notes::default();
        let lines = logged(|| {
            for (secs, placed) in [(0, true), (1, false), (2, false), (3, true), (4, true)] {
                notes.accepted(Now::from_secs(secs), ShardId(0), placed);
            }
            // To and fro within the rest.
            for (secs, placed) in [(5, false), (5, true), (6, false), (6, true)] {
                notes.accepted(Now::from_secs(secs), ShardId(0), placed);
            }
            notes.accepted(Now::from_secs(11), ShardId(0), false);
        });
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("WARN full: newcomers are refused with 503"), "{lines:?}");
        assert_eq!(lines[1], "INFO there is room for newcomers again shard=0 refused=2");
        assert!(lines[2].starts_with("WARN full: "), "{lines:?}");
    }
}
