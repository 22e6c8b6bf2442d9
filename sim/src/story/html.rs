//! A story as one page that needs nothing else: a timeline to zoom, search and follow.

use serde_json::{Value, json};

use super::Story;
use super::lines::{Rooms, band, safe};

/// Holds each of these names once, between `{{` and `}}`.
const PAGE: &str = include_str!("page.html");
/// What the page is made of, by the names of its places. The story comes last: whatever it says,
/// no place is looked for in it.
const PARTS: [(&str, &str); 4] = [
    ("{{style}}", include_str!("page.css")),
    ("{{data}}", include_str!("data.js")),
    ("{{draw}}", include_str!("draw.js")),
    ("{{page}}", include_str!("page.js")),
];
const STORY: &str = "{{story}}";

impl Story {
    /// The page: HTML with its style, its scripts and all of the story in it.
    #[must_use]
    pub fn to_html(&self) -> String {
        let page =
            PARTS.iter().fold(PAGE.to_owned(), |page, (place, part)| page.replacen(place, part, 1));
        page.replacen(STORY, &self.to_json(), 1)
    }

    /// All of it as one value, its rows as arrays: a long story is much text.
    fn to_json(&self) -> String {
        let rooms = Rooms::of(self);
        let promise = self.promise.map(|promise| {
            json!({
                "number": promise.number(), "name": promise.name(),
                "sentence": promise.sentence(),
            })
        });
        let lanes = self.lanes.iter().map(|lane| json!([lane.name, lane.group]));
        let fields = [
            ("title", json!(self.title)),
            ("replay", json!(self.replay)),
            ("broken", json!(self.broken)),
            ("promise", json!(promise)),
            ("forgotten", json!(self.forgotten)),
            ("rooms", json!(rooms.names())),
        ];
        let mut out = String::from("{");
        for (name, value) in &fields {
            out += &format!("\"{name}\":{},\n", safe(value));
        }
        let mut rows = |name: &str, rows: &mut dyn Iterator<Item = Value>| {
            out += &format!("\"{name}\":[");
            for (number, row) in rows.enumerate() {
                out += if number > 0 { ",\n" } else { "\n" };
                out += &safe(&row);
            }
            out += "],\n";
        };
        rows("lanes", &mut lanes.into_iter());
        rows("bands", &mut self.bands.iter().map(band));
        rows("arrows", &mut self.arrows.iter().map(|arrow| rooms.arrow(arrow)));
        rows("marks", &mut self.marks.iter().map(|mark| rooms.mark(mark)));
        out += &format!("\"end\":{}}}", self.end());
        out
    }
}
