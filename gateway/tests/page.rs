//! The page as people use it: in a browser, by keyboard, with others.
//!
//! Skipped where there is no Chromium. `WEIR_PAGE_SHOTS` names a folder that pictures are put in.
#![cfg(all(target_os = "linux", not(weir_portable)))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

#[path = "page/devtools.rs"]
mod devtools;
#[path = "page/served.rs"]
mod served;

use std::time::Duration;

use devtools::{Browser, Page};
use serde_json::json;
use served::{Served, TOKEN, serve};
use support::Socket;

const PAGE: &str = include_str!("../web/index.html");

/// Bytes that the page may have: it is embedded, and sent to whoever asks.
const PAGE_BYTES_MAX: usize = 40 << 10;

/// What a browser tells the console of each upgrade that nobody answers, or not with 101.
const REFUSED: &str = "WebSocket connection to";

/// A story that takes longer has failed.
const STORY: Duration = Duration::from_secs(300);

/// Who said what, in order.
const SAID: &str = "[...document.querySelectorAll('#log :is(.message, .action)')].map((line) =>
    ['.who', '.text'].map((part) => line.querySelector(part).textContent))";
/// What is said of the room, in order.
const TOLD: &str = "[...document.querySelectorAll('#log :is(.notice, .note, .gap) .text')].map(
    (text) => text.textContent)";
