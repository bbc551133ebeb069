//! The cache of linked images, through the library: is a second session served from it, is it told from a first one by nothing but that, is what has changed
//! or was damaged linked anew, and does nothing that is found in the directory bring harm?
//!
//! Whole programs, in two starts each, are the cases' (`ORC_EXECUTORS=in-process+cache`).

mod common;

use common::compile;
use orc_jit::cache::{Cache, CacheError, CacheEvent, CacheOptions, CacheStatistics};
use orc_jit::{InProcess, Session, SessionOptions};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A cache in a folder of its own, and what it told.
struct Place {
    folder: tempfile::TempDir,
}

/// What a start gave.
#[derive(Debug)]
struct Start {
    status: i32,
    map: Vec<(String, String, u64)>,
    statistics: CacheStatistics,
    told: Vec<String>,
}

impl Start {
    #[track_caller]
    fn hits(self) -> Self {
        assert_eq!(
            (self.statistics.hits, self.statistics.misses, self.statistics.rejected),
            (1, 0, 0),
            "{:?}",
            self.told
        );
        self
    }

    #[track_caller]
    fn misses(self) -> Self {
        assert_eq!((self.statistics.hits, self.statistics.misses), (0, 1), "{:?}", self.told);
        self
    }
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn images(&self) -> PathBuf {
        self.folder.path().join("images")
    }

    /// The files of entries.
    fn entries(&self) -> Vec<PathBuf> {
        files(&self.images(), "image")
    }

    /// Runs `main` of what `add` puts into a session.
    fn start(&self, add: impl Fn(&Session)) -> Start {
        self.start_with(SessionOptions { map: true, ..SessionOptions::default() }, add)
    }

    fn start_with(&self, options: SessionOptions, add: impl Fn(&Session)) -> Start {
        let cache = Cache::open(self.images(), CacheOptions::default()).expect("a cache");
        start(&cache, options, add)
    }
}

fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).expect("the cache's folder").map(|entry| entry.expect("an entry").path());
    all.filter(|path| path.extension().is_some_and(|extension| extension == kind)).collect()
}

fn start(cache: &Cache, options: SessionOptions, add: impl Fn(&Session)) -> Start {
    let told = Arc::new(Mutex::new(Vec::new()));
    let keep = told.clone();
    cache.on_event(move |event: &CacheEvent| keep.lock().expect("no panic").push(event.to_string()));
    let session =
        Session::new(InProcess::new(), SessionOptions { cache: Some(cache.clone()), ..options }).expect("a session");
    add(&session);
    let opened = session.open("main").expect("it opens");
    let entry = opened.address("main").expect("there is a main");
    let status = session.call_main(entry, &["program".into()]).expect("it runs");
    let map = session.link_map();
    // Where thread-local storage is says nothing of where the image is.
    let map = map.into_iter().filter(|entry| !matches!(&*entry.section, ".tdata" | ".tbss"));
    let map: Vec<_> = map.collect();
    let base = map.first().map_or(0, |first| first.address);
    let map = map.into_iter().map(|entry| (entry.object, entry.section, entry.address.wrapping_sub(base))).collect();
    opened.close().expect("it closes");
    let told = told.lock().expect("no panic").clone();
    Start { status, map, statistics: cache.statistics(), told }
}

fn gcc(source: &str) -> Arc<[u8]> {
    compile(&["gcc", "-g", "-x", "c"], source)
}

/// A shared library in `folder`.
fn library(folder: &Path, name: &str, source: &str) -> String {
    let (path, object) = (folder.join(name), folder.join("library.o"));
    fs::write(&object, gcc(source)).expect("can be written");
    let made = std::process::Command::new("gcc").arg("-shared").arg("-o").arg(&path).arg(&object).status();
    assert!(made.expect("gcc").success());
    path.display().to_string()
}

