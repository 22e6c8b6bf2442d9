//! A story as a page and as lines, whatever its texts hold.

use serde_json::{Value, json};

use super::{Arrow, Band, Lane, Mark, MarkKind, Of, Pen, Story};
use crate::promise::Promise;

/// What texts may hold and no page or line may stumble over.
const HOSTILE: &str = "</script><script>alert(1)</script> <!-- \"'\\ \u{2028}\u{2029}\n\r\t\0 \
                       {{page}} 🦀 é";

fn story() -> Story {
    let pen = Pen::new(HOSTILE.to_owned()).with_replay("cargo xtask sim".to_owned());
    let shard = pen.lane("shards", || "shard 0".to_owned());
    let client = pen.lane("clients", || HOSTILE.to_owned());
    let of = |messages: &[u64]| Of {
        room: Some(HOSTILE.to_owned()),
        connection: Some(7),
        messages: messages.to_vec(),
    };
    let text = || HOSTILE.to_owned();
    let mark = |at, kind| Mark { lane: client, at, kind, of: of(&[]), text: text() };
    pen.mark(|| mark(5, MarkKind::Opened));
    let arrow =
        Arrow { from: client, sent: 8, to: shard, heard: 20, of: of(&[1, 2]), text: text() };
    pen.arrow(|| arrow);
    let band = pen.band(|| Band { lanes: vec![client], from: 6, until: None, text: text() });
    pen.band(|| Band { lanes: Vec::new(), from: 30, until: None, text: text() });
    pen.end(band, 12);
    pen.broke(|| mark(25, MarkKind::Note));
    pen.broke(|| mark(26, MarkKind::Note));
    pen.story().expect("this pen writes")
}

/// The story that a page holds.
fn embedded(page: &str) -> &str {
    let (_, rest) = page.split_once("id=\"story\">").expect("it has a place");
    rest.split_once("</script>").expect("which ends").0
}

#[test]
fn whatever_texts_hold_a_page_holds_the_story_and_nothing_of_it_runs() {
    let mut story = story();
    story.fail(Some(Promise::Apart), HOSTILE);
    let page = story.to_html();
    let plain = Story::default().to_html();
    for sign in ["</script", "<script", "<!--"] {
        let count = |page: &str| page.matches(sign).count();
        assert_eq!(count(&page), count(&plain), "a text says {sign}");
    }
    assert!(!page.contains(['\u{2028}', '\u{2029}']));
    let value: Value = serde_json::from_str(embedded(&page)).expect("it is JSON");
    assert_eq!(value["title"], HOSTILE);
    assert_eq!(value["broken"], HOSTILE);
    assert_eq!(value["promise"]["number"], 4);
    assert_eq!(value["rooms"], json!([HOSTILE]));
    assert_eq!(value["lanes"], json!([["shard 0", "shards"], [HOSTILE, "clients"]]));
    assert_eq!(value["arrows"], json!([[1, 8, 0, 20, 0, 7, [1, 2], HOSTILE]]));
    assert_eq!(value["bands"], json!([[[1], 6, 12, HOSTILE], [[], 30, null, HOSTILE]]));
    let marks = json!([[1, 5, "opened", 0, 7, [], HOSTILE], [1, 25, "broken", 0, 7, [], HOSTILE],]);
    assert_eq!(value["marks"], marks);
    assert_eq!(value["end"], 30);
}

#[test]
fn a_page_is_one_file_and_asks_for_nothing() {
    let page = Story::default().to_html();
    assert!(!page.contains("{{"), "a place is left empty");
    for link in ["src=", "href=", "@import", "url(", "http:", "https:", "fetch(", "import("] {
        assert!(!page.contains(link), "{link}");
    }
    let value: Value = serde_json::from_str(embedded(&page)).expect("it is JSON");
    assert_eq!(value["promise"], Value::Null);
    assert_eq!(value["arrows"], json!([]));
}

#[test]
fn lines_are_objects_the_header_first_then_lanes_then_entries_by_time() {
    let lines = story().to_jsonl();
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap_or("")).collect();
    let told = ["opened", "band", "arrow", "broken", "band"];
    assert_eq!(kinds, [&["story", "lane", "lane"][..], &told].concat());
    assert_eq!(lines[0]["title"], HOSTILE);
    assert_eq!(lines[0]["forgotten"], 0);
    assert_eq!(lines[2], json!({ "kind": "lane", "lane": 1, "name": HOSTILE, "group": "clients" }));
    assert_eq!(lines[4]["until"], 12);
    let arrow = json!({
        "kind": "arrow", "from": 1, "sent": 8, "to": 0, "heard": 20, "room": HOSTILE,
        "connection": 7, "messages": [1, 2], "text": HOSTILE,
    });
    assert_eq!(lines[5], arrow);
}

#[test]
fn a_failure_that_no_world_marked_is_marked_at_the_end() {
    let pen = Pen::new(String::new());
    let lane = pen.lane("shards", || "shard 0".to_owned());
    let (kind, of) = (MarkKind::Note, Of::default());
    pen.mark(|| Mark { lane, at: 70, kind, of, text: String::new() });
    let mut story = pen.story().expect("this pen writes");
    story.fail(None, "no end");
    let last = story.marks.back().expect("two marks");
    assert_eq!((last.at, last.kind, last.lane), (70, MarkKind::Broken, Lane(0)));
    assert_eq!(last.text, "no end");
    story.fail(Some(Promise::Once), "twice");
    assert_eq!(story.marks.len(), 2, "a run fails once");
    assert_eq!(story.marks[1].text, "twice");
}

#[test]
fn a_dry_pen_asks_for_no_words() {
    let pen = Pen::dry();
    let lane = pen.lane("shards", || unreachable!("nobody reads it"));
    pen.arrow(|| unreachable!("nobody reads it"));
    pen.broke(|| unreachable!("nobody reads it"));
    pen.end(pen.band(|| unreachable!("nobody reads it")), 1);
    assert_eq!((lane, pen.story()), (Lane(0), None));
}
