//! perf records real programs and reports linked functions by name and line, where the kernel lets it sample.
#![allow(clippy::print_stdout, reason = "whether the kernel lets perf sample is worth knowing of every run")]

use crate::world::{World, words};
use gimli::{BaseAddresses, CfaRule, EhFrame, EhFrameHdr, NativeEndian, UnwindContext, UnwindSection as _, X86_64};
use integration_tests::executor::Kind;
use object::{Object as _, ObjectSection as _};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Whether the kernel lets this user sample by the clock; what came of it is printed.
fn may_sample(world: &World) -> bool {
    let outcome = world.run(&words("perf record -q -e cpu-clock -o probe.data true"), &[]);
    let answer = if outcome.code == 0 { "it does" } else { "it does not" };
    eprintln!("does this kernel let perf sample? {answer}: {}", String::from_utf8_lossy(&outcome.stderr).trim());
    outcome.code == 0
}

/// Two functions that take the same time; the loop of the first stands in line 4.
const HOT: &str = r#"
__attribute__((noinline)) long hot_first(long n) {
    volatile long sum = 0;
    for (long i = 0; i < n; i++) sum += i;
    return sum;
}
namespace n {
    template <class T> __attribute__((noinline)) T hot_second(T n) {
        volatile T sum = 0;
        for (T i = 0; i < n; i++) sum += i;
        return sum;
    }
}
int main() {
    return hot_first(200000000) != n::hot_second<long>(200000000);
}
"#;

/// Shares of symbols in a report, in percent.
fn report(world: &World, data: &str) -> BTreeMap<String, f64> {
    let text = world.output(&format!("perf report --stdio -i {data} -F overhead,sym --percent-limit 0.5"));
    let mut shares = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((share, symbol)) = line.trim().split_once('%') else { continue };
        let name = symbol.trim().trim_start_matches("[.] ").trim_start_matches("[k] ").to_owned();
        *shares.entry(name).or_default() += share.trim().parse::<f64>().expect("a number");
    }
    shares
}

#[track_caller]
fn halves(shares: &BTreeMap<String, f64>, names: [&str; 2]) {
    for name in names {
        let share = shares.get(name).copied().unwrap_or_default();
        assert!(share > 20.0, "{name}: {share} of {shares:?}");
    }
}

#[test]
fn a_report_names_hot_functions_by_the_map() {
    let world = World::new("perf_map");
    let object = world.compile("hot.cc", HOT, "-O1 -g");
    if !may_sample(&world) {
        return;
    }
    for kind in world.kinds() {
        let mut line = words("perf record -q -e cpu-clock -o map.data");
        line.extend(world.orc(kind, &format!("--profile perf-map {object}")));
        world.succeed(&line, &[]);
        halves(&report(&world, "map.data"), ["hot_first", "n::hot_second<long>"]);
    }
}

#[test]
fn a_report_names_hot_functions_and_lines_by_jitdump() {
    let world = World::new("perf_jitdump");
    let object = world.compile("hot.cc", HOT, "-O1 -g");
    if !may_sample(&world) {
        return;
    }
    let folder = world.folder.to_string_lossy().into_owned();
    for kind in world.kinds() {
        let mut line = words("perf record -q -e cpu-clock -k mono -o dump.data");
        line.extend(world.orc(kind, &format!("--profile jitdump {object}")));
        world.succeed(&line, &[("JITDUMPDIR", &folder)]);
        world.tool("perf inject --jit -i dump.data -o injected.data");
        halves(&report(&world, "injected.data"), ["hot_first", "n::hot_second<long>"]);
        let script = world.output("perf script -i injected.data -F ip,sym,srcline");
        assert!(script.contains("hot.cc:4"), "{kind}: {}", &script[..script.len().min(2000)]);
    }
}

