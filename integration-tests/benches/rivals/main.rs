//! The scoreboard: `orc run` and everything that people use instead, on the same objects, side by side.
//!
//! You give nothing but `cargo bench -p integration-tests --bench rivals`; you get the workloads built, the rivals installed where that is
//! possible, every rival's program checked to print the same, a table with ratios, and the raw figures as CSV.
//! It is not for watching one function of ours get faster: it measures whole processes, from objects on disk to the program's end.
//! `benches/README.md` tells how to read it.
#![allow(clippy::print_stdout, reason = "a bench talks to the terminal")]

mod args;
mod machine;
mod measure;
mod report;
mod rivals;
mod rounds;
mod shop;
mod tools;
mod workloads;

use std::process::ExitCode;

/// What went wrong, as one sentence for the person at the terminal.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    match scoreboard() {
        Ok(code) => code,
        Err(message) => {
            eprintln!("rivals: {message}");
            ExitCode::from(2)
        }
    }
}

fn scoreboard() -> Result<ExitCode> {
    let Some(options) = args::Options::parse(std::env::args().skip(1))? else {
        print!("{}", args::USAGE);
        return Ok(ExitCode::SUCCESS);
    };
    let shop = shop::Shop::open(options.jobs)?;
    let tools = tools::provide(&shop, &options)?;
    let workloads = workloads::build(&shop, &options);
    let rivals = rivals::select(&tools, &options)?;
    if options.commands {
        rounds::print_commands(&workloads, &rivals, &shop);
        return Ok(ExitCode::SUCCESS);
    }
    if options.build_only {
        return Ok(ExitCode::SUCCESS);
    }
    let machine = machine::Machine::describe();
    let board = rounds::run(&workloads, &rivals, &shop, &options)?;
    report::write_csv(&options.csv.clone().unwrap_or_else(|| shop.path("rivals.csv")), &machine, &board)?;
    print!("{}", report::markdown(&machine, &board, options.rounds));
    Ok(if options.check && board.disagrees() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
