//! The figures of one run of the scoreboard: who ran what, and what each run used. Tables, plot and CSV are made from it, and it is made
//! from CSV again.

use super::measure::Usage;
use serde::{Deserialize, Serialize};

/// The rival that all ratios are against.
pub(crate) const OURS: &str = "orc";

/// All figures of one run, with the machine that they were taken on.
#[derive(Debug, Clone, PartialEq)]
pub struct Board {
    /// Seconds since 1970.
    pub taken: u64,
    /// Processor, cores, memory, system, kernel, compilers.
    pub machine: String,
    /// The columns.
    pub rivals: Vec<Column>,
    /// The workloads; the cells of each are parallel to the columns.
    pub rows: Vec<Row>,
}

/// A rival as the tables name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// `so lld`; the handle on the command line, too.
    pub name: String,
    /// What it says of itself; empty where it says nothing.
    pub version: String,
}

/// Which table a row belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// Programs, from objects on disk to their end.
    #[default]
    Programs,
    /// The same thing a thousand, ten thousand, a hundred thousand times.
    Growth,
}

/// A workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it is shown.
    pub table: Table,
    /// `W2`; of growth, what grows.
    pub name: String,
    /// Of growth, how many of them; zero for what starting costs.
    pub size: Option<u64>,
    /// What it is, in a few words.
    pub what: String,
    /// One for each column.
    pub cells: Vec<Cell>,
}

/// One rival on one workload.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Not on this machine, or the workload is not; why.
    Absent(String),
    /// It was tried and did not get the program to run; why.
    Fails(String),
    /// The program ran, and printed something else than natively linked; what.
    Differs(String),
    /// One usage a round.
    Ran(Vec<Usage>),
}

impl Cell {
    /// The usages, if there are any.
    pub fn ran(&self) -> Option<&[Usage]> {
        match self {
            Self::Ran(usages) if !usages.is_empty() => Some(usages),
            _ => None,
        }
    }

    /// The median of a figure over the rounds, if there were any.
    pub fn median(&self, of: impl Fn(&Usage) -> f64) -> Option<f64> {
        let mut all: Vec<_> = self.ran()?.iter().map(of).collect();
        all.sort_unstable_by(f64::total_cmp);
        Some(all[all.len() / 2])
    }
}

impl Row {
    /// As messages name it: `W2`, `functions 1000`.
    pub fn title(&self) -> String {
        self.size.map_or_else(|| self.name.clone(), |size| format!("{} {size}", self.name))
    }
}

impl Board {
    /// Whether some rival's program ran to an end and printed something else.
    pub fn disagrees(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.cells).any(|cell| matches!(cell, Cell::Differs(_)))
    }

    /// The rows of one table.
    pub fn rows_of(&self, table: Table) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.table == table)
    }

    /// The place of a rival among the columns.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.rivals.iter().position(|rival| rival.name == name)
    }

    /// A rival's cell.
    pub fn cell(&self, row: &Row, rival: &str) -> Option<Cell> {
        row.cells.get(self.column(rival)?).cloned()
    }
}
