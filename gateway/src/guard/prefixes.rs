//! The file of `--guard`: a line for each prefix that is denied or allowed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, Read};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use gateway_ebpf::Network;
use gateway_ebpf::abi::GUARD_MAX;
use thiserror::Error;

use super::Verdict;
use crate::config::NETWORKS_MAX;

/// Bytes of a file: more than [`PREFIXES_MAX`] lines of usual length.
pub const GUARD_BYTES_MAX: usize = 4 << 20;

/// Prefixes of a list, of a file or changed at run time: more than public lists of whole countries
/// have, and as many as the kernel's table, which also has those whom no bound of a source holds.
pub const PREFIXES_MAX: usize = GUARD_MAX as usize - 2 * NETWORKS_MAX;

/// Bytes of a file that an error shows.
const SHOWN_BYTES_MAX: usize = 64;

/// The bytes that some editors begin a file of UTF-8 with.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What is to become of whom, by the prefixes that are named; no prefix twice.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Prefixes(pub(super) BTreeMap<Network, Verdict>);

/// Why a file cannot be used, and what to write instead.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{}{}: {why}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct PrefixError {
    path: PathBuf,
    /// From 1; none if it is about the whole file.
    line: Option<usize>,
    why: String,
}

impl PrefixError {
    /// The line that is wrong, from 1; none if it is about the whole file.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl Prefixes {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is no regular file, cannot be read, or is longer than [`GUARD_BYTES_MAX`]; and as
    /// [`parse`](Self::parse) does.
    pub fn read(path: &Path) -> Result<Self, PrefixError> {
        let bytes = bytes(path).map_err(|error| PrefixError {
            path: path.to_owned(),
            line: None,
            why: advice(&error),
        })?;
        Self::parse(path, &bytes)
    }

    /// Takes a file's bytes. `path` is what errors call it.
    ///
    /// A line is `deny PREFIX` or `allow PREFIX`, with spaces or tabs around both words, or empty;
    /// `#` begins a comment, which is any UTF-8. A prefix is what [`Network`] reads. Lines end with
    /// LF or CRLF, and a byte order mark may stand before the first.
    ///
    /// # Errors
    /// If there are more than [`GUARD_BYTES_MAX`] bytes or [`PREFIXES_MAX`] prefixes, or a line is
    /// something else or names a prefix again. The first such line is named.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, PrefixError> {
        let wrong = |line, why| PrefixError { path: path.to_owned(), line, why };
        if bytes.len() > GUARD_BYTES_MAX {
            let why = format!("it is longer than {GUARD_BYTES_MAX} bytes (4 MiB); join prefixes");
            return Err(wrong(None, why));
        }
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let mut known = BTreeMap::new();
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let prefix = prefix(line).map_err(|why| wrong(Some(number), why))?;
            let Some((network, verdict)) = prefix else { continue };
            remember(&mut known, network, verdict, number)
                .map_err(|why| wrong(Some(number), why))?;
        }
        Ok(Self(known.into_iter().map(|(network, (verdict, _))| (network, verdict)).collect()))
    }

    /// What there is, shorter prefixes first; those of IPv4 count 96 bits more.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Network, Verdict)> {
        self.0.iter().map(|(network, verdict)| (*network, *verdict))
    }

    /// What the longest prefix says that has all of a network: at most 129 looks, however many
    /// prefixes there are.
    pub(super) fn around(&self, network: Network) -> Option<Verdict> {
        let first = u128::from_be_bytes(network.first().octets());
        let shorter = |bits: u32| {
            let kept = first & u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            Network::new(Ipv6Addr::from(kept).into(), bits).expect("nothing is behind its bits")
        };
        (0..=network.bits()).rev().find_map(|bits| self.0.get(&shorter(bits)).copied())
    }
}

