//! A request's query: `name=value` pairs with `&` between them.

use super::percent::percent_decode;
use super::response::Refusal;

/// What follows the first question mark of a target. It may hold a token, so `Debug` is not there
/// to show it.
#[derive(Clone, Copy)]
pub struct Query<'a>(pub(super) &'a str);

impl<'a> Query<'a> {
    /// A query as it came, without its question mark; empty if there is none.
    #[must_use]
    pub fn new(raw: &'a str) -> Self {
        Self(raw)
    }

    /// All values under this name, letter by letter as they came and in their order; empty for a
    /// name without an equals sign.
    pub fn values(self, name: &str) -> impl Iterator<Item = &'a str> {
        let pairs = self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The only value under this name, as it came, if there is one.
    ///
    /// # Errors
    /// 400 if there are several.
    pub fn only(self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let mut values = self.values(name);
        let value = values.next();
        if values.next().is_some() {
            let why = format!("`{name}` is in the query several times; give it once");
            return Err(Refusal::bad_request(why));
        }
        Ok(value)
    }

    /// The first value under this name, if there is one: a plus is a space, escapes are decoded,
    /// and it has at most `bytes_max` bytes then.
    ///
    /// # Errors
    /// 400 as [`percent_decode`] says.
    pub fn parameter(self, name: &str, bytes_max: usize) -> Result<Option<String>, Refusal> {
        let Some(raw) = self.values(name).next() else { return Ok(None) };
        let what = format_args!("`{name}` in the query");
        let decoded = percent_decode(&raw.replace('+', "%20"), what, bytes_max)?.into_owned();
        Ok(Some(decoded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_name_in_their_order() {
        let values = |query, name: &str| Query::new(query).values(name).collect::<Vec<_>>();
        assert_eq!(values("", "a"), [""; 0]);
        assert_eq!(values("a=1&b=2&a=%33", "a"), ["1", "%33"]);
        assert_eq!(values("a", "a"), [""]);
        assert_eq!(values("&a=b=c&", "a"), ["b=c"]);
        assert_eq!(values("aa=1&A=2&b=a=3&%61=4", "a"), [""; 0]);
    }

    #[test]
    fn what_may_be_there_once_is_refused_twice() {
        let only = |query| Query::new(query).only("a");
        assert_eq!(only("b=1"), Ok(None));
        assert_eq!(only("b=1&a=2"), Ok(Some("2")));
        let refusal = only("a=2&b=1&a").expect_err("it is there twice");
        assert_eq!(refusal.why(), "`a` is in the query several times; give it once");
    }

    #[test]
    fn the_first_value_is_decoded_and_bounded() {
        let parameter = |query| Query::new(query).parameter("a", 3);
        assert_eq!(parameter("b=1"), Ok(None));
        assert_eq!(parameter("a="), Ok(Some(String::new())));
        assert_eq!(parameter("a=x+%2B&a=y"), Ok(Some("x +".to_owned())));
        let refusal = parameter("a=wxyz").expect_err("it is too long");
        assert_eq!(refusal.why(), "`a` in the query is longer than 3 bytes; shorten it");
        assert!(parameter("a=%zz").is_err());
    }
}
