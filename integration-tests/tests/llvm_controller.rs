//! Does LLVM's own controller drive our executor? `llvm-jitlink-19 -oop-executor=OURS` against the same with LLVM's `llvm-jitlink-executor-19`:
//! the same objects, the same output, the same exit code.
//!
//! Where LLVM 19's executor fails, the test says how, so that a change there is seen. Needs llvm-jitlink-19 and llvm-jitlink-executor-19 (Debian: llvm-19),
//! clang-19, and LLVM's ORC runtime (Debian: libclang-rt-19-dev). Our executor is `ORC_LLVM_EXECUTOR`, or else `llvm_executor` among the examples beside this test
//! (`cargo build -p orc-rt --example llvm_executor`).

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const CONTROLLER: &str = "llvm-jitlink-19";
const REFERENCE: &str = "/usr/lib/llvm-19/bin/llvm-jitlink-executor";
const RUNTIME: &str = "/usr/lib/llvm-19/lib/clang/19/lib/linux/liborc_rt-x86_64.a";
/// What a run may take, in seconds.
const LIMIT: &str = "60";

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
struct End {
    stdout: String,
    code: i32,
}

/// The end that is expected.
fn end(stdout: &str, code: i32) -> End {
    End { stdout: stdout.to_owned(), code }
}

/// A folder for one test's objects, and the words of its command line.
struct Bench {
    folder: PathBuf,
}

impl Bench {
    fn new(test: &str) -> Self {
        let folder = target().join("llvm_controller").join(test);
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    /// Compiles a source of `tests/llvm_controller/`; the path of the object.
    fn compile(&self, source: &str, flags: &[&str]) -> String {
        self.compile_as(&Path::new(source).with_extension("o"), source, flags)
    }

    fn compile_as(&self, object: &Path, source: &str, flags: &[&str]) -> String {
        let object = self.folder.join(object);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/llvm_controller").join(source);
        let compiler = if source.ends_with(".cc") { "clang++-19" } else { "clang-19" };
        let mut command = Command::new(compiler);
        command.args(["-c", "-fPIC", "-O1"]).args(flags).arg(&path).arg("-o").arg(&object);
        let status =
            command.status().unwrap_or_else(|error| panic!("{compiler}: {error}; install: apt-get install clang-19"));
        assert!(status.success(), "{compiler} {}", path.display());
        object.to_str().unwrap().to_owned()
    }

    /// Runs the controller with an executor, and waits until both have ended.
    fn run(&self, executor: &Path, words: &[&str]) -> (End, String) {
        let executor = format!("-oop-executor={}", executor.display());
        let mut tries = 0..5;
        loop {
            let output = self.output(Command::new("timeout").args([LIMIT, CONTROLLER, &executor]).args(words));
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
            if is_of_the_controller(&stderr) && tries.next().is_some() {
                continue;
            }
            return (End { stdout, code: output.status.code().unwrap_or(-1) }, stderr);
        }
    }

    fn output(&self, command: &mut Command) -> Output {
        // The output ends when nobody has it any more, and the executor outlives its controller by a moment.
        command.current_dir(&self.folder).stdin(Stdio::null()).output().unwrap()
    }

    fn ours(&self, words: &[&str]) -> End {
        let (end, stderr) = self.run(&executor(), words);
        // Shown when the test fails.
        eprint!("{stderr}");
        end
    }

    /// LLVM's executor calls into objects that are not final yet when machines are busy, and dies: it is asked again.
    fn reference(&self, words: &[&str], expected: &End) -> End {
        let mut last = self.run(Path::new(REFERENCE), words).0;
        for _ in 0..30 {
            if last == *expected {
                break;
            }
            last = self.run(Path::new(REFERENCE), words).0;
        }
        last
    }

    /// Both executors end like this.
    fn both_end(&self, words: &[&str], expected: &End) {
        assert_eq!(&self.ours(words), expected, "our executor: {words:?}");
        assert_eq!(&self.reference(words, expected), expected, "LLVM's executor: {words:?}");
    }

    /// The same, without and with LLVM's runtime.
    fn both_end_either_way(&self, words: &[&str], expected: &End) {
        self.both_end(words, expected);
        self.both_end(&with_runtime(words), expected);
    }
}

/// LLVM 19's controller closes its descriptors while a thread of its own still reads, and now and then takes offence at that.
fn is_of_the_controller(stderr: &str) -> bool {
    stderr.contains("Bad file descriptor")
}

fn with_runtime<'a>(words: &[&'a str]) -> Vec<&'a str> {
    const OPTION: &str = "-orc-runtime=/usr/lib/llvm-19/lib/clang/19/lib/linux/liborc_rt-x86_64.a";
    assert!(OPTION.ends_with(RUNTIME));
    let mut all = vec![OPTION];
    all.extend(words);
    all
}

