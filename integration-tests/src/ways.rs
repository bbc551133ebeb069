//! The ways in which trials are run.
//!
//! `ORC_EXECUTORS` names ways as `in-process`, `spawn+mdwe`, `unix+filter`; with `+lazy` behind it functions are linked when they are first called; behind `+cache` everything
//! runs twice, and the second run takes from the image cache what the first one has linked. Each variant of a case is run in all ways that are named there. Without a word of it
//! every variant is run in process, and the other ways are dealt out among the variants of a case: each case goes through each of them. `ORC_EXECUTORS=all` is every variant in every way.

use crate::Failure;
use crate::directive::Directives;
use crate::executor::Kind;
use crate::hardening::Hardening;
use std::env;

/// A way to run a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Way {
    /// Through which executor.
    pub kind: Kind,
    /// In a process like this; none is an ordinary one. `orc` and its executor both are.
    pub hardening: Option<Hardening>,
    /// Twice, with an image cache that is empty at first.
    pub cache: bool,
    /// Functions are linked when they are first called (`--lazy`).
    pub lazy: bool,
}

impl Way {
    /// Those that are tried when nobody says which: every executor as it is, and a hardened process.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        let plain = Kind::ALL.into_iter().map(Self::from);
        let in_process = Self::from(Kind::InProcess);
        let hardened = Self { hardening: Some(Hardening::Mdwe), ..in_process };
        plain.chain([hardened, Self { cache: true, ..in_process }, Self { lazy: true, ..in_process }]).collect()
    }

    /// Whether the case says that it holds so.
    fn holds(self, said: &Directives) -> bool {
        said.executors.as_ref().is_none_or(|only| only.contains(&self.kind)) && !(self.lazy && said.not_lazy.is_some())
    }

    /// Reads names between commas and spaces.
    ///
    /// # Errors
    /// A name that is none, or no name at all.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Failure> {
        let ways = text.split([',', ' ']).filter(|name| !name.is_empty()).map(Self::parse);
        let ways = ways.collect::<Result<Vec<_>, _>>()?;
        if ways.is_empty() { Err("names no executor".into()) } else { Ok(ways) }
    }

    fn parse(name: &str) -> Result<Self, Failure> {
        let (name, cache) = name.strip_suffix("+cache").map_or((name, false), |rest| (rest, true));
        let (name, lazy) = name.strip_suffix("+lazy").map_or((name, false), |rest| (rest, true));
        let (kind, hardening) = name.split_once('+').map_or((name, None), |(kind, hardening)| (kind, Some(hardening)));
        let known = |name: &str| {
            let found = Hardening::ALL.into_iter().find(|hardening| hardening.name() == name);
            found.ok_or_else(|| format!("`+{name}` is none of +mdwe, +filter, +lazy, +cache"))
        };
        let hardening = hardening.map(known).transpose()?;
        let mut kinds = Kind::parse_list(kind)?.into_iter();
        Ok(Self { kind: kinds.next().ok_or("names no executor")?, hardening, cache, lazy })
    }
}

impl From<Kind> for Way {
    fn from(kind: Kind) -> Self {
        Self { kind, hardening: None, cache: false, lazy: false }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.name())?;
        self.hardening.map_or(Ok(()), |hardening| write!(f, "+{}", hardening.name()))?;
        f.write_str(if self.lazy { "+lazy" } else { "" })?;
        f.write_str(if self.cache { "+cache" } else { "" })
    }
}

/// How the variants of cases are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ways {
    /// Each in all of these ways.
    Each(Vec<Way>),
    /// Each in the first of these ways and in some of the others, so that every case is run in all of them.
    Dealt(Vec<Way>),
}

impl Ways {
    /// Those that `ORC_EXECUTORS` names; the usual ones for `all`, and, dealt out, when it is not set.
    ///
    /// # Errors
    /// A name that is none.
    pub fn wanted() -> Result<Self, Failure> {
        match env::var("ORC_EXECUTORS") {
            Ok(all) if all == "all" => Ok(Self::Each(Way::usual())),
            Ok(names) => Way::parse_list(&names).map(Self::Each).map_err(|why| format!("ORC_EXECUTORS: {why}")),
            Err(env::VarError::NotPresent) => Ok(Self::Dealt(Way::usual())),
            Err(error) => Err(format!("ORC_EXECUTORS: {error}")),
        }
    }

