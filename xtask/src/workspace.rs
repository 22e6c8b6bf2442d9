//! Where the workspace and its build output are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The top of the checkout that `cargo xtask` was called in.
pub(crate) fn root() -> PathBuf {
    // Cargo says at run time where xtask is, and said so when it was built.
    let xtask = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask.parent().expect("xtask is a folder of the checkout").to_owned()
}

/// `CARGO_TARGET_DIR` made absolute, because cargo is started at the top of the checkout
/// and the user may stand elsewhere.
pub(crate) fn chosen_target_dir() -> Option<PathBuf> {
    let dir = env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty())?;
    Some(env::current_dir().map_or_else(|_| PathBuf::from(&dir), |here| here.join(&dir)))
}

/// Where cargo puts what it builds, one folder per profile below it. Asks this very binary
/// where it is, which covers every way to tell cargo.
///
/// # Errors
/// If the system does not say which binary this is.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let xtask = env::current_exe().context("cannot tell where xtask was built")?;
    let dir = xtask.ancestors().nth(2).context("xtask was not built by cargo")?;
    Ok(dir.to_owned())
}

/// Path of a binary of the workspace, in the folder of its profile.
pub(crate) fn binary(target: &Path, profile: &str, name: &str) -> PathBuf {
    target.join(profile).join(name).with_extension(env::consts::EXE_EXTENSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_this_package() {
        assert!(root().join("xtask/Cargo.toml").is_file());
    }

    #[test]
    fn a_binary_lies_in_the_folder_of_its_profile() {
        let weir = binary(Path::new("target"), "release", "weir");
        assert!(weir.starts_with("target/release"));
        assert_eq!(weir.file_stem().and_then(|name| name.to_str()), Some("weir"));
    }
}