/// The test runs as `<target>/<profile>/deps/<name>`.
fn target() -> PathBuf {
    env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// Our executor; the other tools are looked for first, so that a missing one is named.
fn executor() -> PathBuf {
    for (program, package) in [(REFERENCE, "llvm-19"), (RUNTIME, "libclang-rt-19-dev")] {
        assert!(Path::new(program).exists(), "{program} is missing: apt-get install {package}");
    }
    let found = Command::new(CONTROLLER).arg("--version").stdout(Stdio::null()).status();
    assert!(found.is_ok(), "{CONTROLLER} is not installed: apt-get install llvm-19");
    let beside = || env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/llvm_executor");
    let path = env::var_os("ORC_LLVM_EXECUTOR").map_or_else(beside, PathBuf::from);
    assert!(path.exists(), "{}: build it with `cargo build -p orc-rt --example llvm_executor`", path.display());
    path
}

#[test]
fn arguments_arrive_and_the_exit_code_comes_back() {
    let bench = Bench::new("arguments");
    let object = bench.compile("arguments.c", &[]);
    bench.both_end_either_way(&[&object], &end("0 arguments\n", 3));
    bench.both_end_either_way(&[&object, "-args", "a b", "c"], &end("2 arguments\na b\nc\n", 3));
}

#[test]
fn objects_that_need_each_other_are_one_program() {
    let bench = Bench::new("several");
    let (main, more) = (bench.compile("several.c", &[]), bench.compile("several_more.c", &[]));
    bench.both_end_either_way(&[&main, &more], &end("52 2\n", 52));
    bench.both_end_either_way(&[&more, &main], &end("52 2\n", 52));
}

#[test]
fn the_streams_of_cpp_work() {
    let bench = Bench::new("streams");
    let object = bench.compile("streams.cc", &[]);
    bench.both_end_either_way(&[&object], &end("[  2.72]\n", 4));
}

/// LLVM 19's runtime drops what is given to `atexit`; everything else comes in order.
#[test]
fn initializers_and_finalizers_run_in_order() {
    let bench = Bench::new("order");
    let object = bench.compile("order.cc", &[]);
    let expected = "begin priority 200\nbegin priority 300\nconstructor function\nbegin no priority\nbegin static of main\nmain\n\
                    end static of main\nend no priority\nend priority 300\nend priority 200\n";
    bench.both_end(&with_runtime(&[&object]), &end(expected, 0));
}

#[test]
fn each_thread_has_its_own_variables() {
    let bench = Bench::new("threads");
    let object = bench.compile("threads.c", &["-ftls-model=global-dynamic"]);
    let expected = "thread 15 15 abc\nthread 25 25 abc\nthread 35 35 abc\nmain 6 0 mbc\n";
    bench.both_end(&with_runtime(&[&object]), &end(expected, 6));
}

#[test]
fn destructors_of_thread_local_objects_run_before_their_code_goes() {
    let bench = Bench::new("local");
    // LLVM 19 does not know the relocations of local thread-local storage.
    let object = bench.compile("local.cc", &["-femulated-tls"]);
    bench.both_end(&with_runtime(&[&object]), &end("main\nend of 8\n", 0));
}

#[test]
fn running_code_opens_a_second_dylib() {
    let bench = Bench::new("opens");
    let (main, second) = (bench.compile("opens.c", &[]), bench.compile("second.cc", &[]));
    let expected = "begin second\nanswer 42\nend second\nclosed 0\n";
    bench.both_end(&with_runtime(&[&main, "-jd", "second", &second]), &end(expected, 42));
}

/// LLVM 19's executor ends there: the table that it registers has a hole, or is not there yet.
#[test]
fn an_exception_finds_its_handler_where_llvms_executor_dies() {
    let bench = Bench::new("catches");
    let object = bench.compile("catches.cc", &[]);
    for words in [vec![&*object], with_runtime(&[&object])] {
        assert_eq!(bench.ours(&words), end("caught thrown\n", 5), "{words:?}");
        let (reference, stderr) = bench.run(Path::new(REFERENCE), &words);
        assert_eq!(reference, end("", 1), "{words:?}");
        assert!(stderr.contains("terminate called after throwing"), "{stderr}");
    }
}

/// Without a hole LLVM's executor passes, but not with LLVM's runtime.
#[test]
fn an_exception_of_a_plain_object_finds_its_handler() {
    let bench = Bench::new("catches_plainly");
    let object = bench.compile("catches_plainly.cc", &[]);
    let caught = end("caught 9\n", 9);
    bench.both_end(&[&object], &caught);
    assert_eq!(bench.ours(&with_runtime(&[&object])), caught);
    assert_eq!(bench.run(Path::new(REFERENCE), &with_runtime(&[&object])).0, end("", 1));
}

#[test]
fn an_exception_that_nobody_catches_ends_the_program_with_its_words() {
    let bench = Bench::new("loose");
    let object = bench.compile("loose.cc", &[]);
    for words in [vec![&*object], with_runtime(&[&object])] {
        for executor in [executor(), PathBuf::from(REFERENCE)] {
            let (ended, stderr) = bench.run(&executor, &words);
            assert_eq!(ended, end("before\n", 1), "{}", executor.display());
            assert!(stderr.contains("nobody catches this"), "{stderr}");
        }
    }
}

/// The controller takes the end of its executor for an error, whatever its status.
#[test]
fn a_program_that_exits_ends_its_executor() {
    let bench = Bench::new("leaves");
    let object = bench.compile("leaves.c", &[]);
    bench.both_end_either_way(&[&object], &end("leaving\n", 1));
}

/// With its runtime, LLVM 19's executor does not come through this.
#[test]
fn contents_come_through_shared_memory_and_nothing_of_it_stays() {
    let bench = Bench::new("shared");
    let (c, cpp) = (bench.compile("arguments.c", &[]), bench.compile("catches.cc", &[]));
    let plain = ["-use-shared-memory", &c];
    bench.both_end(&plain, &end("0 arguments\n", 3));
    assert_eq!(bench.ours(&with_runtime(&plain)), end("0 arguments\n", 3));
    assert_eq!(bench.run(Path::new(REFERENCE), &with_runtime(&plain)).0.code, 1);
    assert_eq!(bench.ours(&with_runtime(&["-use-shared-memory", &cpp])), end("caught thrown\n", 5));
    // Other tests of this file do not use it.
    let left: Vec<_> = fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let ours = left.iter().filter(|name| name.to_string_lossy().starts_with("orc-executor-"));
    assert_eq!(ours.count(), 0, "{left:?}");
}

#[test]
fn no_page_is_writable_and_executable() {
    let bench = Bench::new("maps");
    let object = bench.compile("maps.c", &[]);
    bench.both_end_either_way(&[&object], &end("many, 0 writable and executable\n", 0));
}

#[test]
fn debug_information_is_no_obstacle() {
    let bench = Bench::new("debug");
    let object = bench.compile("several.c", &["-g"]);
    let more = bench.compile("several_more.c", &["-g"]);
    bench.both_end_either_way(&[&object, &more], &end("52 2\n", 52));
}

/// LLVM 19's controller closes its socket while a thread of its own reads from it, so that the connection stays, and waits for that thread: with LLVM's executor
/// it never ends. The program runs all the same, and when somebody ends the controller, the executor ends.
#[test]
fn a_controller_may_come_over_tcp() {
    let bench = Bench::new("tcp");
    let object = bench.compile("catches.cc", &[]);
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("listen=127.0.0.1:{port}");
    let executor = Command::new(executor()).arg(listen).stdout(Stdio::piped()).spawn().unwrap();
    let connect = format!("-oop-executor-connect=127.0.0.1:{port}");
    let controller = loop {
        let output = bench.output(Command::new("timeout").args(["10", CONTROLLER, &connect, &object]));
        if !String::from_utf8_lossy(&output.stderr).contains("Connection refused") {
            break output;
        }
        sleep(Duration::from_millis(5));
    };
    let output = executor.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&controller.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "caught thrown\n", "{stderr}");
    assert!(output.status.success(), "{}", output.status);
    let ended = controller.status.code();
    const KILLED_BY_TIMEOUT: i32 = 124;
    assert!(
        ended == Some(5) || ended == Some(KILLED_BY_TIMEOUT) || is_of_the_controller(&stderr),
        "{ended:?} {stderr}"
    );
}

