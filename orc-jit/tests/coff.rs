//! Do objects of Windows run here: called with their convention, calling back, initialized and finalized, unwound, and as programs?
//!
//! `unsafe` because what was linked is called by address; it is the code that the test has just compiled.
#![allow(unsafe_code)]

use orc_jit::{InProcess, Opened, Session, SessionOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// Compiles `source` of `language` with this compiler.
fn compile(compiler: &[&str], language: &str, source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.obj");
    let mut command = Command::new(compiler[0]);
    command.args(&compiler[1..]).args(["-c", "-x", language, "-", "-o"]).arg(&output).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{} is needed: {error}", compiler[0]));
    child.stdin.take().expect("piped").write_all(source.as_bytes()).expect("the compiler reads");
    assert!(child.wait().expect("the compiler ends").success(), "{source}");
    std::fs::read(output).expect("an object")
}

const MICROSOFT: &[&str] = &["clang-19", "--target=x86_64-pc-windows-msvc", "-O1"];
const GNU: &[&str] = &["x86_64-w64-mingw32-gcc", "-O1"];

fn session() -> Session<InProcess> {
    Session::new(InProcess::new(), SessionOptions::default()).expect("a session")
}

/// Opens a dylib of these objects, to which these functions are known.
fn open(session: &Session<InProcess>, objects: &[Vec<u8>], known: &[(&str, u64)]) -> Opened<InProcess> {
    let dylib = session.add_dylib("main").expect("a new name");
    for (number, object) in objects.iter().enumerate() {
        dylib.add_object(format!("{number}.obj"), object.clone()).expect("a live session");
    }
    for (name, address) in known {
        dylib.define_absolute(*name, *address).expect("a live session");
    }
    session.open("main").unwrap_or_else(|error| panic!("{error}"))
}

/// What linked code has noted.
static NOTES: Mutex<Vec<u64>> = Mutex::new(Vec::new());
/// One test at a time has notes.
static TURN: Mutex<()> = Mutex::new(());

extern "win64" fn note(number: u64) {
    NOTES.lock().expect("nobody panics").push(number);
}

fn take_notes() -> Vec<u64> {
    std::mem::take(&mut *NOTES.lock().expect("nobody panics"))
}

fn note_address() -> u64 {
    (note as extern "win64" fn(u64)) as usize as u64
}

/// Ten arguments, of which six are on the stack, words and doubles by turns.
extern "win64" fn ten(a: u64, b: f64, c: u64, d: f64, e: u64, f: f64, g: u64, h: f64, i: u64, j: f64) -> f64 {
    (a + 10 * c + 100 * e + 1000 * g + 10000 * i) as f64 + b * 0.1 + d * 0.01 + f * 0.001 + h * 0.0001 + j * 0.00001
}

#[test]
fn calls_go_both_ways_with_the_convention_of_windows() {
    let source = "
        double ten(unsigned long long, double, unsigned long long, double, unsigned long long, double, unsigned long long, double, unsigned long long, double);
        double run(unsigned long long a, double b, unsigned long long c, double d, unsigned long long e, double f) {
            return ten(a, b, c, d, e, f, 4, 4.0, 5, 5.0) * 2;
        }
        struct big { long long a, b, c; };
        struct big make(int x) { struct big b = { x, x * 2, x * 3 }; return b; }
        int table(int x) { static int (*const all[])(int) = { table, 0 }; return x ? all[0](x - 1) + x : 0; }
    ";
    let ten = (ten as extern "win64" fn(u64, f64, u64, f64, u64, f64, u64, f64, u64, f64) -> f64) as usize as u64;
    for compiler in [MICROSOFT, GNU] {
        let session = session();
        let opened = open(&session, &[compile(compiler, "c", source)], &[("ten", ten)]);
        type Run = extern "win64" fn(u64, f64, u64, f64, u64, f64) -> f64;
        // SAFETY: the C function of this signature.
        let run = unsafe { opened.symbol::<Run>("run") }.expect("defined");
        let expected = self::ten(1, 1.0, 2, 2.0, 3, 3.0, 4, 4.0, 5, 5.0) * 2.0;
        assert_eq!(run(1, 1.0, 2, 2.0, 3, 3.0), expected);
        // SAFETY: the result goes where its first argument says ("x64 calling convention", "Return values").
        let make = unsafe { opened.symbol::<extern "win64" fn(*mut [i64; 3], i32) -> *mut [i64; 3]>("make") };
        let mut big = [0; 3];
        make.expect("defined")(&mut big, 7);
        assert_eq!(big, [7, 14, 21]);
        // SAFETY: the C function of this signature.
        let table = unsafe { opened.symbol::<extern "win64" fn(i32) -> i32>("table") }.expect("defined");
        assert_eq!(table(4), 10);
    }
}

#[test]
fn initializers_and_terminators_run_in_the_order_of_their_names() {
    let _turn = TURN.lock().expect("nobody panics");
    take_notes();
    let source = |object: u64| {
        let entry = |section: &str, number: u64| {
            format!(
                "static void f{number}(void) {{ note({number}); }}\n\
                 __attribute__((section(\".CRT${section}\"), used)) static void (*const p{number})(void) = f{number};\n"
            )
        };
        let entries: String = [("XCU", 30), ("XIB", 10), ("XCC", 20), ("XTA", 60), ("XPA", 50)]
            .map(|(section, number)| entry(section, number + object))
            .concat();
        format!("void note(unsigned long long);\n{entries}void *volatile none = 0;")
    };
    let objects = [1, 2].map(|object| {
        let source = source(object).replace("none", &format!("none{object}"));
        compile(MICROSOFT, "c", &source)
    });
    let session = session();
    let opened = open(&session, &objects, &[("note", note_address())]);
    assert_eq!(take_notes(), [11, 12, 21, 22, 31, 32]);
    opened.close().expect("it was open");
    let ended = take_notes();
    assert_eq!(ended.len(), 4);
    assert!(ended[..2].iter().all(|note| note / 10 == 5) && ended[2..].iter().all(|note| note / 10 == 6), "{ended:?}");
}

/// A panic of Rust goes through frames of Windows' compilers: what their unwind information says has become what the unwinder reads.
#[test]
fn frames_are_unwound() {
    let source = "
        void *alloca_(unsigned long long); void use(void *);
        int plain(int (*f)(int), int x) { return f(x) + 1; }
        int large(int (*f)(int), int x) { volatile char big[30000]; big[x] = 1; return f(x) + big[x]; }
        int variable(int (*f)(int), int x) { volatile char some[x * 100 + 16]; some[x] = 2; return f(x) + some[x]; }
        int many(int (*f)(int), int a, int b, int c, int d, int e) {
            int r = f(a) + f(b); r += f(c) * a; r += f(d) * b; r += f(e) * c; return r + d * e;
        }
    ";
    extern "win64-unwind" fn throws(number: i32) -> i32 {
        if number == 3 {
            std::panic::panic_any(number);
        }
        number
    }
    extern "win64" fn nothing() {}
    let probe = (nothing as extern "win64" fn()) as usize as u64;
    for compiler in [MICROSOFT, GNU] {
        let session = session();
        let known = [("__chkstk", probe), ("___chkstk_ms", probe)];
        let opened = open(&session, &[compile(compiler, "c", source)], &known);
        type Call = extern "win64-unwind" fn(extern "win64-unwind" fn(i32) -> i32, i32) -> i32;
        for name in ["plain", "large", "variable"] {
            // SAFETY: the C function of this signature.
            let call = unsafe { opened.symbol::<Call>(name) }.expect("defined");
            let through = |number| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(throws, number)));
            assert!(through(2).is_ok(), "{name}");
            let thrown = through(3).expect_err("it comes through");
            assert_eq!(thrown.downcast_ref(), Some(&3), "{name}");
        }
        type Many = extern "win64-unwind" fn(extern "win64-unwind" fn(i32) -> i32, i32, i32, i32, i32, i32) -> i32;
        // SAFETY: the C function of this signature.
        let many = unsafe { opened.symbol::<Many>("many") }.expect("defined");
        let thrown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| many(throws, 0, 1, 2, 3, 4)));
        assert_eq!(thrown.expect_err("it comes through").downcast_ref(), Some(&3));
        assert_eq!(many(throws, 1, 2, 4, 5, 6), 1 + 2 + 4 + 10 + 24 + 30);
    }
}

