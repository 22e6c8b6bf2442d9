//! Attacks on a gateway that serves honest clients meanwhile: what each comes to, and what the
//! honest ones notice of it.

#[expect(clippy::module_inception, reason = "one attack among attacks")]
mod attack;
mod attacks;
mod frames;
mod honest;
mod judge;
mod outcome;
#[cfg(test)]
mod scripted;
mod stage;
mod table;
mod target;
mod warm;
mod wire;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::attack::Attack;
use self::honest::{ROOM_MEMBERS, Size};
use self::judge::Row;
use self::stage::Script;

/// Descriptors that this process may have: honest clients and the largest flood.
const DESCRIPTORS_MAX: u64 = 20_000;
/// Bytes of an honest message.
const PAYLOAD_BYTES: usize = 64;

/// How often a row that is red for its latency is played before that counts.
const TRIES: usize = 3;
/// How long everything may take to be as before.
const PATIENCE: Duration = Duration::from_secs(10);

/// Abuses a gateway that serves honest clients meanwhile; exits 1 if they notice.
#[derive(Debug, Parser)]
#[command(name = "weir-attack", version)]
struct Flags {
    /// The gateway to start, once for each attack
    #[arg(long, value_name = "PATH", required_unless_present = "list")]
    weir: Option<PathBuf>,
    /// Only attacks whose names begin with this; may be given several times
    #[arg(long, value_name = "NAME")]
    attack: Vec<String>,
    /// Say which attacks there are, what each costs whom, and at which rate; attack nobody
    #[arg(long)]
    list: bool,
    /// Seconds of the quiet phase, and of each attack that does not need longer
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u8).range(1..=60))]
    secs: u8,
    /// Honest clients, in rooms of ten
    #[arg(long, value_name = "N", default_value_t = 500,
        value_parser = clap::value_parser!(u16).range(10..=2000))]
    honest: u16,
}

/// What `weir-attack` does.
#[must_use]
pub fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(std::io::stderr(), "weir-attack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<ExitCode> {
    let attacks = chosen(&flags.attack)?;
    let mut out = std::io::stdout().lock();
    if flags.list {
        table::list(&mut out, &attacks)?;
        return Ok(ExitCode::SUCCESS);
    }
    raise_descriptors()?;
    let weir = flags.weir.as_deref().context("--weir says which gateway to start")?;
    let size =
        Size { rooms: usize::from(flags.honest) / ROOM_MEMBERS, payload_bytes: PAYLOAD_BYTES };
    let script = Script { phase: Duration::from_secs(flags.secs.into()), size, patience: PATIENCE };
    table::head(&mut out, script, TRIES)?;
    let mut reds = 0;
    for attack in &attacks {
        reds += usize::from(!one(attack, weir, script, &mut out)?);
    }
    table::foot(&mut out, attacks.len(), reds)?;
    Ok(if reds == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays one attack and tells of it; whether its row is green.
fn one(attack: &Attack, weir: &Path, script: Script, out: &mut impl Write) -> Result<bool> {
    match played(attack, weir, script) {
        Ok(row) => {
            table::row(out, &row)?;
            Ok(row.reds().is_empty())
        }
        Err(error) => {
            table::failed(out, attack.name, &error)?;
            Ok(false)
        }
    }
}

/// Plays an attack, and again if its row is red for its latency.
fn played(attack: &Attack, weir: &Path, script: Script) -> Result<Row> {
    let (mut told, mut reds) = (Vec::new(), Vec::new());
    loop {
        let mut row = stage::play(attack, &attack.setting.start(weir)?, script)?;
        if !row.is_late() || told.len() + 1 == TRIES {
            row.seen.notes.append(&mut told);
            row.wrongs.append(&mut reds);
            return Ok(row);
        }
        let (quiet, attacked) = (row.quiet, row.attacked);
        told.push(format!("played again: it was {quiet} ms in quiet, {attacked} attacked"));
        // What no noise has done counts however often it is played.
        reds.extend(row.reds_but_latency().iter().map(|red| format!("earlier: {red}")));
    }
}

/// The attacks that were asked for; all of them if none was.
fn chosen(names: &[String]) -> Result<Vec<Attack>> {
    let all = attacks::all();
    if let Some(unknown) =
        names.iter().find(|name| !all.iter().any(|it| it.name.starts_with(*name)))
    {
        bail!("there is no attack called {unknown:?}; --list names those that there are");
    }
    let wanted = |attack: &Attack| names.iter().any(|name| attack.name.starts_with(name.as_str()));
    Ok(all.into_iter().filter(|attack| names.is_empty() || wanted(attack)).collect())
}

fn raise_descriptors() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let most = maximum.map_or(DESCRIPTORS_MAX, |maximum| maximum.min(DESCRIPTORS_MAX));
    ensure!(most >= DESCRIPTORS_MAX / 2, "{most} descriptors are too few; raise ulimit -Hn");
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum })
        .context("cannot raise the descriptor limit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_sound() {
        <Flags as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn attacks_are_chosen_by_how_their_names_begin() {
        let all = chosen(&[]).unwrap();
        assert_eq!(all.len(), attacks::all().len());
        let one = chosen(&[all[0].name.to_owned()]).unwrap();
        assert!(one.iter().all(|attack| attack.name.starts_with(all[0].name)));
        assert!(chosen(&["no-such-attack".to_owned()]).is_err());
    }
}