/// LLVM's executor never comes through this: the chance of each object adds up.
#[test]
fn a_program_may_have_many_objects() {
    const COUNT: u32 = 60;
    let bench = Bench::new("chain");
    let link = |number: u32| {
        let mut flags = vec![format!("-DNUMBER={number}")];
        if number + 1 < COUNT {
            flags.push(format!("-DNEXT={}", number + 1));
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        bench.compile_as(Path::new(&format!("link{number}.o")), "chain.c", &flags)
    };
    let objects: Vec<String> = (0..COUNT).map(link).collect();
    let words: Vec<&str> = objects.iter().map(String::as_str).collect();
    for words in [words.clone(), with_runtime(&words)] {
        assert_eq!(bench.ours(&words), end("60 links\n", 0));
    }
}

/// LLVM 19's controller runs `main` as soon as its object is final, whatever the others are doing. Here that ends well.
#[test]
fn a_program_does_not_begin_before_all_of_it_is_there() {
    const TIMES: usize = 40;
    let bench = Bench::new("busy");
    let (main, more) = (bench.compile("several.c", &[]), bench.compile("several_more.c", &[]));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    assert_eq!(bench.ours(&[&main, &more]), end("52 2\n", 52));
                }
            });
        }
    });
}

#[test]
fn an_executor_does_not_outlive_a_killed_controller() {
    let bench = Bench::new("killed");
    let object = bench.compile("waits.c", &[]);
    for words in [vec![&*object], with_runtime(&[&object])] {
        let mut controller = Command::new(CONTROLLER)
            .arg(format!("-oop-executor={}", executor().display()))
            .args(&words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(controller.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let program = Path::new("/proc").join(line.trim());
        assert!(!line.trim().is_empty() && program.exists(), "the program said {line:?}");

        controller.kill().unwrap();
        let killed = Instant::now();
        controller.wait().unwrap();
        // A zombie has no command line; whoever inherits it may be slow.
        let alive = || fs::read(program.join("cmdline")).is_ok_and(|text| !text.is_empty());
        while alive() {
            assert!(killed.elapsed() < Duration::from_secs(1), "{} lives", program.display());
            sleep(Duration::from_millis(5));
        }
    }
}
