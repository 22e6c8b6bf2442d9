//! An archive in cpio's format `newc`, which the kernel unpacks as its first file system.

use std::collections::BTreeMap;

/// What an entry is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Entry {
    Folder,
    /// Contents, and whether they can be executed.
    File(Vec<u8>, bool),
    /// A character device, by its numbers.
    Device(u32, u32),
}

/// Entries by path, without a leading slash.
#[derive(Debug, Default)]
pub(super) struct Archive {
    entries: BTreeMap<String, Entry>,
}

impl Archive {
    /// Adds an entry, with the folders that it lies in.
    ///
    /// # Panics
    /// If there is another entry of that name.
    pub(super) fn add(&mut self, path: &str, entry: Entry) {
        let path = path.trim_start_matches('/');
        for (end, _) in path.match_indices('/') {
            self.entries.entry(path[..end].to_owned()).or_insert(Entry::Folder);
        }
        let before = self.entries.insert(path.to_owned(), entry.clone());
        let same = before.is_none_or(|before| before == entry);
        assert!(same, "{path} is two things at once");
    }

    /// The bytes of the archive. Folders come before what lies in them, as their names do.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (inode, (path, entry)) in (1..).zip(&self.entries) {
            write(&mut bytes, inode, path, entry);
        }
        write(&mut bytes, 0, "TRAILER!!!", &Entry::File(Vec::new(), false));
        bytes
    }
}

impl Entry {
    /// Type and permissions, as `stat` has them.
    fn mode(&self) -> u32 {
        match self {
            Self::Folder => 0o040_755,
            Self::File(_, true) => 0o100_755,
            Self::File(_, false) => 0o100_644,
            Self::Device(..) => 0o020_600,
        }
    }

    fn contents(&self) -> &[u8] {
        match self {
            Self::File(contents, _) => contents,
            Self::Folder | Self::Device(..) => &[],
        }
    }
}

fn write(bytes: &mut Vec<u8>, inode: u32, path: &str, entry: &Entry) {
    let length = |length: usize| u32::try_from(length).expect("the format holds less than 4 GiB");
    let (major, minor) = match *entry {
        Entry::Device(major, minor) => (major, minor),
        Entry::Folder | Entry::File(..) => (0, 0),
    };
    let contents = entry.contents();
    // inode, mode, user, group, links, time, size, the disk's numbers, the device's numbers,
    // length of the name with its end, and a checksum that this variant has not.
    let (size, name) = (length(contents.len()), length(path.len() + 1));
    let header = [inode, entry.mode(), 0, 0, 1, 0, size, 0, 0, major, minor, name, 0];
    bytes.extend_from_slice(b"070701");
    for field in header {
        bytes.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    bytes.extend_from_slice(path.as_bytes());
    bytes.push(0);
    pad(bytes);
    bytes.extend_from_slice(contents);
    pad(bytes);
}

/// Headers and contents begin at multiples of four bytes.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Path, mode, device and contents.
    type Read = (String, u32, (u32, u32), Vec<u8>);

    /// A reader that follows cpio(5).
    fn read(mut bytes: &[u8]) -> Vec<Read> {
        let mut entries = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |at: usize| {
                let digits = std::str::from_utf8(&bytes[6 + 8 * at..14 + 8 * at]).expect("hex");
                u32::from_str_radix(digits, 16).expect("hex")
            };
            let (size, name) = (field(6) as usize, field(11) as usize);
            let begin = (110 + name).next_multiple_of(4);
            let path = String::from_utf8(bytes[110..110 + name - 1].to_vec()).expect("a name");
            assert_eq!(bytes[110 + name - 1], 0, "a name has an end");
            if path == "TRAILER!!!" {
                assert_eq!(bytes.len(), begin, "nothing follows");
                return entries;
            }
            let contents = bytes[begin..begin + size].to_vec();
            entries.push((path, field(1), (field(9), field(10)), contents));
            bytes = &bytes[(begin + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn what_was_added_can_be_read_with_its_folders_before_it() {
        let mut archive = Archive::default();
        archive.add("/bin/tool", Entry::File(b"tools".to_vec(), true));
        archive.add("etc/a", Entry::File(Vec::new(), false));
        archive.add("dev/console", Entry::Device(5, 1));
        archive.add("/bin/other", Entry::File(b"four".to_vec(), false));
        let folder = |path: &str| (path.to_owned(), 0o040_755, (0, 0), Vec::new());
        let file = |path: &str, mode: u32, contents: &[u8]| {
            (path.to_owned(), 0o100_000 | mode, (0, 0), contents.to_vec())
        };
        let entries = [
            folder("bin"),
            file("bin/other", 0o644, b"four"),
            file("bin/tool", 0o755, b"tools"),
            folder("dev"),
            ("dev/console".to_owned(), 0o020_600, (5, 1), Vec::new()),
            folder("etc"),
            file("etc/a", 0o644, b""),
        ];
        assert_eq!(read(&archive.bytes()), entries);
    }

    #[test]
    #[should_panic(expected = "two things at once")]
    fn a_name_is_one_thing() {
        let mut archive = Archive::default();
        archive.add("a", Entry::File(vec![1], false));
        archive.add("/a", Entry::File(vec![2], false));
    }
}
