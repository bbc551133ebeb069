//! The tables in Markdown: time with ratios, memory, page faults, how cost grows, and what each rival cannot do.

use super::board::{Board, Cell, OURS, Row, Table};
use super::growth;
use super::measure::Usage;
use std::fmt::Write as _;

/// The floor's column.
pub(crate) const FLOOR: &str = "floor";

impl Board {
    /// Everything, for the terminal.
    pub fn markdown(&self) -> String {
        let rounds = self.rows.iter().flat_map(|row| &row.cells).filter_map(Cell::ran).map(<[Usage]>::len).max();
        let mut text = format!("\n{}. Medians of {} interleaved rounds.\n", self.machine, rounds.unwrap_or(0));
        if self.rows_of(Table::Programs).next().is_some() {
            text.push_str("\nCPU ms / wall ms from objects on disk to the program's end");
            text.push_str(" (in brackets: CPU time as a multiple of orc's).\n\n");
            self.programs(&mut text, |cell, ours| {
                let (cpu, wall) = (cell.median(Usage::cpu_ms)?, cell.median(Usage::wall_ms)?);
                let ratio = ours.and_then(|ours| Some(cpu / ours.median(Usage::cpu_ms)?));
                let ratio = ratio.map(|ratio| format!(" ({}x)", figures(ratio))).unwrap_or_default();
                Some(format!("{} / {}{ratio}", figures(cpu), figures(wall)))
            });
            text.push_str("\nPeak memory of the largest process, MB (in brackets: as a multiple of orc's).\n\n");
            self.programs(&mut text, |cell, ours| {
                let peak = cell.median(Usage::peak_mib)?;
                let ratio = ours.and_then(|ours| Some(peak / ours.median(Usage::peak_mib)?));
                let ratio = ratio.map(|ratio| format!(" ({}x)", figures(ratio))).unwrap_or_default();
                Some(format!("{}{ratio}", figures(peak)))
            });
            text.push_str("\nPage faults of all processes, thousands (those that had to read a file).\n\n");
            self.programs(&mut text, |cell, _| {
                let major = cell.median(|usage| usage.major_faults as f64)?;
                let read = if major > 0.0 { format!(" ({major})") } else { String::new() };
                Some(format!("{}{read}", figures(cell.median(|usage| usage.minor_faults as f64)? / 1000.0)))
            });
            self.floors(&mut text);
        }
        self.growth(&mut text);
        self.remarks(&mut text);
        text
    }

    /// One line a workload, one column a rival; a cell is made from a rival's and ours.
    fn programs(&self, text: &mut String, shown: impl Fn(&Cell, Option<&Cell>) -> Option<String>) {
        text.push_str("| workload |");
        for rival in &self.rivals {
            let _ = write!(text, " {} |", rival.name);
        }
        let _ = writeln!(text, "\n|---|{}", "---:|".repeat(self.rivals.len()));
        let ours = self.column(OURS);
        for row in self.rows_of(Table::Programs) {
            let _ = write!(text, "| {} {} |", row.name, row.what);
            for (index, cell) in row.cells.iter().enumerate() {
                let ours = ours.filter(|ours| *ours != index).map(|ours| &row.cells[ours]);
                let _ = write!(text, " {} |", or_why_not(cell, shown(cell, ours)));
            }
            text.push('\n');
        }
    }

    /// How many floors each of ours costs, the program's own run not counted.
    pub(super) fn floors(&self, text: &mut String) {
        let lines: Vec<String> = self.rows_of(Table::Programs).filter_map(|row| self.floors_of(row)).collect();
        if !lines.is_empty() {
            let _ = writeln!(text, "\nAbove the program's own run, in floors: {}.", lines.join(", "));
        }
    }

    fn floors_of(&self, row: &Row) -> Option<String> {
        let cpu = |name: &str| row.cells.get(self.column(name)?)?.median(Usage::cpu_ms);
        let floors = (cpu(OURS)? - cpu("run alone")?) / cpu(FLOOR)?;
        Some(format!("{} {}", row.name, figures(floors)))
    }

    /// One line a family and rival: CPU time at each size, and the exponent.
    fn growth(&self, text: &mut String) {
        let families = growth::families(self);
        if families.is_empty() {
            return;
        }
        let exponents = growth::exponents(self);
        text.push_str(
            "\nHow CPU time grows: ms at each size, and the exponent, with what starting costs taken off.\n\n",
        );
        text.push_str("| what | rival | at sizes | exponent |\n|---|---|---|---:|\n");
        for family in &families {
            for (index, rival) in self.rivals.iter().enumerate() {
                let rows = || self.rows_of(Table::Growth).filter(|row| row.name == *family);
                if rows().all(|row| matches!(row.cells[index], Cell::Absent(_))) {
                    continue;
                }
                let at = |row: &Row| {
                    let cell = &row.cells[index];
                    format!("{}: {}", row.size.unwrap_or(0), or_why_not(cell, cell.median(Usage::cpu_ms).map(figures)))
                };
                let sizes: Vec<String> = rows().map(at).collect();
                let exponent = exponents.iter().find(|(name, of, _)| name == family && *of == rival.name);
                let exponent = exponent.map_or("–".to_owned(), |(_, _, exponent)| format!("{exponent:.2}"));
                let _ = writeln!(text, "| {family} | {} | {} | {exponent} |", rival.name, sizes.join(", "));
            }
        }
    }

    /// What could not be measured and why, and who took part.
    fn remarks(&self, text: &mut String) {
        text.push('\n');
        for (index, rival) in self.rivals.iter().enumerate() {
            let mut told = String::new();
            for row in &self.rows {
                // Few are asked to grow; the benches' README says who.
                if row.table == Table::Growth && matches!(row.cells[index], Cell::Absent(_)) {
                    continue;
                }
                let (Cell::Absent(why) | Cell::Fails(why) | Cell::Differs(why)) = &row.cells[index] else { continue };
                // What is absent is absent everywhere for the same reason.
                if told != *why {
                    let _ = writeln!(text, "- {} on {}: {}", rival.name, row.title(), shortened(why));
                    told.clone_from(why);
                }
            }
        }
        text.push('\n');
        for rival in self.rivals.iter().filter(|rival| !rival.version.is_empty()) {
            let _ = writeln!(text, "- {}: {}", rival.name, rival.version);
        }
    }
}

/// What stands in a table where nothing was measured.
pub(crate) fn or_why_not(cell: &Cell, shown: Option<String>) -> String {
    match cell {
        Cell::Ran(_) => shown.unwrap_or_else(|| "–".to_owned()),
        Cell::Absent(_) => "–".to_owned(),
        Cell::Fails(_) => "fails".to_owned(),
        Cell::Differs(_) => "**differs**".to_owned(),
    }
}

/// Two or three figures: more would be noise.
pub(crate) fn figures(value: f64) -> String {
    match value {
        v if v < 1.0 => format!("{v:.2}"),
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
