//! Package managers: a small table of what each calls things.

use std::{env, slice};

use super::Need;
use crate::invocation::Invocation;

/// How one package manager is spoken to.
pub(super) struct Manager {
    program: &'static str,
    /// Settings in the environment that keep it from asking, and from starting what it installs.
    env: &'static [&'static str],
    refresh: &'static [&'static str],
    install: &'static [&'static str],
    pkg_config: &'static str,
    hwloc: &'static str,
    udev: &'static str,
    /// What benchmarks compare Weir to; nothing where nobody has looked it up.
    nats_server: &'static [&'static str],
    nchan: &'static [&'static str],
    uv: &'static str,
    ip: &'static str,
    /// A compiler for the kernel's BPF, and the LLVM that it is made with; as above.
    bpf_compiler: &'static [&'static str],
    bpf_llvm: &'static [&'static str],
    /// What the emulated machine takes; its kernel comes from Debian's packages only.
    qemu: &'static [&'static str],
    busybox: &'static [&'static str],
    xz: &'static str,
}

const MANAGERS: [Manager; 5] = [
    Manager {
        program: "apt-get",
        // In a run level of maintenance no server that is installed is started.
        env: &["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"],
        refresh: &["update"],
        install: &["install", "-y", "--no-install-recommends"],
        pkg_config: "pkg-config",
        hwloc: "libhwloc-dev",
        udev: "libudev-dev",
        nats_server: &["nats-server"],
        nchan: &["nginx", "libnginx-mod-nchan"],
        uv: "libuv1",
        ip: "iproute2",
        bpf_compiler: &["rustc-web", "libstd-rust-web-dev-bpf"],
        bpf_llvm: &["llvm-22-dev", "libpolly-22-dev", "libzstd-dev"],
        qemu: &["qemu-system-x86"],
        busybox: &["busybox-static"],
        xz: "xz-utils",
    },
    Manager {
        program: "dnf",
        env: &[],
        refresh: &["makecache"],
        install: &["install", "-y"],
        pkg_config: "pkgconf-pkg-config",
        hwloc: "hwloc-devel",
        udev: "systemd-devel",
        nats_server: &[],
        nchan: &[],
        uv: "libuv",
        ip: "iproute",
        bpf_compiler: &[],
        bpf_llvm: &[],
        qemu: &[],
        busybox: &[],
        xz: "xz",
    },
    Manager {
        program: "pacman",
        env: &[],
        refresh: &["-Sy", "--noconfirm"],
        install: &["-S", "--needed", "--noconfirm"],
        pkg_config: "pkgconf",
        hwloc: "hwloc",
        udev: "systemd",
        nats_server: &[],
        nchan: &[],
        uv: "libuv",
        ip: "iproute2",
        bpf_compiler: &[],
        bpf_llvm: &[],
        qemu: &[],
        busybox: &[],
        xz: "xz",
    },
    Manager {
        program: "zypper",
        env: &[],
        refresh: &["--non-interactive", "refresh"],
        install: &["--non-interactive", "install"],
        pkg_config: "pkg-config",
        hwloc: "hwloc-devel",
        udev: "libudev-devel",
        nats_server: &[],
        nchan: &[],
        uv: "libuv1",
        ip: "iproute2",
        bpf_compiler: &[],
        bpf_llvm: &[],
        qemu: &[],
        busybox: &[],
        xz: "xz",
    },
    Manager {
        program: "apk",
        env: &[],
        refresh: &["update"],
        install: &["add"],
        pkg_config: "pkgconf",
        hwloc: "hwloc-dev",
        udev: "eudev-dev",
        nats_server: &[],
        nchan: &[],
        uv: "libuv",
        ip: "iproute2",
        bpf_compiler: &[],
        bpf_llvm: &[],
        qemu: &[],
        busybox: &[],
        xz: "xz",
    },
];

/// The package managers that are known here.
pub(super) const NAMES: [&str; MANAGERS.len()] = {
    let mut names = [""; MANAGERS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = MANAGERS[at].program;
        at += 1;
    }
    names
};

/// Whether this user may install packages without being asked for a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rights {
    Root,
    Sudo,
    Neither,
}

impl Rights {
    pub(super) fn of_this_user() -> Self {
        if Invocation::new("id", ["-u"]).output().is_some_and(|id| id.trim() == "0") {
            Self::Root
        } else if Invocation::new("sudo", ["-n", "true"]).succeeds() {
            Self::Sudo
        } else {
            Self::Neither
        }
    }
}

