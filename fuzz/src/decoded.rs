//! RFC 3986 §2.1 read by the letter: what percent signs stand for.

/// What names something; none if it is no name: too long, not UTF-8, with control characters.
pub(crate) fn decoded(raw: &str, bytes_max: usize) -> Option<String> {
    let mut parts = raw.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits =
            part.get(..2).filter(|digits| digits.bytes().all(|it| it.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(part[2..].bytes());
    }
    let text = String::from_utf8(bytes).ok()?;
    (text.len() <= bytes_max && !text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_two_digits() {
        let name = |raw| decoded(raw, 4);
        assert_eq!(name("a%C3%a9b").as_deref(), Some("aéb"));
        assert_eq!(name("%2525").as_deref(), Some("%25"));
        for bad in ["%", "%2", "%+1", "%é", "%FF", "%00", "abcde"] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }
}
