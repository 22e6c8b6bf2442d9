//! The commands that test what threads share: in all interleavings, in random ones, under watch.

use std::path::Path;

use crate::invocation::Invocation;
use crate::nightly::nightly;
use crate::workspace;

/// `RUSTFLAGS` replaces what .cargo/config.toml sets, so that is repeated. The standard library is
/// not built anew: what that hides from ThreadSanitizer stands in a file.
const TSAN_FLAGS: &str = "--cfg tokio_unstable --cfg weir_tsan -Zsanitizer=thread \
     -Cunsafe-allow-abi-mismatch=sanitizer";

/// Gateways of several shards on several workers, with clients that need no other ones.
const GATEWAYS: [&str; 7] =
    ["--no-default-features", "--test", "balance", "--test", "orders", "--test", "rooms"];

/// The tests of what shards share, built with loom's atomics.
pub(crate) fn loom(target: &Path) -> Invocation {
    explored(target, "loom")
}

/// The same with shuttle's.
pub(crate) fn shuttle(target: &Path) -> Invocation {
    // Optimising over all crates takes longer than the schedules.
    explored(target, "shuttle").env("CARGO_PROFILE_RELEASE_LTO", "off")
}

/// The registry with the primitives of a crate, which decides how threads interleave.
fn explored(target: &Path, by: &str) -> Invocation {
    // Other flags mean other artifacts, so they live in a folder of their own.
    Invocation::cargo(["test", "-p", "gateway-registry", "--release", "--lib"])
        .arg("--target-dir")
        .arg(target.join(by))
        .env("RUSTFLAGS", format!("--cfg tokio_unstable --cfg weir_{by}"))
}

/// Real threads under ThreadSanitizer, for the system `host`: those of the registry, and in the
/// longer form gateways of several shards over real sockets.
pub(crate) fn tsan(target: &Path, host: &str, full: bool) -> Vec<Invocation> {
    let suppressions = workspace::root().join("xtask/tsan-suppressions.txt");
    let test = |package, args: &[&str]| {
        nightly(Invocation::cargo(["test", "--no-fail-fast", "-p", package]))
            .args(["--target", host, "--target-dir"])
            .arg(target.join("tsan"))
            .args(args)
            // The harness has threads of its own, which would only be in the way.
            .args(["--", "--test-threads", "1"])
            .env("RUSTFLAGS", TSAN_FLAGS)
            .env("TSAN_OPTIONS", format!("suppressions={}", suppressions.display()))
    };
    let registry = test("gateway-registry", &["--lib", "--test", "stress"]);
    let gateways = full.then(|| test("gateway", &GATEWAYS));
    [registry].into_iter().chain(gateways).collect()
}

/// The registry's tests, of which the long ones do less, under Miri.
pub(crate) fn miri(target: &Path) -> Invocation {
    nightly(Invocation::new("cargo-miri", ["miri", "test", "-p", "gateway-registry"]))
        .args(["--lib", "--test", "stress", "--target-dir"])
        .arg(target.join("miri"))
        .env("RUSTFLAGS", "--cfg tokio_unstable")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "target";

    #[test]
    fn loom_and_shuttle_have_their_own_flags_and_folders() {
        let target = Path::new(TARGET);
        assert_eq!(
            [loom(target), shuttle(target)].map(|command| command.to_string()),
            [
                "RUSTFLAGS='--cfg tokio_unstable --cfg weir_loom' cargo test -p gateway-registry \
                 --release --lib --target-dir target/loom",
                "RUSTFLAGS='--cfg tokio_unstable --cfg weir_shuttle' \
                 CARGO_PROFILE_RELEASE_LTO=off cargo test -p gateway-registry --release --lib \
                 --target-dir target/shuttle",
            ]
        );
    }

    #[test]
    fn tsan_watches_the_registry_and_in_full_gateways_too() {
        let [usual, full] = [false, true].map(|full| tsan(Path::new(TARGET), "a-b-c", full));
        assert_eq!((usual.len(), full.len()), (1, 2));
        assert_eq!(usual[0], full[0]);
        let said = full[0].to_string();
        assert!(said.starts_with("RUSTUP_TOOLCHAIN=nightly RUSTFLAGS='--cfg tokio_unstable "));
        assert!(said.contains(
            "cargo test --no-fail-fast -p gateway-registry --target a-b-c --target-dir \
             target/tsan --lib --test stress -- --test-threads 1"
        ));
        assert!(full[1].to_string().contains(" -p gateway --target a-b-c "));
    }

    #[test]
    fn miri_reads_the_registry() {
        assert_eq!(
            miri(Path::new(TARGET)).to_string(),
            "RUSTUP_TOOLCHAIN=nightly RUSTFLAGS='--cfg tokio_unstable' cargo-miri miri test -p \
             gateway-registry --lib --test stress --target-dir target/miri"
        );
    }
}
