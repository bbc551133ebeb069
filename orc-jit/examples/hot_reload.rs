//! Changes a function of a running program, without a restart.
//!
//! ```sh
//! cargo run --example hot_reload
//! ```
//!
//! **You give** a program whose state is in one object and whose rules are in another. **You get** new rules at the next step, and the state as it
//! was. A real one would watch the file; this one writes it itself. It needs a C compiler, called `cc`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use orc_jit::{JitDylib, Session};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What lasts: the state, and who uses the rules. It calls `rule` and keeps a pointer to it, as any program may.
const GAME: &str = r#"
#include <stdio.h>
int rule(int score);
static int score = 1;
static int (*const current)(int) = rule;
int step(void) {
    score = current(score);
    printf("the score is %d\n", score);
    fflush(stdout);
    return score;
}
"#;

/// What changes, while the program runs.
const RULES: [&str; 3] = [
    "int rule(int score) { return score + 1; }",
    "int rule(int score) { return score * 10; }",
    "static int half(int n) { return n / 2; } int rule(int score) { return -half(score); }",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("hot_reload.{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let result = play(&folder);
    std::fs::remove_dir_all(&folder)?;
    result
}

fn play(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let session = Session::in_process()?;
    let game: JitDylib<_> = session.add_dylib("game")?;
    game.add_object_file(compile(folder, "game", GAME)?)?;
    // What is in here can be another one later. Others reach its functions through stubs.
    let rules = game.redefinable("rules")?;
    rules.add_object_file(compile(folder, "rules", RULES[0])?)?;

    let opened = session.open("game")?;
    let step = opened.address("step")?;
    let mut scores = Vec::new();
    for (number, source) in RULES.into_iter().enumerate() {
        if number > 0 {
            println!("new rules: {source}");
            let object = compile(folder, "rules", source)?;
            // The new ones are linked and initialized, every call leads to them from here on, and the old ones are gone.
            rules.replace(|new| new.add_object_file(object))?;
        }
        for _ in 0..2 {
            scores.push(session.call_main(step, &["game".into()])?);
        }
    }
    opened.close()?;
    assert_eq!(scores, [2, 3, 30, 300, -150, 75]);
    Ok(())
}

/// The object of a C source.
fn compile(folder: &Path, name: &str, source: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let (input, output) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.o")));
    std::fs::write(&input, source)?;
    let status = Command::new("cc").args(["-O2", "-fPIC", "-c"]).arg(&input).arg("-o").arg(&output).status()?;
    if status.success() { Ok(output) } else { Err(format!("cc cannot compile {}", input.display()).into()) }
}
