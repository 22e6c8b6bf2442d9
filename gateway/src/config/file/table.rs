//! A table of the file whose values are asked for by key, type and bounds; each error has its
//! place and says what to write instead.

use std::fmt;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong, and at which byte of the text.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) why: String,
}

impl Wrong {
    pub(super) fn at(at: usize, why: impl Into<String>) -> Self {
        Self { at, why: why.into() }
    }
}

/// What a number counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unit {
    Bytes,
    Seconds,
    /// Whatever the key says.
    Pieces,
}

/// One table.
pub(super) struct Table<'a> {
    /// What errors call it; nothing for the document.
    name: String,
    /// Where it begins.
    at: usize,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// The file as a table.
    pub(super) fn document(entries: &'a DeTable<'a>) -> Self {
        Self { name: String::new(), at: 0, entries }
    }

    /// What is wrong with the table as a whole.
    pub(super) fn wrong(&self, why: impl fmt::Display) -> Wrong {
        self.say(self.at, why)
    }

    /// What is wrong with the value of a key, or with the table if it is not there.
    pub(super) fn wrong_at(&self, key: &str, why: impl fmt::Display) -> Wrong {
        self.say(self.entries.get(key).map_or(self.at, |value| value.span().start), why)
    }

    /// What is wrong at a place within the table.
    pub(super) fn wrong_where(&self, at: usize, why: impl fmt::Display) -> Wrong {
        self.say(at, why)
    }

    fn say(&self, at: usize, why: impl fmt::Display) -> Wrong {
        let name = &self.name;
        Wrong::at(at, if name.is_empty() { why.to_string() } else { format!("{name}: {why}") })
    }

    /// Refuses the first key that is none of these.
    pub(super) fn knows(&self, keys: &[&str]) -> Result<(), Wrong> {
        let unknown = self.entries.keys().filter(|key| !keys.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else { return Ok(()) };
        let known = keys.join(", ");
        let why =
            format!("there is no key {:?}; remove it, or write one of {known}", key.get_ref());
        Err(self.say(key.span().start, why))
    }

    /// The tables written as `[[key]]`, in their order, each called by its number.
    pub(super) fn tables(&self, key: &str) -> Result<Vec<Self>, Wrong> {
        let Some(value) = self.entries.get(key) else { return Ok(Vec::new()) };
        let DeValue::Array(array) = value.get_ref() else {
            return Err(self.mistyped(key, value, &format!("[[{key}]]")));
        };
        let tables = array.iter().enumerate().map(|(index, value)| {
            let DeValue::Table(entries) = value.get_ref() else {
                return Err(self.mistyped(key, value, &format!("[[{key}]]")));
            };
            let name = format!("{key} {}", index + 1);
            Ok(Self { name, at: value.span().start, entries })
        });
        tables.collect()
    }

    /// The table written as `[key]`.
    pub(super) fn table(&self, key: &str) -> Result<Option<Self>, Wrong> {
        self.inline(key, &format!("[{}]", self.name_of(key)))
    }

    /// The table of a key that is written as `wanted`.
    pub(super) fn inline(&self, key: &str, wanted: &str) -> Result<Option<Self>, Wrong> {
        let Some(value) = self.entries.get(key) else { return Ok(None) };
        let DeValue::Table(entries) = value.get_ref() else {
            return Err(self.mistyped(key, value, wanted));
        };
        Ok(Some(Self { name: self.name_of(key), at: value.span().start, entries }))
    }

    fn name_of(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, Wrong> {
        let Some(value) = self.entries.get(key) else { return Ok(None) };
        let text = value.get_ref().as_str();
        text.map(Some).ok_or_else(|| self.mistyped(key, value, "a text in quotes"))
    }

    /// A text that cannot be left out.
    pub(super) fn needed_text(&self, key: &str) -> Result<&'a str, Wrong> {
        let missing = || self.wrong(format_args!("{key} is missing; write {key} = \"…\""));
        self.text(key)?.ok_or_else(missing)
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Wrong> {
        let Some(value) = self.entries.get(key) else { return Ok(None) };
        let flag = value.get_ref().as_bool();
        flag.map(Some).ok_or_else(|| self.mistyped(key, value, "true or false"))
    }

    /// One of these names.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, Wrong> {
        let Some(value) = self.entries.get(key) else { return Ok(None) };
        let names = alternatives(choices);
        let Some(text) = value.get_ref().as_str() else {
            return Err(self.mistyped(key, value, &names));
        };
        let choice = choices.iter().find(|(name, _)| *name == text);
        let why = || self.wrong_at(key, format_args!("{key} is {text:?}; write {names}"));
        choice.map(|(_, choice)| Some(*choice)).ok_or_else(why)
    }

    /// A list of texts; an empty one if it is not there.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, Wrong> {
        let Some(value) = self.entries.get(key) else { return Ok(Vec::new()) };
        let DeValue::Array(array) = value.get_ref() else {
            return Err(self.mistyped(key, value, "a list of texts in quotes"));
        };
        let text = |item: &Spanned<DeValue<'_>>| match item.get_ref().as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(self.mistyped(&format!("one of {key}"), item, "a text in quotes")),
        };
        array.iter().map(text).collect()
    }

    /// A list of some of these names, each at most once, with the place of each.
    pub(super) fn choices<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<Vec<(usize, T)>>, Wrong> {
        let Some(value) = self.entries.get(key) else { return Ok(None) };
        let names = alternatives(choices);
        let DeValue::Array(array) = value.get_ref() else {
            return Err(self.mistyped(key, value, &format!("a list of {names}")));
        };
        let mut found = Vec::new();
        let mut known = Vec::new();
        for item in array.iter() {
            let at = item.span().start;
            let Some(text) = item.get_ref().as_str() else {
                return Err(self.mistyped(&format!("one of {key}"), item, &names));
            };
            let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) else {
                return Err(self.say(at, format_args!("{key} has {text:?}; write {names}")));
            };
            if known.contains(&text) {
                let why = format!("{key} has {text:?} twice; remove one");
                return Err(self.say(at, why));
            }
            known.push(text);
            found.push((at, *choice));
        }
        Ok(Some(found))
    }

    /// A number within these bounds, which fit its type.
    pub(super) fn number<N: TryFrom<u64>>(
        &self,
        key: &str,
        bounds: RangeInclusive<u64>,
        unit: Unit,
    ) -> Result<Option<N>, Wrong> {
        let Some(value) = self.entries.get(key) else { return Ok(None) };
        let within = |number: &u64| bounds.contains(number);
        let number = unit.read(value.get_ref()).filter(within).map(N::try_from);
        match number {
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) | None => Err(self.misnumbered(key, value, &bounds, unit)),
        }
    }

    fn misnumbered(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        bounds: &RangeInclusive<u64>,
        unit: Unit,
    ) -> Wrong {
        let wanted = format!("{} to {}{}", bounds.start(), bounds.end(), unit.advice());
        let found = match value.get_ref() {
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                return self.mistyped(key, value, &wanted);
            }
        };
        self.wrong_at(key, format_args!("{key} is {found}; write {wanted}"))
    }

    fn mistyped(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Wrong {
        let found = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or a time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.say(value.span().start, format_args!("{key} is {found}; write {wanted}"))
    }
}

