//! The raw figures as CSV, one line a run: written, and read again for whoever makes tables and plots later.
//!
//! Times are milliseconds, memory is KiB. A rival that did not run has one line that says why. Exponents have lines, too; they are
//! computed from the others and skipped when the file is read.

use super::Result;
use super::board::{Board, Cell, Column, Row, Table};
use super::growth;
use super::measure::Usage;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One line.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Record {
    unix_time: u64,
    machine: String,
    table: Table,
    workload: String,
    size: Option<u64>,
    what: String,
    rival: String,
    version: String,
    round: Option<usize>,
    user_ms: Option<f64>,
    system_ms: Option<f64>,
    cpu_ms: Option<f64>,
    wall_ms: Option<f64>,
    peak_kib: Option<u64>,
    minor_faults: Option<u64>,
    major_faults: Option<u64>,
    exponent: Option<f64>,
    /// `ran`, `exponent`, or what went wrong.
    result: String,
}

const RAN: &str = "ran";
const EXPONENT: &str = "exponent";

impl Board {
    /// The whole file.
    ///
    /// # Errors
    /// None that is known; the writer's are passed on.
    pub fn to_csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut put = |record: &Record| writer.serialize(record).map_err(|e| e.to_string());
        for row in &self.rows {
            for (rival, cell) in self.rivals.iter().zip(&row.cells) {
                let head = Record {
                    unix_time: self.taken,
                    machine: self.machine.clone(),
                    table: row.table,
                    workload: row.name.clone(),
                    size: row.size,
                    what: row.what.clone(),
                    rival: rival.name.clone(),
                    version: rival.version.clone(),
                    ..Record::default()
                };
                let why = match cell {
                    Cell::Ran(usages) => {
                        for (round, usage) in usages.iter().enumerate() {
                            put(&ran(head.clone(), round + 1, usage))?;
                        }
                        continue;
                    }
                    Cell::Absent(why) => format!("absent: {why}"),
                    Cell::Fails(why) => format!("fails: {why}"),
                    Cell::Differs(how) => format!("differs: {how}"),
                };
                put(&Record { result: why, ..head })?;
            }
        }
        for (family, rival, exponent) in growth::exponents(self) {
            put(&Record {
                unix_time: self.taken,
                machine: self.machine.clone(),
                table: Table::Growth,
                workload: family,
                rival,
                exponent: Some((exponent * 1000.0).round() / 1000.0),
                result: EXPONENT.to_owned(),
                ..Record::default()
            })?;
        }
        let bytes = writer.into_inner().map_err(|e| e.to_string())?;
        String::from_utf8(bytes).map_err(|e| e.to_string())
    }

    /// The board that was written so.
    ///
    /// # Errors
    /// No CSV, another file's columns, nothing in it.
    pub fn from_csv(text: &str) -> Result<Self> {
        let mut board = Self { taken: 0, machine: String::new(), rivals: Vec::new(), rows: Vec::new() };
        for (index, record) in csv::Reader::from_reader(text.as_bytes()).deserialize().enumerate() {
            // The first line has the names of the columns.
            let at = |e: &dyn std::fmt::Display| format!("line {}: {e}", index + 2);
            let record: Record = record.map_err(|e| at(&e))?;
            if record.result == EXPONENT {
                continue;
            }
            board.taken = record.unix_time;
            board.machine.clone_from(&record.machine);
            let cell = board.cell_for(&record);
            if record.result == RAN {
                let usage = usage(&record).ok_or_else(|| at(&"a run without figures"))?;
                match cell {
                    Cell::Ran(usages) => usages.push(usage),
                    _ => return Err(at(&"a run of what did not run")),
                }
                continue;
            }
            let (kind, why) = record.result.split_once(": ").unwrap_or((&record.result, ""));
            let of_kind = match kind {
                "absent" => Cell::Absent,
                "fails" => Cell::Fails,
                "differs" => Cell::Differs,
                _ => return Err(at(&format!("no result is called {kind:?}"))),
            };
            *cell = of_kind(why.to_owned());
        }
        let columns = board.rivals.len();
        board.rows.iter_mut().for_each(|row| row.cells.resize(columns, Cell::Ran(Vec::new())));
        if board.rows.is_empty() { Err("no line with figures".to_owned()) } else { Ok(board) }
    }

    /// The cell that a line belongs to, made if it is the first of its row or column.
    fn cell_for(&mut self, record: &Record) -> &mut Cell {
        let column = self.column(&record.rival).unwrap_or_else(|| {
            self.rivals.push(Column { name: record.rival.clone(), version: record.version.clone() });
            self.rivals.len() - 1
        });
        let same = |row: &Row| row.table == record.table && row.name == record.workload && row.size == record.size;
        let row = self.rows.iter().position(same).unwrap_or_else(|| {
            let (name, what) = (record.workload.clone(), record.what.clone());
            self.rows.push(Row { table: record.table, name, size: record.size, what, cells: Vec::new() });
            self.rows.len() - 1
        });
        let cells = &mut self.rows[row].cells;
        cells.resize(cells.len().max(column + 1), Cell::Ran(Vec::new()));
        &mut cells[column]
    }
}

fn ran(head: Record, round: usize, usage: &Usage) -> Record {
    Record {
        round: Some(round),
        user_ms: Some(milliseconds(usage.user)),
        system_ms: Some(milliseconds(usage.system)),
        cpu_ms: Some(milliseconds(usage.cpu())),
        wall_ms: Some(milliseconds(usage.wall)),
        peak_kib: Some(usage.peak_kib),
        minor_faults: Some(usage.minor_faults),
        major_faults: Some(usage.major_faults),
        result: RAN.to_owned(),
        ..head
    }
}

fn usage(record: &Record) -> Option<Usage> {
    let duration = |ms: f64| Duration::from_micros((ms * 1000.0).round() as u64);
    Some(Usage {
        user: duration(record.user_ms?),
        system: duration(record.system_ms?),
        wall: duration(record.wall_ms?),
        peak_kib: record.peak_kib?,
        minor_faults: record.minor_faults?,
        major_faults: record.major_faults?,
    })
}

/// With three decimals: microseconds are all that the kernel tells.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