/// Pointers in all directions, data that changes, tables, an indirect function, thread-local storage, initializers, a weak name that nobody has.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <string.h>
extern int absent(void) __attribute__((weak));
static int counter;
__thread int mine = 40;
__thread char zeros[100];
static void begin(void) __attribute__((constructor));
static void begin(void) { counter += 1; }
static int one(void) { return 1; }
int two(void) { return 2; }
int (*const table[])(void) = { one, two };
static int (*choose(void))(void) { return two; }
int chosen(void) __attribute__((ifunc("choose")));
int (*pointer)(void) = chosen;
const char *volatile words[] = { "seven", "eight" };
int (*volatile length)(const char *, ...) = printf;
int main(void) {
    char text[32];
    snprintf(text, sizeof text, "%s", words[1]);
    counter += table[0]() + table[1]() + pointer() + chosen();
    if (pointer != chosen || absent || length != printf || strcmp(text, "eight") || zeros[50]) return 99;
    return mine + counter;
}
"#;

const STATUS: i32 = 48;

fn program(session: &Session) {
    session.add_dylib("main").expect("new").add_object("program.o", gcc(PROGRAM)).expect("added");
}

#[test]
fn a_second_session_takes_what_the_first_one_linked() {
    let place = Place::new();
    let first = place.start(program).misses();
    assert_eq!((first.status, place.entries().len()), (STATUS, 1), "{:?}", first.told);
    for _ in 0..3 {
        let again = place.start(program).hits();
        assert_eq!(
            (again.status, &again.map),
            (STATUS, &first.map),
            "as if it had been linked, its data as it was before it ran"
        );
        assert!(again.statistics.read > 0 && again.statistics.written == 0);
    }
}

#[test]
fn frames_of_what_was_taken_have_their_lines() {
    let place = Place::new();
    let frames = || {
        let cache = Cache::open(place.images(), CacheOptions::default()).expect("a cache");
        let options = SessionOptions { cache: Some(cache.clone()), ..SessionOptions::default() };
        let session = Session::new(InProcess::new(), options).expect("a session");
        program(&session);
        let opened = session.open("main").expect("it opens");
        let frames = session.frames(&[opened.address("two").expect("there is one") + 1]);
        (cache.statistics().hits, frames)
    };
    let ((missed, linked), (hit, taken)) = (frames(), frames());
    assert_eq!((missed, hit), (0, 1));
    let frame = taken[0].as_ref().expect("it is in linked code");
    assert!(frame.function == "two" && frame.places[0].line.is_some(), "{frame:?}");
    assert_eq!(format!("{linked:?}"), format!("{taken:?}"));
}

#[test]
fn one_session_takes_it_when_it_opens_again() {
    let place = Place::new();
    let cache = Cache::open(place.images(), CacheOptions::default()).expect("a cache");
    let options = SessionOptions { cache: Some(cache.clone()), ..SessionOptions::default() };
    let session = Session::new(InProcess::new(), options).expect("a session");
    program(&session);
    for _ in 0..4 {
        assert_eq!(session.run("main", "main", &["program".into()]).expect("it runs"), STATUS);
    }
    let CacheStatistics { hits, misses, rejected, .. } = cache.statistics();
    assert_eq!((hits, misses, rejected), (3, 1, 0));
}

#[test]
fn dylibs_that_need_each_other_come_back_together() {
    let place = Place::new();
    let add = |session: &Session| {
        let main = session.add_dylib("main").expect("new");
        let other = session.add_dylib("other").expect("new");
        let source = "extern __thread int theirs; int data; int twice(int); int main(void) { data = 4; return twice(theirs) + data; }";
        main.add_object("main.o", gcc(source)).expect("added");
        let source =
            "extern int data; __thread int theirs = 10; int *at = &data; int twice(int x) { return 2 * x + *at; }";
        other.add_object("other.o", gcc(source)).expect("added");
        main.set_link_order([&other]).expect("linked");
        other.set_link_order([&main]).expect("linked");
    };
    let first = place.start(add).misses();
    let again = place.start(add).hits();
    assert_eq!((first.status, again.status), (28, 28), "{:?}", first.told);
}

