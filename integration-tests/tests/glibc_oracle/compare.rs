//! Two records of one program side by side: equal, different for a reason that has a name, or wrong.
//!
//! You give a program and its records; you get the differences. They are looked for act by act of main. The first event of an act in which
//! the sides part is explained by what both had in common until then, or it is an error. If the sides have only chosen another order, they
//! must have done the same all in all when the act has ended; if they have not (scripts may see the order), the comparison ends there. Both
//! records are held against the rules whole.

use crate::difference::{Difference, deviations, in_the_rules, of_events, undone_too_early};
use crate::event::{End, Record, Seen, trace};
use crate::program::{LIBRARIES, Program};
use crate::world::{Frame, World, bit};
use dylib_graph::rules;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What came of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Rule 1 left one order for everything that we ran.
    pub(crate) forced: bool,
    /// The records are the same.
    pub(crate) equal: bool,
    /// How many acts of main were compared, of how many.
    pub(crate) compared: (usize, usize),
    pub(crate) differences: BTreeSet<Difference>,
}

/// Compares.
///
/// # Errors
/// What is wrong, and the program and both records as lines.
pub(crate) fn compare(program: &Program, records: &[Record; 2]) -> Result<Report, String> {
    let [glibc, ours] = records;
    let found = ours_is_right(program, ours).and_then(|()| {
        let mut report = act_by_act(program, glibc, ours)?;
        report.differences.extend(refutations(program, glibc)?);
        match (glibc.end, report.differences.iter().any(|each| each.is_fatal())) {
            (End::Done, _) | (_, true) => Ok(report),
            (end, false) => Err(format!("glibc has ended with {end:?}, and nothing explains it")),
        }
    });
    found.map_err(|why| format!("{why}\n\n{}", side_by_side(program, records)))
}

/// The program, and both records beside each other.
pub(crate) fn side_by_side(program: &Program, [glibc, ours]: &[Record; 2]) -> String {
    let mut text = format!("{program}\n{:60}us\n", "glibc");
    let (mut left, mut right) = (glibc.lines(), ours.lines());
    loop {
        let (left, right) = (left.next(), right.next());
        if left.is_none() && right.is_none() {
            return text;
        }
        let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
        let mark = if left == right { ' ' } else { '|' };
        let _ = writeln!(text, "{left:58}{mark} {right}");
    }
}

fn act_by_act(program: &Program, glibc: &Record, ours: &Record) -> Result<Report, String> {
    let mut world = World::new(&program.links);
    let (left, right) = (acts(glibc), acts(ours));
    let mut report =
        Report { forced: is_forced(program, ours), equal: true, compared: (0, right.len()), ..Report::default() };
    let lost = lost(&deviations(program, glibc));
    let mut past = 0;
    for (at, &right) in right.iter().enumerate() {
        let left = left.get(at).copied().unwrap_or_default();
        past += left.len();
        if let Some(parts) = parting(left, right) {
            report.equal = false;
            if let Some((from, why)) = lost
                && past - left.len() + parts >= from
            {
                report.differences.insert(why);
                return Ok(report);
            }
            let found = explained(&world, left, right, parts)?;
            report.differences.insert(found);
            if report.forced && found.is_a_choice() {
                return Err(format!("{found:?}, where there is no choice"));
            }
            if !found.may_converge() || lost.is_some_and(|(from, _)| past >= from) {
                return Ok(report);
            }
            if let Err(why) = same_all_in_all(&world, left, right) {
                let scripts = makes_calls(left) || makes_calls(right);
                return if scripts { Ok(report) } else { Err(format!("{found:?}, and another outcome: {why}")) };
            }
        } else {
            same_memory(left, right)?;
        }
        world = world.after(right).and_narrowed_as(&world.after(left));
        report.compared.0 += 1;
    }
    if left.len() > right.len() {
        return Err("glibc has done more acts of main".into());
    }
    Ok(report)
}

/// Where two acts part.
fn parting(left: &[(Seen, u32)], right: &[(Seen, u32)]) -> Option<usize> {
    let same = left.iter().zip(right).take_while(|(left, right)| left.0 == right.0).count();
    (same < left.len().max(right.len())).then_some(same)
}

/// Why they part there.
fn explained(world: &World, left: &[(Seen, u32)], right: &[(Seen, u32)], parts: usize) -> Result<Difference, String> {
    let here = world.after(&right[..parts]);
    let next = [left.get(parts), right.get(parts)].map(|event| event.map(|(seen, _)| *seen));
    of_events(&here, next).ok_or_else(|| {
        let words = next.map(|seen| seen.map_or("nothing".to_owned(), |seen| seen.to_string()));
        format!("glibc does: {}\nwe do: {}\nand nothing explains it\n{here:?}", words[0], words[1])
    })
}

/// From where on glibc uses what it has freed.
fn lost(deviations: &[(usize, Difference)]) -> Option<(usize, Difference)> {
    deviations.iter().find(|(_, what)| what.is_fatal()).copied()
}

/// Whether more is called than what main calls, which is the first event of an act.
fn makes_calls(act: &[(Seen, u32)]) -> bool {
    act.iter().skip(1).any(|(seen, _)| matches!(seen, Seen::Open { .. } | Seen::Close { .. } | Seen::Find { .. }))
}

