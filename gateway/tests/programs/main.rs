//! The kernel's programs, run by the kernel itself over frames that never were on a wire.
//!
//! Each test makes maps and programs of its own (BPF_PROG_TEST_RUN), attaches nothing and leaves
//! nothing behind. Without the privilege it says so and passes, unless `WEIR_REQUIRE_BPF=1`.
#![cfg(all(target_os = "linux", not(weir_portable), feature = "bpf"))]
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

#[path = "../../../gateway-ebpf/tests/packet/frames.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod frames;
mod guard;
mod kernel;
#[path = "../../../gateway-ebpf/tests/packet/mutant.rs"]
mod mutant;
mod object;
mod packets;
mod placement;
mod rate;
mod report;
#[path = "../../../gateway-ebpf/tests/choose/tables.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod tables;
mod verdicts;