/// The names of a choice, as an error lists them.
fn alternatives<T>(choices: &[(&str, T)]) -> String {
    let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
    let (last, others) = names.split_last().expect("there is a choice");
    format!("{} or {last}", others.join(", "))
}

/// Units of bytes, and how many each is.
const BYTES: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

impl Unit {
    /// The number of a value: written as one or, of bytes, as a text with a unit.
    fn read(self, value: &DeValue<'_>) -> Option<u64> {
        if let Some(number) = value.as_integer() {
            return u64::from_str_radix(number.as_str(), number.radix()).ok();
        }
        let text = value.as_str().filter(|_| self == Self::Bytes)?;
        let unit = BYTES.iter().find_map(|(unit, each)| Some((text.strip_suffix(unit)?, each)));
        let (number, each) = unit.unwrap_or((text, &1));
        let number = number.trim_end_matches(' ');
        // A sign is nothing a size has.
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(*each)
    }

    /// What follows the bounds.
    fn advice(self) -> &'static str {
        match self {
            Self::Bytes => " bytes, such as 65536 or \"64KiB\" (B, KiB, MiB, GiB)",
            Self::Seconds => " seconds",
            Self::Pieces => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_may_have_a_unit() {
        for (text, bytes) in [
            ("7", Some(7)),
            ("0x10", Some(16)),
            ("1_000", Some(1000)),
            ("'7'", Some(7)),
            ("'7B'", Some(7)),
            ("'64KiB'", Some(64 << 10)),
            ("'1 MiB'", Some(1 << 20)),
            ("'2GiB'", Some(2 << 30)),
            ("'64KB'", None),
            ("'+1KiB'", None),
            ("'KiB'", None),
            ("'1.5MiB'", None),
            ("'99999999999GiB'", None),
            ("-1", None),
            ("1.0", None),
            ("true", None),
        ] {
            let value = DeValue::parse(text).expect(text);
            assert_eq!(Unit::Bytes.read(value.get_ref()), bytes, "{text}");
        }
        let text = DeValue::parse("'7'").expect("a text");
        assert_eq!(Unit::Seconds.read(text.get_ref()), None);
    }
}
