//! W1: one object that calls printf. What it costs is what starting costs.

use std::process::Command;

use super::Workload;
use crate::scoreboard::Result;
use crate::scoreboard::shop::{Shop, output, write};

const SOURCE: &str = include_str!("../../../benches/programs/tiny.c");

pub(super) fn make(shop: &Shop) -> Result<Workload> {
    let folder = shop.cached("W1", SOURCE, |folder| {
        write(&folder.join("tiny.c"), SOURCE)?;
        output(Command::new("gcc").args(["-O2", "-fPIC", "-c", "tiny.c"]).current_dir(folder)).map(drop)
    })?;
    Ok(Workload {
        name: "W1",
        what: "tiny: one printf",
        objects: vec![folder.join("tiny.o")],
        archives: Vec::new(),
        inputs_for_jitlink: None,
        dylibs: None,
        libraries: &[],
        args: vec!["x".to_owned()],
        stdin: None,
        expected: None,
        floor: None,
    })
}