#[test]
fn what_is_asked_for_in_another_way_is_another_entry() {
    let place = Place::new();
    let object = |value: i32| gcc(&format!("int value(void) {{ return {value}; }}"));
    let main = gcc("int value(void); int main(void) { return value(); }");
    let add = |order: [i32; 2], alias: bool| {
        let main = main.clone();
        move |session: &Session| {
            let dylib = session.add_dylib("main").expect("new");
            dylib.add_object("main.o", main.clone()).expect("added");
            let parts = order.map(|value| {
                let part = session.add_dylib(&format!("part{value}")).expect("new");
                part.add_object("value.o", object(value)).expect("added");
                part
            });
            dylib.set_link_order([&parts[0], &parts[1]]).expect("linked");
            if alias {
                dylib.define_alias("other", "main").expect("added");
            }
        }
    };
    assert_eq!(place.start(add([3, 4], false)).misses().status, 3);
    assert_eq!(place.start(add([4, 3], false)).misses().status, 4, "another link order");
    assert_eq!(place.start(add([3, 5], false)).misses().status, 3, "another input that is not even used");
    assert_eq!(place.start(add([3, 4], true)).misses().status, 3, "another name for something");
    let options = SessionOptions { map: false, ..SessionOptions::default() };
    assert_eq!(place.start_with(options, add([3, 4], false)).misses().status, 3, "without a map");
    assert_eq!(place.start(add([3, 4], false)).hits().status, 3);
    assert_eq!(place.start(add([4, 3], false)).hits().status, 4);
}

#[test]
fn files_are_told_by_their_content() {
    let place = Place::new();
    let path = place.folder.path().join("main.o");
    let write =
        |value: i32| fs::write(&path, gcc(&format!("int main(void) {{ return {value}; }}"))).expect("can be written");
    let add = |session: &Session| {
        session.add_dylib("main").expect("new").add_object_file(&path).expect("added");
    };
    write(1);
    assert_eq!(place.start(add).misses().status, 1);
    assert_eq!(place.start(add).hits().status, 1, "younger than two seconds: read");
    write(2);
    assert_eq!(place.start(add).misses().status, 2, "of the same size, within the resolution of its times");
    write(1);
    assert_eq!(place.start(add).hits().status, 1, "back to what it was");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(old)).expect("can be set");
    assert_eq!(place.start(add).hits().status, 1, "with another time");
    fs::remove_file(&path).expect("can be removed");
    let cache = Cache::open(place.images(), CacheOptions::default()).expect("a cache");
    let options = SessionOptions { cache: Some(cache), ..SessionOptions::default() };
    let session = Session::new(InProcess::new(), options).expect("a session");
    add(&session);
    assert!(session.open("main").is_err(), "what is not there is not run");
}

#[test]
fn archives_are_told_by_their_content_too() {
    let place = Place::new();
    let folder = place.folder.path();
    let archive = folder.join("libvalue.a");
    let write = |value: i32| {
        fs::write(folder.join("value.o"), gcc(&format!("int value(void) {{ return {value}; }}")))
            .expect("can be written");
        let made = std::process::Command::new("ar").arg("rcs").arg(&archive).arg(folder.join("value.o")).status();
        assert!(made.expect("ar").success());
    };
    let add = |session: &Session| {
        let main = session.add_dylib("main").expect("new");
        main.add_object("main.o", gcc("int value(void); int main(void) { return value(); }")).expect("added");
        main.add_archive_file(&archive).expect("added");
    };
    write(5);
    assert_eq!(place.start(add).misses().status, 5);
    assert_eq!(place.start(add).hits().status, 5);
    write(6);
    assert_eq!(place.start(add).misses().status, 6);
}

