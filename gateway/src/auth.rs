//! Who is let in where a route asks for a bearer token.

use std::fmt;

use gateway_core::handshake::Secret;

/// Looks at what clients show. Asked on the worker's thread, within a turn: it does not wait.
pub trait Auth: fmt::Debug + Send + Sync {
    /// Whether this token opens the routes that ask for one.
    fn opens(&self, token: &Secret) -> bool;
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
}

impl Auth for OneToken {
    fn opens(&self, token: &Secret) -> bool {
        self.0.as_ref().is_some_and(|known| same(known.expose(), token.expose()))
    }
}

/// Compares without telling by its duration where the first difference is.
fn same(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    let differences = pairs.fold(0, |seen, (one, other)| seen | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differences) == 0
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
