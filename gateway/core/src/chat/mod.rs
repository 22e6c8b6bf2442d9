//! Chat: what people who talk are told beside messages, and what they may type.
//!
//! Members without a subprotocol read lines as they were said; those of `weir.chat.v1` read JSON
//! objects in text frames, whose `type` says what they are. Both are told who is there as JSON.

mod json;
mod slash;

use std::sync::Arc;

use crate::handshake::{Query, Refusal};

pub(crate) use slash::{HELP, Line};

/// The subprotocol of members that read JSON.
pub const SUBPROTOCOL: &str = "weir.chat.v1";
/// Characters of a name.
pub const NAME_CHARS_MAX: usize = 32;
/// Bytes of a name in a query, percent-decoded: four for each character.
const NAME_BYTES_MAX: usize = 4 * NAME_CHARS_MAX;
/// Members of a room who are all listed; of more only their number and who came and went is told,
/// or each of them would be sent a list of all others.
pub const LISTED_MAX: usize = 256;

/// A name that people may take.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn name(raw: &str) -> Result<Arc<str>, &'static str> {
    let name = raw.trim();
    if name.is_empty() {
        return Err("a name has at least one letter");
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Err("a name has at most 32 characters");
    }
    if name.starts_with('/') || name.contains(char::is_control) {
        return Err("a name neither begins with a slash nor has control characters");
    }
    Ok(name.into())
}

/// The name that a request's query asks for, if it does.
pub(crate) fn name_in(query: Query<'_>) -> Result<Option<Arc<str>>, Refusal> {
    let Some(decoded) = query.parameter("name", NAME_BYTES_MAX)? else { return Ok(None) };
    match name(&decoded) {
        Ok(name) => Ok(Some(name)),
        Err(_) if decoded.trim().is_empty() => Ok(None),
        Err(why) => Err(Refusal::bad_request(why)),
    }
}

/// A message, or what somebody does: a line that begins with a star and their name.
pub(crate) fn message(out: &mut Vec<u8>, from: &str, text: &str) {
    let deed = text.strip_prefix("* ").and_then(|text| text.strip_prefix(from));
    let deed = deed.and_then(|text| text.strip_prefix(' ')).filter(|_| !from.is_empty());
    let (kind, text) = deed.map_or(("message", text), |deed| ("action", deed));
    out.extend_from_slice(b"{\"type\":");
    json::string(out, kind);
    out.extend_from_slice(b",\"from\":");
    json::string(out, from);
    out.extend_from_slice(b",\"text\":");
    json::string(out, text);
    out.push(b'}');
}

/// A message that is no text.
pub(crate) fn binary(out: &mut Vec<u8>, from: &str, bytes: usize) {
    out.extend_from_slice(b"{\"type\":\"binary\",\"from\":");
    json::string(out, from);
    out.extend_from_slice(format!(",\"bytes\":{bytes}}}").as_bytes());
}

/// An answer to one member.
pub(crate) fn notice(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"{\"type\":\"notice\",\"text\":");
    json::string(out, text);
    out.push(b'}');
}

/// All who are there, in the order of their names.
pub(crate) fn list(out: &mut Vec<u8>, names: &mut [Arc<str>]) {
    names.sort_unstable();
    out.extend_from_slice(b"{\"type\":\"userlist\",\"users\":");
    json::strings(out, names);
    out.push(b'}');
}

/// How many are there, and who came and went since this was told last.
pub(crate) fn count(out: &mut Vec<u8>, count: usize, joined: &[Arc<str>], left: &[Arc<str>]) {
    out.extend_from_slice(format!("{{\"type\":\"userlist\",\"count\":{count}").as_bytes());
    out.extend_from_slice(b",\"joined\":");
    json::strings(out, joined);
    out.extend_from_slice(b",\"left\":");
    json::strings(out, left);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("JSON is text")
    }

    #[test]
    fn messages_and_deeds_are_told_apart() {
        let message = |text| written(|out| message(out, "ann", text));
        assert_eq!(message("hi"), r#"{"type":"message","from":"ann","text":"hi"}"#);
        assert_eq!(message("* ann waves"), r#"{"type":"action","from":"ann","text":"waves"}"#);
        assert_eq!(
            message("* bob waves"),
            r#"{"type":"message","from":"ann","text":"* bob waves"}"#
        );
    }

    #[test]
    fn lists_are_in_order_and_counts_say_what_changed() {
        let names = |all: &[&str]| all.iter().map(|&name| Arc::from(name)).collect::<Vec<_>>();
        let all = written(|out| list(out, &mut names(&["bob", "ann", "a\"b"])));
        assert_eq!(all, r#"{"type":"userlist","users":["a\"b","ann","bob"]}"#);
        let some = written(|out| count(out, 300, &names(&["ann"]), &[]));
        assert_eq!(some, r#"{"type":"userlist","count":300,"joined":["ann"],"left":[]}"#);
    }

    #[test]
    fn names_come_from_the_query_and_are_bounded() {
        let name =
            |raw: &str| name_in(Query::new(raw)).map(|name| name.map(|name| name.to_string()));
        assert_eq!(name("name=ann"), Ok(Some("ann".to_owned())));
        assert_eq!(name("a=b&name=an%20n+x&name=c"), Ok(Some("an n x".to_owned())));
        assert_eq!(name("name="), Ok(None));
        assert_eq!(name("name"), Ok(None));
        assert_eq!(name("nick=ann"), Ok(None));
        for bad in ["name=%00", "name=%2Fwho", "name=%ff"] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert!(name(&format!("name={}", "é".repeat(32))).is_ok());
        assert!(name(&format!("name={}", "é".repeat(33))).is_err());
    }
}
