//! The scoreboard: `orc run` and everything that people use instead, on the same objects, side by side.
//!
//! You give options; you get the workloads built, the rivals installed where that is possible, every rival's program checked to print
//! the same, and a [`Board`]: CSV, tables and a plot are made from it. `cargo bench -p integration-tests --bench rivals` shows them all.
//! It is not for watching one function of ours get faster: it measures whole processes, from objects on disk to the program's end.
//! `benches/README.md` tells how to read it.

mod args;
mod board;
mod csv;
mod floor;
mod growth;
mod machine;
mod measure;
mod plot;
mod readme;
mod rivals;
mod rounds;
mod shop;
mod table;
mod tools;
mod workloads;

pub use args::{Options, USAGE};
pub use board::{Board, Cell, Column, Row, Table};
pub use machine::compilers;
pub use measure::Usage;
pub use shop::{Shop, figures_path};
pub use workloads::{Entry, Library, Workload, build};

/// What went wrong, as one sentence for the person at the terminal.
type Result<T> = std::result::Result<T, crate::Failure>;

/// What came of one run.
#[derive(Debug)]
pub enum Outcome {
    /// What would be run, or nothing if only building was asked for.
    Told(String),
    /// Figures.
    Measured(Board),
}

/// Builds, installs, checks and measures, as the options say.
///
/// Children that nobody waited for come home to this process, and it waits for any: nothing else may start processes meanwhile.
///
/// # Errors
/// What makes a run pointless: no compiler, no place to write. A workload that cannot be built, or a rival that fails, is a row or a
/// cell that says so.
pub fn run(options: &Options) -> Result<Outcome> {
    let shop = Shop::open(options.jobs)?;
    let tools = tools::provide(&shop, options)?;
    let mut workloads = build(&shop, options);
    if let Ok(orc) = &tools.orc {
        floors(&shop, &mut workloads, orc, options);
    }
    let rivals = rivals::select(&tools, options)?;
    if options.commands || options.build_only {
        let commands = if options.commands { rounds::commands(&workloads, &rivals, &shop) } else { String::new() };
        return Ok(Outcome::Told(commands));
    }
    rounds::run(&workloads, &rivals, &shop, options).map(Outcome::Measured)
}

/// Makes the floors of programs, if they are asked for.
fn floors(shop: &Shop, entries: &mut [Entry], orc: &std::path::Path, options: &Options) {
    let wanted = options.floor.is_some() && options.wants_rival(table::FLOOR);
    for entry in entries.iter_mut().filter(|entry| wanted && entry.table == Table::Programs) {
        let Ok(workload) = &mut entry.workload else { continue };
        match floor::make(shop, workload, orc) {
            Ok(path) => workload.floor = Some(path),
            Err(why) => eprintln!("{} has no floor: {why}", workload.name),
        }
    }
}
