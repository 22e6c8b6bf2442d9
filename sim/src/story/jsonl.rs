//! A story as lines of JSON, for `grep`, `jq` and whoever wants to count.

use std::fmt::Write;

use serde_json::{Value, json};

use super::lines::safe;
use super::{Of, Story};

impl Story {
    /// One object to a line, each with its `kind`; times are virtual nanoseconds.
    ///
    /// - `story`, first: `title`, `replay`, `broken` (what broke, or null), `promise` (its number,
    ///   or null), `forgotten` (entries that were not kept).
    /// - `lane`: `lane` (its number below), `name`, `group`.
    /// - then, by time: `arrow`: `from`, `sent`, `to`, `heard`; `band`: `lanes` (all, if empty),
    ///   `at`, `until` (to the end, if null); and marks, `note`, `opened`, `closed`, `fault` and
    ///   `broken`: `lane`, `at`. All have a `text`; arrows and marks have `room`, `connection` and
    ///   `messages`. An arrow's place is when it was heard.
    #[must_use]
    pub fn to_jsonl(&self) -> String {
        let mut out = String::new();
        for value in self.head().into_iter().chain(self.entries()) {
            writeln!(out, "{}", safe(&value)).expect("a string takes all text");
        }
        out
    }

    fn head(&self) -> Vec<Value> {
        let header = json!({
            "kind": "story", "title": self.title, "replay": self.replay, "broken": self.broken,
            "promise": self.promise.map(|promise| promise.number()), "forgotten": self.forgotten,
        });
        let lanes = self.lanes.iter().enumerate().map(|(lane, info)| {
            json!({ "kind": "lane", "lane": lane, "name": info.name, "group": info.group })
        });
        std::iter::once(header).chain(lanes).collect()
    }

    /// Bands, arrows and marks by time; of one moment, in this order.
    fn entries(&self) -> Vec<Value> {
        let bands = self.bands.iter().map(|band| {
            let lanes: Vec<_> = band.lanes.iter().map(|lane| lane.0).collect();
            let value = json!({
                "kind": "band", "lanes": lanes, "at": band.from, "until": band.until,
                "text": band.text,
            });
            (band.from, value)
        });
        let arrows = self.arrows.iter().map(|arrow| {
            let value = json!({
                "kind": "arrow", "from": arrow.from.0, "sent": arrow.sent, "to": arrow.to.0,
                "heard": arrow.heard, "text": arrow.text,
            });
            (arrow.heard, belonging(value, &arrow.of))
        });
        let marks = self.marks.iter().map(|mark| {
            let value = json!({
                "kind": mark.kind.name(), "lane": mark.lane.0, "at": mark.at, "text": mark.text,
            });
            (mark.at, belonging(value, &mark.of))
        });
        let mut entries: Vec<_> = bands.chain(arrows).chain(marks).collect();
        entries.sort_by_key(|(at, _)| *at);
        entries.into_iter().map(|(_, value)| value).collect()
    }
}

fn belonging(mut value: Value, of: &Of) -> Value {
    value["room"] = json!(of.room);
    value["connection"] = json!(of.connection);
    value["messages"] = json!(of.messages);
    value
}
