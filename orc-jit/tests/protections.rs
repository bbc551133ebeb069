//! What may be done with the pages of linked code: is each section where it belongs, and is there no moment, however short, at which a page is writable and executable at once? Asked in an
//! ordinary process, and in one that is denied to make executable what was writable.
//!
//! `unsafe` because linked code is called by address, and because prctl(2) is C's.
#![allow(clippy::print_stdout, reason = "a child tells its parent what happened")]

mod common;

use common::child::{ended, in_child, lines};
use common::compile;
use orc_jit::{InProcess, JitDylib, Opened, Session, SessionOptions};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// From now on nothing that was writable becomes executable in this process.
fn refuse_exec_gain() {
    // SAFETY: numbers are passed.
    let done = unsafe { libc::prctl(libc::PR_SET_MDWE, libc::PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) };
    assert_eq!(done, 0, "prctl(PR_SET_MDWE), Linux 6.3: {}", std::io::Error::last_os_error());
}

/// A line of `/proc/self/maps`.
#[derive(Debug, Clone)]
struct Mapping {
    start: u64,
    end: u64,
    flags: String,
    offset: u64,
    /// Device and inode; none for anonymous memory.
    file: Option<(String, u64)>,
}

fn mappings() -> Vec<Mapping> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("own maps");
    let parse = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let flags = words.next()?.to_owned();
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let (start, end, offset) = (number(start)?, number(end)?, number(words.next()?)?);
        let (device, inode) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        Some(Mapping { start, end, flags, offset, file: (inode != 0).then_some((device, inode)) })
    };
    maps.lines().map(|line| parse(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
}

impl Mapping {
    fn may(&self, what: char) -> bool {
        self.flags.contains(what)
    }

    /// Whether both are views of one page of a file.
    fn shares_a_page_with(&self, other: &Self) -> bool {
        let part = |mapping: &Self| mapping.offset..mapping.offset + (mapping.end - mapping.start);
        let (one, two) = (part(self), part(other));
        self.file.is_some() && self.file == other.file && one.start < two.end && two.start < one.end
    }
}

/// Refuses a page that is writable and executable, at one address or at two. What is written to a private view of a file stays there.
fn judge(mappings: &[Mapping]) -> Result<(), String> {
    if let Some(both) = mappings.iter().find(|mapping| mapping.may('w') && mapping.may('x')) {
        return Err(format!("writable and executable: {both:x?}"));
    }
    let executable: Vec<_> = mappings.iter().filter(|mapping| mapping.may('x')).collect();
    for writable in mappings.iter().filter(|mapping| mapping.may('w') && mapping.flags.ends_with('s')) {
        if let Some(view) = executable.iter().find(|mapping| mapping.shares_a_page_with(writable)) {
            return Err(format!("two views of a page: {writable:x?} and {view:x?}"));
        }
    }
    Ok(())
}

const SECTIONS: &str = r#"
#include <stdio.h>
#include <errno.h>
const int constant = 5;
int variable = 6;
int zero;
const char *const table[] = { "one", "two" };
__thread int local = 4;
static void first(void) { zero = 1; }
__attribute__((section(".init_array"), used)) static void (*const initializer)(void) = first;
__attribute__((section(".own_code"))) int other(void) { return zero; }
__attribute__((section(".own_constants"))) const int own_constant = 8;
__attribute__((section(".own_data"))) int own_data = 9;
int function(int which) {
    if (which > 99) fprintf(stderr, "%s\n", table[which & 1]);
    switch (which) { case 1: return 10; case 2: return 3; case 3: return variable; case 4: return constant; case 5: return errno; }
    return other() + local + own_constant + own_data;
}
int ask(void) { return function(9); }
"#;

/// What the pages of a section may do.
fn expected(section: &str) -> &'static str {
    match section {
        ".own_code" => "r-xp",
        ".own_data" => "rw-p",
        _ if section.starts_with(".text") || section.contains("stub") || section.contains("plt") => "r-xp",
        _ if section.starts_with(".data.rel.ro") => "r--p",
        _ if section.starts_with(".data") || section.starts_with(".bss") => "rw-p",
        // The map has a distance, at which each thread has its own.
        _ if section.starts_with(".tdata") => "not mapped",
        // Constants, tables of addresses, call frames, initializers.
        _ => "r--p",
    }
}

/// Links [`SECTIONS`], and says of each section that was placed what its pages may do.
fn placed() -> BTreeMap<String, Vec<String>> {
    let options = SessionOptions { map: true, ..SessionOptions::default() };
    let session = Session::new(InProcess::new(), options).expect("a session");
    let dylib = session.add_dylib("sections").expect("a free name");
    dylib.add_object("sections.o", compile(&["gcc", "-x", "c"], SECTIONS)).expect("a live session");
    let opened = session.open("sections").expect("it opens");
    assert_eq!(ask(&opened), 22);
    let mappings = mappings();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    found.insert("slot".into(), vec![slot_of_stderr(&session, &mappings)]);
    for entry in session.link_map() {
        let of_page = mappings.iter().find(|mapping| (mapping.start..mapping.end).contains(&entry.address));
        let flags = of_page.map_or("not mapped", |mapping| &mapping.flags);
        found.entry(entry.section).or_default().push(flags.to_owned());
    }
    found
}

