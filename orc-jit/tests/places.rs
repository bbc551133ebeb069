//! Is a place in code found in the object and on the line that it came from, whatever compiler made the object and however it was told to?
//!
//! The oracle is binutils' addr2line, which reads relocatable objects section by section; compilers and binutils are declared tools of
//! the tests: where they are missing, they fail.

mod common;

use common::World;
use object::{Object as _, ObjectSymbol as _};
use orc_jit::diagnose::{CodePlace, CrashReport, Ending, locate};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A static function that is inlined where the compiler is told so, one that is not, and a global one.
const CONFIG: &str = "\
static inline __attribute__((always_inline)) int leaf(int *p, int n)
{
    return p[n] +
        p[0];
}

static __attribute__((noinline)) int twig(int *p, int n)
{
    int sum = leaf(p, n);
    for (int i = 0; i < n; i++)
        sum += leaf(p, i);
    return sum * 3;
}

int init_config(int *p)
{
    int one = twig(p, 2);
    p[1] = one;
    return one +
        twig(p, 3);
}

int other(void)
{
    return 7;
}
";

const SHAPE: &str = "\
template <typename T> struct Shape {
    __attribute__((noinline)) T area(T side)
    {
        T all = 0;
        for (T at = 0; at < side; ++at)
            all += side * at;
        return all;
    }
};

namespace net {
int area(int side)
{
    Shape<int> shape;
    return shape.area(side) +
        1;
}
}
";

const RUST: &str = "\
#[inline(never)]
fn halved(n: &[u32]) -> u32 {
    n.iter().map(|n| n / 2).sum()
}

#[unsafe(no_mangle)]
pub extern \"C\" fn rust_entry(n: u32) -> u32 {
    let list = [n, n + 1];
    halved(&list) * 2
}
";

const NOWHERE: &str = "??:?";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Compiles `source` as file `name` by the command `line`; the object's bytes.
    #[track_caller]
    fn compile(&self, line: &str, name: &str, source: &str) -> Vec<u8> {
        std::fs::write(self.path(name), source).expect("it can be written");
        let object = Path::new(name).with_extension("o");
        let object = object.to_str().expect("a name");
        let words: Vec<&str> = line.split_whitespace().collect();
        let kind: &[&str] = if words[0] == "rustc" { &[] } else { &["-c"] };
        self.tool(words[0], &[&words[1..], kind, &[name, "-o", object]].concat());
        std::fs::read(self.path(object)).expect("an object")
    }

    #[track_caller]
    fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).current_dir(self.0.path()).env("LC_ALL", "C").output();
        let output = output.unwrap_or_else(|error| panic!("{program}, which the tests need: {error}"));
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// What addr2line says of a place: function and line of the innermost, of what it is inlined into, and so on.
    fn oracle(&self, object: &str, place: &CodePlace) -> Vec<(String, String)> {
        let at = format!("{:#x}", place.section_offset);
        let said = self.tool("addr2line", &["-f", "-i", "-s", "-e", object, "-j", &place.section, &at]);
        let lines: Vec<&str> = said.lines().collect();
        let line = |line: &str| match line.split(" (discriminator").next() {
            Some(line) if !line.ends_with(['?', ':']) => line.to_owned(),
            // No line is no place, whether or not the file is known.
            _ => NOWHERE.to_owned(),
        };
        lines.chunks(2).map(|pair| (pair[0].to_owned(), line(pair[1]))).collect()
    }
}

/// A place as the oracle says it. The outermost function is the one that was asked for.
fn told(function: &str, place: &CodePlace) -> Vec<(String, String)> {
    let base = |file: &str| Path::new(file).file_name().map(|name| name.to_string_lossy().into_owned());
    let mut line = place.line.as_ref();
    let mut all = Vec::new();
    let mut push = |function: &str, line: Option<&orc_jit::diagnose::SourceLine>| {
        let text =
            line.map_or(NOWHERE.into(), |line| format!("{}:{}", base(&line.file).unwrap_or_default(), line.line));
        all.push((function.to_owned(), text));
    };
    for inlined in &place.inlined {
        push(&inlined.function, line);
        line = inlined.called_from.as_ref();
    }
    // A copy for one purpose (`f.isra.0`, `f.cold`) is the function to debug information.
    push(function.split('.').next().unwrap_or_default(), line);
    all
}

