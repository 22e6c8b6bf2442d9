//! What loom's types lack for our tests.

use std::ops::{Deref, DerefMut};
use std::sync::TryLockError;
use std::{mem, thread};

use loom::sync::atomic::{AtomicUsize, Ordering};

/// Loom's `Arc`, except that a panic leaks it: once an execution has failed, counting down would
/// panic again and abort before anybody hears of the first panic.
#[derive(Debug)]
#[expect(unnameable_types, reason = "public items speak of it, and only tests see it")]
pub struct Arc<T>(Option<loom::sync::Arc<T>>);

impl<T> Arc<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(loom::sync::Arc::new(value)))
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("only a dropped reference is empty")
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        if thread::panicking() {
            mem::forget(self.0.take());
        }
    }
}

/// Loom's `Mutex`, except that `try_lock` fails while somebody holds the lock in interleavings
/// that loom tries: of its own it takes no notice of when a lock is let go.
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    mutex: loom::sync::Mutex<T>,
    /// How many hold the lock. Relaxed, so that it orders nothing that the lock does not.
    held: AtomicUsize,
}

pub(crate) struct MutexGuard<'a, T> {
    guard: loom::sync::MutexGuard<'a, T>,
    held: &'a AtomicUsize,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { mutex: loom::sync::Mutex::new(value), held: AtomicUsize::new(0) }
    }

    fn hold<'a>(&'a self, guard: loom::sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.held.fetch_add(1, Ordering::Relaxed);
        MutexGuard { guard, held: &self.held }
    }
}

/// As of std's module.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.hold(mutex.mutex.lock().expect("loom's locks are not poisoned"))
}

/// As of std's module.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    // Nothing is added: this only reads the latest value, as a lock does.
    if mutex.held.fetch_add(0, Ordering::Relaxed) > 0 {
        return None;
    }
    match mutex.mutex.try_lock() {
        Ok(guard) => Some(mutex.hold(guard)),
        Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => None,
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
    fn drop(&mut self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }
}