/// What may be done with the word through which the code finds `stderr`: it is in none of the sections.
fn slot_of_stderr(session: &Session<InProcess>, mappings: &[Mapping]) -> String {
    // SAFETY: a C string.
    let stderr = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"stderr".as_ptr()) }.expose_provenance();
    let map = session.link_map();
    let places =
        [".rodata", ".data"].map(|name| map.iter().find(|entry| entry.section == name).expect("placed").address);
    let holds = |mapping: &&Mapping| {
        let words = (mapping.start..mapping.end).step_by(8);
        words.map(|word| std::ptr::with_exposed_provenance::<usize>(word as usize)).any(|word| {
            // SAFETY: an aligned word of a readable mapping of the slab, which nobody changes now.
            unsafe { word.read_volatile() == stderr }
        })
    };
    let of_code =
        mappings.iter().filter(|mapping| places.iter().any(|place| (mapping.start..mapping.end).contains(place)));
    let found: Vec<_> = of_code.filter(holds).map(|mapping| mapping.flags.clone()).collect();
    found.join(" and ")
}

fn ask(opened: &Opened<InProcess>) -> i32 {
    // SAFETY: the sources above and below define it so.
    let function = unsafe { opened.symbol::<extern "C" fn() -> i32>("ask") }.expect("it is there");
    function()
}

fn every_section_has_its_protection() {
    let found = placed();
    for (section, flags) in &found {
        assert!(flags.iter().all(|flags| flags == expected(section)), "{section}: {flags:?}");
    }
    for section in [".text", ".own_code", ".rodata", ".data", ".bss", ".init_array", ".eh_frame", ".tdata", ".own_data"]
    {
        assert!(found.contains_key(section), "{section} is not among {:?}", found.keys());
    }
    assert!(found.keys().any(|section| section.starts_with(".data.rel.ro")), "{:?}", found.keys());
}

#[test]
fn executable_pages_hold_code_alone_and_what_is_constant_once_relocated_is_read_only() {
    every_section_has_its_protection();
    let name = "executable_pages_hold_code_alone_and_what_is_constant_once_relocated_is_read_only";
    let output = in_child(name, || {
        refuse_exec_gain();
        every_section_has_its_protection();
    });
    ended(&output, 0, "");
}

/// Links, runs and unloads while another thread looks at the process's mappings. Gives how often it looked, and how many cycles there were.
fn links_while_somebody_watches(cycles: u32) -> (u64, u32) {
    let (stop, looked) = (AtomicBool::new(false), AtomicU64::new(0));
    let object = compile(&["gcc", "-x", "c"], SECTIONS);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                judge(&mappings())?;
                looked.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), String>(())
        });
        let session = Session::in_process().expect("a session");
        let dylib = |name: String| -> JitDylib<InProcess> {
            let dylib = session.add_dylib(&name).expect("a free name");
            dylib.add_object(format!("{name}.o"), object.clone()).expect("a live session");
            dylib
        };
        let dylibs: Vec<_> = (0..4).map(|number| dylib(format!("d{number}"))).collect();
        let mut open = Vec::new();
        let mut done = 0;
        // At least so many cycles, and as many as it takes until somebody has looked.
        while done < cycles || looked.load(Ordering::Relaxed) < u64::from(cycles) {
            if watcher.is_finished() {
                break;
            }
            let opened = session.open(&format!("d{}", done as usize % dylibs.len())).expect("it opens");
            assert_eq!(ask(&opened), 22);
            open.push(opened);
            if open.len() == dylibs.len() {
                // Not the order in which they came, so that pages are taken again in holes.
                open.swap(0, 2);
                open.drain(..).for_each(|opened| opened.close().expect("it closes"));
            }
            done += 1;
        }
        drop(open);
        stop.store(true, Ordering::Relaxed);
        let verdict = watcher.join().expect("no panic");
        assert_eq!(verdict, Ok(()));
        (looked.load(Ordering::Relaxed), done)
    })
}

#[test]
fn no_page_is_ever_seen_writable_and_executable_while_code_comes_and_goes() {
    let name = "no_page_is_ever_seen_writable_and_executable_while_code_comes_and_goes";
    let (looked, done) = links_while_somebody_watches(200);
    assert!(looked >= 200 && done >= 200);
    let output = in_child(name, || {
        refuse_exec_gain();
        let (looked, done) = links_while_somebody_watches(200);
        let mapped = mappings().iter().any(|mapping| mapping.may('x') && mapping.file.is_none() && mapping.may('r'));
        // The vdso is all that is executable and of no file.
        println!("> looked {looked}, linked {done}, anonymous code {mapped}");
    });
    ended(&output, 0, "");
    assert_eq!(lines(&output).len(), 1, "{output:?}");
}

#[test]
fn the_watcher_sees_what_it_looks_for() {
    let line = |start: u64, flags: &str, offset: u64, inode: u64| Mapping {
        start,
        end: start + 0x2000,
        flags: flags.into(),
        offset,
        file: (inode != 0).then(|| ("00:01".into(), inode)),
    };
    assert_eq!(
        judge(&[line(0x1000, "rw-p", 0, 0), line(0x4000, "r-xp", 0, 0)]),
        Ok(()),
        "anonymous pages are no views"
    );
    assert_eq!(judge(&[line(0x1000, "rw-s", 0, 7), line(0x4000, "r-xp", 0x2000, 7)]), Ok(()), "other pages of a file");
    assert_eq!(judge(&[line(0x1000, "rw-p", 0, 7), line(0x4000, "r-xp", 0, 7)]), Ok(()), "a private view");
    assert!(judge(&[line(0x1000, "rwxp", 0, 0)]).is_err());
    assert!(judge(&[line(0x1000, "rw-s", 0, 7), line(0x4000, "r-xp", 0x1000, 7)]).is_err());
}
