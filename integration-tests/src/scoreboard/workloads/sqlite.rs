//! W2: SQLite's amalgamation and a driver that runs a script from standard input: two objects, one of them large.

use std::process::Command;

use super::{LIBM, Workload, sources};
use crate::scoreboard::Result;
use crate::scoreboard::shop::{Shop, write};

const DRIVER: &str = include_str!("../../../benches/programs/sqlite_script.c");
const SCRIPT: &str = include_str!("../../../benches/programs/script.sql");
const FLAGS: &[&str] = &[
    "-O2",
    "-fPIC",
    "-w",
    "-DSQLITE_ENABLE_FTS5",
    "-DSQLITE_ENABLE_RTREE",
    "-DSQLITE_ENABLE_GEOPOLY",
    "-DSQLITE_ENABLE_MATH_FUNCTIONS",
    "-DSQLITE_ENABLE_DBSTAT_VTAB",
    "-DSQLITE_ENABLE_SESSION",
    "-DSQLITE_ENABLE_PREUPDATE_HOOK",
];

pub(super) fn make(shop: &Shop) -> Result<Workload> {
    let sqlite = sources::package(shop, "libsqlite3-sys")?.join("sqlite3");
    let recipe = format!("{} {FLAGS:?}\n{DRIVER}{SCRIPT}", sqlite.display());
    let folder = shop.cached("W2", &recipe, |folder| {
        write(&folder.join("main.c"), DRIVER)?;
        write(&folder.join("script.sql"), SCRIPT)?;
        let compile = |source| {
            let mut gcc = Command::new("gcc");
            gcc.args(FLAGS).arg("-I").arg(&sqlite).arg("-c").arg(source).current_dir(folder);
            gcc
        };
        shop.all(vec![compile(sqlite.join("sqlite3.c")), compile("main.c".into())])
    })?;
    Ok(Workload {
        name: "W2",
        what: "SQLite runs a script",
        objects: vec![folder.join("main.o"), folder.join("sqlite3.o")],
        archives: Vec::new(),
        inputs_for_jitlink: None,
        dylibs: None,
        libraries: &[LIBM],
        args: Vec::new(),
        stdin: Some(folder.join("script.sql")),
        expected: None,
        floor: None,
    })
}