/// The second function lies where the first one lay.
#[test]
fn samples_before_and_after_an_unload_go_to_the_function_that_ran() {
    let world = World::new("perf_reuse");
    if !may_sample(&world) {
        return;
    }
    let spin = |name: &str| {
        format!("long {name}(long n) {{ volatile long sum = 0; for (long i = 0; i < n; i++) sum += i; return sum; }}\n")
    };
    let main = r#"
    #include <dlfcn.h>
    #include <stdio.h>
    int main(void) {
        for (int i = 0; i < 2; i++) {
            void *dylib = dlopen(i ? "B" : "A", RTLD_NOW);
            long (*spin)(long) = (long (*)(long))dlsym(dylib, i ? "spin_b" : "spin_a");
            printf("%p ", (void *)spin);
            spin(200000000);
            dlclose(dylib);
        }
        return 0;
    }
    "#;
    let main = world.compile("main.c", main, "-O1 -g");
    let (a, b) = (world.compile("a.c", &spin("spin_a"), "-O1 -g"), world.compile("b.c", &spin("spin_b"), "-O1 -g"));
    let folder = world.folder.to_string_lossy().into_owned();
    let mut line = words("perf record -q -e cpu-clock -k mono -o reuse.data");
    line.extend(world.orc(Kind::InProcess, &format!("--profile jitdump --needs= {main} --dylib A {a} --dylib B {b}")));
    let said = world.succeed(&line, &[("JITDUMPDIR", &folder)]);
    let places: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(places[0], places[1], "the memory is used again");
    world.tool("perf inject --jit -i reuse.data -o injected.data");
    halves(&report(&world, "injected.data"), ["spin_a", "spin_b"]);
}

/// By frame pointers, as perf does by default. By unwind information it cannot where libunwind walks, which wants that information mapped behind each function; what perf makes
/// of it is held against the functions instead.
#[test]
fn stacks_of_linked_code_are_walked() {
    let world = World::new("perf_stacks");
    let source = r#"
    __attribute__((noinline)) long innermost(long n) {
        volatile long sum = 0;
        for (long i = 0; i < n; i++) sum += i;
        return sum;
    }
    __attribute__((noinline)) long middle(long n) {
        volatile long room[20];
        room[n & 1] = 1;
        return innermost(n) + room[n & 1];
    }
    int main(void) {
        return middle(100000000) == 0;
    }
    "#;
    let object = world.compile("stack.c", source, "-O1 -g -fno-omit-frame-pointer");
    if !may_sample(&world) {
        return;
    }
    let folder = world.folder.to_string_lossy().into_owned();
    let mut line = words("perf record -q -e cpu-clock -F 200 -k mono --call-graph fp -o stack.data");
    line.extend(world.orc(Kind::InProcess, &format!("--profile jitdump {object}")));
    world.succeed(&line, &[("JITDUMPDIR", &folder)]);
    world.tool("perf inject --jit -i stack.data -o injected.data");
    let script = world.output("perf script -i injected.data -F ip,sym");
    let stack = script.split("\n\n").find(|stack| stack.contains("innermost")).expect("a sample of it");
    let names: Vec<&str> = stack.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(names[..3.min(names.len())], ["innermost", "middle", "main"], "{stack}");

    let made = fs::read_dir(&world.folder).expect("there").map(|entry| entry.expect("there").path());
    let made: Vec<_> = made.filter(|path| path.extension().is_some_and(|end| end == "so")).collect();
    assert_eq!(made.len(), 3, "a file for each function");
    for path in made {
        describes_its_function(&path);
    }
}

/// The file that perf has made of one function: its unwind information covers exactly its code, and its index finds it.
fn describes_its_function(path: &Path) {
    let data = fs::read(path).expect("there");
    let file = object::File::parse(&*data).expect("an ELF file");
    let section = |name: &str| file.section_by_name(name).expect("there");
    let (text, table, index) = (section(".text"), section(".eh_frame"), section(".eh_frame_hdr"));
    let bases = BaseAddresses::default().set_eh_frame(table.address()).set_eh_frame_hdr(index.address());
    let table = EhFrame::new(table.data().expect("read"), NativeEndian);
    let index = EhFrameHdr::new(index.data().expect("read"), NativeEndian).parse(&bases, 8).expect("readable");
    let last = text.address() + text.size() - 1;
    let found = index.table().expect("a table").fde_for_address(&table, &bases, last, EhFrame::cie_from_offset);
    let found = found.expect("found");
    assert_eq!((found.initial_address(), found.len()), (text.address(), text.size()), "{}", path.display());
    let mut context = UnwindContext::new();
    let row = found.unwind_info_for_address(&table, &bases, &mut context, text.address()).expect("readable");
    let expected = CfaRule::RegisterAndOffset { register: X86_64::RSP, offset: 8 };
    assert_eq!(row.cfa(), &expected, "{}: before its first instruction", path.display());
}
