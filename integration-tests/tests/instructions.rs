//! Does orc need more instructions than it did?
//!
//! callgrind counts what `orc run` executes from its start to its end, dynamic loading of its own included, on three workloads. The
//! program that it links ends at once: a second entry point keeps `main` and returns, so that what is counted is ours alone.
//!
//! The counts of one machine differ by less than one in ten thousand (hash seeds). Other versions of gcc (W1 and W3 are compiled here),
//! rustc and glibc make other counts, by some percent; the baseline says what it was taken with. After a change that is worth its
//! instructions, or one that saves many, take it again and commit it:
//!
//!     cargo build --release -p orc-jit -p orc-rt && INSTRUCTIONS=renew cargo test -p integration-tests --test instructions

use integration_tests::scoreboard::{Options, Shop, Workload, build, compilers};
use integration_tests::tool;
use integration_tests::workplace::Workplace;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is linked: the least, an archive, and a thousand small objects.
const WORKLOADS: &str = "W1,W3,functions 10000";
/// More than this, in percent, is a failure; less than it by as much is told.
const ALLOWED: f64 = 10.0;

/// `main` is kept, and not called.
const ENDS_AT_ONCE: &str = "
int main(int, char **);
int (*volatile kept)(int, char **) = main;
int ends_at_once(int count, char **words) { return kept == 0; }
";

#[test]
fn no_workload_needs_a_tenth_more_instructions_than_the_baseline() {
    let counts = count_all();
    let baseline = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/instructions.baseline");
    if std::env::var_os("INSTRUCTIONS").is_some_and(|word| word == "renew") {
        std::fs::write(&baseline, written(&counts)).expect("written");
        return;
    }
    let text = std::fs::read_to_string(&baseline).expect("a baseline");
    let Comparison { table, grown } =
        compare(&counts, &text).unwrap_or_else(|why| panic!("{why} in {}", baseline.display()));
    // Past the harness, which shows nothing of tests that pass.
    std::io::stderr().lock().write_all(table.as_bytes()).expect("standard error");
    let renew = "INSTRUCTIONS=renew cargo test -p integration-tests --test instructions";
    assert!(!grown, "\n{table}baseline:\n{text}\nthis machine: {}\nif that is as it should be: {renew}", versions());
}

/// How counts are beside a baseline.
#[derive(Debug)]
struct Comparison {
    /// A line for each.
    table: String,
    /// Some workload needs too many.
    grown: bool,
}

fn compare(counts: &[(String, u64)], baseline: &str) -> Result<Comparison, String> {
    let mut table = String::new();
    let mut grown = false;
    for (name, now) in counts {
        let before = known(baseline, name).ok_or_else(|| format!("no line of {name}"))?;
        let percent = (*now as f64 / before as f64 - 1.0) * 100.0;
        let remark = match percent {
            percent if percent > ALLOWED => ": too many",
            percent if percent < -ALLOWED => ": renew the baseline",
            _ => "",
        };
        grown |= percent > ALLOWED;
        let _ = writeln!(table, "{name}: {now} instructions, {before} in the baseline, {percent:+.1} %{remark}");
    }
    Ok(Comparison { table, grown })
}

#[test]
fn more_than_a_tenth_is_growth() {
    let baseline = "# a comment\nW1 1000\nW10 2000\n";
    let with = |w1, w10| compare(&[("W1".to_owned(), w1), ("W10".to_owned(), w10)], baseline).expect("both are there");
    assert!(!with(1_099, 2_000).grown);
    let grown = with(1_000, 2_400);
    assert!(grown.grown);
    assert_eq!(
        grown.table,
        "W1: 1000 instructions, 1000 in the baseline, +0.0 %\nW10: 2400 instructions, 2000 in the baseline, +20.0 %: too many\n"
    );
    let less = with(899, 2_000);
    assert!(
        !less.grown
            && less.table.starts_with("W1: 899 instructions, 1000 in the baseline, -10.1 %: renew the baseline\n")
    );
    assert_eq!(compare(&[("W2".to_owned(), 1)], baseline).unwrap_err(), "no line of W2");
}

fn count_all() -> Vec<(String, u64)> {
    let workplace = Workplace::of_this_test().expect("a workplace");
    let orc = workplace.orc.expect("an orc");
    let folder = workplace.builds.join("instructions");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("ends_at_once.c"), ENDS_AT_ONCE).expect("written");
    let compile = ["gcc", "-O2", "-fPIC", "-c", "ends_at_once.c"].map(Into::into);
    integration_tests::process::tool(&folder, &compile, &[]).unwrap();
    let shop = Shop::open(2).expect("a place for workloads");
    let options = Options::parse(["--workloads", WORKLOADS].map(str::to_owned).into_iter());
    let entries = build(&shop, &options.expect("options").expect("not the usage"));
    let wanted = entries.iter().filter(|entry| entry.name != "start");
    let counts = wanted.map(|entry| {
        let workload = entry.workload.as_ref().unwrap_or_else(|why| panic!("{}: {why}", entry.title()));
        (entry.title().replace(' ', "-"), count(&orc, &folder, workload))
    });
    counts.collect()
}

/// All instructions of one `orc run`.
fn count(orc: &Path, folder: &Path, workload: &Workload) -> u64 {
    let report = folder.join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["-q", "--tool=callgrind"]).arg(format!("--callgrind-out-file={}", report.display()));
    // One thread: how two share the work is not the same twice.
    valgrind.arg(orc).args(["run", "--jobs", "1", "--entry", "ends_at_once", "ends_at_once.o"]);
    valgrind.args(inputs(workload)).args(workload.libraries.iter().map(|library| format!("-l{}", library.link)));
    // The names of variables are searched, too; and which memcpy there is depends on the processor.
    valgrind.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
    valgrind.env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-AVX512F,-ERMS,-FSRM");
    let done = valgrind.current_dir(folder).output().map_err(|error| tool::cannot_start("valgrind", &error));
    let done = done.unwrap_or_else(|why| panic!("{why}"));
    assert!(done.status.success(), "{valgrind:?}: {}\n{}", done.status, String::from_utf8_lossy(&done.stderr));
    let text = std::fs::read_to_string(&report).expect("a report");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).expect("totals");
    total.trim().parse().expect("a number")
}

fn inputs(workload: &Workload) -> impl Iterator<Item = &PathBuf> {
    workload.objects.iter().chain(&workload.archives)
}

fn written(counts: &[(String, u64)]) -> String {
    let mut text =
        format!("# Instructions of `orc run` without the program: tests/instructions.rs\n# {}\n", versions());
    for (name, count) in counts {
        let _ = writeln!(text, "{name} {count}");
    }
    text
}

fn known(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// What the counts depend on.
fn versions() -> String {
    let asked =
        Command::new("valgrind").arg("--version").output().map_err(|error| tool::cannot_start("valgrind", &error));
    let valgrind = String::from_utf8_lossy(&asked.unwrap_or_else(|why| panic!("{why}")).stdout).trim().to_owned();
    [vec![valgrind], compilers()].concat().join(", ")
}
