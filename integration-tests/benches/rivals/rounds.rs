//! Interleaved rounds: in each, every rival runs every workload once, so that a slow minute of the machine hits all of them.

use std::path::PathBuf;
use std::process::Command;

use crate::Result;
use crate::args::Options;
use crate::measure::{Program, Usage, Watchdog};
use crate::rivals::{Invocation, Rival};
use crate::shop::{Shop, output};
use crate::workloads::{Entry, Workload};

/// All figures.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) rivals: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

/// A rival as the tables name it.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// A workload; its cells are parallel to the rivals.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: Result<&'static str>,
    pub(crate) cells: Vec<Cell>,
}

/// One rival on one workload.
#[derive(Debug)]
pub(crate) enum Cell {
    /// Not on this machine, or the workload is not.
    Absent(String),
    /// It was tried and did not get the program to run.
    Fails(String),
    /// The program ran, and printed something else than natively linked.
    Differs(String),
    /// One usage a round.
    Ran(Vec<Usage>),
}

impl Board {
    /// Whether some rival's program ran to an end and printed something else.
    pub(crate) fn disagrees(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.cells).any(|cell| matches!(cell, Cell::Differs(_)))
    }
}

/// A rival on a workload, ready to be run again and again.
struct Contest {
    invocations: Vec<Invocation>,
    scratch: PathBuf,
}

pub(crate) fn run(entries: &[Entry], rivals: &[Rival], shop: &Shop, options: &Options) -> Result<Board> {
    let watchdog = Watchdog::start(options.timeout)?;
    let mut rows: Vec<_> = entries.iter().map(|entry| empty_row(entry, rivals)).collect();
    let mut contests: Vec<Vec<Option<Contest>>> = Vec::new();
    for (entry, row) in entries.iter().zip(&mut rows) {
        contests.push(qualify(entry, row, rivals, shop, &watchdog)?);
    }
    for round in 0..options.rounds {
        for ((entry, row), contests) in entries.iter().zip(&mut rows).zip(&contests) {
            let Ok(workload) = &entry.workload else {
                continue;
            };
            eprintln!("round {} of {}: {}", round + 1, options.rounds, entry.name);
            for step in 0..contests.len() {
                // Another one begins each time: the first after a change of workload meets cold caches.
                let turn = (step + round) % contests.len();
                if let (Some(contest), Cell::Ran(usages)) = (&contests[turn], &mut row.cells[turn]) {
                    let (usage, program) = contest.run(&watchdog, workload)?;
                    match program {
                        Ok(_) => usages.push(usage),
                        Err(why) => row.cells[turn] = Cell::Fails(format!("in round {}: {why}", round + 1)),
                    }
                }
            }
        }
    }
    let rivals =
        rivals.iter().map(|rival| Column { name: rival.name.clone(), version: rival.version.clone() }).collect();
    Ok(Board { rivals, rows })
}

/// Prints what would be run.
pub(crate) fn print_commands(entries: &[Entry], rivals: &[Rival], shop: &Shop) {
    for entry in entries {
        let Ok(workload) = &entry.workload else {
            continue;
        };
        println!("## {}: {}", workload.name, workload.what);
        for rival in rivals {
            let Ok(way) = &rival.way else { continue };
            println!("# {}", rival.name);
            for invocation in way.measured(workload, &shop.scratch(workload.name)) {
                println!("{}", invocation.line());
            }
        }
    }
}

fn empty_row(entry: &Entry, rivals: &[Rival]) -> Row {
    let cell = |rival: &Rival| match (&entry.workload, &rival.way) {
        (Err(_), _) => Cell::Absent("not built".to_owned()),
        (_, Err(why)) => Cell::Absent(why.clone()),
        _ => Cell::Ran(Vec::new()),
    };
    Row {
        name: entry.name,
        what: entry.workload.as_ref().map(|workload| workload.what).map_err(Clone::clone),
        cells: rivals.iter().map(cell).collect(),
    }
}

/// The round that does not count: everything is read once, and outputs are compared with the first that ran, which is the natively linked
/// program where GNU ld is there.
fn qualify(
    entry: &Entry,
    row: &mut Row,
    rivals: &[Rival],
    shop: &Shop,
    watchdog: &Watchdog,
) -> Result<Vec<Option<Contest>>> {
    let Ok(workload) = &entry.workload else {
        return Ok(rivals.iter().map(|_| None).collect());
    };
    let mut expected: Option<Program> = None;
    let mut contests = Vec::new();
    for (index, rival) in rivals.iter().enumerate() {
        let Ok(way) = &rival.way else {
            contests.push(None);
            continue;
        };
        let scratch = shop.scratch(&format!("{}-{index}", workload.name));
        std::fs::create_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
        if let Some(first) = way.preparation(workload, &scratch)
            && let Err(why) = output(Command::new(&first.program).args(&first.args))
        {
            row.cells[index] = Cell::Fails(why);
            contests.push(None);
            continue;
        }
        let contest = Contest { invocations: way.measured(workload, &scratch), scratch };
        let (_, program) = contest.run(watchdog, workload)?;
        match program {
            Err(why) => row.cells[index] = Cell::Fails(why),
            Ok(got) => match difference(expected.get_or_insert_with(|| got.clone()), &got) {
                Some(cell) => row.cells[index] = cell,
                None => {
                    contests.push(Some(contest));
                    continue;
                }
            },
        }
        eprintln!("{} on {}: {:?}", rival.name, workload.name, row.cells[index]);
        contests.push(None);
    }
    Ok(contests)
}

impl Contest {
    fn run(&self, watchdog: &Watchdog, workload: &Workload) -> Result<(Usage, Result<Program>)> {
        watchdog.run(&self.invocations, workload.stdin.as_deref(), &self.scratch)
    }
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
