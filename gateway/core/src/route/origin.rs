//! Which pages may connect: a list of origins, RFC 6454, or what goes without saying.

use super::Auth;
use crate::handshake::Request;

/// Stands for all origins.
const ANY: &str = "*";

/// The pages whose scripts may use a route.
///
/// Only browsers say where a script is from, so that this protects people whose browsers have what
/// opens a route (RFC 6455 §10.2), and keeps nobody else out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Origins {
    /// All of them.
    Any,
    /// Those of this very host, and these.
    Listed(Vec<String>),
}

impl Origins {
    /// What a route says. If it says nothing, a route that takes credentials is for pages of its
    /// own host, and another one for all.
    pub(super) fn of(listed: &[String], auth: Auth) -> Result<Self, String> {
        if let Some(bad) = listed.iter().find(|origin| *origin != ANY && !is_origin(origin)) {
            return Err(format!(
                "its origin {bad:?} is none; write it as browsers do, in small letters and without \
                 a path, such as \"https://app.example\", or \"*\" for all"
            ));
        }
        let any = listed.iter().any(|origin| origin == ANY);
        Ok(match auth {
            Auth::None if listed.is_empty() => Self::Any,
            _ if any => Self::Any,
            Auth::None | Auth::Bearer => Self::Listed(listed.to_vec()),
        })
    }

    /// Whether a request may come by the route.
    pub(super) fn admit(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => request.comes_from(listed),
        }
    }
}

/// Whether a browser may say this: a scheme, a host, perhaps a port; or `null`, for pages that are
/// from nowhere.
fn is_origin(origin: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return origin == "null" };
    let scheme_fits = !scheme.is_empty()
        && scheme
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'));
    let host_fits = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
        && !host.contains(['/', '?', '#', '@', ',']);
    scheme_fits && host_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(listed: &[&str], auth: Auth) -> Result<Origins, String> {
        let listed: Vec<_> = listed.iter().map(|&origin| origin.to_owned()).collect();
        Origins::of(&listed, auth)
    }

    #[test]
    fn who_says_nothing_lets_all_pages_in_where_no_credentials_are_taken() {
        assert_eq!(origins(&[], Auth::None), Ok(Origins::Any));
        assert_eq!(origins(&[], Auth::Bearer), Ok(Origins::Listed(Vec::new())));
        assert_eq!(origins(&["*"], Auth::Bearer), Ok(Origins::Any));
        let listed = Origins::Listed(vec!["https://app.example".to_owned()]);
        assert_eq!(origins(&["https://app.example"], Auth::None), Ok(listed));
    }

    #[test]
    fn what_no_browser_says_is_a_mistake() {
        for good in ["https://app.example:8443", "http://[::1]:80", "null", "moz-extension://a-b"] {
            assert!(origins(&[good], Auth::Bearer).is_ok(), "{good}");
        }
        for bad in [
            "",
            "app.example",
            "https://",
            "://app.example",
            "https://App.example",
            "https://app.example/",
            "https://me@app.example",
            "https://a.example, https://b.example",
            "https://*.example/",
            "HTTPS://app.example",
        ] {
            let told = origins(&["https://app.example", bad], Auth::Bearer);
            assert!(told.is_err_and(|told| told.contains("without a path")), "{bad}");
        }
    }
}
