//! The page of a run as people use it: in a browser, by mouse and keyboard.
//!
//! Skipped where there is no Chromium. `WEIR_PAGE_SHOTS` names a folder that pictures are put in.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "../../gateway/tests/page/devtools.rs"]
#[allow(dead_code, reason = "the pages of the gateway need more of it")]
mod devtools;

use std::fs;
use std::path::PathBuf;

use devtools::{Browser, Page};
use gateway_faults::Mutant;
use serde_json::json;
use sim::story::{Arrow, Mark, MarkKind, Of, Pen, Story};
use sim::worlds::{Ask, World};

/// Lets the page come to rest: lines come and go a while after the last movement.
const REST: &str = "new Promise((done) => setTimeout(done, 400))";
/// Some arrow that is lit and in view, and where its middle is on the screen.
const LIT: &str = "(() => {
    const { left, top } = stage.getBoundingClientRect();
    const seen = [...view.lit].filter((entry) => entry.arrow && row(entry.from) && row(entry.to)
        && entry.sent > view.from && entry.at < view.until);
    const [x0, y0, cx, cy, x1, y1] = bend(seen[0]);
    return [left + (x0 + 2 * cx + x1) / 4, top + (y0 + 2 * cy + y1) / 4];
})()";

/// A page in a browser, if there is one; afterwards no console has an error to tell.
async fn shown(story: &Story, name: &str, look: impl AsyncFnOnce(&Page)) {
    let Some(browser) = Browser::start().await else { return };
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.html"));
    fs::write(&file, story.to_html()).unwrap();
    let page = browser.page(1600, 1000).await;
    page.navigate(&format!("file://{}", file.display())).await;
    page.evaluate(REST).await;
    look(&page).await;
    assert_eq!(browser.troubles().await, [""; 0]);
}

/// A run that a deliberate fault breaks.
fn failing(mutant: Mutant) -> Story {
    let ask = |seed| Ask { mutant: Some(mutant), ..Ask::seed(seed) };
    let seed = (1..=200).find(|&seed| World::Mesh.run(&ask(seed)).result.is_err());
    let ask = Ask { story: true, ..ask(seed.expect("it is found")) };
    World::Mesh.run(&ask).story.expect("it was asked for")
}

async fn mouse(page: &Page, kind: &str, x: f64, y: f64) {
    let buttons = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
    let moves = json!({ "type": kind, "x": x, "y": y });
    let event = if kind == "mouseMoved" { moves } else { buttons };
    page.call("Input.dispatchMouseEvent", event).await;
}

async fn key(page: &Page, key: &str) {
    for kind in ["keyDown", "keyUp"] {
        let event =
            json!({ "type": kind, "key": key, "text": if kind == "keyUp" { "" } else { key } });
        page.call("Input.dispatchKeyEvent", event).await;
    }
    page.evaluate(REST).await;
}

/// Puts a picture where somebody wants to look at it.
async fn picture(page: &Page, name: &str) {
    let Some(folder) = std::env::var_os("WEIR_PAGE_SHOTS") else { return };
    let shot = page.call("Page.captureScreenshot", json!({ "format": "png" })).await;
    let png = data_encoding::BASE64.decode(shot["data"].as_str().unwrap().as_bytes()).unwrap();
    fs::write(PathBuf::from(folder).join(format!("{name}.png")), png).unwrap();
}

#[tokio::test]
async fn a_page_opens_where_the_run_failed_and_says_why() {
    let story = failing(Mutant::OwnRecovered);
    shown(&story, "opens", async |page| {
        picture(page, "failure").await;
        let what = page.evaluate("document.querySelector('#what').innerText").await;
        assert!(what.as_str().unwrap().contains(story.broken.as_ref().unwrap()), "{what}");
        let inside = "broken.at > view.from && broken.at < view.until && row(broken.from)";
        assert_eq!(page.evaluate(inside).await, true);
        let first = "document.querySelector('#list li:not(.parts)').className";
        assert_eq!(page.evaluate(first).await, "broken same");
        // Its message is lit from who said it to who should not have heard it.
        let lit = "['clients → shards', 'shards → clients'].every((kind) =>
            [...view.lit].some((entry) => entry.kind === kind))";
        assert_eq!(page.evaluate(lit).await, true);
        let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
        page.call("Emulation.setEmulatedMedia", dark).await;
        page.evaluate(REST).await;
        assert_eq!(page.evaluate("colours.paper").await, "#14181a");
        picture(page, "failure-dark").await;
    })
    .await;
}

