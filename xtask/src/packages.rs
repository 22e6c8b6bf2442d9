//! The system packages that the build needs, or a benchmark: found, installed, or told.

mod manager;

use std::env;

use anyhow::{Result, bail};
use manager::{Manager, Rights};

use crate::invocation::Invocation;

/// Where nginx has the module.
const NCHAN_MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// Asks the loader, which not everyone's path names.
const FIND_UV: &str = "PATH=$PATH:/usr/sbin:/sbin ldconfig -p | grep -qF libuv.so.1";

/// Programs for administrators, which not everyone's path names either.
const FIND_IP: &str = "PATH=$PATH:/usr/sbin:/sbin ip -V";
const FIND_ETHTOOL: &str = "PATH=$PATH:/usr/sbin:/sbin ethtool --version";

/// What the distribution's compiler finds when it builds for BPF.
const FIND_BPF_CORE: &str =
    "ls $(/usr/bin/rustc --print target-libdir --target bpfel-unknown-none)/libcore-*.rlib";

/// The headers and libraries, and the two that linking with them asks for.
const FIND_BPF_LLVM: &str = "llvm-strip-22 --version && cd $(llvm-config-22 --libdir) && \
     test -f libPolly.a && test -f /usr/include/zstd.h";

/// What can be built here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Build {
    /// Everything; the system packages are there.
    Whole,
    /// Without the features that need system packages.
    Portable,
}

impl Build {
    /// What cargo is told.
    pub(crate) fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Whole => &[],
            Self::Portable => &["--no-default-features"],
        }
    }
}

/// One thing that the build, or a benchmark, needs of the system.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Need {
    PkgConfig,
    Hwloc,
    Udev,
    /// The allocator is built by it, and by the C compiler that links all Rust programs.
    Make,
    NatsServer,
    Nchan,
    Uv,
    /// Makes network namespaces and the cables between them.
    Ip,
    /// Changes what a network device leaves to its hardware.
    Ethtool,
    /// A compiler with a standard library for the kernel's BPF.
    BpfCompiler,
    /// What bpf-linker is built with, and what strips objects.
    BpfLlvm,
    /// Emulates the machine of `cargo xtask vm`.
    Qemu,
    /// The shell of that machine, without libraries.
    Busybox,
    /// Unpacks its modules.
    Xz,
}

impl Need {
    /// What the build needs.
    const ALL: [Self; 4] = [Self::PkgConfig, Self::Hwloc, Self::Udev, Self::Make];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PkgConfig => "pkg-config",
            Self::Hwloc => "hwloc 2.8 or later",
            Self::Udev => "libudev",
            Self::Make => "make",
            Self::NatsServer => "nats-server",
            Self::Nchan => "nginx with nchan",
            Self::Uv => "libuv",
            Self::Ip => "ip",
            Self::Ethtool => "ethtool",
            Self::BpfCompiler => "a packaged Rust compiler with a standard library for BPF",
            Self::BpfLlvm => "LLVM 22",
            Self::Qemu => "qemu-system-x86_64",
            Self::Busybox => "busybox without libraries",
            Self::Xz => "xz",
        }
    }

    fn probe(self) -> Invocation {
        let pkg_config = || env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
        match self {
            Self::PkgConfig => Invocation::new(pkg_config(), ["--version"]),
            Self::Hwloc => Invocation::new(pkg_config(), ["--atleast-version=2.8", "hwloc"]),
            Self::Udev => Invocation::new(pkg_config(), ["--exists", "libudev"]),
            Self::Make => Invocation::new("make", ["--version"]),
            Self::NatsServer => Invocation::new("nats-server", ["--version"]),
            Self::Nchan => Invocation::new("test", ["-f", NCHAN_MODULE]),
            Self::Uv => Invocation::new("sh", ["-c", FIND_UV]),
            Self::Ip => Invocation::new("sh", ["-c", FIND_IP]),
            Self::Ethtool => Invocation::new("sh", ["-c", FIND_ETHTOOL]),
            Self::BpfCompiler => Invocation::new("sh", ["-c", FIND_BPF_CORE]),
            Self::BpfLlvm => Invocation::new("sh", ["-c", FIND_BPF_LLVM]),
            Self::Qemu => Invocation::new("qemu-system-x86_64", ["--version"]),
            Self::Busybox => Invocation::new("busybox", ["true"]),
            Self::Xz => Invocation::new("xz", ["--version"]),
        }
    }

    pub(crate) fn is_met(self) -> bool {
        self.probe().succeeds()
    }
}

