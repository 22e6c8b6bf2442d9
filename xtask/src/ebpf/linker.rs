//! bpf-linker, which makes an object of what the compiler says: found or installed.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::invocation::Invocation;
use crate::workspace;

/// The version that is taken: another one may generate other code.
pub(super) const VERSION: &str = "0.13.0";

/// The LLVM that the distribution's compiler is made with.
pub(super) const LLVM: &str = "22";

const NAME: &str = "bpf-linker";

/// A linker of the right version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Linker {
    pub(super) path: PathBuf,
    /// The library that it has its LLVM from, such as `libLLVM.so.22.1`; none if it is built in.
    pub(super) llvm: Option<String>,
}

impl Linker {
    /// The first that will do: those on the path, then the one that [`install`] installs.
    pub(super) fn find(will_do: impl Fn(&Self) -> bool) -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let there = env::split_paths(&path).map(|folder| folder.join(NAME));
        let mut all = there.chain(root().ok().map(|root| root.join("bin").join(NAME)));
        all.find_map(|path| Self::at(path).filter(&will_do))
    }

    /// Whether it generates code with the distribution's LLVM.
    pub(super) fn is_of_distribution(&self) -> bool {
        let library = format!("libLLVM.so.{LLVM}");
        self.llvm.as_ref().is_some_and(|llvm| llvm.starts_with(&library))
    }

    fn at(path: PathBuf) -> Option<Self> {
        let said = Invocation::new(&path, ["--version"]).output()?;
        if said.trim() != format!("{NAME} {VERSION}") {
            return None;
        }
        let llvm = Invocation::new("ldd", [&path]).output().and_then(|said| library(&said));
        Some(Self { path, llvm })
    }
}

/// Builds the linker against the distribution's LLVM, below the target folder, if it may. Takes
/// minutes.
///
/// # Errors
/// If cargo fails; if it may not, says what to type.
pub(super) fn install(may_install: bool) -> Result<()> {
    let config = Invocation::new(format!("llvm-config-{LLVM}"), ["--prefix"]);
    let prefix = config.output().with_context(|| format!("`{config}` says nothing"))?;
    let install = installation(&root()?, prefix.trim());
    if !may_install {
        bail!("install it with\n    {install}");
    }
    install.run()
}

/// The prefix is that of LLVM, of which there may be several.
fn installation(root: &Path, prefix: &str) -> Invocation {
    Invocation::cargo(["install", NAME, "--version", VERSION, "--locked", "--no-default-features"])
        .args(["--features", &format!("llvm-{LLVM}"), "--root"])
        .arg(root)
        // Another place than its root, so that what it was built from can be thrown away.
        .arg("--target-dir")
        .arg(root.join("build"))
        .env("LLVM_PREFIX", prefix)
}

/// Where the linker is installed: apart from other tools, by its LLVM.
fn root() -> Result<PathBuf> {
    let name = format!("{NAME}-{VERSION}-llvm-{LLVM}");
    Ok(workspace::target_dir()?.join("tools").join(name))
}

/// The LLVM library among those that `ldd` names.
fn library(ldd: &str) -> Option<String> {
    let names = ldd.lines().filter_map(|line| line.split_whitespace().next());
    let mut names = names.filter_map(|name| Path::new(name).file_name()?.to_str());
    names.find(|name| name.starts_with("libLLVM")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_that_llvm_comes_from_is_found() {
        let ldd = "\tlinux-vdso.so.1 (0x00007f5b)\n\
                   \tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x00007f5b)\n\
                   \tlibc.so.6 => /lib/libc.so.6 (0x00007f5b)\n";
        assert_eq!(library(ldd).as_deref(), Some("libLLVM.so.22.1"));
        assert_eq!(library("\tlibc.so.6 => /lib/libc.so.6 (0x0)\n"), None);
    }

    #[test]
    fn the_linker_is_installed_in_its_version_against_the_distributions_llvm() {
        let said = installation(Path::new("tools"), "/llvm").to_string();
        assert_eq!(
            said,
            "LLVM_PREFIX=/llvm cargo install bpf-linker --version 0.13.0 --locked \
             --no-default-features --features llvm-22 --root tools --target-dir tools/build"
        );
    }

    #[test]
    fn only_the_distributions_llvm_is_the_distributions() {
        let linker = |llvm: Option<&str>| Linker {
            path: PathBuf::from(NAME),
            llvm: llvm.map(str::to_owned),
        };
        assert!(linker(Some("libLLVM.so.22.1")).is_of_distribution());
        assert!(!linker(Some("libLLVM.so.21.1")).is_of_distribution());
        assert!(!linker(None).is_of_distribution());
    }
}