/// Notes a prefix and where it stands.
fn remember(
    known: &mut BTreeMap<Network, (Verdict, usize)>,
    network: Network,
    verdict: Verdict,
    line: usize,
) -> Result<(), String> {
    let count = known.len();
    match known.entry(network) {
        Entry::Occupied(before) => {
            let before = before.get().1;
            Err(format!("{network} stands on line {before} already; remove one of the two"))
        }
        Entry::Vacant(_) if count == PREFIXES_MAX => Err(format!(
            "there are {PREFIXES_MAX} prefixes before it, which is the most; join some"
        )),
        Entry::Vacant(place) => {
            place.insert((verdict, line));
            Ok(())
        }
    }
}

/// What a line says, if it says anything.
fn prefix(line: &[u8]) -> Result<Option<(Network, Verdict)>, String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = str::from_utf8(line).map_err(|_| "it is not UTF-8 there; save it as UTF-8")?;
    let said = line.split_once('#').map_or(line, |(said, _)| said);
    let mut words = said.split([' ', '\t']).filter(|word| !word.is_empty());
    let Some(verdict) = words.next() else { return Ok(None) };
    let verdict = match verdict {
        "deny" => Verdict::Deny,
        "allow" => Verdict::Allow,
        other => {
            return Err(format!(
                "{} is no verdict; write deny or allow, or # before it",
                Shown(other)
            ));
        }
    };
    let name = verdict.name();
    let Some(prefix) = words.next() else {
        return Err(format!("{name} whom? write a prefix behind it, such as {name} 10.0.0.0/8"));
    };
    if let Some(more) = words.next() {
        return Err(format!(
            "{} stands behind the prefix; write one prefix in a line, and # before a comment",
            Shown(more)
        ));
    }
    let network = prefix.parse().map_err(|error| format!("{}: {error}", Shown(prefix)))?;
    Ok(Some((network, verdict)))
}

/// A part of a file in quotes, cut where it gets long.
struct Shown<'a>(&'a str);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.0.floor_char_boundary(SHOWN_BYTES_MAX);
        write!(f, "{:?}{}", &self.0[..end], if end < self.0.len() { "..." } else { "" })
    }
}

