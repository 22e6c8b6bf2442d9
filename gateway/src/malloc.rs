//! What was needed once goes back to the system.
//!
//! By itself glibc takes the largest buffer that was ever freed, up to 32 MiB, for what will be
//! needed again, keeps twice as much at the end of each thread's heap, and takes such buffers out
//! of those heaps, where whatever lies behind one keeps it. So one large message would make a node
//! larger for good: after echoes of up to 20 MiB 53 MiB stayed, and 30 with this.
#![allow(unsafe_code, reason = "one call into the C library, below")]

/// Buffers of at least this many bytes are mapped apart, and unmapped when they are freed; and no
/// heap keeps more than that at its end. 1 MiB was mapped, filled and unmapped in 0.36 ms, and
/// longer messages are rare.
#[cfg(all(target_os = "linux", target_env = "gnu", not(weir_portable)))]
const THRESHOLD_BYTES: std::ffi::c_int = 1 << 20;

/// Has memory given back from now on; to be called before threads are started. Elsewhere than with
/// glibc the allocator does as it does.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(weir_portable)))]
    for parameter in [M_MMAP_THRESHOLD, M_TRIM_THRESHOLD] {
        // SAFETY: `mallopt` takes two numbers, may be called at any time from one thread, and
        // refuses what it does not know; then the allocator does as before.
        let _ = unsafe { mallopt(parameter, THRESHOLD_BYTES) };
    }
}

/// As in `malloc.h`.
#[cfg(all(target_os = "linux", target_env = "gnu", not(weir_portable)))]
const M_TRIM_THRESHOLD: std::ffi::c_int = -1;
#[cfg(all(target_os = "linux", target_env = "gnu", not(weir_portable)))]
const M_MMAP_THRESHOLD: std::ffi::c_int = -3;

#[cfg(all(target_os = "linux", target_env = "gnu", not(weir_portable)))]
unsafe extern "C" {
    fn mallopt(parameter: std::ffi::c_int, value: std::ffi::c_int) -> std::ffi::c_int;
}
