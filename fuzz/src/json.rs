//! RFC 8259 read by the letter, as far as members of `weir.chat.v1` are told anything in it.

/// A value; numbers are whole and not negative.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Json {
    Number(u64),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    /// The member of an object with this name, which is there once.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        let mut named = members.iter().filter(|(key, _)| key == name);
        let (_, value) = named.next()?;
        named.next().is_none().then_some(value)
    }

    /// The text under this name.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.member(name)? {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }
}

/// The one value that `bytes` are, without space around or in it, which we never write.
pub(crate) fn read(bytes: &[u8]) -> Option<Json> {
    let mut rest = std::str::from_utf8(bytes).ok()?;
    let value = value(&mut rest)?;
    rest.is_empty().then_some(value)
}

fn value(rest: &mut &str) -> Option<Json> {
    match rest.chars().next()? {
        '"' => string(rest).map(Json::Text),
        '[' => items(rest, ['[', ']'], value).map(Json::List),
        '{' => items(rest, ['{', '}'], pair).map(Json::Object),
        _ => number(rest),
    }
}

fn pair(rest: &mut &str) -> Option<(String, Json)> {
    let name = string(rest)?;
    eat(rest, ':')?;
    Some((name, value(rest)?))
}

/// What stands between two brackets, with commas in between.
fn items<T>(
    rest: &mut &str,
    [open, close]: [char; 2],
    item: impl Fn(&mut &str) -> Option<T>,
) -> Option<Vec<T>> {
    eat(rest, open)?;
    let mut items = Vec::new();
    if eat(rest, close).is_some() {
        return Some(items);
    }
    loop {
        items.push(item(rest)?);
        if eat(rest, close).is_some() {
            return Some(items);
        }
        eat(rest, ',')?;
    }
}

fn number(rest: &mut &str) -> Option<Json> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    // §6: no leading zero.
    let legal = digits == "0" || !digits.starts_with('0');
    digits.parse().ok().filter(|_| legal).map(Json::Number)
}

/// §7.
fn string(rest: &mut &str) -> Option<String> {
    eat(rest, '"')?;
    let mut text = String::new();
    loop {
        match take(rest)? {
            '"' => return Some(text),
            '\\' => text.push(escape(rest)?),
            '\0'..='\x1f' => return None,
            c => text.push(c),
        }
    }
}

/// Pairs of surrogates are left out: what needs them is never escaped by us.
fn escape(rest: &mut &str) -> Option<char> {
    Some(match take(rest)? {
        c @ ('"' | '\\' | '/') => c,
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let digits = rest.get(..4)?;
            *rest = &rest[4..];
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
        }
        _ => return None,
    })
}

fn eat(rest: &mut &str, c: char) -> Option<()> {
    *rest = rest.strip_prefix(c)?;
    Some(())
}

fn take(rest: &mut &str) -> Option<char> {
    let c = rest.chars().next()?;
    *rest = &rest[c.len_utf8()..];
    Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_is_read_and_nothing_else() {
        let read = |text: &str| read(text.as_bytes());
        let list = read(r#"{"users":["a\"\u000a","é"],"count":20}"#).expect("it is JSON");
        let text = |text: &str| Json::Text(text.to_owned());
        let users = Json::List(vec![text("a\"\n"), text("é")]);
        assert_eq!(list.member("users"), Some(&users));
        assert_eq!(list.member("count"), Some(&Json::Number(20)));
        assert_eq!(list.text("users"), None);
        for bad in ["", "\"", "\"\n\"", "\"\\x\"", "[1,]", "{\"a\"}", "01", "1 ", "\"\\ud800\""] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read(r#"{"a":1,"a":2}"#).expect("it is JSON").member("a"), None);
    }
}