/// Every function of code that an object defines: name and size.
fn functions(object: &[u8]) -> Vec<(String, u64)> {
    let file = object::File::parse(object).expect("an object");
    let code = file.symbols().filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.is_definition());
    code.map(|symbol| (symbol.name().expect("a name").to_owned(), symbol.size())).collect()
}

/// Compares every offset of every function with the oracle; the lines of `function` that came up.
#[track_caller]
fn agrees(line: &str, name: &str, source: &str, function: &str) -> Vec<u32> {
    let folder = Folder::new();
    let bytes = folder.compile(line, name, source);
    let object = Path::new(name).with_extension("o").to_str().expect("a name").to_owned();
    let mut lines = Vec::new();
    let mut compared = 0;
    for (symbol, size) in functions(&bytes) {
        // Starting a process for each byte of a large function takes long.
        let step = (size / 24).max(1) as usize;
        for offset in (0..size).step_by(step) {
            let places = locate([(&*object, &*bytes)], &symbol, offset, Some(size));
            let [place] = &*places else { panic!("{line}: {symbol}+{offset:#x}: {places:?}") };
            assert_eq!(told(&symbol, place), folder.oracle(&object, place), "{line}: {symbol}+{offset:#x}");
            compared += 1;
            if symbol.contains(function) {
                lines.extend(place.line.as_ref().map(|line| line.line));
            }
        }
    }
    assert!(compared > 10, "{line}: {compared} places compared");
    lines.sort_unstable();
    lines.dedup();
    lines
}

#[test]
fn c_of_both_compilers_in_both_versions_of_dwarf() {
    for compiler in ["gcc", "clang-19"] {
        for flags in ["-g", "-gdwarf-4", "-g -ffunction-sections", "-gdwarf-4 -ffunction-sections", "-g -fPIC"] {
            let lines = agrees(&format!("{compiler} -O0 {flags}"), "config.c", CONFIG, "init_config");
            assert!([17, 18, 20].iter().all(|line| lines.contains(line)), "{compiler} {flags}: {lines:?}");
        }
    }
}

#[test]
fn what_is_inlined_is_told_as_deep_as_it_is() {
    for line in ["gcc -O2 -g", "gcc -O2 -gdwarf-4", "clang-19 -O2 -g", "clang-19 -O2 -gdwarf-4 -ffunction-sections"] {
        // binutils does not see where clang's functions end that have several ranges.
        if line.starts_with("gcc") {
            agrees(line, "config.c", CONFIG, "twig");
        }
        let folder = Folder::new();
        let bytes = folder.compile(line, "config.c", CONFIG);
        let mut callers = Vec::new();
        for (name, size) in functions(&bytes) {
            for place in (0..size).flat_map(|offset| locate([("config.o", &*bytes)], &name, offset, Some(size))) {
                let in_leaf = place.line.as_ref().is_some_and(|line| line.line < 6);
                let names: Vec<&str> = place.inlined.iter().map(|inlined| &*inlined.function).collect();
                assert!(!in_leaf || names.first() == Some(&"leaf"), "{line}: {name}: {place:?}");
                callers.extend(place.inlined.iter().filter_map(|inlined| Some(inlined.called_from.as_ref()?.line)));
            }
        }
        assert!(callers.contains(&9) && callers.contains(&11), "{line}: leaf is called twice: {callers:?}");
        assert!(callers.iter().all(|line| (8..=20).contains(line)), "{line}: {callers:?}");
    }
}

