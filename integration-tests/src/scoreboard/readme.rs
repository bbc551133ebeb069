//! The part of the project's README that comes from a run: written between two marks, never by hand.

use super::Result;
use super::board::{Board, Cell, Row, Table};
use super::growth;
use super::measure::Usage;
use super::table::{figures, or_why_not};
use std::fmt::Write as _;

const BEGIN: &str = "<!-- the scoreboard's, by `cargo bench -p integration-tests --bench rivals -- --readme` -->";
const END: &str = "<!-- end of the scoreboard's -->";

/// The columns of the first table, of those that took part.
const SHOWN: &[&str] = &[
    "orc",
    "orc jobs 1",
    "orc spawn",
    "orc cached",
    "orc lazy",
    "mini",
    "llvm-jitlink",
    "so lld",
    "so mold",
    "so wild",
    "exe wild",
    "tcc",
    "run alone",
    "floor",
];

impl Board {
    /// A README with this board's figures in place of those that it has.
    ///
    /// # Errors
    /// It lacks the marks between which they stand.
    pub fn into_readme(&self, readme: &str) -> Result<String> {
        let (before, rest) = readme.split_once(BEGIN).ok_or_else(|| format!("no line says {BEGIN}"))?;
        let (_, after) = rest.split_once(END).ok_or_else(|| format!("no line says {END}"))?;
        Ok(format!("{before}{BEGIN}\n\n{}\n{END}{after}", self.short()))
    }

    fn short(&self) -> String {
        let rounds = self.rows.iter().flat_map(|row| &row.cells).filter_map(Cell::ran).map(<[Usage]>::len).max();
        let mut text = format!("{}; medians of {} interleaved rounds.\n\n", self.machine, rounds.unwrap_or(0));
        text.push_str(
            "CPU milliseconds of the whole process tree, and in brackets the same as a multiple of orc's:\n\n",
        );
        let shown: Vec<&str> = SHOWN.iter().copied().filter(|name| self.column(name).is_some()).collect();
        self.lines(&mut text, &shown, |row, name| {
            let cpu = self.median(row, name, Usage::cpu_ms)?;
            let ratio = self.median(row, "orc", Usage::cpu_ms).filter(|_| name != "orc").map(|ours| cpu / ours);
            Some(format!(
                "{}{}",
                figures(cpu),
                ratio.map(|ratio| format!(" ({}x)", figures(ratio))).unwrap_or_default()
            ))
        });
        text.push_str("\nWall milliseconds / peak MB / thousands of page faults:\n\n");
        let few: Vec<&str> =
            shown.iter().copied().filter(|name| !name.starts_with("so ") && *name != "floor").collect();
        self.lines(&mut text, &few, |row, name| {
            let of = |of: fn(&Usage) -> f64| self.median(row, name, of).map(figures);
            let (wall, peak) = (of(Usage::wall_ms)?, of(Usage::peak_mib)?);
            Some(format!("{wall} / {peak} / {}", of(|usage| usage.minor_faults as f64 / 1000.0)?))
        });
        self.floors(&mut text);
        self.exponents(&mut text);
        text
    }

    fn lines(&self, text: &mut String, names: &[&str], shown: impl Fn(&Row, &str) -> Option<String>) {
        let _ = writeln!(text, "| workload | {} |\n|---|{}", names.join(" | "), "---:|".repeat(names.len()));
        for row in self.rows_of(Table::Programs) {
            let _ = write!(text, "| {} {} |", row.name, row.what);
            for name in names {
                let cell = self.cell(row, name).unwrap_or(Cell::Ran(Vec::new()));
                let _ = write!(text, " {} |", or_why_not(&cell, shown(row, name)));
            }
            text.push('\n');
        }
    }

    /// How cost grows: one line a family, our times and everybody's exponents.
    fn exponents(&self, text: &mut String) {
        let exponents = growth::exponents(self);
        let has = |name: &&str| exponents.iter().any(|(_, rival, _)| rival == name);
        let rivals: Vec<&str> = ["orc", "mini", "exe lld", "exe wild"].into_iter().filter(has).collect();
        if rivals.is_empty() {
            return;
        }
        text.push_str("\nHow cost grows: orc's CPU milliseconds at each size, and exponents with what starting costs taken off:\n\n");
        let _ = writeln!(
            text,
            "| what | orc at sizes | {} |\n|---|---|{}",
            rivals.join(" | "),
            "---:|".repeat(rivals.len())
        );
        for family in growth::families(self) {
            let rows = self.rows_of(Table::Growth).filter(|row| row.name == family);
            let at = |row: &Row| {
                let ours = self.median(row, "orc", Usage::cpu_ms).map_or("–".to_owned(), figures);
                format!("{}: {ours}", row.size.unwrap_or(0))
            };
            let sizes: Vec<String> = rows.map(at).collect();
            let _ = write!(text, "| {family} | {} |", sizes.join(", "));
            for rival in &rivals {
                let own = exponents.iter().find(|(name, of, _)| *name == family && of == rival);
                let _ = write!(text, " {} |", own.map_or("–".to_owned(), |(_, _, exponent)| format!("{exponent:.2}")));
            }
            text.push('\n');
        }
    }

    fn median(&self, row: &Row, rival: &str, of: impl Fn(&Usage) -> f64) -> Option<f64> {
        row.cells.get(self.column(rival)?)?.median(of)
    }
}
