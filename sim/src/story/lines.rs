//! A story's rows as JSON that may stand anywhere: in a line of a file, in a script of a page.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Arrow, Band, Mark, MarkKind, Of, Story};

/// The JSON of a value without what ends a line or a script: the same value to whoever parses it.
///
/// HTML ends a script at `</script`, whatever the script says, and old JavaScript ends a line at
/// U+2028 and U+2029. JSON has `<` and those two only within strings, where escapes may stand.
pub(super) fn safe(value: &Value) -> String {
    let text = value.to_string();
    text.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Rooms by numbers, so that rows need not repeat their names.
pub(super) struct Rooms<'a>(BTreeMap<&'a str, usize>);

impl<'a> Rooms<'a> {
    pub(super) fn of(story: &'a Story) -> Self {
        let arrows = story.arrows.iter().map(|arrow| &arrow.of);
        let all = arrows.chain(story.marks.iter().map(|mark| &mark.of));
        let mut rooms: BTreeMap<_, _> =
            all.filter_map(|of| of.room.as_deref()).map(|room| (room, 0)).collect();
        rooms.values_mut().enumerate().for_each(|(number, room)| *room = number);
        Self(rooms)
    }

    pub(super) fn names(&self) -> Vec<&'a str> {
        self.0.keys().copied().collect()
    }

    fn number(&self, of: &Of) -> Option<usize> {
        of.room.as_deref().map(|room| self.0[room])
    }

    /// `[from, sent, to, heard, room, connection, messages, text]`
    pub(super) fn arrow(&self, arrow: &Arrow) -> Value {
        let Arrow { from, sent, to, heard, of, text } = arrow;
        let room = self.number(of);
        json!([from.0, sent, to.0, heard, room, of.connection, of.messages, text])
    }

    /// `[lane, at, kind, room, connection, messages, text]`
    pub(super) fn mark(&self, mark: &Mark) -> Value {
        let Mark { lane, at, kind, of, text } = mark;
        let room = self.number(of);
        json!([lane.0, at, kind.name(), room, of.connection, of.messages, text])
    }
}

/// `[lanes, from, until, text]`
pub(super) fn band(band: &Band) -> Value {
    let lanes: Vec<_> = band.lanes.iter().map(|lane| lane.0).collect();
    json!([lanes, band.from, band.until, band.text])
}

impl MarkKind {
    /// Its name in files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Fault => "fault",
            Self::Broken => "broken",
        }
    }
}
