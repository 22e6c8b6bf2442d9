//! Two who show, and four shards that look.

use shuttle::sync::Arc;
use shuttle::thread;

use super::{holds, is_found_out, twin};
use crate::rules::{Rules, Sound};
use crate::shown::{Shown, Watch};

/// Each of two shows numbers that rise; no watch sees one's numbers fall, and all see the last.
fn look_meanwhile<R: Rules>(watches: usize, shows: u32) {
    let shown = Arc::new(Shown::<_, R>::under_rules((0, 0)));
    let showing = [0, 1].map(|who| {
        let shown = Arc::clone(&shown);
        thread::spawn(move || (1..=shows).for_each(|number| shown.show((who, number))))
    });
    let looking: Vec<_> = (0..watches)
        .map(|_| {
            let mut watch = Watch::new(Arc::clone(&shown));
            thread::spawn(move || {
                let mut last = [0; 2];
                for _ in 0..4 {
                    let &(who, number) = watch.look();
                    assert!(number >= last[who], "an older one");
                    last[who] = number;
                }
                watch
            })
        })
        .collect();
    showing.into_iter().for_each(|it| it.join().unwrap());
    let last = *Watch::new(Arc::clone(&shown)).look();
    for looking in looking {
        assert_eq!(*looking.join().unwrap().look(), last, "it does not see what is shown");
    }
}

twin!(NumberGoesFirst: SHOWN_WITH_ITS_NUMBER = false);

#[test]
fn four_watches_see_the_last_of_two_who_show() {
    holds("shown, 6 threads", 1_500, || look_meanwhile::<Sound>(4, 3));
}

#[test]
fn twin_a_number_that_goes_first_hides_what_is_shown() {
    is_found_out("shown, number first", "does not see what is shown", || {
        look_meanwhile::<NumberGoesFirst>(4, 3);
    });
}