#[test]
fn debug_information_may_be_compressed() {
    for line in ["gcc -g -gz=zlib", "clang-19 -g -gz=zstd", "clang-19 -g -gz=zlib", "gcc -gdwarf-4 -gz=zlib"] {
        let folder = Folder::new();
        // Small sections stay as they are.
        let source =
            (0..200).fold(CONFIG.to_owned(), |text, n| text + &format!("int f{n}(int x) {{ return x + {n}; }}\n"));
        let bytes = folder.compile(line, "config.c", &source);
        let plain = folder.compile("gcc -g", "plain.c", &source);
        assert!(bytes.len() < plain.len(), "{line}: something is compressed");
        let places = locate([("config.o", &*bytes)], "f117", 4, None);
        let file = folder.path("config.c").canonicalize().expect("it is there");
        let found = places[0].line.as_ref().map(|line| (line.file.clone(), line.line));
        assert_eq!(found, Some((file.to_str().expect("a name").to_owned(), 26 + 117 + 1)), "{line}");
    }
}

#[test]
fn cpp_in_sections_of_groups() {
    for line in ["g++ -O0 -g", "g++ -O2 -gdwarf-4", "clang++-19 -O2 -g", "g++ -O1 -g -fdebug-types-section"] {
        let lines = agrees(line, "shape.cc", SHAPE, "ShapeIiE4area");
        // Loops become other loops.
        assert!(!lines.is_empty() && lines.iter().all(|line| (2..=8).contains(line)), "{line}: {lines:?}");
    }
}

#[test]
fn objects_of_rustc() {
    for flags in ["-Copt-level=0", "-Copt-level=2"] {
        let folder = Folder::new();
        let line = format!("rustc --crate-type=lib --emit=obj -g -Cpanic=abort -Ccodegen-units=1 {flags}");
        let bytes = folder.compile(&line, "halve.rs", RUST);
        let (name, size) = functions(&bytes).into_iter().find(|(name, _)| name == "rust_entry").expect("it is there");
        let mut lines: Vec<(String, u32)> = Vec::new();
        for offset in 0..size {
            for place in locate([("halve.o", &*bytes)], &name, offset, Some(size)) {
                let outermost = place.inlined.last().and_then(|inlined| inlined.called_from.clone()).or(place.line);
                lines.extend(outermost.map(|line| (line.file, line.line)));
            }
        }
        assert!(
            !lines.is_empty() && lines.iter().all(|(file, line)| file.ends_with("halve.rs") && (7..=10).contains(line))
        );
        assert!(lines.iter().any(|(_, line)| *line == 9), "{flags}: {lines:?}");
    }
}

#[test]
fn skeletons_of_split_debug_information_have_lines() {
    for compiler in ["gcc", "clang-19"] {
        let folder = Folder::new();
        let bytes = folder.compile(&format!("{compiler} -g -gsplit-dwarf"), "config.c", CONFIG);
        let size = functions(&bytes).into_iter().find(|(name, _)| name == "init_config").expect("it is there").1;
        let lines: Vec<u32> = (0..size)
            .flat_map(|offset| locate([("config.o", &*bytes)], "init_config", offset, None))
            .filter_map(|place| Some(place.line?.line))
            .collect();
        assert!(lines.contains(&17) && lines.contains(&20), "{compiler}: {lines:?}");
    }
}

#[test]
fn without_debug_information_the_object_is_told() {
    let folder = Folder::new();
    let bytes = folder.compile("gcc -O1 -ffunction-sections", "config.c", CONFIG);
    let places = locate([("config.o", &*bytes)], "init_config", 5, None);
    let place = CodePlace {
        object: "config.o".into(),
        section: ".text.init_config".into(),
        section_offset: 5,
        line: None,
        inlined: Vec::new(),
    };
    assert_eq!(places, [place]);
    assert!(locate([("config.o", &*bytes)], "init_config", 0x1000, None).is_empty(), "it is not that long");
    assert!(locate([("config.o", &*bytes)], "printf", 0, None).is_empty());
    assert!(locate([("a.txt", &b"text"[..]), ("b.o", &[])], "init_config", 0, None).is_empty());
}

