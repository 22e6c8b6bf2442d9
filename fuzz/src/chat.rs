//! What must be true of a room where people chat, whatever they are called and type.

use gateway_core::slot::Slot;

use crate::command::first_value;
use crate::decoded::decoded;
use crate::json::{self, Json};
use crate::world::{self, TOKEN, World};

/// Characters of a name, and bytes of one in a query.
const NAME_CHARS_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 128;
const SHRUG: &str = "¯\\_(ツ)_/¯";

/// Ann comes with this query and types these lines, which Bob reads as JSON.
pub(crate) fn check(query: &str, lines: &[String]) {
    let mut world = World::new();
    let bob = enter(&mut world, "name=bob", true).expect("bob is a name");
    let Some(ann) = enter(&mut world, query, false) else { return };
    let asked = first_value(query, "name").filter(|raw| !raw.is_empty());
    let mut name = asked.and_then(|raw| named(raw).flatten()).unwrap_or_else(|| guest(ann));
    for line in lines {
        world.say(ann, line);
        world.settle();
        let (to_ann, to_bob) = (heard_text(&mut world, ann), heard_text(&mut world, bob));
        match told(line, &mut name) {
            Told::Nothing(starts) => {
                let [notice] = &to_ann[..] else { panic!("{line:?} is answered by {to_ann:?}") };
                assert!(notice.starts_with(&starts) && to_bob.is_empty(), "{line:?}: {notice:?}");
            }
            Told::Said(words) => {
                assert_eq!(to_ann, [words.as_str()], "{line:?}");
                let [json] = &to_bob[..] else { panic!("{line:?} is told as {to_bob:?}") };
                assert_eq!(as_said(json), words, "{line:?}");
            }
        }
    }
    world.pass_secs(1);
    let mut names = [name, "bob".to_owned()];
    names.sort_unstable();
    let users = Json::List(names.map(Json::Text).into());
    let told = heard_text(&mut world, bob).pop().expect("everyone is told who is there");
    let list = json::read(told.as_bytes()).expect("it is JSON");
    assert_eq!((list.text("type"), list.member("users")), (Some("userlist"), Some(&users)));
    for slot in [ann, bob] {
        world.end(slot);
    }
    world.pass_secs(1);
    world.assert_empty();
}

/// What a line does.
enum Told {
    /// It is answered with what begins so.
    Nothing(String),
    /// Everyone hears this.
    Said(String),
}

/// The meaning of a line by the letter of what `/help` says.
fn told(line: &str, name: &mut String) -> Told {
    let Some(rest) = line.strip_prefix('/') else { return Told::Said(line.to_owned()) };
    if rest.starts_with('/') {
        return Told::Said(rest.to_owned());
    }
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (command, words) = (&rest[..end], rest[end..].trim());
    match (command, words) {
        ("help", _) => Told::Nothing("/me TEXT".to_owned()),
        ("who", _) => {
            let mut names = [name.as_str(), "bob"];
            names.sort_unstable();
            Told::Nothing(format!("2 here: {}, {}", names[0], names[1]))
        }
        ("me", words) if !words.is_empty() => Told::Said(format!("* {name} {words}")),
        ("nick", words) => rename(words, name),
        ("shrug", "") => Told::Said(SHRUG.to_owned()),
        ("shrug", words) => Told::Said(format!("{words} {SHRUG}")),
        _ => Told::Nothing(format!("/{}", command.chars().take(32).collect::<String>())),
    }
}

fn rename(wanted: &str, name: &mut String) -> Told {
    if !is_name(wanted) {
        return Told::Nothing("a name ".to_owned());
    }
    if wanted == name {
        return Told::Nothing("that is your name already".to_owned());
    }
    let old = std::mem::replace(name, wanted.to_owned());
    Told::Said(format!("* {old} is now {name}"))
}

fn is_name(name: &str) -> bool {
    let bad = name.is_empty() || name.starts_with('/') || name.chars().any(char::is_control);
    !bad && name.chars().count() <= NAME_CHARS_MAX
}

/// What a query's name says: none if it is refused, none within if it is empty.
#[expect(clippy::option_option, reason = "a refusal and a guest are two things")]
fn named(raw: &str) -> Option<Option<String>> {
    let text = decoded(&raw.replace('+', " "), NAME_BYTES_MAX)?;
    let name = text.trim();
    match name {
        "" => Some(None),
        name => is_name(name).then(|| Some(name.to_owned())),
    }
}

/// Whoever gives no name.
fn guest(slot: Slot) -> String {
    format!("guest-0-{}", slot.index())
}

/// A member with this query; none if the request is refused, which it must be for a reason.
fn enter(world: &mut World, query: &str, json: bool) -> Option<Slot> {
    // What is no part of a target is for the target `handshake`.
    if query.contains(|c: char| !c.is_ascii_graphic() || c == '#') {
        return None;
    }
    let mut request = world::request(&format!("/ws/chat/lobby?access_token={TOKEN}&{query}"));
    if json {
        request.truncate(request.len() - 2);
        request.extend_from_slice(b"Sec-WebSocket-Protocol: weir.chat.v1\r\n\r\n");
    }
    let slot = world.accept();
    world.raw(slot, &request);
    world.settle();
    let got = std::mem::take(&mut world.wire(slot).got);
    let tokens = query.split('&').any(|pair| pair.split('=').next() == Some("access_token"));
    let name = first_value(query, "name").map(named);
    if tokens || name == Some(None) {
        assert!(got.starts_with(b"HTTP/1.1 400 "), "{query:?} {}", got.escape_ascii());
        return None;
    }
    assert!(got.starts_with(b"HTTP/1.1 101 "), "{query:?} {}", got.escape_ascii());
    Some(slot)
}

/// The line that a JSON object stands for.
fn as_said(told: &str) -> String {
    let told = json::read(told.as_bytes()).expect("it is JSON");
    let text = |name| told.text(name).unwrap_or_else(|| panic!("{name} is a text of {told:?}"));
    let (from, text, kind) = (text("from"), text("text"), text("type"));
    let deed = format!("* {from} ");
    match kind {
        "action" => format!("{deed}{text}"),
        "message" => {
            assert!(!text.starts_with(&deed), "{text:?} is an action");
            text.to_owned()
        }
        _ => panic!("{kind:?} is not said by a member"),
    }
}

/// Texts that somebody was sent since this was asked last.
fn heard_text(world: &mut World, slot: Slot) -> Vec<String> {
    let text = |frame: world::Frame| {
        assert_eq!(frame.opcode, 1, "{frame:?} is text");
        String::from_utf8(frame.payload).expect("text is UTF-8")
    };
    world.heard(slot).into_iter().map(text).collect()
}
