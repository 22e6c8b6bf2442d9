//! Who is let in where a route asks for a bearer token.

use std::fmt;

use gateway_core::event;
use gateway_core::handshake::Secret;
use gateway_core::id::ShardId;

pub use gateway_core::event::Grant;

/// Looks at what clients show.
///
/// Asked on a worker's thread, within a turn: it does not wait. What takes longer is answered
/// later, by [`Handle::decide`](crate::handle::Handle::decide). If it panics, the client is
/// refused.
pub trait Auth: fmt::Debug + Send + Sync {
    /// Whether a client is let in.
    fn decide(&self, ask: &Ask<'_>) -> Decision;
}

/// A client that wants to be let in.
#[derive(Debug)]
pub struct Ask<'a> {
    /// What it shows.
    pub token: &'a Secret,
    /// The path of the route that it came by, as it was written.
    pub route: &'a str,
    /// What a later answer names.
    pub ticket: Ticket,
}

/// Whether a client is let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// It is, and this is who it is.
    Granted(Grant),
    /// It hears 401.
    Refused,
    /// It is told by [`Handle::decide`](crate::handle::Handle::decide) within the limit
    /// `handshake_secs`; after that the client has heard 503.
    Later,
}

/// Names a client that waits to be let in. It never names another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticket {
    pub(crate) shard: ShardId,
    pub(crate) inner: event::Ticket,
}

/// One token opens every route; without it none is opened.
#[derive(Clone, Debug, Default)]
pub struct OneToken(Option<Secret>);

impl OneToken {
    /// This token opens every route, or nothing does.
    #[must_use]
    pub fn new(token: Option<Secret>) -> Self {
        Self(token)
    }

    /// Whether it is the token; takes as long whichever characters differ.
    #[must_use]
    pub fn opens(&self, token: &Secret) -> bool {
        self.0.as_ref() == Some(token)
    }
}

impl Auth for OneToken {
    fn decide(&self, ask: &Ask<'_>) -> Decision {
        match self.opens(ask.token) {
            true => Decision::Granted(Grant::default()),
            false => Decision::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(token: &str) -> Secret {
        Secret::from(token.to_owned())
    }

    #[test]
    fn the_token_opens_and_others_do_not() {
        let auth = OneToken::new(Some(secret("s3cret")));
        assert!(auth.opens(&secret("s3cret")));
        for other in ["", "s3cre", "s3crets", "S3cret", "s3creu"] {
            assert!(!auth.opens(&secret(other)), "{other}");
        }
    }

    #[test]
    fn without_a_token_nothing_is_opened() {
        let auth = OneToken::default();
        assert!(!auth.opens(&secret("")) && !auth.opens(&secret("s3cret")));
    }
}
