//! What `/metrics` says: read strictly, since an attacker may try to write in it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const WAIT: Duration = Duration::from_secs(5);
/// The family that says which bound was hit how often.
const HITS: &str = "weir_limit_hits_total";

/// One look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// The text as it came.
    pub(crate) text: String,
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: u64,
}

impl Metrics {
    /// Asks the listener for operators.
    ///
    /// # Errors
    /// If it does not answer, or not in the format.
    pub(crate) fn read(admin: SocketAddr) -> Result<Self> {
        let text = get(admin, "/metrics")?;
        let samples = text
            .lines()
            .filter(|line| !line.starts_with("# HELP ") && !line.starts_with("# TYPE "))
            .map(|line| sample(line).with_context(|| format!("no line of metrics: {line:?}")))
            .collect::<Result<_>>()?;
        Ok(Self { text, samples })
    }

    /// A family's sum over all of its series.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        self.of(name).map(|sample| sample.value).sum()
    }

    /// How often a bound was hit.
    pub(crate) fn hits(&self, limit: &str) -> u64 {
        let of = |sample: &&Sample| sample.labels.get("limit").is_some_and(|name| name == limit);
        self.of(HITS).filter(of).map(|sample| sample.value).sum()
    }

    /// Whether a bound is counted at all.
    pub(crate) fn counts(&self, limit: &str) -> bool {
        self.of(HITS).any(|sample| sample.labels.get("limit").is_some_and(|name| name == limit))
    }

    /// Bounds that were hit since an earlier look, with how often.
    pub(crate) fn hits_since(&self, before: &Self) -> BTreeMap<String, u64> {
        let names = self.of(HITS).filter_map(|sample| sample.labels.get("limit"));
        let since = |name: &String| self.hits(name).saturating_sub(before.hits(name));
        names.map(|name| (name.clone(), since(name))).filter(|(_, hits)| *hits > 0).collect()
    }

    /// The labels of a family's first series.
    pub(crate) fn labels(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.of(name).next().map(|sample| &sample.labels)
    }

    /// A family's value for each value of a label.
    pub(crate) fn by(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let mut by = BTreeMap::new();
        for sample in self.of(name) {
            let key = sample.labels.get(label).cloned().unwrap_or_default();
            *by.entry(key).or_default() += sample.value;
        }
        by
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }
}

/// The body of a `GET` that is answered 200.
///
/// # Errors
/// If it is not.
pub(crate) fn get(admin: SocketAddr, path: &str) -> Result<String> {
    let (status, body) = ask(admin, "GET", path, None)?;
    ensure!(status == 200, "{path} answers {status}: {body}");
    Ok(body)
}

/// The status and the body of the answer to a request without a body; it shows the key, if any.
///
/// # Errors
/// If none comes.
pub(crate) fn ask(
    admin: SocketAddr,
    method: &str,
    path: &str,
    key: Option<&str>,
) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&admin, WAIT).context("no admin listener")?;
    stream.set_read_timeout(Some(WAIT))?;
    let key = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let rest = format!("Host: {admin}\r\nContent-Length: 0\r\n{key}Connection: close\r\n\r\n");
    write!(stream, "{method} {path} HTTP/1.1\r\n{rest}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("the admin listener does not answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    Ok((status.with_context(|| format!("{path} answers {head}"))?, body.to_owned()))
}

/// `name{label="value",…} number`, nothing else.
fn sample(line: &str) -> Result<Sample> {
    let (series, value) = line.rsplit_once(' ').context("no value")?;
    let value = value.parse().context("the value is no whole number")?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}').context("labels do not end")?),
        None => (series, ""),
    };
    ensure!(name.starts_with("weir_"), "not of this family");
    ensure!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "no name");
    Ok(Sample { name: name.to_owned(), labels: parse_labels(labels)?, value })
}

fn parse_labels(text: &str) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").context("a label without a value")?;
        let (value, after) = unquote(after)?;
        labels.insert(name.to_owned(), value);
        rest = match after.strip_prefix(',') {
            Some(more) => more,
            None if after.is_empty() => after,
            None => bail!("something follows a label"),
        };
    }
    Ok(labels)
}

/// What stands before the closing quote, and what comes after it.
fn unquote(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                _ => bail!("an escape that there is not"),
            },
            plain => value.push(plain),
        }
    }
    bail!("a value does not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_labels() {
        let read = sample(r#"weir_a_total{shard="0",limit="a\"b\\\n, x=\"y"} 7"#).unwrap();
        let labels = [("limit", "a\"b\\\n, x=\"y"), ("shard", "0")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((read.value, read.labels), (7, BTreeMap::from(labels)));
        assert_eq!(sample("weir_ready 1").unwrap().name, "weir_ready");
    }

    #[test]
    fn what_somebody_wrote_between_the_lines_is_no_line() {
        for line in [
            "",
            "weir_ready",
            "weir_ready one",
            "injected 1",
            "weir_a{limit=\"a\"b\"} 1",
            "weir_a{limit=\"a\"} 1 2 x",
            "weir_a{limit=\"a} 1",
            "weir_a\u{1b}[2J 1",
        ] {
            assert!(sample(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn hits_are_summed_over_shards_and_told_since() {
        let look = |values: [u64; 3]| {
            let labels = [("0", "origin"), ("1", "origin"), ("0", "token")];
            let lines = labels.iter().zip(values).map(|((shard, limit), value)| {
                sample(&format!("{HITS}{{shard=\"{shard}\",limit=\"{limit}\"}} {value}")).unwrap()
            });
            Metrics { text: String::new(), samples: lines.collect() }
        };
        let (before, after) = (look([1, 2, 5]), look([4, 2, 5]));
        assert_eq!((before.hits("origin"), after.hits("origin")), (3, 6));
        assert_eq!(after.hits_since(&before), BTreeMap::from([("origin".to_owned(), 3)]));
        assert!(after.counts("token") && !after.counts("tokens"));
    }
}