/// Where the keyboard is.
const FOCUS: &str = "document.activeElement?.id";
/// Sockets that do what the test says, no chance, and a clock that stands still: what the page
/// wants to do in some seconds it never does, so that a test may take its time.
const SCRIPTED: &str = "Math.random = () => 0;
Date.now = () => 0;
const { setTimeout: wait } = self;
self.setTimeout = (then, millis) => millis > 10e3 ? wait(then, millis) : 0;
self.sockets = [];
self.WebSocket = class {
    static OPEN = 1;
    readyState = 0;
    constructor(url, protocols) { sockets.push(Object.assign(this, { url, protocols })); }
    open() { this.readyState = 1; this.onopen(); }
    hear(...said) { for (const data of said) this.onmessage({ data: JSON.stringify(data) }); }
    close(code, reason = '') { this.readyState = 3; this.onclose({ code, reason }); }
};";
/// The contrast between two colours of the page.
const CONTRAST: &str = "(...names) => {
    const style = getComputedStyle(document.documentElement);
    const lights = names.map((name) => {
        const hex = style.getPropertyValue(`--${name}`).slice(1);
        const parts = hex.match(hex.length === 3 ? /./g : /../g).map((part) => {
            const value = parseInt(part.padEnd(2, part), 16) / 255;
            return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    });
    return (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
}";
/// Who is there.
const PEOPLE: &str = "[...document.querySelectorAll('#side li')].map((name) => name.textContent)";
/// The connection's state, and only while it is shown.
const STATE: &str = "document.querySelector('#link')?.dataset.state";

/// Tells a story with a browser and a node of its own, if there is a browser; afterwards no console
/// has an error to tell, except those that are expected.
async fn story(expected: &str, tell: impl AsyncFnOnce(&Browser, &mut Served)) {
    let Some(browser) = Browser::start().await else { return };
    let mut served = serve();
    let told = async {
        tell(&browser, &mut served).await;
        browser.troubles().await
    };
    let mut troubles = tokio::time::timeout(STORY, told).await.expect("it ends in time");
    troubles.retain(|trouble| expected.is_empty() || !trouble.contains(expected));
    assert_eq!(troubles, [""; 0]);
}

/// Somebody at the page, with a browser's storage of their own.
async fn visit(browser: &Browser, served: &Served, room: &str) -> Page {
    let page = browser.page(1200, 800).await;
    page.navigate(&format!("http://{}/#{room}", served.addr())).await;
    page.becomes(FOCUS, json!("name")).await;
    page
}

/// Somebody who went through the door by keyboard and is there.
async fn enter(browser: &Browser, served: &Served, name: &str, room: &str) -> Page {
    let page = visit(browser, served, room).await;
    page.write(name).await;
    page.press("Tab").await;
    page.press("Tab").await;
    page.write(TOKEN).await;
    page.press("Enter").await;
    page.becomes(STATE, json!("connected")).await;
    page.becomes(&format!("{PEOPLE}.includes({})", json!(name)), json!(true)).await;
    page
}

/// Says a line by keyboard.
async fn say(page: &Page, text: &str) {
    page.write(text).await;
    page.press("Enter").await;
}

/// Somebody who has no page.
async fn enter_without_page(served: &Served, name: &str, room: &str) -> Socket {
    let path = format!("/ws/chat/{room}?name={name}&access_token={TOKEN}");
    support::connect(served.addr(), &path).await
}

#[tokio::test]
async fn two_people_hear_each_other_in_order_and_see_who_is_there() {
    story("", async |browser, served| {
        let ann = enter(browser, served, "ann", "lobby").await;
        ann.becomes(PEOPLE, json!(["ann"])).await;
        let bob = enter(browser, served, "bob", "lobby").await;
        for page in [&ann, &bob] {
            page.becomes(PEOPLE, json!(["ann", "bob"])).await;
        }
        say(&ann, "hello").await;
        say(&ann, "anyone?").await;
        bob.becomes(SAID, json!([["ann", "hello"], ["ann", "anyone?"]])).await;
        say(&bob, "hi").await;
        say(&bob, "/me waves").await;
        let all = json!([["ann", "hello"], ["ann", "anyone?"], ["bob", "hi"], ["bob", "waves"]]);
        for page in [&ann, &bob] {
            page.becomes(SAID, all.clone()).await;
        }
        let own = "[...document.querySelectorAll('#log .own .who')].map((who) => who.textContent)";
        assert_eq!(ann.evaluate(own).await, json!(["ann", "ann"]));
        assert_eq!(bob.evaluate(own).await, json!(["bob", "bob"]));
        bob.close().await;
        ann.becomes(PEOPLE, json!(["ann"])).await;
        ann.becomes(TOLD, json!(["bob came", "bob went"])).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_written_stays_text() {
    story("", async |browser, served| {
        let ann = enter(browser, served, "<b>ann</b>", "lobby").await;
        let bob = enter(browser, served, "bob", "lobby").await;
        let text =
            "<img src=x onerror=\"window.harmed = true\"><script>harmed = true</script>&amp;";
        say(&ann, text).await;
        for page in [&ann, &bob] {
            page.becomes(SAID, json!([["<b>ann</b>", text]])).await;
            page.becomes(PEOPLE, json!(["<b>ann</b>", "bob"])).await;
            let made = "document.querySelectorAll('#chat :is(b:not(#hint b), img, script)').length";
            assert_eq!(page.evaluate(made).await, 0);
            assert_eq!(page.evaluate("window.harmed === undefined").await, true);
        }
    })
    .await;
}

#[tokio::test]
async fn who_is_sent_away_comes_back_by_itself() {
    story(REFUSED, async |browser, served| {
        let ann = enter(browser, served, "ann", "lobby").await;
        let bob = enter(browser, served, "bob", "lobby").await;
        ann.becomes(PEOPLE, json!(["ann", "bob"])).await;
        served.restart().await;
        let back = json!(["Connected again. What was said meanwhile is not shown."]);
        for page in [&ann, &bob] {
            page.becomes(&format!("{TOLD}.slice(-1)"), back.clone()).await;
            page.becomes(PEOPLE, json!(["ann", "bob"])).await;
            let why = format!("{TOLD}.some((told) => told.startsWith('The server goes away.'))");
            assert_eq!(page.evaluate(&why).await, true);
        }
        say(&ann, "still here").await;
        bob.becomes(SAID, json!([["ann", "still here"]])).await;
    })
    .await;
}

#[tokio::test]
async fn who_has_a_wrong_token_is_asked_for_another_after_two_refusals() {
    story(REFUSED, async |browser, served| {
        let ann = visit(browser, served, "lobby").await;
        ann.write("ann").await;
        ann.press("Enter").await;
        ann.becomes("document.querySelector('#ask').hidden", json!(false)).await;
        ann.becomes(FOCUS, json!("other-token")).await;
        picture(&ann, "refused-light-1200").await;
        ann.write(TOKEN).await;
        ann.press("Enter").await;
        ann.becomes(STATE, json!("connected")).await;
        assert_eq!(ann.evaluate("document.querySelector('#ask').hidden").await, true);
        ann.becomes(PEOPLE, json!(["ann"])).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_server_may_say_is_shown_and_no_second_socket_is_opened() {
    story("", async |browser, served| {
        let ann = browser.page(1200, 800).await;
        let script = json!({ "source": SCRIPTED });
        ann.call("Page.addScriptToEvaluateOnNewDocument", script).await;
        ann.navigate(&format!("http://{}/#a%2Fb", served.addr())).await;
        ann.becomes(FOCUS, json!("name")).await;
        ann.evaluate("document.querySelector('#token').value = 'a.b'").await;
        say(&ann, "ann x").await;
        let url = format!("ws://{}/ws/chat/a%2Fb?name=ann+x", served.addr());
        let asked = json!([url, ["weir.chat.v1", "bearer.a.b"]]);
        assert_eq!(ann.evaluate("[sockets[0].url, sockets[0].protocols]").await, asked);
        ann.evaluate(
            "sockets[0].open(); sockets[0].onmessage({ data: 'no JSON' }); sockets[0].hear(
                { type: 'unknown', text: 'of another time' }, null, 3, 'text',
                { type: 'userlist', count: 300, joined: ['x'], left: ['y'] },
                { type: 'gap', missed: 3 }, { type: 'gap', missed: 1 },
                { type: 'notice', text: 'only to you' },
                { type: 'binary', from: 'bob', bytes: 12 })",
        )
        .await;
        let heading = "document.querySelector('#side h2').textContent";
        assert_eq!(ann.evaluate(heading).await, "300 here");
        assert_eq!(ann.evaluate(PEOPLE).await, json!(["x came", "y went"]));
        let told = json!(["3 messages missed here", "1 message missed here", "only to you"]);
        assert_eq!(ann.evaluate(TOLD).await, told);
        assert_eq!(ann.evaluate(SAID).await, json!([["bob", "sent 12 bytes"]]));
        closes_and_waits(&ann).await;
    })
    .await;
}

/// How long it is until the next attempt depends on why there was a close, and it can be had now.
async fn closes_and_waits(ann: &Page) {
    let waits = "document.querySelector('#countdown').textContent";
    let closes = [(1008, "in 10 s"), (1013, "in 2 s"), (1011, "in 2 s")];
    for (number, (code, wait)) in closes.into_iter().enumerate() {
        ann.evaluate(&format!("sockets.at(-1).close({code}, 'because')")).await;
        assert_eq!(ann.evaluate(waits).await, wait, "{code}");
        let told = ann.evaluate(&format!("{TOLD}.at(-1)")).await;
        assert!(told.as_str().unwrap().ends_with("(because)"), "{told}");
        say(ann, "not lost").await;
        let kept = "document.querySelector('#words').value";
        assert_eq!(ann.evaluate(kept).await, "not lost", "what cannot be sent stays");
        ann.evaluate("words.value = ''; document.querySelector('#now').click()").await;
        for event in ["online", "hashchange"] {
            ann.evaluate(&format!("dispatchEvent(new Event('{event}'))")).await;
        }
        assert_eq!(ann.evaluate("sockets.length").await, number + 2, "one more than before");
        ann.evaluate("sockets.at(-1).open()").await;
        ann.becomes(STATE, json!("connected")).await;
    }
}

#[tokio::test]
async fn commands_are_answered_to_who_typed_them_and_a_new_name_is_kept() {
    story(REFUSED, async |browser, served| {
        let ann = enter(browser, served, "ann", "lobby").await;
        let bob = enter(browser, served, "bob", "lobby").await;
        ann.becomes(TOLD, json!(["bob came"])).await;
        say(&bob, "/who").await;
        bob.becomes(TOLD, json!(["2 here: ann, bob"])).await;
        say(&bob, "/nick robert").await;
        for page in [&ann, &bob] {
            page.becomes(PEOPLE, json!(["ann", "robert"])).await;
        }
        say(&bob, "//who").await;
        ann.becomes(&format!("{SAID}.slice(-1)"), json!([["robert", "/who"]])).await;
        // Nobody came or went, and the answer was not for her.
        ann.becomes(TOLD, json!(["bob came"])).await;
        served.restart().await;
        bob.becomes(PEOPLE, json!(["ann", "robert"])).await;
    })
    .await;
}

#[tokio::test]
async fn tab_completes_what_can_be_completed_and_else_moves_on() {
    story("", async |browser, served| {
        let ann = enter(browser, served, "ann", "lobby").await;
        let _bea = enter_without_page(served, "bea", "lobby").await;
        let _bob = enter_without_page(served, "bob", "lobby").await;
        ann.becomes(PEOPLE, json!(["ann", "bea", "bob"])).await;
        let words = "document.querySelector('#words').value";
        for (typed, completed) in [("b", "bea: "), ("", "bob: "), ("", "bea: ")] {
            ann.write(typed).await;
            ann.press("Tab").await;
            assert_eq!(ann.evaluate(words).await, completed);
        }
        ann.write("/sh").await;
        ann.press("Tab").await;
        assert_eq!(ann.evaluate(words).await, "bea: /sh", "no command within a line");
        assert_ne!(ann.evaluate(FOCUS).await, "words");
        ann.evaluate("words.value = ''; words.focus()").await;
        ann.write("/sh").await;
        ann.press("Tab").await;
        assert_eq!(ann.evaluate(words).await, "/shrug ");
        ann.press("Enter").await;
        ann.becomes(SAID, json!([["ann", "¯\\_(ツ)_/¯"]])).await;
        ann.press("ArrowUp").await;
        assert_eq!(ann.evaluate(words).await, "/shrug ");
        ann.press("ArrowDown").await;
        assert_eq!(ann.evaluate(words).await, "");
    })
    .await;
}

#[tokio::test]
async fn a_thousand_lines_are_kept_and_who_reads_old_ones_is_not_disturbed() {
    const LINES: usize = 1_100;
    story("", async |browser, served| {
        let ann = enter(browser, served, "ann", "lobby").await;
        let mut bob = enter_without_page(served, "bob", "lobby").await;
        ann.becomes(TOLD, json!(["bob came"])).await;
        for line in 1..=LINES {
            support::say(&mut bob, &format!("line {line}")).await;
        }
        ann.becomes(&format!("{SAID}.at(-1)"), json!(["bob", "line 1100"])).await;
        assert_eq!(ann.evaluate("document.querySelectorAll('#log li').length").await, 1_000);
        assert_eq!(ann.evaluate(&format!("{SAID}[0]")).await, json!(["bob", "line 101"]));
        let rest = "(({ scrollHeight, scrollTop, clientHeight }) =>
            scrollHeight - scrollTop - clientHeight < 1)(document.querySelector('#log'))";
        ann.becomes(rest, json!(true)).await;
        let wheel =
            json!({ "type": "mouseWheel", "x": 300, "y": 300, "deltaX": 0, "deltaY": -500 });
        ann.call("Input.dispatchMouseEvent", wheel).await;
        ann.becomes(rest, json!(false)).await;
        support::say(&mut bob, "one more").await;
        let fresh = "document.querySelector('#fresh:not([hidden])')?.textContent";
        ann.becomes(fresh, json!("1 new message ↓")).await;
        assert_eq!(ann.evaluate(rest).await, false);
        ann.evaluate("document.querySelector('#fresh').click()").await;
        ann.becomes(rest, json!(true)).await;
        assert_eq!(ann.evaluate("document.querySelector('#fresh').hidden").await, true);
        // Who only begins to scroll up is let go: in a loud room there is no quiet frame to do so.
        let begin = "log.dispatchEvent(new WheelEvent('wheel', { deltaY: -1 }))";
        ann.evaluate(begin).await;
        support::say(&mut bob, "and another").await;
        ann.becomes(fresh, json!("1 new message ↓")).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_said_while_nobody_looks_is_counted_and_marked() {
    story("", async |browser, served| {
        let ann = enter(browser, served, "ann", "lobby").await;
        let mut bob = enter_without_page(served, "bob", "lobby").await;
        ann.becomes(TOLD, json!(["bob came"])).await;
        let look = |hidden: bool| {
            format!(
                "Object.defineProperty(document, 'hidden', {{ configurable: true, value: {hidden} \
                 }}); document.dispatchEvent(new Event('visibilitychange'))"
            )
        };
        support::say(&mut bob, "seen").await;
        ann.becomes(&format!("{SAID}.length"), json!(1)).await;
        ann.evaluate(&look(true)).await;
        support::say(&mut bob, "one").await;
        support::say(&mut bob, "two").await;
        ann.becomes("document.title", json!("(2) lobby · Weir")).await;
        let after = "document.querySelector('#log .unread + li .text')?.textContent";
        assert_eq!(ann.evaluate(after).await, "one");
        ann.evaluate(&look(false)).await;
        assert_eq!(ann.evaluate("document.title").await, "lobby · Weir");
    })
    .await;
}

#[tokio::test]
async fn a_reload_comes_back_to_the_room_of_its_link() {
    story("", async |browser, served| {
        let ann = enter(browser, served, "ann", "caf%C3%A9").await;
        ann.evaluate("self.before = true").await;
        ann.call("Page.reload", json!({})).await;
        ann.becomes(&format!("!self.before && {STATE}"), json!("connected")).await;
        ann.becomes(PEOPLE, json!(["ann"])).await;
        assert_eq!(ann.evaluate("document.querySelector('#room').textContent").await, "café");
        ann.navigate(&format!("http://{}/#other", served.addr())).await;
        ann.becomes("document.title", json!("other · Weir")).await;
        ann.becomes(PEOPLE, json!(["ann"])).await;
        assert_eq!(ann.evaluate("localStorage.getItem('weir.token')").await, json!(null));
    })
    .await;
}

#[tokio::test]
async fn it_fits_wide_and_narrow_windows_and_can_be_read_in_light_and_dark() {
    story("", async |browser, served| {
        let ann = visit(browser, served, "lobby").await;
        check_looks(&ann, "door").await;
        let ann = enter(browser, served, "ann", "lobby").await;
        let mut bob = enter_without_page(served, "bob", "lobby").await;
        let name = "somebody-with-a-long-name-of-32";
        let mut other = enter_without_page(served, name, "lobby").await;
        ann.becomes(&format!("{PEOPLE}.length"), json!(3)).await;
        say(&ann, "Good morning. Is the water high today?").await;
        for line in ["Higher than yesterday, but it holds.", "We opened two gates at six."] {
            support::say(&mut bob, line).await;
        }
        support::say(&mut other, &"unbreakable".repeat(30)).await;
        support::say(&mut bob, "/me walks along the dam").await;
        ann.becomes(&format!("{SAID}.length"), json!(5)).await;
        say(&ann, "/who").await;
        ann.becomes("document.querySelectorAll('#log .notice').length", json!(1)).await;
        say(&ann, "/shrug").await;
        ann.becomes(&format!("{SAID}.length"), json!(6)).await;
        ann.write("/").await;
        check_looks(&ann, "room").await;
        let seen = "document.querySelector('#side').checkVisibility()";
        assert_eq!(ann.evaluate(seen).await, false, "a narrow window has the list behind a button");
        ann.evaluate("document.querySelector('#toggle').click()").await;
        assert_eq!(ann.evaluate(seen).await, true);
        picture(&ann, "people-dark-360").await;
    })
    .await;
}

/// Nothing is cut at its right, and colours of text stand out (WCAG 2.2 §1.4.3), at two sizes and
/// in two schemes.
async fn check_looks(page: &Page, name: &str) {
    for scheme in ["light", "dark"] {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        page.call("Emulation.setEmulatedMedia", media).await;
        for pair in [["ink", "paper"], ["soft", "paper"], ["accent", "paper"], ["soft", "tint"]] {
            let contrast = page.evaluate(&format!("({CONTRAST})(...{})", json!(pair))).await;
            assert!(contrast.as_f64().unwrap() >= 4.5, "{scheme} {pair:?}: {contrast}");
        }
        for (width, height) in [(1200, 800), (360, 640)] {
            page.resize(width, height).await;
            let wide = page.evaluate("document.documentElement.scrollWidth").await;
            assert_eq!(wide, width, "{name} {scheme}");
            picture(page, &format!("{name}-{scheme}-{width}")).await;
        }
    }
}

/// Puts a picture where somebody wants to look at it.
async fn picture(page: &Page, name: &str) {
    let Some(folder) = std::env::var_os("WEIR_PAGE_SHOTS") else { return };
    let shot = page.call("Page.captureScreenshot", json!({ "format": "png" })).await;
    let png = data_encoding::BASE64.decode(shot["data"].as_str().unwrap().as_bytes()).unwrap();
    let file = std::path::PathBuf::from(folder).join(format!("{name}.png"));
    std::fs::write(file, png).unwrap();
}

#[tokio::test]
async fn without_scripts_it_says_what_weir_is_and_how_to_use_it() {
    story("", async |browser, served| {
        let page = browser.page(1200, 800).await;
        page.call("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
        page.navigate(&format!("http://{}/", served.addr())).await;
        let text = page.evaluate("document.body.innerText").await;
        let text = text.as_str().unwrap();
        for part in ["Rooms over WebSocket", "allow it to run JavaScript", "wscat -c ws://"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        picture(&page, "door-without-scripts").await;
    })
    .await;
}

#[test]
fn the_page_is_small_and_asks_for_nothing_elsewhere() {
    assert!(PAGE.len() <= PAGE_BYTES_MAX, "{} bytes", PAGE.len());
    let links = ["src=", "href=\"http", "href=\"/", "@import", "url("];
    for link in links {
        assert!(!PAGE.contains(link), "{link}");
    }
}