/// A byte more than the bound at most: enough to see that it is passed.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    // Whoever reads it again while the node serves must not wait for somebody to write to a pipe.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(GUARD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn advice(error: &io::Error) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "only these have advice of their own")]
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; see --guard".to_owned(),
        io::ErrorKind::IsADirectory => "it is no regular file; name one".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read; change its permissions".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: impl AsRef<[u8]>) -> Result<Prefixes, String> {
        Prefixes::parse(Path::new("guard"), text.as_ref()).map_err(|error| error.to_string())
    }

    /// What the file says, as it could be written.
    fn said(text: impl AsRef<[u8]>) -> Vec<String> {
        let prefixes = parse(text).expect("a file as it should be");
        prefixes.iter().map(|(network, verdict)| format!("{} {network}", verdict.name())).collect()
    }

    #[test]
    fn lines_comments_and_blanks_may_be_written_as_people_write_them() {
        let text = "\u{feff}# Gäste\r\n\r\n deny\t10.0.0.0/8 # all of them\n\tallow  10.1.2.3\n\
            deny 2001:db8::/32#near\nallow ::1 \r\n   \n#deny ::/0\ndeny 0.0.0.0/0";
        let lines = [
            "deny 2001:db8::/32",
            "deny 0.0.0.0/0",
            "deny 10.0.0.0/8",
            "allow ::1/128",
            "allow 10.1.2.3/32",
        ];
        assert_eq!(said(text), lines);
        for nothing in ["", "\n\n", "\u{feff}", "# only words", "\r\n"] {
            assert_eq!(said(nothing), Vec::<String>::new(), "{nothing:?}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_what_to_write() {
        for (text, told) in [
            ("deny 10.0.0.0/8\nblock ::1", "guard:2: \"block\" is no verdict; write deny or allow"),
            ("Deny ::1", "guard:1: \"Deny\" is no verdict"),
            ("10.0.0.0/8", "guard:1: \"10.0.0.0/8\" is no verdict"),
            (
                "\n\nallow",
                "guard:3: allow whom? write a prefix behind it, such as allow 10.0.0.0/8",
            ),
            (
                "deny ::1 ::2",
                "guard:1: \"::2\" stands behind the prefix; write one prefix in a line",
            ),
            (
                "deny 10.0.0.1/8",
                "guard:1: \"10.0.0.1/8\": the address goes on behind the network's",
            ),
            ("deny 10.0.0.0/33", "guard:1: \"10.0.0.0/33\": no number of bits; write 0 to 32"),
            ("deny localhost", "guard:1: \"localhost\": no IP address; write 10.0.0.0/8"),
            ("deny ::1\u{feff}", "guard:1: \"::1\\u{feff}\": no IP address"),
            ("deny ::1\rdeny", "guard:1: \"::1\\rdeny\": no IP address"),
            (
                "\n# a\ndeny ::1\n\nallow ::1/128",
                "guard:5: ::1/128 stands on line 3 already; remove",
            ),
            ("deny 10.0.0.0/8\ndeny ::ffff:10.0.0.0/104", "guard:2: 10.0.0.0/8 stands on line 1"),
        ] {
            let wrong = parse(text).expect_err(text);
            assert!(wrong.starts_with(told), "{text:?}: {wrong}");
        }
        let latin = parse(b"# fine\n# caf\xe9\n").expect_err("no UTF-8");
        assert_eq!(latin, "guard:2: it is not UTF-8 there; save it as UTF-8");
    }

    #[test]
    fn an_error_shows_little_of_a_long_line() {
        let wrong = parse("\u{e4}".repeat(100_000)).expect_err("no verdict");
        assert!(wrong.len() < 200 && wrong.contains("\u{e4}\"... is no verdict"), "{wrong}");
    }

    #[test]
    fn a_file_and_its_lines_may_be_so_many_and_no_more() {
        let line = |n: usize| format!("deny {}\n", std::net::Ipv4Addr::from(n as u32));
        let most: String = (0..PREFIXES_MAX).map(line).collect();
        assert_eq!(parse(&most).expect("the bound itself").iter().len(), PREFIXES_MAX);
        let wrong = parse(most + "deny ::1").expect_err("one more");
        assert!(wrong.starts_with("guard:63489: there are 63488 prefixes before it"), "{wrong}");
        let mut long = vec![b'#'; GUARD_BYTES_MAX];
        assert_eq!(said(&long), Vec::<String>::new());
        long.push(b'#');
        let wrong = parse(long).expect_err("a byte more");
        assert_eq!(wrong, "guard: it is longer than 4194304 bytes (4 MiB); join prefixes");
    }

    #[test]
    fn the_longest_prefix_around_a_network_is_the_one_that_has_all_of_it() {
        let text = "deny ::/0\nallow 0.0.0.0/0\ndeny 10.0.0.0/8\nallow 10.1.0.0/16\n\
            deny 10.1.2.3\nallow 2001:db8::/32";
        let prefixes = parse(text).expect("a file as it should be");
        for (network, said) in [
            ("::/0", Verdict::Deny),
            ("fe80::/10", Verdict::Deny),
            ("0.0.0.0/0", Verdict::Allow),
            ("10.0.0.0/7", Verdict::Allow),
            ("10.0.0.0/8", Verdict::Deny),
            ("10.0.0.0/15", Verdict::Deny),
            ("10.1.0.0/16", Verdict::Allow),
            ("10.1.2.0/24", Verdict::Allow),
            ("10.1.2.3", Verdict::Deny),
            ("2001:db8::1", Verdict::Allow),
        ] {
            let network = network.parse().expect("a network");
            assert_eq!(prefixes.around(network), Some(said), "{network}");
        }
        assert_eq!(parse("deny ::1").expect("a line").around("::/0".parse().expect("all")), None);
    }

    #[test]
    fn what_is_no_file_is_told() {
        for (path, told) in [
            ("/nowhere/guard", "/nowhere/guard: there is no such file; see --guard"),
            ("/", "/: it is no regular file; name one"),
        ] {
            let wrong = Prefixes::read(Path::new(path)).expect_err(path).to_string();
            assert_eq!(wrong, told);
        }
    }
}
