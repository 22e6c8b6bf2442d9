//! A doorbell: wakes a worker up if it sleeps, and costs one instruction if it does not.

use std::marker::PhantomData;
use std::task::Waker;

use gateway_faults::{buggify, sometimes};

use crate::padded::Padded;
use crate::rules::{Rules, Sound};
use crate::sync::{AtomicU8, Mutex, Ordering, lock};

/// Somebody rang since the worker was last awake.
const RUNG: u8 = 1;
/// The worker sleeps, or is about to: who rings first wakes it.
const ASLEEP: u8 = 2;

/// One worker's doorbell. Anybody rings, the worker alone sleeps.
///
/// The worker's rhythm: [`awake`](Self::awake), look at everything, and if there is nothing more
/// to do, [`sleep`](Self::sleep). What somebody did before it rang is seen by the look after the
/// next `awake`, or the sleep is refused, or ended by the waker.
///
/// The flag is only ever changed by read-modify-writes. These see each other in one order, which
/// plain loads and stores need not.
#[derive(Debug)]
pub struct Doorbell<R: Rules = Sound> {
    /// `RUNG` is set by whoever rings, `ASLEEP` by the worker; the worker alone clears.
    state: Padded<AtomicU8>,
    /// The worker writes it before it sets `ASLEEP`; read by who rings first after that.
    waker: Mutex<Option<Waker>>,
    rules: PhantomData<R>,
}

impl Doorbell {
    /// A doorbell of a worker that is awake.
    #[must_use]
    pub fn new() -> Self {
        Self::under_rules()
    }
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Rules> Doorbell<R> {
    pub(crate) fn under_rules() -> Self {
        Self { state: Padded(AtomicU8::new(0)), waker: Mutex::new(None), rules: PhantomData }
    }

    /// Tells the worker to look again. The first ring calls the waker if the worker sleeps; more
    /// rings before it is awake change nothing.
    pub fn ring(&self) {
        let before = self.state.fetch_or(RUNG, R::RING);
        sometimes!(RungAwake, before == 0);
        sometimes!(RungAsleep, before == ASLEEP);
        if before == ASLEEP {
            // Called without the lock: a waker is foreign code.
            let waker = lock(&self.waker).clone();
            waker.expect("a sleeping worker has left its waker").wake();
        }
    }

    /// Announces that the worker sleeps until somebody rings, who then calls the waker.
    ///
    /// False if somebody has rung since [`awake`](Self::awake): do not sleep, look again. True
    /// also if the worker, still asleep, was polled for another reason and only changes its waker.
    #[must_use = "a worker that sleeps although somebody rang may sleep for ever"]
    pub fn sleep(&self, waker: &Waker) -> bool {
        let mut left = lock(&self.waker);
        if !left.as_ref().is_some_and(|left| left.will_wake(waker)) {
            *left = Some(waker.clone());
        }
        drop(left);
        let rung = self.announce() & RUNG != 0;
        sometimes!(RungDeciding, rung);
        !rung && !buggify!(SleepRefused)
    }

    /// Says that the worker is about to look at everything: who rings from now on may have more.
    pub fn awake(&self) {
        self.state.swap(0, Ordering::AcqRel);
    }

    /// Sets `ASLEEP` and returns what was there before. `Release`, so that who sees it finds the
    /// waker.
    fn announce(&self) -> u8 {
        if R::SLEEP_READS_AND_WRITES {
            return self.state.fetch_or(ASLEEP, Ordering::AcqRel);
        }
        let before = self.state.load(Ordering::Acquire);
        self.state.store(before | ASLEEP, Ordering::Release);
        before
    }
}

#[cfg(all(test, not(any(weir_loom, weir_shuttle))))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Woken {
        fn times(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn sleeper() -> (Doorbell, Arc<Woken>, Waker) {
        let woken = Arc::new(Woken::default());
        (Doorbell::new(), Arc::clone(&woken), woken.into())
    }

    #[test]
    fn only_the_first_ring_wakes_who_sleeps() {
        let (doorbell, woken, waker) = sleeper();
        assert!(doorbell.sleep(&waker));
        (0..3).for_each(|_| doorbell.ring());
        assert_eq!(woken.times(), 1);
        doorbell.awake();
        assert!(doorbell.sleep(&waker));
        doorbell.ring();
        assert_eq!(woken.times(), 2);
    }

    #[test]
    fn who_is_awake_is_not_woken_but_does_not_sleep_either() {
        let (doorbell, woken, waker) = sleeper();
        doorbell.ring();
        assert!(!doorbell.sleep(&waker));
        assert!(!doorbell.sleep(&waker), "it has not been awake since");
        doorbell.ring();
        doorbell.awake();
        assert!(doorbell.sleep(&waker));
        assert_eq!(woken.times(), 0);
    }

    #[test]
    fn the_latest_waker_is_called() {
        let (doorbell, first, waker) = sleeper();
        let (_, second, other) = sleeper();
        assert!(doorbell.sleep(&waker));
        assert!(doorbell.sleep(&other));
        doorbell.ring();
        assert_eq!((first.times(), second.times()), (0, 1));
    }
}