#[test]
fn local_functions_are_told_apart_by_their_size() {
    let folder = Folder::new();
    let local = |name: &str, body: &str| {
        let source = format!("static __attribute__((noinline, used)) int work(int *p)\n{{\n{body}}}\n");
        folder.compile("gcc -O1 -g", name, &source)
    };
    let (a, b, c) =
        (local("a.c", "return p[0];\n"), local("b.c", "return p[0] * p[1] * p[2];\n"), local("c.c", "return p[0];\n"));
    let inputs = [("a.o", &*a), ("b.o", &*b), ("c.o", &*c)];
    let found =
        |size| -> Vec<String> { locate(inputs, "work", 0, size).into_iter().map(|place| place.object).collect() };
    assert_eq!(found(None), ["a.o", "b.o", "c.o"]);
    assert_eq!(found(Some(functions(&b)[0].1)), ["b.o"]);
    assert_eq!(found(Some(functions(&a)[0].1)), ["a.o", "c.o"]);
    assert_eq!(found(Some(9999)), ["a.o", "b.o", "c.o"], "no size fits: better some than none");
}

#[test]
fn of_a_global_function_the_linked_one_is_told() {
    let folder = Folder::new();
    let weak = "__attribute__((weak)) int work(void)\n{\n    return 1;\n}\n";
    let (a, b) = (folder.compile("gcc -g", "a.c", weak), folder.compile("gcc -g", "b.c", weak));
    let strong = folder.compile("gcc -g", "c.c", "int work(void)\n{\n    return 1;\n}\n");
    let found = |inputs: &[(&str, &[u8])]| -> Vec<String> {
        locate(inputs.iter().copied(), "work", 0, None).into_iter().map(|place| place.object).collect()
    };
    assert_eq!(found(&[("a.o", &a), ("b.o", &b)]), ["a.o"]);
    assert_eq!(found(&[("a.o", &a), ("c.o", &strong), ("b.o", &b)]), ["c.o"]);
}

#[test]
fn addresses_of_a_session_are_found_in_objects_and_members() {
    let (world, folder) = (World::new(), Folder::new());
    folder.compile("gcc -O0 -g -ffunction-sections", "config.c", CONFIG);
    folder.compile(
        "gcc -O0 -g",
        "spare.c",
        "static int twig(int *p)\n{\n    return *p;\n}\nint spare(int *p)\n{\n    return twig(p);\n}\n",
    );
    let object = folder.compile(
        "gcc -g",
        "main.c",
        "int init_config(int *);\nint start(int *p)\n{\n    return init_config(p) + 1;\n}\n",
    );
    for (flags, archive) in [("rcs", "lib.a"), ("rcsT", "thin.a")] {
        folder.tool("ar", &[flags, archive, "config.o", "spare.o"]);
        let name = format!("main {archive}");
        let dylib = world.dylib(&name);
        dylib.add_object("main.o", object.clone()).expect("a live session");
        dylib.add_archive_file(folder.path(archive)).expect("a live session");
        let opened = world.open(&name);
        let at = |name: &str| opened.address(name).expect("it is linked");
        let (start, init) = (at("start"), at("init_config"));
        // Where init_config begins, and where start goes on after its call.
        let in_start =
            |address: u64| world.session.frames(&[address])[0].as_ref().is_some_and(|frame| frame.function == "start");
        let end = (start..start + 64).find(|address| !in_start(*address)).expect("it is short");
        // `add $1, %eax`, `leave`, `ret`.
        let back = end - 5;
        let frames = world.session.frames(&[init, back, 0x10]);
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[2], None, "nothing of ours is there");
        let mut crash = CrashReport::new(Ending::Signal(11));
        crash.folder = Some(folder.path("").canonicalize().expect("it is there"));
        crash.frames = frames.into_iter().flatten().collect();
        let member = folder.path(archive).display().to_string();
        assert_eq!(
            crash.report().details,
            [
                format!("in init_config+0x0 at config.c:16 ({member}(config.o):(.text.init_config+0x0), dylib {name})"),
                format!(
                    "called from start+{:#x} at main.c:4 (main.o:(.text+{:#x}), dylib {name})",
                    back - start,
                    back - start - 1
                ),
            ]
        );
        let twig = dylib.locate("twig", 0, None);
        assert_eq!(twig.len(), 1, "a member that is not linked has nothing to be found: {twig:?}");
    }
}

/// Functions inlined into each other 200,000 deep, and a line table that says nothing.
const DEEP: &str = "\
    .text
