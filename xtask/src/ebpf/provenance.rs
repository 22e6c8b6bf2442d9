//! How the committed object was built: a few `key = value` lines beside it.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail};
use clap::ValueEnum;

use crate::flags::Compiler;

/// What an object is made of, beside its sources: the same tools give the same bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Tools {
    pub(super) toolchain: Compiler,
    /// The first line of `rustc -vV`.
    pub(super) compiler: String,
    /// The LLVM that the linker generates code with.
    pub(super) llvm: String,
    pub(super) linker: String,
    pub(super) strip: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Provenance {
    pub(super) tools: Tools,
    /// Names and versions of the packages that programs for the kernel are written with.
    pub(super) crates: String,
    /// What cargo and the compiler were told.
    pub(super) flags: String,
    /// A digest of everything that went in, see [`super::sources`].
    pub(super) sources: String,
}

const KEYS: [&str; 8] =
    ["toolchain", "compiler", "llvm", "linker", "strip", "crates", "flags", "sources"];

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tools { toolchain, compiler, llvm, linker, strip } = &self.tools;
        let toolchain = name(*toolchain);
        let (crates, flags, sources) = (&self.crates, &self.flags, &self.sources);
        let values = [&toolchain, compiler, llvm, linker, strip, crates, flags, sources];
        writeln!(f, "# How weir.bpf.o was built: `cargo xtask ebpf` writes it.")?;
        KEYS.iter().zip(values).try_for_each(|(key, value)| writeln!(f, "{key} = {value}"))
    }
}

impl FromStr for Provenance {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(pair).collect();
        let lines = lines.into_iter().collect::<Result<Vec<_>>>()?;
        if let Some((key, _)) = lines.iter().find(|(key, _)| !KEYS.contains(key)) {
            bail!("`{key}` is no key of it; they are {}", KEYS.join(", "));
        }
        let value = |key: &str| {
            let found = lines.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| (*value).to_owned()).with_context(|| format!("no `{key}` in it"))
        };
        let toolchain = value("toolchain")?;
        let tools = Tools {
            toolchain: Compiler::from_str(&toolchain, false).map_err(Error::msg)?,
            compiler: value("compiler")?,
            llvm: value("llvm")?,
            linker: value("linker")?,
            strip: value("strip")?,
        };
        let (crates, flags, sources) = (value("crates")?, value("flags")?, value("sources")?);
        Ok(Self { tools, crates, flags, sources })
    }
}

fn pair(line: &str) -> Result<(&str, &str)> {
    let (key, value) =
        line.split_once(" = ").with_context(|| format!("`{line}` is no `key = value`"))?;
    if value.is_empty() {
        bail!("`{key}` has no value");
    }
    Ok((key, value))
}

/// What a toolchain is called on the command line.
pub(super) fn name(toolchain: Compiler) -> String {
    let value = toolchain.to_possible_value().expect("no toolchain is hidden");
    value.get_name().to_owned()
}

impl Tools {
    /// The first thing that differs, as `theirs, ours`; `None` if both build the same object.
    pub(super) fn difference<'a>(&'a self, ours: &'a Self) -> Option<(&'a str, &'a str)> {
        let all = |tools: &'a Self| [&tools.compiler, &tools.llvm, &tools.linker, &tools.strip];
        let pairs = all(self).into_iter().zip(all(ours));
        pairs.map(|(theirs, ours)| (theirs.as_str(), ours.as_str())).find(|(a, b)| a != b)
    }
}

#[cfg(test)]
pub(super) fn example() -> Provenance {
    Provenance {
        tools: Tools {
            toolchain: Compiler::Distribution,
            compiler: "rustc 1.96.0 (ac68faa20 2026-05-25)".to_owned(),
            llvm: "22.1.8".to_owned(),
            linker: "bpf-linker 0.13.0".to_owned(),
            strip: "llvm-strip 22.1.8".to_owned(),
        },
        crates: "aya-ebpf 0.2.1".to_owned(),
        flags: "--cfg a=\"b\"".to_owned(),
        sources: "00ff".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        text.parse::<Provenance>().expect_err("a text that is refused").to_string()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let provenance = example();
        let read: Provenance = provenance.to_string().parse().expect("our own text");
        assert_eq!(read, provenance);
    }

    #[test]
    fn what_is_missing_or_strange_is_named() {
        let whole = example().to_string();
        let without = whole.replace("llvm = 22.1.8\n", "");
        assert_eq!(refusal(&without), "no `llvm` in it");
        assert_eq!(refusal(&format!("{whole}moon = full\n")).split(" is").next(), Some("`moon`"));
        assert_eq!(refusal(&format!("{whole}nonsense\n")), "`nonsense` is no `key = value`");
        assert_eq!(refusal(&whole.replace("= 00ff", "= ")), "`sources` has no value");
        assert!(refusal(&whole.replace("distribution", "shed")).contains("shed"));
    }

    #[test]
    fn only_tools_that_build_the_same_object_are_the_same() {
        let theirs = example().tools;
        assert_eq!(theirs.difference(&theirs.clone()), None);
        let ours = Tools { linker: "bpf-linker 0.14.0".to_owned(), ..theirs.clone() };
        let difference = theirs.difference(&ours);
        assert_eq!(difference, Some(("bpf-linker 0.13.0", "bpf-linker 0.14.0")));
    }
}