#[test]
fn libraries_may_change_as_long_as_their_names_do_not() {
    let place = Place::new();
    let folder = place.folder.path();
    let main = gcc(
        "extern int weak(void) __attribute__((weak)); int value(int); int main(void) { return value(1) + (weak ? weak() : 0); }",
    );
    let with = |library: String| {
        let main = main.clone();
        move |session: &Session| {
            let library = session.open_library(&library).expect("opens");
            let dylib = session.add_dylib("main").expect("new");
            dylib.add_object("main.o", main.clone()).expect("added");
            dylib.add_library(library).expect("added");
        }
    };
    let one = library(folder, "one.so", "int value(int x) { return x + 10; }");
    let two = library(folder, "two.so", "static int pad[1000]; int value(int x) { return x + 20 + pad[x]; }");
    let data = library(folder, "data.so", "int value = 0xc3;");
    let more = library(folder, "more.so", "int value(int x) { return x + 30; } int weak(void) { return 100; }");
    assert_eq!(place.start(with(one.clone())).misses().status, 11);
    assert_eq!(place.start(with(two)).hits().status, 21, "the entry, and another library's function");
    let changed = |start: Start| {
        assert_eq!((start.statistics.rejected, start.statistics.hits), (1, 0), "{:?}", start.told);
        start
    };
    let more = changed(place.start(with(more)));
    assert_eq!(more.status, 131, "a weak name is there now");
    assert!(
        more.told.iter().any(|line| line.contains("what the process offers as weak has changed")),
        "{:?}",
        more.told
    );
    // From now on the process has `weak`, whichever library is asked first.
    assert_eq!(place.start(with(one)).hits().status, 111);
    let cache = Cache::open(place.images(), CacheOptions::default()).expect("a cache");
    let session = Session::new(
        InProcess::new(),
        SessionOptions { cache: Some(cache.clone()), map: true, ..SessionOptions::default() },
    );
    let session = session.expect("a session");
    with(data)(&session);
    let opened = session.open("main").expect("links: a call of data is the program's mistake");
    assert_eq!((cache.statistics().rejected, cache.statistics().hits), (1, 0), "a function that is data");
    drop(opened);
}

/// Sources of nonsense that is the same each time.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn damage_of_every_kind_is_found() {
    let place = Place::new();
    place.start(program).misses();
    let entry = place.entries().remove(0);
    let whole = fs::read(&entry).expect("can be read");
    let mut state = 0x2545_f491_4f6c_dd1d;
    let mut damage: Vec<Vec<u8>> = Vec::new();
    let flipped = |at: usize, bit: u32| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        bytes
    };
    // The header, the first content, the end; then anywhere.
    damage.extend((0..96).map(|at| flipped(at, (at % 8) as u32)));
    damage.extend((whole.len() - 64..whole.len()).map(|at| flipped(at, 7)));
    while damage.len() < 700 {
        damage.push(flipped(random(&mut state) as usize % whole.len(), random(&mut state) as u32 % 8));
    }
    damage.extend([0, 1, 7, 8, 55, 87, 88, whole.len() / 2, whole.len() - 1].map(|length| whole[..length].to_vec()));
    while damage.len() < 1000 {
        let mut bytes = whole[..random(&mut state) as usize % whole.len()].to_vec();
        if random(&mut state).is_multiple_of(2) {
            bytes.resize(whole.len(), 0);
        }
        damage.push(bytes);
    }
    damage.push([&whole[..], b"more"].concat());
    let cache = Cache::open(place.images(), CacheOptions::default()).expect("a cache");
    for (number, bytes) in damage.iter().enumerate().filter(|(_, bytes)| **bytes != whole) {
        fs::write(&entry, bytes).expect("can be written");
        let before = cache.statistics();
        let start = start(&cache, SessionOptions { map: true, ..SessionOptions::default() }, program);
        let after = start.statistics;
        let counts =
            (start.status, after.rejected - before.rejected, after.misses - before.misses, after.hits - before.hits);
        assert_eq!(counts, (STATUS, 1, 1, 0), "damage {number}: {:?}", start.told);
        assert!(fs::read(&entry).expect("made anew").len() == whole.len(), "damage {number}");
    }
    place.start(program).hits();
}

