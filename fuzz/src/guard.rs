//! What must be true of every file of prefixes.

use std::net::IpAddr;
use std::path::Path;

use gateway::guard::{Guard, Prefixes, Verdict};
use gateway_ebpf::{Address, Network};

/// A line: the first and last address that it is about, and what it says.
type Line = (u128, u128, Verdict);

pub(crate) fn check(data: &[u8]) {
    let read = Prefixes::parse(Path::new("guard"), data);
    match by_letter(data) {
        Err(line) => {
            let error = read.expect_err("a line is wrong");
            assert_eq!(error.line(), Some(line), "{error}");
        }
        Ok(mut lines) => {
            let prefixes = read.expect("each line is right");
            let mut said: Vec<_> = prefixes.iter().map(line).collect();
            said.sort_unstable();
            lines.sort_unstable();
            assert_eq!(said, lines);
            check_ends(&Guard::from(prefixes), &lines);
        }
    }
}

/// The table and a look at all lines say the same where something may change.
fn check_ends(guard: &Guard, lines: &[Line]) {
    for &(first, last, _) in lines {
        for address in [first.wrapping_sub(1), first, last, last.wrapping_add(1)] {
            let has = |line: &&Line| (line.0..=line.1).contains(&address);
            let longest = lines.iter().filter(has).min_by_key(|line| line.1 - line.0);
            let ip = IpAddr::V6(address.into());
            assert_eq!(guard.verdict(ip), longest.map(|line| line.2), "{ip}");
        }
    }
}

fn line((network, verdict): (Network, Verdict)) -> Line {
    let number = |address: Address| u128::from_be_bytes(address.octets());
    (number(network.first()), number(network.last()), verdict)
}

/// All lines that say something, or the number of the first that is wrong.
fn by_letter(data: &[u8]) -> Result<Vec<Line>, usize> {
    let data = data.strip_prefix("\u{feff}".as_bytes()).unwrap_or(data);
    let mut lines: Vec<Line> = Vec::new();
    for (number, line) in data.split(|&byte| byte == b'\n').enumerate() {
        let number = number + 1;
        let line = str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).map_err(|_| number)?;
        let said: String = line.chars().take_while(|&letter| letter != '#').collect();
        let said = said.replace('\t', " ");
        let words: Vec<_> = said.split(' ').filter(|word| !word.is_empty()).collect();
        let (verdict, prefix) = match words[..] {
            [] => continue,
            ["deny", prefix] => (Verdict::Deny, prefix),
            ["allow", prefix] => (Verdict::Allow, prefix),
            _ => return Err(number),
        };
        let (first, last) = range(prefix).ok_or(number)?;
        if lines.iter().any(|line| (line.0, line.1) == (first, last)) {
            return Err(number);
        }
        lines.push((first, last, verdict));
    }
    Ok(lines)
}

/// The first and last address of a prefix, if it is one.
fn range(prefix: &str) -> Option<(u128, u128)> {
    let mut parts = prefix.splitn(2, '/');
    let (first, most) = match parts.next()?.parse().ok()? {
        IpAddr::V4(ip) => (0xFFFF << 32 | u128::from(u32::from(ip)), 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let bits = match parts.next() {
        None => most,
        Some("") => return None,
        Some(digits) => digits.chars().try_fold(0_u32, |bits, digit| {
            Some(bits.saturating_mul(10).saturating_add(digit.to_digit(10)?))
        })?,
    };
    let behind = most.checked_sub(bits)?;
    let rest = 1_u128.checked_shl(behind).map_or(u128::MAX, |power| power - 1);
    (first & rest == 0).then_some((first, first | rest))
}
