//! Which allocator the program has, and that what was needed once goes back to the system.
//!
//! With the feature `jemalloc`, on Linux, it is jemalloc: a crowd's entries lie between those of
//! who stays, and it gives back each page of which nothing is used, while glibc keeps what is not
//! at the end of a heap. After 12,000 rooms had come and gone 8 MiB stayed, and 14 with glibc.
//! A library does not choose: programs that use Weir's have the allocator that they name.
#![allow(unsafe_code, reason = "a symbol that jemalloc reads, or one call into the C library")]

#[cfg(all(feature = "jemalloc", target_os = "linux", not(weir_portable)))]
mod chosen {
    use std::ffi::{CStr, c_char, c_int, c_void};
    use std::{io, ptr};

    use tikv_jemallocator::Jemalloc;

    #[global_allocator]
    static ALLOCATOR: Jemalloc = Jemalloc;

    /// Pages that are free go back within a second. No thread keeps larger buffers than of 2 KiB
    /// for itself, which it would until it needs others: up to 20 of each size.
    const OPTIONS: &[u8; 53] = b"dirty_decay_ms:1000,muzzy_decay_ms:0,tcache_max:2048\0";

    // SAFETY: jemalloc reads the C string that this symbol points to, once, when it starts, and has
    // the symbol without a value for programs that do not define it. Nothing else is called so.
    #[unsafe(export_name = "_rjem_malloc_conf")]
    #[used]
    static CONF: &[u8; OPTIONS.len()] = OPTIONS;

    /// Nothing is left to be said: it has read its options.
    pub(crate) fn give_back() {}

    /// By a thread of jemalloc's own: no shard waits for that, and none has to be awake for it.
    pub(crate) fn start_thread() -> io::Result<()> {
        let mut on = true;
        // SAFETY: jemalloc reads the name up to its end and one byte of `on`, which is a C `bool`,
        // and asks for no place to write what was there before.
        let refused = unsafe {
            let none = ptr::null_mut();
            let on = (&raw mut on).cast();
            mallctl(THREAD.as_ptr(), none, ptr::null_mut(), on, size_of::<bool>())
        };
        if refused == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(refused)) }
    }

    const THREAD: &CStr = c"background_thread";

    unsafe extern "C" {
        #[link_name = "_rjem_mallctl"]
        fn mallctl(
            name: *const c_char,
            old: *mut c_void,
            old_bytes: *mut usize,
            new: *mut c_void,
            new_bytes: usize,
        ) -> c_int;
    }
}

#[cfg(not(all(feature = "jemalloc", target_os = "linux", not(weir_portable))))]
mod chosen {
    /// Buffers of at least this many bytes are mapped apart, and unmapped when they are freed; and
    /// no heap keeps more than that at its end. 1 MiB was mapped, filled and unmapped in 0.36 ms,
    /// and longer messages are rare.
    #[cfg(all(target_os = "linux", target_env = "gnu", not(weir_portable)))]
    const THRESHOLD_BYTES: std::ffi::c_int = 1 << 20;

    /// By itself glibc takes the largest buffer that was ever freed, up to 32 MiB, for what will be
    /// needed again, keeps twice as much at the end of each thread's heap, and takes such buffers
    /// out of those heaps, where whatever lies behind one keeps it. So one large message would make
    /// a node larger for good: after echoes of up to 20 MiB 53 MiB stayed, and 30 with this.
    pub(crate) fn give_back() {
        #[cfg(all(target_os = "linux", target_env = "gnu", not(weir_portable)))]
        for parameter in [M_MMAP_THRESHOLD, M_TRIM_THRESHOLD] {
            // SAFETY: `mallopt` takes two numbers, may be called at any time from one thread, and
            // refuses what it does not know; then the allocator does as before.
            let _ = unsafe { mallopt(parameter, THRESHOLD_BYTES) };
        }
    }

    /// Who frees gives back.
    pub(crate) fn start_thread() -> std::io::Result<()> {
        Ok(())
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
}

/// Has memory given back from now on; to be called before threads are started. Elsewhere than with
/// jemalloc or glibc the allocator does as it does.
pub(crate) use chosen::give_back;

/// Has memory given back while nobody runs, too; to be called when capabilities have been given
/// up, since a thread that this starts keeps those that the caller has.
pub(crate) use chosen::start_thread;
