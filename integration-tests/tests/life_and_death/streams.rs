//! Do input and output pass as if the program were local, however much there is?

use crate::world::{PATIENCE, Running, World};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::Instant;

/// Lines of nine bytes: 50 MB.
const LINES: usize = 50_000_000 / 9;

/// Prints so many numbered lines, and their number on standard error.
const PRINTER: &str = r#"
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    (void)argc;
    long count = atol(argv[1]);
    for (long line = 0; line < count; line++) printf("%08ld\n", line);
    fprintf(stderr, "%ld lines\n", count);
    return 0;
}
"#;

const CAT: &str = r#"
#include <unistd.h>
int main(void) {
    static char buffer[30000];
    for (;;) {
        ssize_t size = read(0, buffer, sizeof buffer);
        if (size <= 0) return size < 0;
        for (ssize_t done = 0; done < size;) {
            ssize_t written = write(1, buffer + done, size - done);
            if (written < 0) return 2;
            done += written;
        }
    }
}
"#;

const DEAF: &str = "#include <stdio.h>\nint main(void) { puts(\"done\"); return 0; }\n";

/// Bytes of every value in no order.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

#[test]
fn fifty_megabytes_of_output_are_whole_and_in_order() {
    let world = World::new("output");
    world.compile("printer", PRINTER);
    let mut expected = Vec::with_capacity(LINES * 9);
    (0..LINES).for_each(|line| writeln!(expected, "{line:08}").expect("memory"));
    for kind in world.kinds.clone() {
        let words = ["printer.o", "--", &LINES.to_string()];
        let mut child = world.orc(kind, &words).spawn().expect("orc starts");
        let mut found = Vec::with_capacity(expected.len());
        child.stdout.take().expect("piped").read_to_end(&mut found).expect("it can be read");
        let status = child.wait().expect("it is ours");
        let said = fs::read_to_string(world.folder.join("orc.stderr")).expect("text");
        assert!(status.success(), "{kind}: {status}: {said}");
        // Not `assert_eq`, which would print both.
        let differs = found.iter().zip(&expected).position(|(found, expected)| found != expected);
        assert_eq!((found.len(), differs), (expected.len(), None), "{kind}: through a pipe");
        assert_eq!(said, format!("{LINES} lines\n"), "{kind}: standard error is the program's");

        let status = world.orc(kind, &words).stdout(world.file("out")).status().expect("orc starts");
        assert!(status.success(), "{kind}: {status}");
        assert!(fs::read(world.folder.join("out")).expect("it is there") == expected, "{kind}: into a file");
    }
    world.end();
}

#[test]
fn ten_megabytes_of_input_come_back_whole() {
    let world = World::new("input");
    world.compile("cat", CAT);
    let sent = noise(10_000_000);
    fs::write(world.folder.join("in"), &sent).expect("it can be written");
    for kind in world.kinds.clone() {
        let mut orc = world.orc(kind, &["cat.o"]).stdin(Stdio::piped()).spawn().expect("orc starts");
        let mut stdin = orc.stdin.take().expect("piped");
        let mut found = Vec::with_capacity(sent.len());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                stdin.write_all(&sent).expect("cat reads all");
                drop(stdin);
            });
            orc.stdout.take().expect("piped").read_to_end(&mut found).expect("it can be read");
        });
        assert!(orc.wait().expect("it is ours").success(), "{kind}");
        assert!(found == sent, "{kind}: {} bytes came back through pipes", found.len());

        let file = File::open(world.folder.join("in")).expect("it is there");
        let status = world.orc(kind, &["cat.o"]).stdin(file).stdout(world.file("out")).status().expect("orc starts");
        assert!(status.success(), "{kind}: {status}");
        assert!(fs::read(world.folder.join("out")).expect("it is there") == sent, "{kind}: from a file into a file");
    }
    world.end();
}

#[test]
fn a_line_that_is_asked_for_is_answered_before_the_next() {
    let world = World::new("dialog");
    world.compile("cat", CAT);
    for kind in world.kinds.clone() {
        let mut orc = world.start(kind, &["cat.o"]);
        for number in 0..100 {
            writeln!(orc.stdin.as_mut().expect("piped"), "line {number}").expect("it reads");
            orc.expect(&format!("line {number}"));
        }
        drop(orc.stdin.take());
        assert_eq!((orc.rest(), orc.end()), (String::new(), 0), "{kind}: {}", orc.said());
    }
    world.end();
}

#[test]
fn input_that_nobody_reads_is_no_error() {
    let world = World::new("deaf");
    world.compile("deaf", DEAF);
    let much = noise(10_000_000);
    for kind in world.kinds.clone() {
        let check = |running: &mut Running, how: &str| {
            let started = Instant::now();
            assert_eq!((running.rest(), running.end()), ("done\n".into(), 0), "{kind}: {how}: {}", running.said());
            assert_eq!(running.said(), "", "{kind}: {how}");
            assert!(started.elapsed() < PATIENCE / 4, "{kind}: {how}: it took {:?}", started.elapsed());
        };
        let mut orc = world.start(kind, &["deaf.o"]);
        let mut stdin = orc.stdin.take().expect("piped");
        std::thread::scope(|scope| {
            // The pipe breaks when the program has ended.
            scope.spawn(|| stdin.write_all(&much).is_ok());
            check(&mut orc, "more than is read");
        });
        // Nothing comes and the end does not either.
        let mut orc = world.start(kind, &["deaf.o"]);
        check(&mut orc, "an open pipe");
        let child = world.orc(kind, &["deaf.o"]).spawn().expect("orc starts");
        check(&mut Running::new(child, &world.folder, format!("{kind}: no input")), "no input at all");
    }
    world.end();
}
