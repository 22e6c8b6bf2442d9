//! Std's locks, or shuttle's, where no holder panics.

use std::sync::TryLockError;

#[cfg(weir_shuttle)]
use shuttle as std_or_shuttle;
#[cfg(not(weir_shuttle))]
use std as std_or_shuttle;

pub(crate) use std_or_shuttle::sync::{Mutex, MutexGuard};

/// Waits for the lock, where no holder can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds a lock of the registry")
}

/// The lock if nobody holds it, where no holder can panic.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Poisoned(_)) => {
            panic!("nothing panics while it holds a lock of the registry")
        }
    }
}
