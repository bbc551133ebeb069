//! Interleaved rounds: in each, every rival runs every workload once, so that a slow minute of the machine hits all of them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::scoreboard::Result;
use crate::scoreboard::args::Options;
use crate::scoreboard::board::{Board, Cell, Column, Row};
use crate::scoreboard::machine;
use crate::scoreboard::measure::{Program, Usage, Watchdog};
use crate::scoreboard::rivals::{Rival, Way};
use crate::scoreboard::shop::{Shop, output};
use crate::scoreboard::workloads::{Entry, Workload};

/// A rival on a workload, ready to be run again and again.
struct Contest<'a> {
    way: &'a Way,
    workload: &'a Workload,
    scratch: PathBuf,
}

pub(crate) fn run(entries: &[Entry], rivals: &[Rival], shop: &Shop, options: &Options) -> Result<Board> {
    let (taken, machine) = (now(), machine::describe());
    let watchdog = Watchdog::start(options.timeout)?;
    let mut rows: Vec<_> = entries.iter().map(|entry| empty_row(entry, rivals)).collect();
    let mut contests: Vec<Vec<Option<Contest<'_>>>> = Vec::new();
    for (entry, row) in entries.iter().zip(&mut rows) {
        contests.push(qualify(entry, row, rivals, shop, &watchdog)?);
    }
    for round in 0..options.rounds {
        for ((entry, row), contests) in entries.iter().zip(&mut rows).zip(&contests) {
            if contests.is_empty() {
                continue;
            }
            eprintln!("round {} of {}: {}", round + 1, options.rounds, entry.title());
            for turn in order(contests.len(), round) {
                if let (Some(contest), Cell::Ran(usages)) = (&contests[turn], &mut row.cells[turn]) {
                    let (usage, program) = contest.run(&watchdog)?;
                    match program {
                        Ok(_) => usages.push(usage),
                        Err(why) => row.cells[turn] = Cell::Fails(format!("in round {}: {why}", round + 1)),
                    }
                }
            }
        }
    }
    Ok(Board { taken, machine, rivals: rivals.iter().map(column).collect(), rows })
}

/// The order of a round. Another one begins each time, since the first after a change of workload meets cold caches; and another one goes before each, since a
/// rival of which only options differ leaves warm ones.
fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    let strides: Vec<usize> = (1..count).filter(|stride| coprime(*stride, count)).collect();
    let stride = strides.get(round % strides.len().max(1)).copied().unwrap_or(1);
    (0..count).map(move |step| (round + step * stride) % count)
}

fn coprime(a: usize, b: usize) -> bool {
    if b == 0 { a == 1 } else { coprime(b, a % b) }
}

/// What would be run, as one would type it.
pub(crate) fn commands(entries: &[Entry], rivals: &[Rival], shop: &Shop) -> String {
    let mut text = String::new();
    for entry in entries {
        let _ = writeln!(text, "## {}", entry.title());
        for rival in rivals {
            let Ok((way, workload)) = rival.way(entry) else { continue };
            let _ = writeln!(text, "# {}", rival.name);
            for invocation in way.measured(workload, &shop.scratch(workload.name)) {
                let _ = writeln!(text, "{}", invocation.line());
            }
        }
    }
    text
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn column(rival: &Rival) -> Column {
    Column { name: rival.name.clone(), version: rival.version.clone() }
}

fn empty_row(entry: &Entry, rivals: &[Rival]) -> Row {
    let cell = |rival: &Rival| match rival.way(entry) {
        Ok(_) => Cell::Ran(Vec::new()),
        Err(why) => Cell::Absent(why),
    };
    Row {
        table: entry.table,
        name: entry.name.to_owned(),
        size: entry.size,
        what: entry.workload.as_ref().map_or("not built", |workload| workload.what).to_owned(),
        cells: rivals.iter().map(cell).collect(),
    }
}

/// The round that does not count: everything is read once, and outputs are compared with the first that ran, which is the natively linked
/// program where GNU ld is there.
fn qualify<'a>(
    entry: &'a Entry,
    row: &mut Row,
    rivals: &'a [Rival],
    shop: &Shop,
    watchdog: &Watchdog,
) -> Result<Vec<Option<Contest<'a>>>> {
    let known = |printed: &Vec<u8>| Program { code: 0, printed: printed.clone(), complaint: None };
    let expected = entry.workload.as_ref().ok().and_then(|workload| workload.expected.as_ref());
    let mut expected = expected.map(known);
    let mut contests = Vec::new();
    for (index, rival) in rivals.iter().enumerate() {
        let Ok((way, workload)) = rival.way(entry) else {
            contests.push(None);
            continue;
        };
        let scratch = shop.scratch(&format!("{}-{index}", entry.title()));
        std::fs::create_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
        if let Some(first) = way.preparation(workload, &scratch)
            && let Err(why) = output(Command::new(&first.program).args(&first.args))
        {
            row.cells[index] = Cell::Fails(why);
            contests.push(None);
            continue;
        }
        let contest = Contest { way, workload, scratch };
        let (_, program) = contest.run(watchdog)?;
        match program {
            Err(why) => row.cells[index] = Cell::Fails(why),
            Ok(_) if contest.tells() => {
                contests.push(Some(contest));
                continue;
            }
            Ok(got) => match difference(expected.get_or_insert_with(|| got.clone()), &got) {
                Some(cell) => row.cells[index] = cell,
                None => {
                    contests.push(Some(contest));
                    continue;
                }
            },
        }
        eprintln!("{} on {}: {:?}", rival.name, entry.title(), row.cells[index]);
        contests.push(None);
    }
    Ok(contests)
}

