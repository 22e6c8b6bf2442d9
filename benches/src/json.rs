//! Writes the numbers for programs to read.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::stats::Spread;

/// A JSON value.
pub(crate) enum Json {
    Number(f64),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(&'static str, Self)>),
}

/// # Errors
/// If the file cannot be written.
pub(crate) fn write(path: &Path, json: &Json) -> Result<()> {
    fs::write(path, format!("{json}\n")).with_context(|| format!("cannot write {}", path.display()))
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) if number.is_finite() => write!(f, "{number}"),
            Self::Number(_) => write!(f, "null"),
            Self::Text(text) => quote(f, text),
            Self::List(items) => {
                write!(f, "[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index > 0 { "," } else { "" })?;
                }
                write!(f, "]")
            }
            Self::Object(fields) => {
                write!(f, "{{")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}\"{name}\":{value}", if index > 0 { "," } else { "" })?;
                }
                write!(f, "}}")
            }
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "\"")?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(f, "\\{character}")?,
            control if control < ' ' => write!(f, "\\u{:04x}", u32::from(control))?,
            other => write!(f, "{other}")?,
        }
    }
    write!(f, "\"")
}

impl From<f64> for Json {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Option<f64>> for Json {
    fn from(number: Option<f64>) -> Self {
        Self::Number(number.unwrap_or(f64::NAN))
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Spread> for Json {
    fn from(Spread { min, median, max }: Spread) -> Self {
        Self::Object(vec![("min", min.into()), ("median", median.into()), ("max", max.into())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_json() {
        let json = Json::Object(vec![
            ("text", "a \"b\" \\ \n".into()),
            ("list", Json::List(vec![1.5.into(), f64::NAN.into()])),
            ("none", Json::Object(Vec::new())),
        ]);
        let text = "{\"text\":\"a \\\"b\\\" \\\\ \\u000a\",\"list\":[1.5,null],\"none\":{}}";
        assert_eq!(json.to_string(), text);
    }
}
