//! Where frames end, however wrong they are otherwise.

/// The bytes before the last frame, and those that complete it; none if it is complete, or longer
/// than anybody waits for.
pub(crate) fn last(bytes: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let mut start = 0;
    loop {
        let frame = &bytes[start..];
        let Some(len) = len(frame) else { return Some((&bytes[..start], header_rest(frame))) };
        match len {
            0 => return None,
            _ if len <= frame.len() as u128 => start += len as usize,
            _ if len < WAITED_FOR_BYTES_MAX => {
                return Some((&bytes[..start], vec![0; len as usize - frame.len()]));
            }
            _ => return None,
        }
    }
}

/// Bytes of a frame that somebody may wait for.
const WAITED_FOR_BYTES_MAX: u128 = 1 << 20;

/// Whether the first control frame that says its length in more than a byte is a short one, or may
/// still become it.
pub(crate) fn has_padded_control(mut bytes: &[u8]) -> bool {
    while let [first, second, ..] = *bytes {
        if first & 0x8 != 0 && second & 0x7F >= 126 {
            let whole = [bytes, &header_rest(bytes)].concat();
            let header_len = header(second).0 as u128;
            return len(&whole).is_some_and(|len| len - header_len <= 125);
        }
        let after = len(bytes).and_then(|len| bytes.get(usize::try_from(len).ok()?..));
        bytes = after.unwrap_or_default();
    }
    false
}

/// First bytes and payloads of a server's frames, of which none is cut.
pub(crate) fn of_server(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, ..] = *bytes {
        assert!(second < 0x80, "a server does not mask");
        let len = len(bytes).and_then(|len| usize::try_from(len).ok());
        let frame = len.and_then(|len| bytes.split_off(..len)).expect("no frame is cut");
        frames.push((first, frame[header(second).0..].to_vec()));
    }
    assert!(bytes.is_empty(), "no frame is cut");
    frames
}

/// Length of the frame that these bytes begin with, RFC 6455 §5.2; none if its header is cut.
fn len(bytes: &[u8]) -> Option<u128> {
    let Some(second) = bytes.get(1) else { return bytes.is_empty().then_some(0) };
    let (header_len, declared) = header(*second);
    let extended = bytes.get(2..2 + declared)?;
    let payload_len = match declared {
        0 => u128::from(second & 0x7F),
        _ => extended.iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte)),
    };
    (bytes.len() >= header_len).then_some(header_len as u128 + payload_len)
}

/// Length of a header with this second byte, and of the length in it.
fn header(second: u8) -> (usize, usize) {
    let declared = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    (2 + declared + if second & 0x80 == 0 { 0 } else { 4 }, declared)
}

/// Zeros up to the end of a cut header and of what it declares: a masked frame without a payload
/// if nothing is said of it yet.
fn header_rest(bytes: &[u8]) -> Vec<u8> {
    let mut whole = bytes.to_vec();
    if whole.len() == 1 {
        whole.push(0x80);
    }
    whole.resize(header(whole[1]).0.max(whole.len()), 0);
    let missing = len(&whole).map_or(0, |len| len.saturating_sub(whole.len() as u128));
    if missing < WAITED_FOR_BYTES_MAX {
        whole.resize(whole.len() + missing as usize, 0);
    }
    whole.split_off(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_of_the_last_frame_is_added_and_no_more() {
        let rest = |bytes| last(bytes).map(|(before, rest)| (before.len(), rest));
        assert_eq!(rest(b""), None);
        assert_eq!(rest(b"\x81\x80abcd"), None);
        assert_eq!(rest(b"\x81"), Some((0, b"\x80\0\0\0\0".to_vec())));
        assert_eq!(rest(b"\x81\x05hel"), Some((0, b"\0\0".to_vec())));
        assert_eq!(rest(b"\x81\x80abcd\x82\x82ab"), Some((6, vec![0; 4])));
        assert_eq!(rest(b"\x81\xFE\x00"), Some((0, vec![0; 5])));
        assert_eq!(rest(b"\x82\xFF\0\0\0\0\0\x02\0\0abcd"), Some((0, vec![0; 0x2_0000])));
        assert_eq!(rest(b"\x82\xFF\x7F\0\0\0\0\x02\0\0abcd"), None);
    }

    #[test]
    fn frames_of_a_server_are_split() {
        let long = [&b"\xC2\x7E\x01\x00"[..], &[7; 256]].concat();
        let split = of_server(&[b"\x81\x02hi\x88\x00", &long[..]].concat());
        let expected = [(0x81, b"hi".to_vec()), (0x88, Vec::new()), (0xC2, vec![7; 256])];
        assert_eq!(split, expected);
        assert!(std::panic::catch_unwind(|| of_server(&long[..100])).is_err(), "it is cut");
    }

    #[test]
    fn a_control_frame_may_be_short_and_its_length_long() {
        for (bytes, expected) in [
            (&b"\x82\xFE\0\x02\0\0\0\0ab\x89\xFE\0\x7D"[..], true),
            (b"\x88\xFF", true),
            (b"\x89\xFE\0\x7E", false),
            (b"\x89\xFE\x01", false),
            (b"\x89\x82\0\0\0\0ab", false),
            (b"\x82\xFE\0\x02", false),
            (b"", false),
        ] {
            assert_eq!(has_padded_control(bytes), expected, "{bytes:02x?}");
        }
    }
}
