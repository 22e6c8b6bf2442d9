//! The guest's kernel: the newest of the distribution, unpacked beside what cargo builds and never
//! installed, with the modules of its network device.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::invocation::Invocation;

/// Kernels for virtual machines: a third of the size of the others.
const PREFIX: &str = "linux-image-";
const SUFFIX: &str = "-cloud-amd64";

/// The driver of the guest's network device.
const DRIVER: &str = "virtio_net";

/// A kernel that was unpacked.
#[derive(Debug)]
pub(super) struct Kernel {
    /// By its package's name.
    pub(super) name: String,
    folder: PathBuf,
}

/// A module as the kernel loads it.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Kernel {
    /// The newest kernel that the distribution offers; without its lists the newest that is in
    /// `cache` already.
    ///
    /// # Errors
    /// If there is none, or it cannot be fetched or unpacked.
    pub(super) fn newest(cache: &Path) -> Result<Self> {
        let pattern = format!("^{PREFIX}[0-9].*{}$", SUFFIX.replace('-', "[-]"));
        let search = Invocation::new("apt-cache", ["search", "--names-only", &pattern]);
        let offered = search.output().unwrap_or_default();
        let offered = offered.lines().filter_map(|line| line.split_whitespace().next());
        let newest = newest(offered.map(str::to_owned)).or_else(|| newest(cached(cache)));
        let name = newest.context(
            "no kernel package was found: this needs apt-get of Debian or a descendant, and \
             `apt-get update` once",
        )?;
        let kernel = Self { folder: cache.join(&name), name };
        if !kernel.folder.is_dir() {
            kernel.fetch()?;
        }
        Ok(kernel)
    }

    /// Unpacks the package into a folder beside its own, which then takes that name: one that is
    /// there is whole.
    fn fetch(&self) -> Result<()> {
        let part = self.folder.with_file_name(format!("{}.part", self.name));
        if part.exists() {
            fs::remove_dir_all(&part)?;
        }
        fs::create_dir_all(&part)?;
        let script = "cd \"$0\" && apt-get download \"$1\" && dpkg-deb -x ./*.deb . && rm ./*.deb";
        let unpack: [&OsStr; 4] =
            ["-c".as_ref(), script.as_ref(), part.as_ref(), self.name.as_ref()];
        let unpacked = Invocation::new("sh", unpack).run();
        unpacked.context("the kernel cannot be fetched; if the lists are old: apt-get update")?;
        fs::rename(&part, &self.folder)?;
        Ok(())
    }

    /// What a boot loader loads.
    ///
    /// # Errors
    /// If the package has no kernel where it belongs.
    pub(super) fn image(&self) -> Result<PathBuf> {
        let image = self.folder.join("boot").join(format!("vmlinuz-{}", self.release()));
        if !image.is_file() {
            bail!("{} has no {}: remove the folder to fetch it again", self.name, image.display());
        }
        Ok(image)
    }

    fn release(&self) -> &str {
        self.name.strip_prefix(PREFIX).expect("its package is called so")
    }

    /// The driver and what it needs, in the order in which they are loaded.
    ///
    /// # Errors
    /// If one is missing or cannot be unpacked.
    pub(super) fn modules(&self) -> Result<Vec<Module>> {
        let mut files = BTreeMap::new();
        let modules = self.folder.join("lib/modules").join(self.release());
        find(&modules.join("kernel"), &mut files)?;
        let mut loaded = Vec::new();
        load(DRIVER, &mut loaded, &mut |name| {
            let path = files.get(name).with_context(|| format!("no module {name}"))?;
            unpacked(path)
        })?;
        Ok(loaded)
    }
}

/// The newest of some packages.
fn newest(names: impl Iterator<Item = String>) -> Option<String> {
    let kernels = names.filter(|name| version(name).is_some());
    kernels.max_by_key(|name| version(name))
}

/// The numbers in a package's name, if it is a kernel for us: 6.12.9+deb12 is newer than 6.1.0-56.
fn version(name: &str) -> Option<Vec<u32>> {
    let version = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let numbers = version.split(|c: char| !c.is_ascii_digit());
    let numbers: Vec<_> = numbers.filter_map(|number| number.parse().ok()).collect();
    // Packages without a full version only name others.
    (numbers.len() > 2).then_some(numbers)
}

/// Kernels that were unpacked before.
fn cached(cache: &Path) -> impl Iterator<Item = String> {
    let folders = fs::read_dir(cache).into_iter().flatten().flatten();
    folders.filter_map(|folder| folder.file_name().into_string().ok())
}

/// All modules below a folder, by the names that other modules call them.
fn find(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if let Some(name) = path.file_name().and_then(OsStr::to_str)
            && let Some((name, "ko" | "ko.xz")) = name.split_once('.')
        {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// Puts a module behind those that it needs, each once.
fn load(
    name: &str,
    loaded: &mut Vec<Module>,
    read: &mut impl FnMut(&str) -> Result<Vec<u8>>,
) -> Result<()> {
    if loaded.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let bytes = read(name)?;
    for needed in needs(&bytes) {
        load(&needed, loaded, read)?;
    }
    loaded.push(Module { name: name.to_owned(), bytes });
    Ok(())
}

/// What a module says that it needs, in its section of texts that end with a zero.
fn needs(module: &[u8]) -> Vec<String> {
    const MARK: &[u8] = b"\0depends=";
    let Some(at) = module.windows(MARK.len()).position(|window| window == MARK) else {
        return Vec::new();
    };
    let text = &module[at + MARK.len()..];
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(text);
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

/// A module without its compression: the guest's loader knows none.
fn unpacked(path: &Path) -> Result<Vec<u8>> {
    if path.extension() == Some("ko".as_ref()) {
        return Ok(fs::read(path)?);
    }
    let output = std::process::Command::new("xz").arg("-dc").arg(path).output();
    let output = output.context("xz is needed: install xz-utils")?;
    if !output.status.success() {
        bail!("xz cannot unpack {}", path.display());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_by_numbers_and_not_by_letters() {
        let names = [
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.12.9+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
            "linux-image-6.12.200+deb12-amd64",
            "linux-image-6.13-cloud-amd64",
        ];
        let names = |count: usize| names.into_iter().take(count).map(str::to_owned);
        assert_eq!(newest(names(5)).as_deref(), Some("linux-image-6.12.117+deb12-cloud-amd64"));
        assert_eq!(newest(names(1)).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(newest(names(0)), None);
    }

    #[test]
    fn what_a_module_needs_is_loaded_before_it_and_once() {
        let texts = |name: &str| match name {
            "driver" => "\0license=GPL\0depends=fail-over,common\0name=driver\0",
            "fail_over" => "\0depends=common\0",
            _ => "\0depends=\0name=common\0",
        };
        let mut loaded = Vec::new();
        let mut read = |name: &str| Ok(texts(name).as_bytes().to_vec());
        load("driver", &mut loaded, &mut read).expect("all are there");
        let names: Vec<_> = loaded.iter().map(|module| &*module.name).collect();
        assert_eq!(names, ["common", "fail_over", "driver"]);
    }

    #[test]
    fn a_module_that_is_missing_is_named() {
        let mut read = |name: &str| bail!("no module {name}");
        let error = load("driver", &mut Vec::new(), &mut read).expect_err("there is none");
        assert_eq!(error.to_string(), "no module driver");
    }
}
