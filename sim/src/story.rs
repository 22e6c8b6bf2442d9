//! The story of a run: who was there, who said what to whom and when, what went wrong. A world
//! writes it with a [`Pen`] while it runs; a trace and a picture are made of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::promise::Promise;

mod html;
mod jsonl;
mod lines;
#[cfg(test)]
mod tests;

/// Arrows and marks that a story keeps: the latest.
pub const ENTRIES_MAX: usize = 100_000;

/// Someone with a line of its own in the picture: a node, a shard, a client.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Lane(pub u32);

/// A lane as it is shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LaneInfo {
    /// Its name, such as `node 1, shard 2` or `client 7`.
    pub name: String,
    /// Lanes of one group stand together: `nodes`, `clients`.
    pub group: &'static str,
}

/// What an arrow or a mark belongs to, for whoever looks for one room, connection or message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Of {
    /// The room, if it belongs to one.
    pub room: Option<String>,
    /// The connection, if it belongs to one.
    pub connection: Option<u64>,
    /// The messages that it carries, by numbers that mean the same message in all of the story and
    /// are below 2⁵³. Whatever carries one of them is its way through the picture.
    pub messages: Vec<u64>,
}

/// Something that went from one lane to another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arrow {
    /// From where.
    pub from: Lane,
    /// When it was sent, in virtual nanoseconds.
    pub sent: u64,
    /// To where.
    pub to: Lane,
    /// When it was heard.
    pub heard: u64,
    /// What it belongs to.
    pub of: Of,
    /// What it was, in a few words.
    pub text: String,
}

/// What a mark is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MarkKind {
    /// Something that somebody did.
    Note,
    /// Someone came.
    Opened,
    /// Someone went.
    Closed,
    /// A fault that takes no time.
    Fault,
    /// A promise was broken.
    Broken,
}

/// Something that happened at one moment in one place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mark {
    /// Where.
    pub lane: Lane,
    /// When, in virtual nanoseconds.
    pub at: u64,
    /// What it is.
    pub kind: MarkKind,
    /// What it belongs to.
    pub of: Of,
    /// What happened, in a few words.
    pub text: String,
}

/// A fault, or a stretch of time with a name, over some lanes; over all of them if none is named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Band {
    /// Where.
    pub lanes: Vec<Lane>,
    /// Since when, in virtual nanoseconds.
    pub from: u64,
    /// Until when; to the end if nothing is said.
    pub until: Option<u64>,
    /// What it is, in a few words.
    pub text: String,
}

/// All that is told of a run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Story {
    /// What it is about, such as the world and the seed.
    pub title: String,
    /// The command that runs it again, if there is one.
    pub replay: Option<String>,
    /// What broke in the end, if anything did.
    pub broken: Option<String>,
    /// Which promise that was, unless the run itself broke.
    pub promise: Option<Promise>,
    /// Who takes part; a [`Lane`] is a place here.
    pub lanes: Vec<LaneInfo>,
    /// Faults and times.
    pub bands: Vec<Band>,
    /// What went from one to another, in the order in which it was heard.
    pub arrows: VecDeque<Arrow>,
    /// What happened, in order.
    pub marks: VecDeque<Mark>,
    /// Arrows and marks that are not kept any more.
    pub forgotten: u64,
}

/// Writes a story, or nothing at all: then it costs a look.
#[derive(Clone, Debug, Default)]
pub struct Pen(Option<Rc<RefCell<Story>>>);

impl Pen {
    /// A pen that writes.
    #[must_use]
    pub fn new(title: String) -> Self {
        Self(Some(Rc::new(RefCell::new(Story { title, ..Story::default() }))))
    }

    /// The same pen; its story says by which command it is told again.
    #[must_use]
    pub fn with_replay(self, command: String) -> Self {
        if let Some(story) = &self.0 {
            story.borrow_mut().replay = Some(command);
        }
        self
    }

