//! Std's types, or those of loom and shuttle, which decide how threads interleave.

pub(crate) use chosen::*;

#[cfg(not(any(weir_loom, weir_tsan)))]
mod locks;
#[cfg(weir_loom)]
mod loomed;
#[cfg(weir_tsan)]
mod watched;

#[cfg(weir_loom)]
mod chosen {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };

    pub(crate) use super::loomed::{Arc, Mutex, MutexGuard, lock, try_lock};
}

#[cfg(not(weir_loom))]
mod chosen {
    // The same names in both.
    #[cfg(weir_shuttle)]
    use shuttle as std_or_shuttle;
    #[cfg(not(weir_shuttle))]
    use std as std_or_shuttle;

    pub(crate) use std_or_shuttle::sync::Arc;
    pub(crate) use std_or_shuttle::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };

    #[cfg(not(weir_tsan))]
    pub(crate) use super::locks::{Mutex, MutexGuard, lock, try_lock};
    #[cfg(weir_tsan)]
    pub(crate) use super::watched::{Mutex, MutexGuard, lock, try_lock};

    /// Std's cell with loom's access, which shows where a pointer is in use.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }
}