impl Contest<'_> {
    /// It prints its figures, and no program runs.
    fn tells(&self) -> bool {
        matches!(self.way, Way::Floor(_))
    }

    fn run(&self, watchdog: &Watchdog) -> Result<(Usage, Result<Program>)> {
        // Made each time: ten thousand names for every rival would be memory that each child's peak begins with.
        let invocations = self.way.measured(self.workload, &self.scratch);
        let (mut usage, program) = watchdog.run(&invocations, self.workload.stdin.as_deref(), &self.scratch)?;
        if self.tells() {
            let told = program.as_ref().ok().and_then(|program| told(&program.printed));
            let Some([cpu, wall, faults]) = told else {
                return Ok((usage, Err("it did not tell its figures".to_owned())));
            };
            // Its clock does not tell the kernel's part from the rest.
            (usage.user, usage.system) = (Duration::from_micros(cpu), Duration::ZERO);
            (usage.wall, usage.minor_faults, usage.major_faults) = (Duration::from_micros(wall), faults, 0);
        }
        Ok((usage, program))
    }
}

/// Microseconds of CPU and wall time, page faults.
fn told(printed: &[u8]) -> Option<[u64; 3]> {
    let words = std::str::from_utf8(printed).ok()?.split_whitespace();
    words.map(|word| word.parse().ok()).collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// A linker that runs the program in its own process tells by the exit code alone that it could not, so another code is a failure.
fn difference(expected: &Program, got: &Program) -> Option<Cell> {
    if expected.code != got.code {
        let said = got.complaint.as_deref().map(|line| format!(": {line}")).unwrap_or_default();
        return Some(Cell::Fails(format!("exit code {}, expected {}{said}", got.code, expected.code)));
    }
    if expected.printed == got.printed {
        return None;
    }
    let same = expected.printed.iter().zip(&got.printed).take_while(|(a, b)| a == b).count();
    let line = 1 + got.printed[..same].iter().filter(|&&byte| byte == b'\n').count();
    Some(Cell::Differs(format!("other output from line {line} on")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_everybody_once() {
        for (count, round) in (1..20).flat_map(|count| (0..12).map(move |round| (count, round))) {
            let mut all: Vec<usize> = order(count, round).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..count), "{count} rivals, round {round}");
        }
        assert_eq!(order(0, 3).count(), 0);
    }

    #[test]
    fn nobody_follows_the_same_rival_in_two_rounds_of_the_usual_five() {
        let before = |round| {
            let all: Vec<usize> = order(17, round).collect();
            all.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()
        };
        let mut pairs: Vec<_> = (0..5).flat_map(before).collect();
        let count = pairs.len();
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), count);
    }
}
