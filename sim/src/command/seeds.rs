//! `sim/seeds.txt`: every seed that ever failed, with a sentence about what went wrong.

use super::job::Job;

/// The file as it was when the simulator was built.
const FILE: &str = include_str!("../../seeds.txt");

/// A line of the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Kept {
    pub(crate) job: Job,
    /// What went wrong.
    pub(crate) sentence: String,
}

/// All that is kept.
///
/// # Errors
/// The first line that cannot be read, with its number and what to write instead.
pub(crate) fn kept() -> Result<Vec<Kept>, String> {
    parse(FILE)
}

fn parse(text: &str) -> Result<Vec<Kept>, String> {
    let lines = text.lines().zip(1..).map(|(line, number)| (line.trim(), number));
    let said = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    said.map(|(line, number)| {
        read(line).map_err(|why| format!("sim/seeds.txt, line {number}: {why}"))
    })
    .collect()
}

fn read(line: &str) -> Result<Kept, String> {
    let (job, sentence) =
        line.split_once(" # ").map_or((line, ""), |(job, said)| (job, said.trim()));
    let job = job.parse()?;
    if sentence.is_empty() {
        return Err(format!("`{line}` says nothing: write ` # ` and a sentence about what failed"));
    }
    Ok(Kept { job, sentence: sentence.to_owned() })
}

#[cfg(test)]
mod tests {
    use sim::worlds::World;

    use super::*;

    #[test]
    fn the_file_is_well_formed_and_says_each_seed_once() {
        let kept = kept().expect("every line can be read");
        assert!(!kept.is_empty());
        for (at, line) in kept.iter().enumerate() {
            assert!(line.sentence.ends_with('.'), "{line:?}");
            assert!(kept[..at].iter().all(|other| other.job != line.job), "{line:?} stands twice");
        }
    }

    #[test]
    fn comments_and_empty_lines_are_passed_over() {
        let text = "# what this is\n\n  mesh 17 --clients 3  # It was lost.  \n";
        let kept = parse(text).expect("a line");
        let [Kept { job, sentence }] = kept.as_slice() else { panic!("one line in {kept:?}") };
        assert_eq!((job.world, job.seed, job.less.clients_max), (World::Mesh, 17, Some(3)));
        assert_eq!(sentence, "It was lost.");
    }

    #[test]
    fn a_bad_line_is_told_by_its_number_with_what_to_write() {
        let told = |line: &str| parse(&format!("# comment\n{line}\n")).expect_err(line);
        let error = told("mesh 17");
        assert!(error.starts_with("sim/seeds.txt, line 2: `mesh 17` says nothing"), "{error}");
        assert!(error.contains("write ` # `"), "{error}");
        let error = told("flat 17 # It is.");
        assert!(error.contains("line 2: no world is called flat: write one of model"), "{error}");
        let error = told("mesh x # It is.");
        assert!(error.contains("line 2: `x` is not a seed: write `WORLD SEED`"), "{error}");
    }
}
