//! The guest's first and only file system: a shell, the gateway with its libraries, modules.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::cpio::{Archive, Entry};
use super::kernel::{Kernel, Module};
use super::{SUBNETS, UNFINISHED_BYTES};
use crate::invocation::Invocation;

const INIT: &str = include_str!("init.sh");

/// What keeps clients that say nothing, and messages that never end.
const PATIENCE: &str = "[limits]\nping_secs = 0\nmessage_secs = 0\n";

/// Makes it at `to`.
///
/// # Errors
/// If something that belongs into it is missing.
pub(super) fn make(weir: &Path, kernel: &Kernel, to: &Path) -> Result<()> {
    let mut archive = Archive::default();
    archive.add("dev/console", Entry::Device(5, 1));
    for folder in ["bin", "proc", "sys", "tmp"] {
        archive.add(folder, Entry::Folder);
    }
    archive.add("init", Entry::File(INIT.into(), true));
    let busybox = busybox()?;
    archive.add("bin/busybox", executable(&busybox)?);
    archive.add("weir", Entry::File(stripped(weir, to)?, true));
    archive.add("weir.toml", plain(PATIENCE));
    let weirs = libraries(weir);
    ensure!(!weirs.is_empty(), "ldd names no library of the gateway");
    // Most builds of busybox have none.
    for library in weirs.into_iter().chain(libraries(&busybox)) {
        archive.add(&library.to_string_lossy(), executable(&library)?);
    }
    let modules = kernel.modules()?;
    archive.add("modules/order", plain(&order(&modules)));
    for Module { name, bytes } in modules {
        archive.add(&format!("modules/{name}.ko"), Entry::File(bytes, false));
    }
    archive.add("subnets", plain(&SUBNETS.join("\n")));
    archive.add("unfinished", Entry::File(unfinished(), false));
    fs::write(to, archive.bytes()).with_context(|| format!("cannot write {}", to.display()))
}

fn plain(text: &str) -> Entry {
    Entry::File(text.into(), false)
}

fn executable(path: &Path) -> Result<Entry> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Entry::File(bytes, true))
}

fn order(modules: &[Module]) -> String {
    modules.iter().map(|module| format!("{}.ko\n", module.name)).collect()
}

/// Where the distribution puts it.
fn busybox() -> Result<PathBuf> {
    let places = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    places.into_iter().find(|path| path.is_file()).context("busybox-static is not installed")
}

/// The gateway without what only a debugger reads: the guest copies all of it at its start.
fn stripped(weir: &Path, beside: &Path) -> Result<Vec<u8>> {
    let to = beside.with_extension("weir");
    let strip = Invocation::new("strip", ["-o"]).arg(&to).arg(weir);
    strip.run().context("strip is needed: install binutils")?;
    Ok(fs::read(to)?)
}

/// The libraries that the loader gives a program, and the loader itself.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let listed = Invocation::new("ldd", [program]).output();
    paths(&listed.unwrap_or_default())
}

/// The paths in what `ldd` prints: behind an arrow, or alone.
fn paths(listed: &str) -> Vec<PathBuf> {
    let first = |line: &str| {
        let path = line.split_whitespace().find(|word| word.starts_with('/'));
        path.map(PathBuf::from)
    };
    listed.lines().filter_map(first).collect()
}

/// An upgrade request and a message of which the last byte never comes, masked with zeros.
fn unfinished() -> Vec<u8> {
    let mut bytes = super::client::request("/ws/simple", "localhost").into_bytes();
    bytes.extend_from_slice(&[0x82, 0x80 | 127]);
    bytes.extend_from_slice(&(UNFINISHED_BYTES + 1).to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let message = usize::try_from(UNFINISHED_BYTES).expect("it fits into memory");
    bytes.resize(bytes.len() + message, b'a');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_prints() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd7a5f2000)\n\
            \tlibhwloc.so.15 => /lib/x86_64-linux-gnu/libhwloc.so.15 (0x00007f2a3a000000)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f2a3a9f4000)\n";
        let paths = paths(listed);
        let expected = ["/lib/x86_64-linux-gnu/libhwloc.so.15", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(paths, expected.map(PathBuf::from));
    }

    #[test]
    fn the_unfinished_message_lacks_one_byte() {
        let bytes = unfinished();
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a request");
        let frame = &bytes[head + 4..];
        assert_eq!(frame[..2], [0x82, 0xff], "binary, final, masked, of a long length");
        let length = u64::from_be_bytes(frame[2..10].try_into().expect("eight bytes"));
        assert_eq!(length, (frame.len() - 14) as u64 + 1);
    }

    #[test]
    fn the_first_program_takes_each_word_that_is_said_to_it() {
        for verb in ["serve)", "load)", "maps)", "show)", "queues)", "off)"] {
            assert!(INIT.contains(&format!("\n    {verb}")), "{verb}");
        }
    }
}
