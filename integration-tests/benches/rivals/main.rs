//! The scoreboard's command: `cargo bench -p integration-tests --bench rivals`.
//!
//! You give nothing; you get tables at the terminal, raw figures as CSV and a plot. `integration_tests::scoreboard` does the work,
//! `benches/README.md` tells how to read what comes out. Not for: one function of ours (the crates' own benches).
#![allow(clippy::print_stdout, reason = "a bench talks to the terminal")]

use integration_tests::scoreboard::{self, Board, Options, Outcome};
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    match scoreboard() {
        Ok(code) => code,
        Err(message) => {
            eprintln!("rivals: {message}");
            ExitCode::from(2)
        }
    }
}

fn scoreboard() -> Result<ExitCode, String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(mut options) = Options::parse(words.iter().cloned())? else {
        print!("{}", scoreboard::USAGE);
        return Ok(ExitCode::SUCCESS);
    };
    let csv = options.csv.clone().map_or_else(scoreboard::figures_path, Ok)?;
    if options.readme {
        return show(&csv);
    }
    options.floor = Some(env!("CARGO_BIN_EXE_floor").into());
    if !options.build_only {
        build_first(&words)?;
    }
    let board = match scoreboard::run(&options)? {
        Outcome::Told(commands) => {
            print!("{commands}");
            return Ok(ExitCode::SUCCESS);
        }
        Outcome::Measured(board) => board,
    };
    write(&csv, &board.to_csv()?)?;
    write(&csv.with_extension("svg"), &board.plot())?;
    print!("{}", board.markdown());
    Ok(if options.check && board.disagrees() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Puts the figures of a run into the README, and its plot where the README shows it.
fn show(csv: &Path) -> Result<ExitCode, String> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = package.join("../README.md");
    let board = Board::from_csv(&read(csv)?).map_err(|e| format!("{}: {e}", csv.display()))?;
    write(&readme, &board.into_readme(&read(&readme)?)?)?;
    write(&package.join("benches/scoreboard.svg"), &board.plot())?;
    Ok(ExitCode::SUCCESS)
}

/// Builds in a process of its own: the peak memory of a child cannot be less than its parent's ever was, and generators need some.
fn build_first(words: &[String]) -> Result<(), String> {
    let this = std::env::current_exe().map_err(|e| format!("cannot find the bench itself: {e}"))?;
    let built = Command::new(this).args(words).arg("--build-only").status().map_err(|e| e.to_string())?;
    if built.success() { Ok(()) } else { Err("could not build".to_owned()) }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}
