//! What a process says of a run: numbers or what broke, on one line, for another process to read.

use std::collections::BTreeMap;

use sim::counts::{Counts, Group};
use sim::promise::Promise;
use sim::worlds::{Failure, Report};

/// Counts by group and name, as another process told them.
pub(crate) type Tally = BTreeMap<(Group, String), u64>;

/// What came of a run.
pub(crate) type Answer = Result<Numbers, Broken>;

/// The numbers of a run in which every promise was kept.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) hash: u64,
    pub(crate) events: u64,
    pub(crate) actions: u64,
    pub(crate) nanos: u64,
    pub(crate) tally: Tally,
}

/// A run that broke.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Broken {
    pub(crate) how: How,
    pub(crate) what: String,
    pub(crate) hash: u64,
    pub(crate) lines: Vec<String>,
}

/// In which way a run broke. A smaller run that breaks in the same way tells of the same failure.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum How {
    /// A promise was broken.
    Promise(Promise),
    /// The run itself broke: a panic, or no end in virtual time.
    Itself,
    /// The process died.
    Died,
    /// The run took longer than a run may.
    Hung,
    /// Two processes told of two different runs.
    Disagreed,
}

impl Broken {
    /// What broke, in a line.
    pub(crate) fn sentence(&self) -> String {
        match self.how {
            How::Promise(promise) => format!("promise {promise}: {}", self.what),
            How::Itself | How::Died | How::Hung | How::Disagreed => self.what.clone(),
        }
    }
}

impl From<Report> for Numbers {
    fn from(report: Report) -> Self {
        let Report { hash, events, actions, nanos, counts } = report;
        Self { hash, events, actions, nanos, tally: tally(&counts) }
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        let Failure { promise, what, hash, lines } = failure;
        Self { how: promise.map_or(How::Itself, How::Promise), what, hash, lines }
    }
}

fn tally(counts: &Counts) -> Tally {
    counts.rows().map(|(group, name, count)| ((group, name.to_owned()), count)).collect()
}

/// The line for an answer, and for the processor time that it took.
pub(crate) fn written(cpu_nanos: u64, answer: &Answer) -> String {
    let mut fields = vec![cpu_nanos.to_string()];
    match answer {
        Ok(Numbers { hash, events, actions, nanos, tally }) => {
            fields.push("kept".to_owned());
            fields.extend([hash, events, actions, nanos].map(u64::to_string));
            fields.extend(tally.iter().map(|((group, name), n)| format!("{group}:{name}={n}")));
        }
        Err(Broken { how, what, hash, lines }) => {
            let number = match how {
                How::Promise(promise) => promise.number(),
                How::Itself | How::Died | How::Hung | How::Disagreed => 0,
            };
            fields.extend(["broke".to_owned(), hash.to_string(), number.to_string()]);
            fields.push(what.clone());
            fields.extend(lines.iter().cloned());
        }
    }
    let fields: Vec<_> = fields.iter().map(|field| escaped(field)).collect();
    fields.join("\t")
}

/// The processor time and the answer on such a line; `None` if it is no such line.
pub(crate) fn read(line: &str) -> Option<(u64, Answer)> {
    let mut fields = line.split('\t').map(unescaped);
    let cpu_nanos = fields.next()?.parse().ok()?;
    let kind = fields.next()?;
    let hash = fields.next()?.parse().ok()?;
    if kind == "kept" {
        let mut number = || fields.next()?.parse().ok();
        let (events, actions, nanos) = (number()?, number()?, number()?);
        let tally = fields.map(|field| count(&field)).collect::<Option<_>>()?;
        return Some((cpu_nanos, Ok(Numbers { hash, events, actions, nanos, tally })));
    }
    let how = match fields.next()?.parse().ok()? {
        0 => How::Itself,
        number => How::Promise(Promise::ALL.into_iter().find(|of| of.number() == number)?),
    };
    let what = fields.next()?;
    let broken = Broken { how, what, hash, lines: fields.collect() };
    (kind == "broke").then_some((cpu_nanos, Err(broken)))
}

fn count(field: &str) -> Option<((Group, String), u64)> {
    let (group, rest) = field.split_once(':')?;
    let (name, count) = rest.rsplit_once('=')?;
    let group = Group::ALL.into_iter().find(|of| of.to_string() == group)?;
    Some(((group, name.to_owned()), count.parse().ok()?))
}

fn escaped(field: &str) -> String {
    field.replace('\\', r"\\").replace('\t', r"\t").replace('\n', r"\n").replace('\r', r"\r")
}

fn unescaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                other => other.unwrap_or('\\'),
            },
            c => c,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let tally = Tally::from([
            ((Group::Fault, "partitions: a=b".to_owned()), 3),
            ((Group::Sometimes, "ring\\full".to_owned()), 0),
        ]);
        let kept = Ok(Numbers { hash: u64::MAX, events: 1, actions: 2, nanos: 3, tally });
        let broken = Broken {
            how: How::Promise(Promise::Once),
            what: "client 7 heard\t\\this\ntwice".to_owned(),
            hash: 9,
            lines: vec!["one".to_owned(), String::new(), "three\r".to_owned()],
        };
        let itself = Broken { how: How::Itself, lines: Vec::new(), ..broken.clone() };
        for answer in [kept, Err(broken), Err(itself)] {
            let line = written(5, &answer);
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(read(&line), Some((5, answer)));
        }
    }

    #[test]
    fn a_line_of_something_else_is_no_answer() {
        for line in ["", "5", "5\tkept", "5\tkept\tx", "5\tbroke\t1\t11\twhat", "5\tlost\t1\t1\tx"]
        {
            assert_eq!(read(line), None, "{line}");
        }
        assert_eq!(read("5\tkept\t1\t1\t1\t1\tnonsense:a=1"), None);
    }
}
