//! Strings of JSON, RFC 8259 §7.

use std::sync::Arc;

/// Appends a string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| needs_escape(byte)) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            byte => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Appends a list of strings.
pub(super) fn strings(out: &mut Vec<u8>, texts: &[Arc<str>]) {
    out.push(b'[');
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, text);
    }
    out.push(b']');
}

fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_reserves_is_escaped_and_nothing_else() {
        let mut out = Vec::new();
        string(&mut out, "a\"b\\c\nd\u{1}é😀/\u{7f}");
        assert_eq!(out, "\"a\\\"b\\\\c\\nd\\u0001é😀/\u{7f}\"".as_bytes());
    }
}
