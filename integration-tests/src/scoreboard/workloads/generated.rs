//! W5: generated C, ten functions an object: names, small objects and references between them, at three sizes.
//!
//! Each function calls three others (two of them anywhere, so mostly in other objects), reads a datum of another object, and stands
//! beside two pointers to data and two to functions; `main` holds a table of all functions and calls each.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::Workload;
use crate::scoreboard::Result;
use crate::scoreboard::shop::{Shop, files, write};

const FUNCTIONS_PER_OBJECT: usize = 10;
const UNITS_PER_COMPILER: usize = 50;
const FLAGS: &[&str] = &["-O1", "-fPIC", "-c"];
/// Changes when the generator does.
const VERSION: u32 = 1;

pub(super) fn make_1k(shop: &Shop) -> Result<Workload> {
    make(shop, "W5-1k", "1,000 functions in 100 objects", 100)
}

pub(super) fn make_10k(shop: &Shop) -> Result<Workload> {
    make(shop, "W5-10k", "10,000 functions in 1,000 objects", 1_000)
}

pub(super) fn make_100k(shop: &Shop) -> Result<Workload> {
    make(shop, "W5-100k", "100,000 functions in 10,000 objects", 10_000)
}

fn make(shop: &Shop, name: &'static str, what: &'static str, objects: usize) -> Result<Workload> {
    let recipe = format!("generator {VERSION}, {objects} objects, {FUNCTIONS_PER_OBJECT} functions each, {FLAGS:?}");
    let folder = shop.cached(name, &recipe, |folder| {
        let mut dice = Dice::new();
        let mut units = vec!["main.c".to_owned()];
        write(&folder.join("main.c"), &main_unit(objects * FUNCTIONS_PER_OBJECT))?;
        for object in 0..objects {
            let unit = format!("unit{object:05}.c");
            write(&folder.join(&unit), &unit_text(&mut dice, object, objects * FUNCTIONS_PER_OBJECT))?;
            units.push(unit);
        }
        let compile = |units: &[String]| {
            let mut gcc = Command::new("gcc");
            gcc.args(FLAGS).args(units).current_dir(folder);
            gcc
        };
        shop.all(units.chunks(UNITS_PER_COMPILER).map(compile).collect())?;
        remove_sources(folder)
    })?;
    Ok(Workload {
        name,
        what,
        objects: files(&folder, &["o"])?,
        archives: Vec::new(),
        inputs_for_jitlink: None,
        dylibs: None,
        libraries: &[],
        args: Vec::new(),
        stdin: None,
        expected: None,
        floor: None,
    })
}

fn unit_text(dice: &mut Dice, object: usize, all: usize) -> String {
    let mut declared = String::new();
    let mut bodies = String::new();
    let own = object * FUNCTIONS_PER_OBJECT..(object + 1) * FUNCTIONS_PER_OBJECT;
    for me in own.clone() {
        let near = own.start + dice.below(FUNCTIONS_PER_OBJECT);
        let [first, second, stored] = [(); 3].map(|()| dice.below(all));
        let [datum, pointed] = [(); 2].map(|()| dice.below(all));
        for function in [first, second, stored, near, me] {
            let _ = writeln!(declared, "unsigned step_{function}(unsigned);");
        }
        for value in [datum, pointed] {
            let _ = writeln!(declared, "extern unsigned value_{value}[4];");
        }
        let _ = write!(
            bodies,
            "unsigned value_{me}[4] = {{{me}, {a}, {b}, {c}}};\n\
             unsigned *data_{me}[2] = {{value_{datum}, value_{pointed} + 1}};\n\
             unsigned (*code_{me}[2])(unsigned) = {{step_{first}, step_{stored}}};\n\
             unsigned step_{me}(unsigned n) {{\n\
             \x20   const char *name = \"step {me}\";\n\
             \x20   if (n == 0) return value_{me}[name[5] & 3];\n\
             \x20   if (n > 5) return code_{me}[n & 1](n - 1) + *data_{me}[n & 1];\n\
             \x20   return step_{first}(n - 1) + 3 * step_{second}(n - 1) + step_{near}(n / 4) + value_{datum}[n & 3];\n\
             }}\n",
            a = me % 7,
            b = me % 11,
            c = me % 13,
        );
    }
    declared + &bodies
}

fn main_unit(all: usize) -> String {
    let mut text = String::from("#include <stdio.h>\n");
    for function in 0..all {
        let _ = writeln!(text, "unsigned step_{function}(unsigned);");
    }
    text.push_str("static unsigned (*const steps[])(unsigned) = {\n");
    for function in 0..all {
        let _ = writeln!(text, "step_{function},");
    }
    text.push_str(
        "};\nint main(void) {\n    unsigned long sum = 0;\n    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++)\n\
         \x20       sum = sum * 31 + steps[i](2);\n    printf(\"%lu\\n\", sum);\n    return 0;\n}\n",
    );
    text
}

/// The sources of 10,000 objects are not worth keeping.
fn remove_sources(folder: &Path) -> Result<()> {
    for source in files(folder, &["c"])? {
        std::fs::remove_file(&source).map_err(|e| format!("{}: {e}", source.display()))?;
    }
    Ok(())
}

/// xorshift64*: the same program on every machine.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}
