//! Rust source with its comments and literals blanked.

use std::ops::Range;

/// The text with every comment, string and character literal replaced by spaces. Offsets and
/// lines stay where they are.
pub(super) fn only(text: &str) -> String {
    let mut code = text.as_bytes().to_vec();
    let mut at = 0;
    while at < code.len() {
        match token(text, at) {
            Token::Opaque(end) => {
                blank(&mut code, at..end);
                at = end;
            }
            Token::Code(end) => at = end,
        }
    }
    String::from_utf8(code).expect("whole characters were replaced")
}

/// Whether the byte can be part of a name.
pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

enum Token {
    /// A comment or literal, up to this offset.
    Opaque(usize),
    /// Something else, up to this offset.
    Code(usize),
}

fn token(text: &str, at: usize) -> Token {
    let rest = &text.as_bytes()[at..];
    match rest {
        [b'/', b'/', ..] => Token::Opaque(end_of(text, at, "\n")),
        [b'/', b'*', ..] => Token::Opaque(block_comment_end(text, at)),
        [b'"', ..] => Token::Opaque(string_end(text, at + 1)),
        [b'\'', ..] => quote(text, at),
        [first, ..] if is_name(*first) => name(text, at),
        _ => Token::Code(at + 1),
    }
}

/// A name, or a literal that starts like one: `b"…"`, `r#"…"#`, `b'…'`.
fn name(text: &str, at: usize) -> Token {
    let bytes = text.as_bytes();
    let end = (at..bytes.len()).find(|&at| !is_name(bytes[at])).unwrap_or(bytes.len());
    let hashes = bytes[end..].iter().take_while(|byte| **byte == b'#').count();
    let next = bytes.get(end + hashes);
    match (&text[at..end], next) {
        ("r" | "br" | "cr", Some(b'"')) => {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = end + hashes + 1;
            Token::Opaque((end_of(text, open, &close) + close.len()).min(bytes.len()))
        }
        ("b" | "c", Some(b'"')) if hashes == 0 => Token::Opaque(string_end(text, end + 1)),
        ("b", Some(b'\'')) if hashes == 0 => quote(text, end),
        _ => Token::Code(end),
    }
}

/// A character literal, or the tick of a lifetime.
fn quote(text: &str, at: usize) -> Token {
    let mut rest = text[at + 1..].chars();
    match (rest.next(), rest.next()) {
        (Some('\\'), Some(escaped)) => {
            let after = at + 2 + escaped.len_utf8();
            Token::Opaque((end_of(text, after, "'") + 1).min(text.len()))
        }
        (Some(char), Some('\'')) => Token::Opaque(at + 2 + char.len_utf8()),
        _ => Token::Code(at + 1),
    }
}

fn string_end(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Block comments nest.
fn block_comment_end(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    while at < bytes.len() {
        let step = match &bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// Where `needle` starts from `at` on, or the end of the text.
fn end_of(text: &str, at: usize, needle: &str) -> usize {
    text.get(at..).and_then(|rest| rest.find(needle)).map_or(text.len(), |found| at + found)
}

fn blank(code: &mut [u8], range: Range<usize>) {
    for byte in &mut code[range] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What remains, with runs of spaces made one.
    fn words(text: &str) -> String {
        assert_eq!(only(text).len(), text.len(), "offsets must stay");
        only(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_are_blanked_and_lines_stay() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), "a c g");
        assert_eq!(only("a // b\nc").lines().nth(1), Some("c"));
    }

    #[test]
    fn strings_of_every_kind_are_blanked() {
        let kinds = r##"f("a \" b", r"c\", r#"d " e"#, b"f", c"g", br"h")"##;
        assert_eq!(words(kinds), "f( , , , , , )");
        assert_eq!(words("f(\"// no comment\") + g"), "f( ) + g");
    }

    #[test]
    fn characters_are_blanked_and_lifetimes_are_not() {
        assert_eq!(words(r"f('a', '\'', '\u{1F}', b'x', 'é', '/') + g"), "f( , , , , , ) + g");
        let lifetimes = "fn f<'a>(a: &'a str, b: &'static str)";
        assert_eq!(words(lifetimes), lifetimes);
    }

    #[test]
    fn raw_names_are_code() {
        assert_eq!(words("r#type + brr"), "r#type + brr");
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_text() {
        for text in ["\"a", "\"a\\", "r#\"a", "/* a", "'\\", "'\\n", "b'"] {
            assert_eq!(only(text).len(), text.len(), "{text}");
        }
    }
}