f:  nop
    .size f, 1
    .type f, @function
    .section .debug_abbrev
    .uleb128 1, 0x11
    .byte 1
    .uleb128 0x11, 0x01, 0x12, 0x07, 0, 0
    .uleb128 2, 0x2e
    .byte 1
    .uleb128 0x11, 0x01, 0x12, 0x07, 0, 0
    .uleb128 3, 0x1d
    .byte 1
    .uleb128 0, 0
    .byte 0
    .section .debug_info
    .long end - start
start:
    .value 4
    .long 0
    .byte 8
    .uleb128 1
    .quad f, 1
    .uleb128 2
    .quad f, 1
    .fill 200000, 1, 3
    .fill 200003, 1, 0
end:
";

#[test]
fn depth_costs_no_stack() {
    let bytes = Folder::new().compile("gcc", "deep.s", DEEP);
    let found =
        std::thread::Builder::new().stack_size(256 << 10).spawn(move || locate([("a.o", &*bytes)], "f", 0, None));
    let places = found.expect("a thread").join().expect("no panic");
    assert_eq!((places.len(), &places[0].line), (1, &None));
}

/// An object, and its functions with their sizes.
type Sample = (Vec<u8>, Vec<(String, u64)>);

/// An object of each kind that is damaged below.
fn samples() -> &'static [Sample] {
    static SAMPLES: OnceLock<Vec<Sample>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let folder = Folder::new();
        let lines = ["gcc -O2 -g", "clang-19 -O2 -gdwarf-4", "gcc -O2 -g -gz=zlib", "clang-19 -O2 -g -gz=zstd"];
        lines
            .iter()
            .map(|line| folder.compile(line, "config.c", CONFIG))
            .map(|bytes| (functions(&bytes), bytes))
            .map(|(functions, bytes)| (bytes, functions))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_objects_are_no_error(
        sample in 0..4usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        offset in 0..64u64,
    ) {
        let (bytes, functions) = &samples()[sample];
        let mut bytes = bytes.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        for (function, size) in functions {
            let places = locate([("config.o", &*bytes)], function, offset, Some(*size));
            prop_assert!(places.iter().all(|place| place.object == "config.o"));
        }
    }
}

/// riscv64's linkers shorten padding inside of functions; the oracle is GNU ld, and addr2line on what it has linked at the same distances.
#[test]
fn lines_behind_shortened_padding_are_those_of_a_linked_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("config.c"), CONFIG).expect("a folder");
    let run = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).current_dir(folder.path()).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let source = ["-g", "-O1", "-falign-loops=32", "-falign-functions=16", "-c", "config.c", "-o", "config.o"];
    for (compiler, first) in [("riscv64-linux-gnu-gcc", None), ("clang-19", Some("--target=riscv64-linux-gnu"))] {
        // GNU ld does not know what clang writes in DWARF 5.
        run(compiler, &[&first.into_iter().collect::<Vec<_>>()[..], &["-gdwarf-4"], &source].concat());
        run("riscv64-linux-gnu-ld", &["-static", "--no-relax", "-e", "0", "config.o", "-o", "config"]);
        let [object, linked] = ["config.o", "config"].map(|name| std::fs::read(at(name)).expect("made"));
        let linked = object::File::parse(&*linked).expect("an executable");
        let mut asked = 0;
        for symbol in linked.symbols().filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.size() > 0) {
            let function = symbol.name().expect("a name");
            for offset in (0..symbol.size()).step_by(2) {
                let address = format!("{:#x}", symbol.address() + offset);
                let expected = run("riscv64-linux-gnu-addr2line", &["-e", "config", &address]);
                let expected = expected
                    .trim()
                    .rsplit(':')
                    .next()
                    .and_then(|text| text.split(' ').next())
                    .filter(|line| !matches!(*line, "?" | "0"));
                let places = locate([("config.o", &*object)], function, offset, Some(symbol.size()));
                let [place] = &places[..] else { panic!("{compiler}: {function}+{offset:#x}: {places:?}") };
                let line = place.line.as_ref().map(|line| line.line.to_string());
                assert_eq!(line.as_deref(), expected, "{compiler}: {function}+{offset:#x}");
                asked += 1;
            }
        }
        assert!(asked > 20, "{compiler}: {asked}");
    }
}