/// The events of each act of main, [`Seen::Top`] last.
fn acts(record: &Record) -> Vec<&[(Seen, u32)]> {
    record.events.split_inclusive(|(seen, _)| *seen == Seen::Top).collect()
}

/// Whether rule 1 leaves one order in every call.
fn is_forced(program: &Program, record: &Record) -> bool {
    let mut world = World::new(&program.links);
    record.events.iter().all(|&(seen, _)| {
        world.apply(seen);
        match world.frames.last() {
            Some(&Frame::Open { todo, .. }) => world.is_forced(todo),
            Some(&Frame::Close { dead, .. }) => world.is_forced(dead),
            _ => true,
        }
    })
}

/// What is loaded at the end of an act.
fn same_memory(left: &[(Seen, u32)], right: &[(Seen, u32)]) -> Result<(), String> {
    match (left.last(), right.last()) {
        (Some((Seen::Top, left)), Some((Seen::Top, right))) if left != right => {
            Err(format!("glibc has {left:#b} loaded, we have {right:#b} (a bit for each library, from o0)"))
        }
        _ => Ok(()),
    }
}

/// Whether both did the same, in whatever order.
fn same_all_in_all(world: &World, left: &[(Seen, u32)], right: &[(Seen, u32)]) -> Result<(), String> {
    let count = |events: &[(Seen, u32)]| {
        let mut counts = BTreeMap::<String, usize>::new();
        events.iter().for_each(|(seen, _)| *counts.entry(seen.to_string()).or_default() += 1);
        counts
    };
    let (glibc, ours) = (count(left), count(right));
    if glibc != ours {
        let only: Vec<_> = glibc.iter().filter(|(seen, count)| ours.get(*seen) != Some(count)).collect();
        return Err(format!("glibc does {only:?}"));
    }
    if world.after(left).counts() != world.after(right).counts() {
        return Err("glibc counts otherwise".into());
    }
    same_memory(left, right)
}

/// Our record keeps every rule, to the letter.
fn ours_is_right(program: &Program, ours: &Record) -> Result<(), String> {
    if ours.end != End::Done {
        return Err(format!("our loader ended with {:?}", ours.end));
    }
    trace(ours, &program.links).0.check(&rules::ALL).map_err(|refuted| format!("ours: {refuted}"))?;
    let world = World::new(&program.links).after(&ours.events);
    for events in ours.events.windows(2) {
        if let [(Seen::Close { dylib, stale: true }, _), (end, _)] = events
            && !matches!(end, Seen::CloseEnd { ok: false, .. })
        {
            return Err(format!("ours: a stale handle of {dylib} is good for something"));
        }
    }
    let last = ours.events.last().map_or(0, |(_, loaded)| loaded >> 1);
    if last & !world.held() != 0 {
        return Err(format!("ours: {last:#b} is still loaded (a bit for each library, from o1)"));
    }
    Ok(())
}

/// What of the rules glibc's record breaks, and why that is known.
fn refutations(program: &Program, glibc: &Record) -> Result<BTreeSet<Difference>, String> {
    let deviations = deviations(program, glibc);
    let lost = lost(&deviations).map_or(usize::MAX, |(at, _)| at);
    let glibc = &Record { events: glibc.events.iter().take(lost).copied().collect(), end: glibc.end };
    let (trace, places) = trace(glibc, &program.links);
    let mut found: BTreeSet<_> = deviations.iter().map(|(_, what)| *what).filter(|what| what.is_fatal()).collect();
    // glibc does not have the exact orders of rules 2, 3 and 19: there the partial order of rule 1 must hold.
    let exact = |name: &str| ["2:", "3:", "19:"].iter().any(|exact| name.starts_with(exact));
    for &rule in rules::ALL.iter().filter(|(name, _)| !exact(name)) {
        if let Err(refuted) = trace.check(&[rule]) {
            let reason = in_the_rules(&deviations, refuted.rule, places[refuted.at]);
            found.insert(reason.ok_or_else(|| format!("glibc: {refuted}, and nothing explains it: {deviations:?}"))?);
        }
    }
    found.extend(dependants_first(program, glibc)?);
    Ok(found)
}

/// The part of rule 19 that follows from rule 1: what needs others is undone before them.
fn dependants_first(program: &Program, glibc: &Record) -> Result<Option<Difference>, String> {
    let mut world = World::new(&program.links);
    for &(seen, _) in &glibc.events {
        if let Seen::Fini { dylib } = seen {
            let undone = world.finalizing();
            let left = world.ready & !world.held() & !undone;
            let mut left = (1..=LIBRARIES).map(crate::program::dylib).filter(|&each| left & bit(each) != 0);
            if let Some(each) = left.find(|&each| world.needs_first(each, dylib)) {
                let reason = undone_too_early(&world, each, dylib);
                return reason
                    .map(Some)
                    .ok_or_else(|| format!("glibc: {each} needs {dylib}, which is undone before it"));
            }
        }
        world.apply(seen);
    }
    Ok(None)
}

const _: () = assert!(LIBRARIES < 32, "a bit for each library");