#[tokio::test]
async fn pointing_at_an_arrow_lights_up_the_whole_way_of_its_message() {
    shown(&failing(Mutant::SilentGap), "points", async |page| {
        let at = page.evaluate(LIT).await;
        let (x, y) = (at[0].as_f64().unwrap(), at[1].as_f64().unwrap());
        page.press("Escape").await;
        assert_eq!(page.evaluate("view.lit.size").await, 0);
        page.evaluate("view.lines = 'about'").await;
        key(page, "f").await;
        mouse(page, "mouseMoved", x, y).await;
        page.evaluate(REST).await;
        picture(page, "pointed").await;
        let tip = page.evaluate("document.querySelector('#tip').innerText").await;
        let tip = tip.as_str().unwrap();
        assert!(tip.contains("message") && tip.contains("connection"), "{tip}");
        mouse(page, "mousePressed", x, y).await;
        mouse(page, "mouseReleased", x, y).await;
        page.evaluate(REST).await;
        let whole = "kept !== broken && kept.messages.every((message) =>
            carriers.get(message).every((entry) => view.lit.has(entry)))";
        assert_eq!(page.evaluate(whole).await, true);
        let told = "document.querySelectorAll('#list li:not(.parts)').length === view.lit.size";
        assert_eq!(page.evaluate(told).await, true);
        picture(page, "kept").await;
    })
    .await;
}

#[tokio::test]
async fn it_zooms_moves_filters_and_comes_back_to_the_failure() {
    shown(&failing(Mutant::OwnRecovered), "zooms", async |page| {
        let span = async || page.evaluate("view.until - view.from").await.as_f64().unwrap();
        let first = span().await;
        key(page, "+").await;
        assert!(span().await < first);
        key(page, "0").await;
        let all = span().await;
        assert!(all > first);
        assert_eq!(page.evaluate("view.from <= begin && view.until >= end").await, true);
        picture(page, "all").await;
        let wheel =
            json!({ "type": "mouseWheel", "x": 700, "y": 600, "deltaX": 0, "deltaY": -400 });
        page.call("Input.dispatchMouseEvent", wheel).await;
        page.evaluate(REST).await;
        assert!(span().await < all);
        let before = page.evaluate("view.from").await.as_f64().unwrap();
        for (kind, x) in [("mousePressed", 700.0), ("mouseMoved", 600.0), ("mouseReleased", 600.0)]
        {
            mouse(page, kind, x, 600.0).await;
        }
        assert!(page.evaluate("view.from").await.as_f64().unwrap() > before);
        let pick = "document.querySelector('#room').value = '1'; $('room').onchange();
            shown.every((entry) => entry.room === 1 || entry === broken) && shown.length";
        assert!(page.evaluate(pick).await.as_u64().unwrap() > 1);
        let only = "$('room').value = ''; $('who').value = 'shard 1'; $('who').oninput();
            const one = lanes.find((lane) => lane.name === 'shard 1').id;
            shown.every((entry) => [entry.from, entry.to].includes(one) || entry === broken)";
        assert_eq!(page.evaluate(only).await, true);
        page.evaluate("document.activeElement.blur()").await;
        key(page, "f").await;
        assert_eq!(page.evaluate("broken.at < view.until && $('who').value").await, "");
        assert!((span().await - first).abs() < 1.0);
    })
    .await;
}

#[tokio::test]
async fn a_hundred_thousand_arrows_are_drawn() {
    const ARROWS: u64 = 100_000;
    const LANES: u64 = 40;
    let pen = Pen::new("</script><img src=x onerror=alert(1)>".to_owned());
    let all: Vec<_> = (0..LANES).map(|lane| pen.lane("clients", || format!("<b>{lane}"))).collect();
    for number in 0..ARROWS {
        let (from, to) = (all[(number % LANES) as usize], all[(number * 7 % LANES) as usize]);
        let of = Of { messages: vec![number / 10], ..Of::default() };
        let (sent, text) = (number * 1_000, format!("<i>{number}"));
        pen.arrow(|| Arrow { from, sent, to, heard: sent + 900_000, of, text });
    }
    let (lane, kind) = (all[0], MarkKind::Opened);
    pen.mark(|| Mark { lane, at: 5, kind, of: Of::default(), text: "comes".to_owned() });
    shown(&pen.story().unwrap(), "many", async |page| {
        picture(page, "many").await;
        assert_eq!(page.evaluate("entries.length").await, ARROWS + 1);
        let made = "document.querySelectorAll('body :is(b, img, i:not(#legend i))').length";
        assert_eq!(page.evaluate(made).await, 0, "a text became more than text");
        let drawn = "(() => { draw(); return hits.filter((hit) => hit.entry).length; })()";
        let drawn = page.evaluate(drawn).await.as_u64().unwrap();
        assert!(drawn > 1_000 && drawn < ARROWS, "{drawn} are drawn, each for all on its pixels");
        let took =
            "(() => { const began = performance.now(); for (let i = 0; i < 10; i += 1) draw();
            return (performance.now() - began) / 10; })()";
        println!("a picture takes {} ms", page.evaluate(took).await);
    })
    .await;
}
