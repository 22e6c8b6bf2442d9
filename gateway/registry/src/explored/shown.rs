//! Watches see the last one that was shown, whole, and free what was shown before.

use loom::thread;

use super::{UNBOUNDED, holds, is_found_out};
use crate::rules::{Rules, Sound};
use crate::shown::{Shown, Watch};
use crate::sync::Arc;

/// Somebody shows so many; a watch looks meanwhile, and once more afterwards. Each is two equal
/// numbers in a box of its own: loom finds a box that is freed twice or never.
fn look_meanwhile<R: Rules>(shows: u32, looks: u32) {
    let pair = |number| [number, number].map(|number| Arc::new(number));
    let shown = Arc::new(Shown::<_, R>::under_rules(pair(0)));
    let other = Arc::clone(&shown);
    let showing = thread::spawn(move || (1..=shows).for_each(|number| other.show(pair(number))));
    let mut watch = Watch::new(shown);
    let mut last = 0;
    for _ in 0..looks {
        let [one, other] = watch.look();
        assert!(**one == **other && **one >= last, "parts of two, or an older one");
        last = **one;
    }
    showing.join().unwrap();
    assert_eq!(*watch.look()[0], shows, "it does not see what is shown");
}

/// Two show at once; whoever looks afterwards sees what the later of them showed.
fn show_together() {
    let shown = Arc::new(Shown::<_, Sound>::under_rules(0));
    let mut early = Watch::new(Arc::clone(&shown));
    let other = Arc::clone(&shown);
    let showing = thread::spawn(move || other.show(1));
    shown.show(2);
    let meanwhile = *early.look();
    showing.join().unwrap();
    let last = *Watch::new(shown).look();
    assert!(meanwhile > 0 && last > 0);
    assert_eq!(*early.look(), last, "two watches see two");
}

#[derive(Debug)]
struct NumberGoesFirst;

impl Rules for NumberGoesFirst {
    const SHOWN_WITH_ITS_NUMBER: bool = false;
}

#[test]
fn a_watch_sees_what_is_shown() {
    holds("shown, 1 change", UNBOUNDED, 40, || look_meanwhile::<Sound>(1, 1));
}

#[test]
fn a_watch_sees_a_whole_one_at_each_look() {
    holds("shown, 2 changes", Some(4), 300, || look_meanwhile::<Sound>(2, 2));
}

#[test]
fn all_watches_see_the_later_of_two() {
    holds("shown, 2 who show", UNBOUNDED, 40, show_together);
}

#[test]
fn twin_a_number_that_goes_first_hides_what_is_shown() {
    is_found_out("shown, number first", Some(3), "does not see what is shown", || {
        look_meanwhile::<NumberGoesFirst>(1, 1);
    });
}