#[test]
fn an_entry_under_the_name_of_another_is_none() {
    let place = Place::new();
    place.start(program).misses();
    let first = place.entries().remove(0);
    let other = |session: &Session| {
        session
            .add_dylib("main")
            .expect("new")
            .add_object("main.o", gcc("int main(void) { return 3; }"))
            .expect("added");
    };
    place.start(other).misses();
    let second = place.entries().into_iter().find(|path| *path != first).expect("another entry");
    fs::copy(&first, &second).expect("can be copied");
    let start = place.start(other);
    assert_eq!((start.status, start.statistics.rejected), (3, 1), "{:?}", start.told);
    assert_eq!(place.start(other).hits().status, 3);
}

#[test]
fn nothing_is_taken_from_where_others_can_write() {
    let place = Place::new();
    place.start(program).misses();
    let entry = place.entries().remove(0);
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).expect("can be set");
    let start = place.start(program);
    assert_eq!((start.status, start.statistics.rejected), (STATUS, 1), "{:?}", start.told);
    // A link to a file is not followed, whatever it is a link to.
    let moved = place.folder.path().join("elsewhere");
    fs::rename(&entry, &moved).expect("can be renamed");
    std::os::unix::fs::symlink(&moved, &entry).expect("can be made");
    let start = place.start(program);
    assert_eq!((start.status, start.statistics.rejected), (STATUS, 1), "{:?}", start.told);
    fs::remove_file(&entry).expect("can be removed");
    fs::create_dir(&entry).expect("can be made");
    assert_eq!(place.start(program).status, STATUS, "a folder in its place");
    for mode in [0o777, 0o770, 0o702] {
        fs::set_permissions(place.images(), fs::Permissions::from_mode(mode)).expect("can be set");
        let refused = Cache::open(place.images(), CacheOptions::default()).expect_err("others can write there");
        assert!(
            matches!(refused, CacheError::Shared { .. }) && refused.to_string().contains("can be written by others"),
            "{refused}"
        );
    }
    let file = place.folder.path().join("file");
    fs::write(&file, "no folder").expect("can be written");
    assert!(matches!(Cache::open(&file, CacheOptions::default()), Err(CacheError::Open { .. })));
}

#[test]
fn it_is_made_for_its_owner_alone() {
    let place = Place::new();
    place.start(program).misses();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&place.images()), 0o700);
    assert_eq!(mode(&place.entries()[0]), 0o600);
    assert!(files(&place.images(), "tmp").is_empty());
}

#[test]
fn its_size_is_bounded_and_what_was_used_last_stays() {
    let place = Place::new();
    let numbered = |number: i32| {
        let object = gcc(&format!("char filler[50000] = {{ {number} }}; int main(void) {{ return filler[0]; }}"));
        move |session: &Session| {
            session.add_dylib("main").expect("new").add_object("main.o", object.clone()).expect("added");
        }
    };
    let bounded = |add: &dyn Fn(&Session)| {
        let cache = Cache::open(place.images(), CacheOptions { size: 200_000 }).expect("a cache");
        start(&cache, SessionOptions::default(), add)
    };
    for number in 1..=3 {
        assert_eq!(bounded(&numbered(number)).misses().status, number);
    }
    // Times of files have the resolution of the system's tick.
    std::thread::sleep(std::time::Duration::from_millis(50));
    // The first one is used again, so the second one is the oldest.
    assert_eq!(bounded(&numbered(1)).hits().status, 1);
    for number in 4..=5 {
        assert_eq!(bounded(&numbered(number)).misses().status, number);
    }
    let size: u64 = fs::read_dir(place.images())
        .expect("there")
        .map(|entry| entry.expect("one").metadata().expect("known").len())
        .sum();
    assert!(size <= 200_000 && place.entries().len() == 3, "{size}");
    assert_eq!(bounded(&numbered(1)).hits().status, 1);
    assert_eq!(bounded(&numbered(2)).misses().status, 2);
}