    /// All that occur.
    pub fn all(&self) -> &[Way] {
        match self {
            Self::Each(ways) | Self::Dealt(ways) => ways,
        }
    }

    /// The same in two starts, with an image cache.
    #[must_use]
    pub fn from_cache(mut self) -> Self {
        let (Self::Each(ways) | Self::Dealt(ways)) = &mut self;
        ways.iter_mut().for_each(|way| way.cache = true);
        self
    }

    /// Those of variant `number` of a case that has `variants` of them.
    #[must_use]
    pub fn of_variant(&self, said: &Directives, number: usize, variants: usize) -> Vec<Way> {
        let mut ways: Vec<Way> = self.all().iter().copied().filter(|way| way.holds(said)).collect();
        if let (Self::Dealt(_), Some(others)) = (self, ways.len().checked_sub(1).filter(|others| *others > 0)) {
            let share = others.div_ceil(variants.max(1)).max(2).min(others);
            let dealt = (0..share).map(|one| ways[1 + (number * share + one) % others]);
            ways = std::iter::once(ways[0]).chain(dealt).collect();
        }
        ways
    }
}

#[cfg(test)]
mod tests {
    use super::{Directives, Hardening, Kind, Way, Ways};

    #[test]
    fn ways_are_executors_with_or_without_a_hardening() {
        let way = |kind, hardening| Way { kind, hardening, cache: false, lazy: false };
        let read = Way::parse_list(
            "in-process, spawn+mdwe tcp+filter unix+cache exec+mdwe+cache in-process+lazy spawn+mdwe+lazy",
        );
        let expected = [
            way(Kind::InProcess, None),
            way(Kind::Spawn, Some(Hardening::Mdwe)),
            way(Kind::Tcp, Some(Hardening::Filter)),
            Way { cache: true, ..way(Kind::Unix, None) },
            Way { cache: true, ..way(Kind::Exec, Some(Hardening::Mdwe)) },
            Way { lazy: true, ..way(Kind::InProcess, None) },
            Way { lazy: true, ..way(Kind::Spawn, Some(Hardening::Mdwe)) },
        ];
        assert_eq!(read, Ok(expected.to_vec()));
        assert!(expected.iter().all(|way| Way::parse_list(&way.to_string()) == Ok(vec![*way])));
        for wrong in ["", "+mdwe", "spawn+", "spawn+selinux", "remote+mdwe", "spawn+cache+mdwe", "spawn+lazy+mdwe"] {
            assert!(Way::parse_list(wrong).is_err(), "{wrong:?}");
        }
    }
    #[test]
    fn each_case_goes_through_every_way_and_each_variant_runs_in_process() {
        let all = Way::usual();
        let dealt = Ways::Dealt(all.clone());
        let said = Directives::default();
        for variants in 1..20 {
            let of_each: Vec<Vec<Way>> =
                (0..variants).map(|number| dealt.of_variant(&said, number, variants)).collect();
            assert!(of_each.iter().all(|ways| ways[0] == Kind::InProcess.into() && ways.len() >= 3), "{of_each:?}");
            for ways in &of_each {
                assert!(ways.iter().enumerate().all(|(at, way)| !ways[..at].contains(way)), "{ways:?}");
            }
            assert!(all.iter().all(|way| of_each.iter().flatten().any(|one| one == way)), "{variants}: {of_each:?}");
            assert_eq!(Ways::Each(all.clone()).of_variant(&said, 0, variants), all);
        }
        let alone = Directives { executors: Some(vec![Kind::Tcp]), ..Directives::default() };
        assert_eq!(dealt.of_variant(&alone, 5, 6), [Kind::Tcp.into()]);
        let not_lazy = Directives { not_lazy: Some("a reason".into()), ..Directives::default() };
        assert!((0..12).all(|number| dealt.of_variant(&not_lazy, number, 12).iter().all(|way| !way.lazy)));
    }
}
