//! Enums whose values can be listed, counted and named.

/// Defines an enum, `ALL` of its values and the `name` of each, which is unique.
macro_rules! listed {
    (
        $(#[$doc:meta])*
        pub enum $kind:ident { $($(#[$item:meta])* $value:ident = $name:literal,)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum $kind { $($(#[$item])* $value,)* }

        impl $kind {
            /// All of them, in the order of their definition.
            pub const ALL: [Self; [$(stringify!($value)),*].len()] = [$(Self::$value),*];

            /// What it is called in reports and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $name,)* }
            }

            /// Which one is called so.
            #[must_use]
            pub fn of_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.name() == name)
            }

            /// Its place in [`ALL`](Self::ALL).
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

pub(crate) use listed;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::{Mark, Mutant, Point};

    #[test]
    fn each_has_a_name_of_its_own_and_is_found_by_it() {
        let mutants = Mutant::ALL.map(Mutant::name);
        let names: BTreeSet<_> = mutants.into_iter().collect();
        assert_eq!(names.len(), Mutant::ALL.len());
        assert_eq!(Point::ALL.map(Point::name).into_iter().collect::<BTreeSet<_>>().len(), {
            Point::ALL.len()
        });
        assert_eq!(Mark::ALL.map(Mark::name).into_iter().collect::<BTreeSet<_>>().len(), {
            Mark::ALL.len()
        });
        assert!(Mutant::ALL.iter().all(|&one| Mutant::of_name(one.name()) == Some(one)));
        assert_eq!(Mutant::of_name("none"), None);
    }

    #[test]
    fn an_index_is_a_place_among_all() {
        assert!(Point::ALL.iter().enumerate().all(|(at, one)| one.index() == at));
        assert!(Mark::ALL.iter().enumerate().all(|(at, one)| one.index() == at));
    }
}