impl Manager {
    /// The first of the table that is on the path.
    pub(super) fn of_this_system() -> Option<&'static Self> {
        let path = env::var_os("PATH")?;
        let installed = |program| env::split_paths(&path).any(|dir| dir.join(program).is_file());
        MANAGERS.iter().find(|manager| installed(manager.program))
    }

    /// What refreshes the lists of packages, and what installs those that are missing.
    pub(super) fn invocations(&self, missing: &[Need], rights: Rights) -> (Invocation, Invocation) {
        let env: &[&str] = if self.env.is_empty() { &[] } else { &["env"] };
        let sudo: &[&str] = if rights == Rights::Sudo { &["sudo", "-n"] } else { &[] };
        let words = |args| [sudo, env, self.env, &[self.program], args].concat();
        (invocation(&words(self.refresh)), invocation(&words(&self.install_args(missing))))
    }

    /// The same for a person, who can answer questions.
    pub(super) fn line_to_type(&self, missing: &[Need], rights: Rights) -> String {
        let sudo: &[&str] = if rights == Rights::Root { &[] } else { &["sudo"] };
        let words = |args| [sudo, &[self.program], args].concat();
        let refresh = invocation(&words(self.refresh));
        let install = invocation(&words(&self.install_args(missing)));
        format!("{refresh} && {install}")
    }

    fn install_args(&self, missing: &[Need]) -> Vec<&'static str> {
        let names = missing.iter().flat_map(|need| self.names_of(need)).copied();
        self.install.iter().copied().chain(names).collect()
    }

    fn names_of(&self, need: &Need) -> &[&'static str] {
        match need {
            Need::PkgConfig => slice::from_ref(&self.pkg_config),
            Need::Hwloc => slice::from_ref(&self.hwloc),
            Need::Udev => slice::from_ref(&self.udev),
            // All of them call it so.
            Need::Make => &["make"],
            Need::NatsServer => self.nats_server,
            Need::Nchan => self.nchan,
            Need::Uv => slice::from_ref(&self.uv),
            Need::Ip => slice::from_ref(&self.ip),
            // All of them call it so.
            Need::Ethtool => &["ethtool"],
            Need::BpfCompiler => self.bpf_compiler,
            Need::BpfLlvm => self.bpf_llvm,
            Need::Qemu => self.qemu,
            Need::Busybox => self.busybox,
            Need::Xz => slice::from_ref(&self.xz),
        }
    }

    /// Whether it has names for all of them.
    pub(super) fn knows(&self, missing: &[Need]) -> bool {
        missing.iter().all(|need| !self.names_of(need).is_empty())
    }
}

fn invocation(words: &[&'static str]) -> Invocation {
    let (program, args) = words.split_first().expect("a manager has a program");
    Invocation::new(*program, args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(program: &str, rights: Rights) -> String {
        let manager = MANAGERS.iter().find(|manager| manager.program == program);
        let (refresh, install) =
            manager.expect("a known manager").invocations(&[Need::Hwloc, Need::Udev], rights);
        format!("{refresh}\n{install}")
    }

    #[test]
    fn root_installs_without_being_asked_anything() {
        assert_eq!(
            line("apt-get", Rights::Root),
            "env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get update\n\
             env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y \
             --no-install-recommends libhwloc-dev libudev-dev"
        );
    }

    #[test]
    fn sudo_is_never_allowed_to_ask_for_a_password() {
        assert_eq!(
            line("dnf", Rights::Sudo),
            "sudo -n dnf makecache\nsudo -n dnf install -y hwloc-devel systemd-devel"
        );
    }

    #[test]
    fn a_person_is_told_the_exact_line() {
        let told = MANAGERS[0].line_to_type(&Need::ALL, Rights::Neither);
        assert_eq!(
            told,
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends \
             pkg-config libhwloc-dev libudev-dev make"
        );
    }

    #[test]
    fn what_is_measured_beside_is_installed_where_its_name_is_known() {
        let args = MANAGERS[0].install_args(&[Need::NatsServer, Need::Nchan]);
        assert!(args.ends_with(&["nats-server", "nginx", "libnginx-mod-nchan"]), "{args:?}");
        let known = |manager: &Manager| manager.knows(&[Need::Nchan]);
        assert_eq!(MANAGERS.iter().map(known).collect::<Vec<_>>()[..2], [true, false]);
    }

    #[test]
    fn what_builds_for_the_kernel_is_installed_where_its_name_is_known() {
        let needs = [Need::BpfCompiler, Need::BpfLlvm];
        let args = MANAGERS[0].install_args(&needs);
        let names = ["rustc-web", "libstd-rust-web-dev-bpf", "llvm-22-dev", "libpolly-22-dev"];
        assert!(args.ends_with(&[names.as_slice(), &["libzstd-dev"]].concat()), "{args:?}");
        let knowing = MANAGERS.iter().filter(|manager| manager.knows(&needs));
        assert_eq!(knowing.count(), 1);
    }

    #[test]
    fn every_manager_names_every_need() {
        for manager in &MANAGERS {
            let args = manager.install_args(&Need::ALL);
            assert_eq!(args.len(), manager.install.len() + Need::ALL.len());
            assert!(args.iter().all(|arg| !arg.is_empty()), "{}", manager.program);
        }
    }
}