    /// A pen that does not.
    #[must_use]
    pub fn dry() -> Self {
        Self(None)
    }

    /// Whether anything is written.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.0.is_some()
    }

    /// Someone takes part from now on. A dry pen gives everybody the same lane.
    pub fn lane(&self, group: &'static str, name: impl FnOnce() -> String) -> Lane {
        let Some(story) = &self.0 else { return Lane(0) };
        let mut story = story.borrow_mut();
        story.lanes.push(LaneInfo { name: name(), group });
        Lane(u32::try_from(story.lanes.len() - 1).expect("a story has few lanes"))
    }

    /// Something went from one to another.
    pub fn arrow(&self, arrow: impl FnOnce() -> Arrow) {
        if let Some(story) = &self.0 {
            story.borrow_mut().keep_arrow(arrow());
        }
    }

    /// A promise was broken there. The first time counts: what follows is of its making.
    pub fn broke(&self, mark: impl FnOnce() -> Mark) {
        if let Some(story) = &self.0
            && !story.borrow().has_broken()
        {
            let mark = Mark { kind: MarkKind::Broken, ..mark() };
            story.borrow_mut().keep_mark(mark);
        }
    }

    /// Something happened.
    pub fn mark(&self, mark: impl FnOnce() -> Mark) {
        if let Some(story) = &self.0 {
            story.borrow_mut().keep_mark(mark());
        }
    }

    /// A fault begins; its number, to [`end`](Self::end) it by.
    pub fn band(&self, band: impl FnOnce() -> Band) -> usize {
        let Some(story) = &self.0 else { return 0 };
        let mut story = story.borrow_mut();
        story.bands.push(band());
        story.bands.len() - 1
    }

    /// A fault ends.
    pub fn end(&self, band: usize, at: u64) {
        if let Some(story) = &self.0 {
            story.borrow_mut().bands[band].until = Some(at);
        }
    }

    /// What was written; nothing by a dry pen.
    #[must_use]
    pub fn story(&self) -> Option<Story> {
        self.0.as_ref().map(|story| story.borrow().clone())
    }
}

impl Story {
    /// The run failed: says by what, at the mark of it; at the last moment that is told of if the
    /// world did not mark where it was.
    pub fn fail(&mut self, promise: Option<Promise>, what: &str) {
        (self.promise, self.broken) = (promise, Some(what.to_owned()));
        let marked = self.marks.iter_mut().find(|mark| mark.kind == MarkKind::Broken);
        if let Some(mark) = marked {
            what.clone_into(&mut mark.text);
            return;
        }
        if self.lanes.is_empty() {
            self.lanes.push(LaneInfo { name: "the run".to_owned(), group: "world" });
        }
        let (kind, of, text) = (MarkKind::Broken, Of::default(), what.to_owned());
        self.keep_mark(Mark { lane: Lane(0), at: self.end(), kind, of, text });
    }

    /// The last moment that is told of, in virtual nanoseconds.
    #[must_use]
    pub fn end(&self) -> u64 {
        let arrows = self.arrows.iter().map(|arrow| arrow.heard);
        let marks = self.marks.iter().map(|mark| mark.at);
        let bands = self.bands.iter().map(|band| band.until.unwrap_or(band.from));
        arrows.chain(marks).chain(bands).max().unwrap_or(0)
    }

    fn has_broken(&self) -> bool {
        self.marks.iter().any(|mark| mark.kind == MarkKind::Broken)
    }

    fn keep_arrow(&mut self, arrow: Arrow) {
        if self.arrows.len() == ENTRIES_MAX {
            self.arrows.pop_front();
            self.forgotten += 1;
        }
        self.arrows.push_back(arrow);
    }

    fn keep_mark(&mut self, mark: Mark) {
        if self.marks.len() == ENTRIES_MAX {
            self.marks.pop_front();
            self.forgotten += 1;
        }
        self.marks.push_back(mark);
    }
}
