//! The tables, and the raw figures as CSV.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Result;
use crate::machine::Machine;
use crate::measure::Usage;
use crate::rounds::{Board, Cell};
use crate::shop::write;

/// The rival that all ratios are against.
const OURS: &str = "orc";

/// One line a run. Times are milliseconds, memory is KiB.
pub(crate) fn write_csv(path: &Path, machine: &Machine, board: &Board) -> Result<()> {
    let mut text = String::from(
        "unix_time,machine,workload,rival,version,round,user_ms,system_ms,cpu_ms,wall_ms,peak_kib,minor_faults,major_faults,result\n",
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    for row in &board.rows {
        for (rival, cell) in board.rivals.iter().zip(&row.cells) {
            let head = format!(
                "{now},{},{},{},{}",
                quoted(&machine.words),
                row.name,
                quoted(&rival.name),
                quoted(&rival.version)
            );
            let remark = match cell {
                Cell::Ran(usages) => {
                    for (round, usage) in usages.iter().enumerate() {
                        let [user, system, cpu, wall] =
                            [usage.user, usage.system, usage.cpu(), usage.wall].map(milliseconds);
                        let Usage { peak_kib, minor_faults, major_faults, .. } = usage;
                        let _ = writeln!(
                            text,
                            "{head},{},{user:.3},{system:.3},{cpu:.3},{wall:.3},{peak_kib},{minor_faults},{major_faults},ran",
                            round + 1
                        );
                    }
                    continue;
                }
                Cell::Absent(why) => format!("absent: {why}"),
                Cell::Fails(why) => format!("fails: {why}"),
                Cell::Differs(how) => format!("differs: {how}"),
            };
            let _ = writeln!(text, "{head},,,,,,,,,{}", quoted(&remark));
        }
    }
    write(path, &text)?;
    eprintln!("raw figures: {}", path.display());
    Ok(())
}

/// The tables: time with ratios, memory, and what each rival cannot do.
pub(crate) fn markdown(machine: &Machine, board: &Board, rounds: usize) -> String {
    let mut text = format!("\n{}. Medians of {rounds} interleaved rounds.\n\n", machine.words);
    text.push_str("CPU ms / wall ms from objects on disk to the program's end");
    text.push_str(" (in brackets: CPU time as a multiple of orc's).\n\n");
    table(&mut text, board, |usages, ours| {
        let cpu = milliseconds(median(usages, Usage::cpu));
        let wall = milliseconds(median(usages, |usage| usage.wall));
        let ratio = ours.map(|ours| cpu / milliseconds(median(ours, Usage::cpu)));
        let ratio = ratio.map(|ratio| format!(" ({}x)", figures(ratio))).unwrap_or_default();
        format!("{} / {}{ratio}", figures(cpu), figures(wall))
    });
    text.push_str("\nPeak memory of the largest process, MB.\n\n");
    table(&mut text, board, |usages, _| figures(median(usages, |usage| usage.peak_kib) as f64 / 1024.0));
    remarks(&mut text, board);
    text
}

fn table(text: &mut String, board: &Board, cell_text: impl Fn(&[Usage], Option<&[Usage]>) -> String) {
    text.push_str("| workload |");
    for rival in &board.rivals {
        let _ = write!(text, " {} |", rival.name);
    }
    let _ = writeln!(text, "\n|---|{}", "---:|".repeat(board.rivals.len()));
    let ours = board.rivals.iter().position(|rival| rival.name == OURS);
    for row in &board.rows {
        let _ = write!(text, "| {} {} |", row.name, row.what.as_ref().unwrap_or(&"not built"));
        let ours = ours.and_then(|index| ran(&row.cells[index]));
        for (cell, rival) in row.cells.iter().zip(&board.rivals) {
            let shown = match cell {
                Cell::Ran(_) => {
                    ran(cell).map_or("–".to_owned(), |usages| cell_text(usages, ours.filter(|_| rival.name != OURS)))
                }
                Cell::Absent(_) => "absent".to_owned(),
                Cell::Fails(_) => "fails".to_owned(),
                Cell::Differs(_) => "**differs**".to_owned(),
            };
            let _ = write!(text, " {shown} |");
        }
        text.push('\n');
    }
}

fn remarks(text: &mut String, board: &Board) {
    text.push('\n');
    for row in &board.rows {
        if let Err(why) = &row.what {
            let _ = writeln!(text, "- {} is not built: {}", row.name, shortened(why));
        }
    }
    for (index, rival) in board.rivals.iter().enumerate() {
        let cells = || board.rows.iter().filter(|row| row.what.is_ok()).map(|row| (row.name, &row.cells[index]));
        if let Some((_, Cell::Absent(why))) = cells().next() {
            let _ = writeln!(text, "- {} is absent: {}", rival.name, shortened(why));
        }
        for (workload, cell) in cells() {
            if let Cell::Fails(why) | Cell::Differs(why) = cell {
                let _ = writeln!(text, "- {} on {workload}: {}", rival.name, shortened(why));
            }
        }
    }
    text.push('\n');
    for rival in board.rivals.iter().filter(|rival| !rival.version.is_empty()) {
        let _ = writeln!(text, "- {}: {}", rival.name, rival.version);
    }
}

fn ran(cell: &Cell) -> Option<&[Usage]> {
    match cell {
        Cell::Ran(usages) if !usages.is_empty() => Some(usages),
        _ => None,
    }
}

fn median<T: Ord + Copy>(usages: &[Usage], of: impl Fn(&Usage) -> T) -> T {
    let mut all: Vec<_> = usages.iter().map(of).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Two or three figures: more would be noise.
fn figures(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

fn shortened(line: &str) -> String {
    let line = line.lines().next().unwrap_or_default();
    if line.chars().count() <= 160 {
        line.to_owned()
    } else {
        format!("{} …", line.chars().take(160).collect::<String>())
    }
}

fn quoted(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\"").replace('\n', " "))
}
