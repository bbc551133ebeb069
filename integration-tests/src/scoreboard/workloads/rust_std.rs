//! W8: a Rust program with threads, channels, a caught panic, regex and serde_json, as rustc's objects and rlibs: thread-local storage,
//! initializers that read the arguments, unwinding by `libgcc_s`.

use std::path::PathBuf;
use std::process::Command;

use super::{LIBGCC, LIBM, Workload, sources};
use crate::scoreboard::Result;
use crate::scoreboard::shop::{Shop, output, write};

const SOURCE: &str = include_str!("../../../benches/programs/threads.rs");
const MANIFEST: &str = r#"[package]
name = "threads"
version = "0.0.0"
edition = "2021"

[dependencies]
regex = "=1.12.2"
serde_json = "=1.0.145"

[[bin]]
name = "threads"
path = "threads.rs"

[profile.release]
codegen-units = 1

[workspace]
"#;

pub(super) fn make(shop: &Shop) -> Result<Workload> {
    let compiler = output(Command::new("rustc").arg("-vV"))?;
    let folder = shop.cached("W8", &format!("{compiler}{MANIFEST}{SOURCE}"), |folder| {
        write(&folder.join("Cargo.toml"), MANIFEST)?;
        write(&folder.join("threads.rs"), SOURCE)?;
        // rustc tells what it hands to the linker, and leaves it there.
        let told = output(
            sources::cargo()
                .args(["rustc", "--release", "--bin", "threads", "--target-dir", "built"])
                .args(["--", "-C", "save-temps", "--print", "link-args"])
                .env_remove("RUSTFLAGS")
                .current_dir(folder),
        )?;
        let inputs: Vec<_> = told
            .split('"')
            .filter(|word| (word.ends_with(".o") && !word.ends_with("/symbols.o")) || word.ends_with(".rlib"))
            .collect();
        if inputs.is_empty() {
            return Err("rustc did not tell what it links".to_owned());
        }
        write(&folder.join("inputs"), &inputs.join("\n"))
    })?;
    let inputs = std::fs::read_to_string(folder.join("inputs")).map_err(|e| format!("W8/inputs: {e}"))?;
    let (objects, archives) =
        inputs.lines().map(PathBuf::from).partition(|path| path.extension().is_some_and(|end| end == "o"));
    Ok(Workload {
        name: "W8",
        what: "Rust std: regex, serde_json, threads",
        objects,
        archives,
        inputs_for_jitlink: None,
        dylibs: None,
        libraries: &[LIBGCC, LIBM],
        args: Vec::new(),
        stdin: None,
        expected: None,
        floor: None,
    })
}
