//! Orders about who is denied and who is allowed: `POST /admin/guard/…`.

use std::sync::Arc;

use gateway_ebpf::Network;
use hyper::StatusCode;
use serde_json::json;
use tracing::{info, warn};

use super::Value;
use crate::guard::{Counts, Guard, GuardError, Verdict};

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// The file is to be read again.
    Reload,
    /// A prefix is to say this.
    Set(Verdict),
    /// A prefix is to say nothing.
    Remove,
}

impl Order {
    pub(super) fn of(path: &str) -> Option<Self> {
        Some(match path.strip_prefix("/admin/guard/")? {
            "reload" => Self::Reload,
            "deny" => Self::Set(Verdict::Deny),
            "allow" => Self::Set(Verdict::Allow),
            "remove" => Self::Remove,
            _ => return None,
        })
    }
}

/// Why it was not done, and what would be right.
type Refused = (StatusCode, String);

/// Does what was ordered; gives how many prefixes there are then. Whoever else asks is answered
/// meanwhile: the kernel takes its time for a long list.
pub(super) async fn change(
    order: Order,
    query: String,
    guard: Arc<Guard>,
) -> Result<Value, Refused> {
    let done = tokio::task::spawn_blocking(move || carry_out(order, &query, &guard)).await;
    done.expect("changing the guard does not panic")
}

fn carry_out(order: Order, query: &str, guard: &Guard) -> Result<Value, Refused> {
    let counts = match order {
        Order::Reload => reload(guard),
        Order::Set(verdict) => set(query, verdict, guard),
        Order::Remove => remove(query, guard),
    };
    counts.map(|Counts { deny, allow }| json!({ "deny": deny, "allow": allow }))
}

fn reload(guard: &Guard) -> Result<Counts, Refused> {
    let read = guard.reload();
    match &read {
        Ok(Counts { deny, allow }) => info!(deny, allow, "the guard was read again, as ordered"),
        Err(error) => warn!(%error, "the guard stays as it is"),
    }
    read.map_err(refused)
}

fn set(query: &str, verdict: Verdict, guard: &Guard) -> Result<Counts, Refused> {
    let prefix = prefix(query)?;
    let counts = guard.set(prefix, verdict).map_err(refused)?;
    info!(%prefix, verdict = verdict.name(), "the guard was changed, as ordered");
    Ok(counts)
}

fn remove(query: &str, guard: &Guard) -> Result<Counts, Refused> {
    let prefix = prefix(query)?;
    let counts = guard.remove(prefix);
    let counts = counts.ok_or_else(|| (StatusCode::NOT_FOUND, format!("{prefix} says nothing")))?;
    info!(%prefix, "the guard was changed, as ordered: it says nothing of this prefix");
    Ok(counts)
}

fn refused(error: GuardError) -> Refused {
    (StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
}

/// The prefix that a query names, and nothing else.
fn prefix(query: &str) -> Result<Network, Refused> {
    let wrong = |why| (StatusCode::BAD_REQUEST, why);
    let value = query.strip_prefix("prefix=").filter(|value| !value.contains('&'));
    let value = value.ok_or_else(|| wrong("name one prefix: ?prefix=10.0.0.0/8".to_owned()))?;
    let text = decoded(value).ok_or_else(|| wrong("the prefix is no text".to_owned()))?;
    text.parse().map_err(|error| wrong(format!("prefix: {error}")))
}

/// A query's value without its escapes, which clients write for `:` and `/`; RFC 3986 §2.1.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, behind) = rest.split_first_chunk::<2>()?;
        let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
        bytes.push(u8::try_from(high? << 4 | low?).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_may_be_written_with_escapes_or_without() {
        for (query, prefix_said) in [
            ("prefix=10.0.0.0/8", "10.0.0.0/8"),
            ("prefix=10.0.0.0%2F8", "10.0.0.0/8"),
            ("prefix=2001%3adb8%3A%3a/32", "2001:db8::/32"),
            ("prefix=::1", "::1/128"),
        ] {
            assert_eq!(prefix(query).expect(query).to_string(), prefix_said);
        }
    }

    #[test]
    fn a_query_that_names_no_prefix_hears_what_would() {
        for (query, told) in [
            ("", "name one prefix: ?prefix=10.0.0.0/8"),
            ("prefix", "name one prefix: "),
            ("other=1&prefix=::1", "name one prefix: "),
            ("prefix=::1&prefix=::2", "name one prefix: "),
            ("prefix=", "prefix: no IP address; write "),
            ("prefix=10.0.0.1/8", "prefix: the address goes on behind"),
            ("prefix=10.0.0.0%2", "the prefix is no text"),
            ("prefix=%", "the prefix is no text"),
            ("prefix=%zz", "the prefix is no text"),
            ("prefix=%2\u{fc}1", "the prefix is no text"),
            ("prefix=%ff", "the prefix is no text"),
        ] {
            let (status, why) = prefix(query).expect_err(query);
            assert_eq!(status, StatusCode::BAD_REQUEST);
            assert!(why.starts_with(told), "{query}: {why}");
        }
    }

    #[test]
    fn orders_are_known_by_their_paths() {
        for (path, order) in [
            ("/admin/guard/reload", Some(Order::Reload)),
            ("/admin/guard/deny", Some(Order::Set(Verdict::Deny))),
            ("/admin/guard/allow", Some(Order::Set(Verdict::Allow))),
            ("/admin/guard/remove", Some(Order::Remove)),
            ("/admin/guard/", None),
            ("/admin/guard", None),
            ("/guard/reload", None),
        ] {
            assert_eq!(Order::of(path), order, "{path}");
        }
    }
}
