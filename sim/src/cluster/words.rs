//! What messages are made of: a number that names them, then letters that follow from it.

/// Bytes that name a message at the front of its payload.
pub(super) const ID_BYTES: usize = 8;

/// The payload of a message: its number, and so many bytes more.
pub(super) fn payload(number: u32, more: usize) -> String {
    let mut payload = format!("{number:08x}");
    payload.reserve(more);
    payload.extend((0..more).map(|at| letter(number, at)));
    payload
}

/// Which message a payload is, if it is one, whole and unharmed.
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    let (id, rest) = payload.split_at_checked(ID_BYTES)?;
    let number = u32::from_str_radix(std::str::from_utf8(id).ok()?, 16).ok()?;
    let whole = rest.iter().enumerate().all(|(at, &byte)| char::from(byte) == letter(number, at));
    whole.then_some(number)
}

fn letter(number: u32, at: usize) -> char {
    char::from(b'a' + ((at * 7 + at / 26 + number as usize) % 26) as u8)
}

/// What somebody who chats was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Heard<'a> {
    /// A message, and from whom if that is said.
    Message(&'a str, Option<&'a str>),
    /// Who is there.
    List(Vec<String>),
    /// Something else: a new name, an answer.
    Other,
}

/// Reads what is sent to whoever reads lines.
pub(super) fn line(text: &str) -> Heard<'_> {
    match list(text) {
        Some(names) => Heard::List(names),
        None if number(text.as_bytes()).is_some() => Heard::Message(text, None),
        // Somebody has another name, or an answer.
        None if text.starts_with("* ") || text.contains(" here: ") => Heard::Other,
        None => Heard::Message(text, None),
    }
}

/// Reads what is sent to whoever reads `weir.chat.v1`. Neither names nor words here have anything
/// that JSON escapes.
pub(super) fn json(text: &str) -> Heard<'_> {
    if let Some(names) = list(text) {
        return Heard::List(names);
    }
    let rest = text.strip_prefix("{\"type\":\"message\",\"from\":\"");
    let parts = rest.and_then(|rest| rest.strip_suffix("\"}"));
    match parts.and_then(|parts| parts.split_once("\",\"text\":\"")) {
        Some((from, said)) if !said.starts_with("* ") => Heard::Message(said, Some(from)),
        Some(_) | None => Heard::Other,
    }
}

fn list(text: &str) -> Option<Vec<String>> {
    let names = text.strip_prefix("{\"type\":\"userlist\",\"users\":[")?.strip_suffix("]}")?;
    let quoted = names.split(',').filter(|name| !name.is_empty());
    Some(quoted.map(|name| name.trim_matches('"').to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_known_again_and_what_was_harmed_is_not() {
        for more in [0, 1, 30, 5_000] {
            let said = payload(77, more);
            assert_eq!(number(said.as_bytes()), Some(77));
        }
        let mut harmed = payload(77, 30).into_bytes();
        harmed[20] ^= 1;
        assert_eq!(number(&harmed), None);
        assert_eq!(number(b"7"), None);
        // The words of one message behind the number of another.
        let mixed = format!("{:08x}{}", 78, &payload(77, 30)[ID_BYTES..]);
        assert_eq!(number(mixed.as_bytes()), None);
    }

    #[test]
    fn what_chats_say_is_told_apart() {
        let said = payload(5, 4);
        let message = format!(r#"{{"type":"message","from":"c1","text":"{said}"}}"#);
        assert_eq!(json(&message), Heard::Message(&said, Some("c1")));
        assert_eq!(line(&said), Heard::Message(&said, None));
        let names = r#"{"type":"userlist","users":["c1","c2"]}"#;
        let both = vec!["c1".to_owned(), "c2".to_owned()];
        assert_eq!((json(names), line(names)), (Heard::List(both.clone()), Heard::List(both)));
        assert_eq!(line("* c1 is now c1n2"), Heard::Other);
        assert_eq!(json(r#"{"type":"notice","text":"2 here: c1, c2"}"#), Heard::Other);
        assert_eq!(json(r#"{"type":"userlist","users":[]}"#), Heard::List(Vec::new()));
    }
}
