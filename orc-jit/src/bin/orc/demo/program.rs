//! The program of the demo: three dylibs, an object each.
//!
//! `main` needs `greeter`. While `greeter` initializes it opens `palette`, and `palette`, while it initializes, opens `greeter`, which
//! is being opened: nothing waits, nothing runs twice. `main` registers an `atexit` handler. Whoever opened a dylib closes it.

use super::assemble::{Assembler, Instruction, Visibility};
use Instruction::{
    Call, PassAddress, PassNull, PassResult, PassSecond, PassSecondResult, PassText, PassVariable, Return, StoreResult,
};
use Visibility::{Exported, Local};

/// One dylib of the demo.
pub(super) struct Part {
    pub(super) name: &'static str,
    /// Dylibs that it links against.
    pub(super) needs: &'static [&'static str],
    pub(super) about: &'static str,
    pub(super) object: Vec<u8>,
}

/// The parts, `main` first.
pub(super) fn parts() -> [Part; 3] {
    [
        Part { name: "main", needs: &["greeter"], about: "needs greeter", object: main() },
        Part { name: "greeter", needs: &[], about: "opens palette while it initializes", object: greeter() },
        Part { name: "palette", needs: &[], about: "opens greeter while it initializes", object: palette() },
    ]
}

/// An object with a function `say`, which writes a line at once: what orc itself says stands in between.
fn object() -> Assembler {
    let mut object = Assembler::new();
    object.function("say", Local, &[Call("puts"), PassNull, Call("fflush")]);
    object
}

const RTLD_NOW: u32 = 2;

fn main() -> Vec<u8> {
    let mut object = object();
    object.function(
        "initialize",
        Local,
        &[PassText("  main      initializes: everything it needs is ready"), Call("say")],
    );
    object.function(
        "main",
        Exported,
        &[
            PassText("  main      runs, registers an atexit handler, calls greet()"),
            Call("say"),
            PassAddress("goodbye"),
            Call("atexit"),
            Call("greet"),
            PassSecondResult,
            PassText("  main      greet() returned %d, and so does main\n"),
            Call("printf"),
            PassNull,
            Call("fflush"),
            Return(42),
        ],
    );
    object.function("goodbye", Local, &[PassText("  main      atexit handler: goodbye"), Call("say")]);
    object.function("finalize", Local, &[PassText("  main      finalizes"), Call("say")]);
    object.initializer("initialize");
    object.finalizer("finalize");
    object.finish()
}

fn greeter() -> Vec<u8> {
    let mut object = object();
    object.function(
        "initialize",
        Local,
        &[
            PassText("  greeter   initializes: begins, and opens palette"),
            Call("say"),
            PassText("palette"),
            PassSecond(RTLD_NOW),
            Call("__orc_rt_jit_dlopen"),
            StoreResult("handle"),
            PassText("  greeter   initializes: palette is open, done"),
            Call("say"),
        ],
    );
    object.function("greet", Exported, &[PassText("  greeter   hello from another dylib"), Call("say"), Return(42)]);
    object.function(
        "finalize",
        Local,
        &[
            PassText("  greeter   finalizes, and closes palette"),
            Call("say"),
            PassVariable("handle"),
            Call("__orc_rt_jit_dlclose"),
        ],
    );
    object.variable("handle");
    object.initializer("initialize");
    object.finalizer("finalize");
    object.finish()
}

fn palette() -> Vec<u8> {
    let mut object = object();
    object.function(
        "initialize",
        Local,
        &[
            PassText("  palette   initializes: begins, and opens greeter, which is being opened"),
            Call("say"),
            PassText("greeter"),
            PassSecond(RTLD_NOW),
            Call("__orc_rt_jit_dlopen"),
            PassResult,
            Call("__orc_rt_jit_dlclose"),
            PassText("  palette   initializes: had its handle, nothing ran twice, done"),
            Call("say"),
        ],
    );
    object.function("finalize", Local, &[PassText("  palette   finalizes"), Call("say")]);
    object.initializer("initialize");
    object.finalizer("finalize");
    object.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitlink::{FlatMemory, Link, LinkGraph, LinkOptions, Roots, arch, object};

    #[test]
    fn the_parts_are_objects_that_link() {
        for part in parts() {
            let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
            object::read(&mut graph, part.name, &part.object, object::ReadOptions::default()).unwrap();
            let pruned = Link::new(graph, LinkOptions::default()).prune(&Roots::default()).unwrap();
            let placed = pruned.place(&FlatMemory::new(0x1000_0000)).unwrap();
            let mut externals: Vec<String> =
                placed.externals().map(|external| String::from_utf8_lossy(external.name).into_owned()).collect();
            externals.sort();
            let expected: &[&str] = match part.name {
                "main" => &["atexit", "fflush", "greet", "printf", "puts"],
                _ => &["__orc_rt_jit_dlclose", "__orc_rt_jit_dlopen", "fflush", "puts"],
            };
            assert_eq!(externals, expected, "{}", part.name);
        }
    }
}