/// Runs `orc` on files that were compiled from sources, with arguments.
fn orc(options: &[&str], files: &[(&str, Vec<u8>)], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| folder.path().join(name)).collect();
    for (path, (_, bytes)) in paths.iter().zip(files) {
        std::fs::write(path, bytes).expect("a writable folder");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_orc"));
    command.arg("run").args(options).args(&paths).arg("--").args(arguments).current_dir(folder.path());
    command.output().expect("orc starts")
}

#[track_caller]
fn check(output: &Output, code: i32, printed: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(code), printed),
        "{}",
        text(&output.stderr)
    );
}

const PROGRAM: &str = "
    int printf(const char *, ...); int sprintf(char *, const char *, ...); int puts(const char *); double sqrt(double); double pow(double, double);
    double ldexp(double, int); void *malloc(unsigned long long); void *memset(void *, int, unsigned long long); int atexit(void (*)(void));
    static void bye(void) { puts(\"bye\"); }
    int main(int argc, char **argv) {
        char text[200];
        atexit(bye);
        printf(\"%s %d %.3f %c %s %d %.1f %d\\n\", argv[argc - 1], argc, sqrt(2.0), 'x', \"six\", 7, 8.5, 9);
        sprintf(text, \"%g %g %lld\", pow(2.0, 10.0), ldexp(1.5, 4), 1LL << 40);
        puts(text);
        int *p = malloc(40);
        memset(p, 1, 40);
        return (p[9] & 0xff) + argc;
    }";

#[test]
fn programs_in_c_run_with_the_c_library_of_the_process() {
    let printed = "two 3 1.414 x six 7 8.5 9\n1024 24 1099511627776\nbye\n";
    for (compiler, name) in [(MICROSOFT, "a.obj"), (GNU, "a.o")] {
        let files = [(name, compile(compiler, "c", PROGRAM))];
        check(&orc(&[], &files, &["one", "two"]), 4, printed);
        check(&orc(&["--lazy"], &files, &["one", "two"]), 4, printed);
        check(&orc(&["--executor", "spawn"], &files, &["one", "two"]), 4, printed);
        check(&orc(&["--no-host-symbols", "-lc", "-lm"], &files, &["one", "two"]), 4, printed);
    }
}

#[test]
fn programs_in_cpp_run_with_static_objects_in_order() {
    let source = "
        extern \"C\" int printf(const char *, ...);
        struct Loud { const char *name; Loud(const char *name) : name(name) { printf(\"+%s\\n\", name); } ~Loud() { printf(\"-%s\\n\", name); } };
        static Loud a(\"a\"); Loud b(\"b\");
        struct Base { virtual int f() { return 1; } virtual ~Base() {} }; struct Derived : Base { int f() override { return 41; } };
        inline int counter() { static int count = 0; return ++count; }
        int main() { Base *p = new Derived; int result = p->f() + counter(); delete p; return result; }";
    let flags = ["-O1", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"];
    for compiler in [&["clang-19", "--target=x86_64-pc-windows-msvc"][..], &["x86_64-w64-mingw32-g++"]] {
        let compiler: Vec<&str> = compiler.iter().copied().chain(flags).collect();
        let files = [("a.obj", compile(&compiler, "c++", source))];
        check(&orc(&[], &files, &[]), 42, "+a\n+b\n-b\n-a\n");
    }
}

#[test]
fn an_image_of_windows_code_comes_from_the_cache() {
    let files =
        [("a.obj", compile(MICROSOFT, "c", "int puts(const char *); int main(void) { return puts(\"hello\") < 0; }"))];
    let cache = tempfile::tempdir().expect("a folder");
    let folder = cache.path().to_str().expect("text").to_owned();
    // The path of the input is part of what an entry is for.
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join(files[0].0);
    std::fs::write(&path, &files[0].1).expect("a writable folder");
    for told in ["stored", "hit"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orc"));
        let output = command.args(["run", "-v", "--cache", &folder]).arg(&path).output().expect("orc starts");
        check(&output, 0, "hello\n");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(&format!("cache: {told}")), "{text}");
    }
}

#[test]
fn imported_names_are_those_of_the_process() {
    let source = "__declspec(dllimport) int puts(const char *); __declspec(dllimport) void *malloc(unsigned long long);
        int main(void) { puts(\"through a cell\"); return malloc(3) ? 7 : 8; }";
    let files = [("a.obj", compile(MICROSOFT, "c", source))];
    check(&orc(&[], &files, &[]), 7, "through a cell\n");
}

#[test]
fn what_cannot_be_called_is_refused_with_the_reason() {
    let refused = |source: &str, words: &[&str]| {
        let output = orc(&[], &[("a.obj", compile(MICROSOFT, "c", source))], &[]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{text}");
        for word in words {
            assert!(text.contains(word), "{word} in {text}");
        }
    };
    refused(
        "void qsort(void *, unsigned long long, unsigned long long, int (*)(const void *, const void *));
         int main(void) { qsort(0, 0, 0, 0); return 0; }",
        &["undefined symbol: qsort", "the process has a function of that name", "extern \"win64\" in Rust"],
    );
    refused(
        "_Thread_local int x = 4; int main(void) { return x; }",
        &["undefined symbol: _tls_index", "thread environment block"],
    );
}

#[test]
fn what_an_object_asks_for_and_does_not_get_is_told() {
    let source =
        "#pragma comment(linker, \"/frobnicate:x\")\n#pragma comment(lib, \"nowhere\")\nint main(void) { return 3; }";
    let files = [("a.obj", compile(MICROSOFT, "c", source))];
    let unknown = "'/frobnicate:x' is an option that is not known (.drectve)";
    let library = "is wanted as a library, and not looked for (.drectve)";
    for (options, tells) in [(&[][..], [true, false]), (&["-v"], [true, true]), (&["--quiet"], [false, false])] {
        let output = orc(options, &files, &[]);
        check(&output, 3, "");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!([unknown, library].map(|part| text.contains(part)), tells, "{options:?}: {text}");
        assert_eq!(text.contains("warning: "), tells[0], "{options:?}: {text}");
    }
}

#[test]
fn objects_of_two_conventions_are_two_dylibs() {
    let windows = compile(MICROSOFT, "c", "int f(void) { return 1; }");
    let native = compile(&["gcc", "-O1", "-fPIC"], "c", "int g(void) { return 2; }");
    let session = session();
    let dylib = session.add_dylib("main").expect("a new name");
    dylib.add_object("windows.obj", windows).expect("a live session");
    dylib.add_object("native.o", native).expect("a live session");
    let error = session.open("main").map(drop).expect_err("refused").to_string();
    assert!(error.contains("native.o") && error.contains("another convention than those of windows.obj"), "{error}");
}
