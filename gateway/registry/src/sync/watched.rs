//! Std's `Mutex`, except that ThreadSanitizer sees how it orders threads.
//!
//! A thread that had to wait takes std's lock inside of std, which is not instrumented. So each
//! holder reads and writes a count of our own, with what the lock itself promises and no more:
//! whoever holds it next sees all that was done under it.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{self, TryLockError};

#[derive(Debug)]
pub(crate) struct Mutex<T> {
    mutex: sync::Mutex<T>,
    turns: AtomicUsize,
}

pub(crate) struct MutexGuard<'a, T> {
    guard: sync::MutexGuard<'a, T>,
    turns: &'a AtomicUsize,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { mutex: sync::Mutex::new(value), turns: AtomicUsize::new(0) }
    }

    fn hold<'a>(&'a self, guard: sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let _ = self.turns.load(Ordering::Acquire);
        MutexGuard { guard, turns: &self.turns }
    }
}

/// As of std's module.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.hold(mutex.mutex.lock().expect("nothing panics while it holds a lock of the registry"))
}

/// As of std's module.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.mutex.try_lock() {
        Ok(guard) => Some(mutex.hold(guard)),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Poisoned(_)) => {
            panic!("nothing panics while it holds a lock of the registry")
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    /// Before std's guard lets go of the lock.
    fn drop(&mut self) {
        self.turns.fetch_add(1, Ordering::Release);
    }
}
