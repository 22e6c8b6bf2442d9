//! What a client shows to be let in: a bearer token, wherever its kind of client can put one.

use std::borrow::Cow;
use std::fmt;
use std::hint::black_box;

use super::percent::percent_decode;
use super::request::Request;
use super::response::Refusal;

/// Bytes of a token. RFC 6750 names no bound; those in use are a few hundred.
const TOKEN_BYTES_MAX: usize = 4 << 10;
/// What stands before a token that is offered as a subprotocol.
const SUBPROTOCOL_PREFIX: &str = "bearer.";
/// The parameter of the query, RFC 6750 §2.3.
const PARAMETER: &str = "access_token";

/// A token. It is never shown by `Debug`, so that no log has it, and compared without telling by
/// the duration where the first difference is.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same(self.0.bytes(), other.0.bytes())
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Looks at as many bytes as the shorter one has, wherever they differ. Its length is no secret.
fn same(one: impl ExactSizeIterator<Item = u8>, other: impl ExactSizeIterator<Item = u8>) -> bool {
    let as_long = one.len() == other.len();
    // Each step is opaque, so that no later one can be left out.
    let differences = one.zip(other).fold(0, |seen, (a, b)| black_box(seen | (a ^ b)));
    as_long & (differences == 0)
}

impl Request<'_> {
    /// The bearer token: of the `Authorization` header (RFC 6750 §2.1), which browsers cannot set;
    /// else of a subprotocol `bearer.<token>`, which is offered and never picked; else of the
    /// query's `access_token`, percent-decoded.
    ///
    /// # Errors
    /// 400 if there are several of one kind, or it is no token.
    pub fn bearer(&self) -> Result<Option<Secret>, Refusal> {
        let kinds = [self.authorized()?, self.offered()?, self.queried()?];
        let Some(token) = kinds.into_iter().flatten().next() else { return Ok(None) };
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            let why = format!("the bearer token is empty or longer than {TOKEN_BYTES_MAX} bytes");
            return Err(Refusal::bad_request(why));
        }
        Ok(Some(Secret(token)))
    }

    fn authorized(&self) -> Result<Option<String>, Refusal> {
        let value = only(self.values("Authorization"), "Authorization headers")?;
        let Some(value) = value.and_then(|value| std::str::from_utf8(value).ok()) else {
            return Ok(None);
        };
        // RFC 9110 §11.1: the scheme is in any case. Another scheme is not for this server.
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        let bearer = scheme.eq_ignore_ascii_case("Bearer");
        Ok(bearer.then(|| token.trim_start().to_owned()))
    }

    fn offered(&self) -> Result<Option<String>, Refusal> {
        let tokens = self.subprotocols().filter_map(|name| name.strip_prefix(SUBPROTOCOL_PREFIX));
        Ok(only(tokens, "bearer subprotocols")?.map(str::to_owned))
    }

    fn queried(&self) -> Result<Option<String>, Refusal> {
        let token = self.query().only(PARAMETER)?;
        // A plus stays what it is: tokens have them (RFC 6750 §2.1), and never a space.
        let decode = |raw| percent_decode(raw, PARAMETER, TOKEN_BYTES_MAX).map(Cow::into_owned);
        token.map(decode).transpose()
    }
}

/// The only one there is, if there is one.
fn only<T>(mut all: impl Iterator<Item = T>, what: &str) -> Result<Option<T>, Refusal> {
    let first = all.next();
    if all.next().is_some() {
        return Err(Refusal::bad_request(format!("there are several {what}; send one")));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    fn bearer(target: &str, headers: &str) -> Result<Option<String>, String> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let limits = Limits::default();
        let request = Request::parse(head.as_bytes(), &limits).expect("it is HTTP");
        let token = request.bearer().map_err(|refusal| refusal.why().to_owned())?;
        Ok(token.map(|token| token.expose().to_owned()))
    }

    #[test]
    fn a_token_is_found_wherever_a_client_can_put_it() {
        let token = Ok(Some("s3cret".to_owned()));
        for (target, headers) in [
            ("/", "Authorization: Bearer s3cret\r\n"),
            ("/", "authorization: bEARER  s3cret\r\n"),
            ("/", "Sec-WebSocket-Protocol: weir.raw, bearer.s3cret\r\n"),
            ("/?access_token=s3cret", ""),
            ("/?a=b&access_token=s3cre%74&c", ""),
            ("/?access_token=other", "Authorization: Bearer s3cret\r\n"),
        ] {
            assert_eq!(bearer(target, headers), token, "{target} {headers}");
        }
    }

    #[test]
    fn a_plus_of_a_token_in_the_query_is_no_space() {
        assert_eq!(bearer("/?access_token=a+b/c%2B==", ""), Ok(Some("a+b/c+==".to_owned())));
    }

    #[test]
    fn who_shows_nothing_of_the_kind_has_no_token() {
        for (target, headers) in [
            ("/", ""),
            ("/?token=s3cret", ""),
            ("/", "Authorization: Basic czNjcmV0\r\n"),
            ("/", "Sec-WebSocket-Protocol: weir.raw, chat\r\n"),
        ] {
            assert_eq!(bearer(target, headers), Ok(None), "{target} {headers}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for (target, headers) in [
            ("/", "Authorization: Bearer\r\n"),
            ("/", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"),
            ("/", "Sec-WebSocket-Protocol: bearer.a, bearer.b\r\n"),
            ("/?access_token=a&access_token=b", ""),
            ("/?access_token=%zz", ""),
            ("/?access_token=%ff", ""),
            ("/?access_token=%00", ""),
            ("/?access_token=", ""),
            ("/?access_token", ""),
        ] {
            assert!(bearer(target, headers).is_err(), "{target} {headers}");
        }
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        assert!(bearer("/", &format!("Authorization: Bearer {long}\r\n")).is_err());
        assert!(bearer(&format!("/?access_token={long}"), "").is_err());
    }

    #[test]
    fn a_refusal_does_not_repeat_the_token() {
        for token in ["s3cret%zz", "s3cret%ff", "s3cret%00", "s3cret&access_token=s3cret"] {
            let why = bearer(&format!("/?access_token={token}"), "").expect_err(token);
            assert!(why.contains(PARAMETER) && !why.contains("s3cret"), "{why}");
        }
    }

    #[test]
    fn secrets_are_the_same_only_if_all_of_them_is() {
        let secret = |token: &str| Secret::from(token.to_owned());
        assert_eq!(secret("s3cret"), secret("s3cret"));
        for other in ["", "s3cre", "s3crets", "S3cret", "s3creu"] {
            assert_ne!(secret("s3cret"), secret(other));
        }
    }

    #[test]
    fn a_comparison_looks_at_every_byte_wherever_they_differ() {
        let token = b"0123456789abcdef";
        for at in 0..token.len() {
            let mut shown = *token;
            shown[at] ^= 1;
            let mut seen = 0;
            let bytes = shown.iter().copied().inspect(|_| seen += 1);
            assert!(!same(token.iter().copied(), bytes), "{at}");
            assert_eq!(seen, token.len(), "with a difference at {at}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let shown = format!("{:?}", Secret::from("s3cret".to_owned()));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