/// Checks what the build needs and installs what is missing, if it may and can.
///
/// # Errors
/// If something is missing after all; says what, and what to type.
pub(crate) fn ensure(may_install: bool) -> Result<Build> {
    if !cfg!(target_os = "linux") {
        println!("Not on Linux: built without hwloc and jemalloc; workers are not placed.");
        return Ok(Build::Portable);
    }
    let missing = missing();
    if missing.is_empty() {
        return Ok(Build::Whole);
    }
    println!("The build needs what this system lacks: {}.", names(&missing));
    install(&missing, may_install)?;
    let still = self::missing();
    if !still.is_empty() {
        bail!("{}", too_old(&still));
    }
    Ok(Build::Whole)
}

/// Installs one thing if it is missing.
///
/// # Errors
/// If it is missing after all; says what to type.
pub(crate) fn ensure_one(need: Need) -> Result<()> {
    ensure_these(&[need], true)
}

/// Installs those that are missing, if it may.
///
/// # Errors
/// If one is missing after all; says what to type.
pub(crate) fn ensure_these(needs: &[Need], may_install: bool) -> Result<()> {
    let missing = || needs.iter().copied().filter(|need| !need.is_met()).collect::<Vec<_>>();
    if missing().is_empty() {
        return Ok(());
    }
    install(&missing(), may_install)?;
    let still = missing();
    if !still.is_empty() {
        bail!("this system's packages do not provide {}", names(&still));
    }
    Ok(())
}

/// Whether this user is root.
pub(crate) fn is_root() -> bool {
    Rights::of_this_user() == Rights::Root
}

/// Without pkg-config nothing else can be seen, so that everything counts as missing; a
/// package manager passes over what is there.
fn missing() -> Vec<Need> {
    Need::ALL.into_iter().filter(|need| !need.is_met()).collect()
}

fn install(missing: &[Need], may_install: bool) -> Result<()> {
    let Some(manager) = Manager::of_this_system() else {
        bail!("{}", by_hand(missing));
    };
    if !manager.knows(missing) {
        bail!("{}", by_hand(missing));
    }
    let rights = Rights::of_this_user();
    if !may_install || rights == Rights::Neither {
        bail!("install it with\n    {}", manager.line_to_type(missing, rights));
    }
    let (refresh, install) = manager.invocations(missing, rights);
    if let Err(error) = refresh.run() {
        // One broken mirror of many must not stop what the others can give.
        println!("{error:#}; trying with the lists that are there.");
    }
    install.run()
}

fn names(needs: &[Need]) -> String {
    needs.iter().map(|need| need.name()).collect::<Vec<_>>().join(", ")
}

fn by_hand(missing: &[Need]) -> String {
    format!(
        "none of {} here knows it: install {} (with headers) by hand",
        manager::NAMES.join(", "),
        names(missing),
    )
}

fn too_old(still: &[Need]) -> String {
    format!(
        "this system's packages do not provide {}: install it from its source, or do without \
         it: cargo run --release -p gateway --no-default-features",
        names(still),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hwloc_is_asked_for_with_its_version() {
        let probe = Need::Hwloc.probe().to_string();
        assert!(probe.ends_with(" --atleast-version=2.8 hwloc"), "{probe}");
    }

    #[test]
    fn what_cannot_be_installed_is_named() {
        let text = by_hand(&[Need::Hwloc, Need::Udev]);
        assert!(text.contains("install hwloc 2.8 or later, libudev (with headers) by hand"));
        assert!(text.contains("apt-get, dnf, pacman, zypper, apk"), "{text}");
    }

    #[test]
    fn only_the_portable_build_leaves_features_out() {
        assert!(Build::Whole.flags().is_empty());
        assert_eq!(Build::Portable.flags(), ["--no-default-features"]);
    }
}