#[test]
fn a_cache_that_cannot_be_written_to_is_no_hindrance() {
    let place = Place::new();
    let small = Cache::open(place.images(), CacheOptions { size: 100 }).expect("a cache");
    let started = start(&small, SessionOptions::default(), program).misses();
    assert!(
        started.status == STATUS && started.told.iter().any(|line| line.starts_with("cannot store: ")),
        "{:?}",
        started.told
    );
    assert!(fs::read_dir(place.images()).expect("there").next().is_none(), "nothing is left behind");
    let gone = Cache::open(place.images(), CacheOptions::default()).expect("a cache");
    fs::remove_dir(place.images()).expect("can be removed");
    let started = start(&gone, SessionOptions::default(), program).misses();
    assert!(
        started.status == STATUS && started.told.iter().any(|line| line.starts_with("cannot store: ")),
        "{:?}",
        started.told
    );
}

#[test]
fn many_processes_may_begin_at_once() {
    let place = Place::new();
    let object = place.folder.path().join("main.o");
    fs::write(&object, gcc("#include <stdio.h>\nint main(void) { puts(\"here\"); return 7; }"))
        .expect("can be written");
    let command = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_orc"));
        command.args(["run", "-v", "--cache"]).arg(place.images()).arg(&object);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    };
    let children: Vec<_> = (0..8).map(|_| command().spawn().expect("starts")).collect();
    for child in children {
        let ended = child.wait_with_output().expect("ends");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!((ended.status.code(), &*ended.stdout), (Some(7), &b"here\n"[..]), "{said}");
        assert!(said.contains("cache: stored") || said.contains("cache: hit"), "{said}");
    }
    assert_eq!((place.entries().len(), files(&place.images(), "tmp").len()), (1, 0));
    let after = command().output().expect("runs");
    assert!(String::from_utf8_lossy(&after.stderr).contains("cache: hit"));
}

#[test]
fn what_is_not_kept_says_why() {
    let place = Place::new();
    let start = place.start(|session: &Session| {
        let main = session.add_dylib("main").expect("new");
        main.add_object("main.o", gcc("int main(void) { return 1; }")).expect("added");
        let tracker = main.tracker("part").expect("new");
        tracker.add_object("more.o", gcc("int more;")).expect("added");
    });
    assert!(start.status == 1 && start.told == ["not stored: it has trackers"], "{:?}", start.told);
    let descriptors = |session: &Session| {
        let main = session.add_dylib("main").expect("new");
        let flags = ["gcc", "-fPIC", "-mtls-dialect=gnu2", "-x", "c"];
        main.add_object("main.o", compile(&flags, LARGE_VARIABLE)).expect("added");
    };
    let start = place.start(descriptors);
    assert!(
        start.status == 5 && start.told[1].starts_with("not stored: it has thread-local variables"),
        "{:?}",
        start.told
    );
}

/// No piece of static storage is as large: each thread gets it when it asks.
const LARGE_VARIABLE: &str =
    "__thread char large[1 << 22]; int main(void) { large[7] = 5; return large[5] + large[7]; }";

#[test]
fn variables_that_threads_get_when_they_ask_are_kept() {
    let place = Place::new();
    let program = |session: &Session| {
        let main = session.add_dylib("main").expect("new");
        main.add_object("main.o", compile(&["gcc", "-fPIC", "-x", "c"], LARGE_VARIABLE)).expect("added");
    };
    let starts = [place.start(program), place.start(program)];
    assert!(starts.iter().all(|start| start.status == 5), "{:?}", starts.map(|start| start.told));
    assert!(starts[1].told[0].starts_with("hit"), "{:?}", starts[1].told);
}
