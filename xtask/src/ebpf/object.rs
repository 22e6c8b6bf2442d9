//! The committed object and the two files beside it: its checksum and its provenance.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::provenance::Provenance;
use super::sha256;

/// Where it is committed, relative to the top of the checkout.
pub(super) const PATH: &str = "gateway/bpf/weir.bpf.o";

/// Its name beside its checksum, as `sha256sum -c` reads it in that folder.
const NAME: &str = "weir.bpf.o";

/// What an error ends with that a build would repair.
const REBUILD: &str = "build it with `cargo xtask ebpf`";

/// An object with what is said about it.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Object {
    pub(super) bytes: Vec<u8>,
    pub(super) provenance: Provenance,
}

impl Object {
    /// The committed one below `root`.
    ///
    /// # Errors
    /// If a file cannot be read, or says something else than the object; says what to do.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let bytes = fs::read(root.join(PATH)).with_context(|| format!("{PATH}: {REBUILD}"))?;
        let checksum = read_beside(root, "sha256")?;
        if checksum != checksum_line(&bytes) {
            bail!(
                "{PATH} is not what its checksum says: take both from git once more, or {REBUILD}"
            );
        }
        let provenance = read_beside(root, "provenance")?
            .parse()
            .with_context(|| format!("{PATH}.provenance cannot be read: {REBUILD}"))?;
        Ok(Self { bytes, provenance })
    }

    /// Writes all three files.
    ///
    /// # Errors
    /// If one cannot be written.
    pub(super) fn write(&self, root: &Path) -> Result<()> {
        let folder = root.join(PATH).parent().expect("it lies in a folder").to_owned();
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (checksum, provenance) = (checksum_line(&self.bytes), self.provenance.to_string());
        let files: [(&str, &[u8]); 3] = [
            ("", &self.bytes),
            (".sha256", checksum.as_bytes()),
            (".provenance", provenance.as_bytes()),
        ];
        for (end, bytes) in files {
            let path = format!("{PATH}{end}");
            fs::write(root.join(&path), bytes).with_context(|| format!("cannot write {path}"))?;
        }
        Ok(())
    }

    /// # Errors
    /// If it was built from other sources than those with this digest; says what to do.
    pub(super) fn is_of(&self, sources: &str) -> Result<()> {
        if self.provenance.sources != sources {
            bail!("{PATH} is older than its sources: {REBUILD}");
        }
        Ok(())
    }
}

fn read_beside(root: &Path, end: &str) -> Result<String> {
    let path = format!("{PATH}.{end}");
    fs::read_to_string(root.join(&path)).with_context(|| format!("{path}: {REBUILD}"))
}

fn checksum_line(bytes: &[u8]) -> String {
    format!("{}  {NAME}\n", sha256::hex(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::provenance::example;
    use super::*;
    use crate::workspace;

    /// A folder of this test's own, gone when it is over.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("weir-xtask-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn written(name: &str) -> (Folder, Object) {
        let folder = Folder::new(name);
        let object = Object { bytes: b"abc".to_vec(), provenance: example() };
        object.write(&folder.0).expect("a place to write to");
        (folder, object)
    }

    fn refusal(folder: &Folder) -> String {
        format!("{:#}", Object::read(&folder.0).expect_err("an object that is refused"))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (folder, object) = written("whole");
        assert_eq!(Object::read(&folder.0).expect("our own files"), object);
        let line = fs::read_to_string(folder.0.join(format!("{PATH}.sha256"))).expect("a line");
        assert!(line.starts_with("ba7816bf") && line.ends_with("15ad  weir.bpf.o\n"), "{line}");
    }

    #[test]
    fn an_object_that_was_changed_is_refused() {
        let (folder, _) = written("changed");
        fs::write(folder.0.join(PATH), b"abd").expect("a file");
        let refusal = refusal(&folder);
        assert!(refusal.contains("not what its checksum says"), "{refusal}");
        assert!(refusal.ends_with("build it with `cargo xtask ebpf`"), "{refusal}");
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        for end in ["", ".sha256", ".provenance"] {
            let (folder, _) = written("missing");
            fs::remove_file(folder.0.join(format!("{PATH}{end}"))).expect("a file to remove");
            let refusal = refusal(&folder);
            assert!(refusal.starts_with(&format!("{PATH}{end}: build it with")), "{refusal}");
        }
    }

    #[test]
    fn an_object_of_other_sources_is_older_than_them() {
        let (_folder, object) = written("older");
        assert!(object.is_of("00ff").is_ok());
        let refusal = object.is_of("00fe").expect_err("other sources").to_string();
        assert_eq!(refusal, format!("{PATH} is older than its sources: {REBUILD}"));
    }

    #[test]
    fn the_committed_object_is_what_is_said_about_it() {
        let object = Object::read(&workspace::root()).expect("the committed object");
        assert!(object.bytes.starts_with(b"\x7fELF"));
        assert!(!object.provenance.crates.is_empty());
    }
}
