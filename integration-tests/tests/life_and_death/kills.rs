//! When the controller or the executor is killed: does the other one end, does everything that was started, and is it told?

use crate::processes::{self, gone};
use crate::world::{PATIENCE, SECOND, World, pid};
use integration_tests::executor::Kind;
use rustix::process::{Signal, kill_process};

/// Prints its number. With `family`, it has a child that has a child, deaf to all that can be ignored.
const SLEEPER: &str = r#"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "family"))
        for (int generation = 0; generation < 2; generation++)
            if (fork() == 0) {
                signal(SIGTERM, SIG_IGN);
                signal(SIGHUP, SIG_IGN);
                signal(SIGINT, SIG_IGN);
                if (generation == 0) continue;
                for (;;) pause();
            } else if (generation == 1) {
                for (;;) pause();
            } else {
                break;
            }
    printf("%d\n", (int)getpid());
    fflush(stdout);
    for (;;) pause();
}
"#;

/// The same in an initializer.
const EARLY: &str = r#"
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void init(void) {
    printf("%d\n", (int)getpid());
    fflush(stdout);
    for (;;) pause();
}
int main(void) { return 0; }
"#;

#[test]
fn nothing_outlives_a_killed_orc_by_more_than_a_second() {
    let world = World::new("orc_killed");
    world.compile("sleeper", SLEEPER);
    world.compile("early", EARLY);
    for kind in world.remote() {
        for words in [&["sleeper.o"][..], &["early.o"], &["sleeper.o", "--", "family"]] {
            let mut orc = world.start(kind, words);
            let program: u32 = orc.line().parse().unwrap_or_else(|_| panic!("{kind}: {words:?}: {}", orc.said()));
            assert_ne!(program, orc.id(), "{kind}: it runs in another process");
            if words.len() == 3 {
                let family =
                    || processes::marked(&world.mark).iter().filter(|process| process.parent == program).count();
                let started = std::time::Instant::now();
                while family() == 0 {
                    assert!(started.elapsed() < PATIENCE, "{kind}: the program has no child");
                }
            }
            orc.kill();
            assert_eq!(orc.end(), 137);
            gone(SECOND, &format!("{kind}: {words:?}: orc was killed"), || world.living());
        }
    }
    world.end();
}

#[test]
fn a_killed_executor_is_told_and_gives_137() {
    let world = World::new("executor_killed");
    world.compile("sleeper", SLEEPER);
    world.compile("early", EARLY);
    for kind in world.remote() {
        for object in ["sleeper.o", "early.o"] {
            let mut orc = world.start(kind, &[object]);
            let program: u32 = orc.line().parse().unwrap_or_else(|_| panic!("{kind}: {object}: {}", orc.said()));
            kill_process(pid(program), Signal::KILL).expect("it is there");
            assert_eq!(orc.end(), 137, "{kind}: {object}: {}", orc.said());
            let said = orc.said();
            assert!(said.contains("error: ") && said.contains("SIGKILL"), "{kind}: {object}: {said}");
            gone(SECOND, &format!("{kind}: {object}: the executor was killed"), || world.living());
        }
    }
    world.end();
}

#[test]
fn a_listener_ends_when_it_is_told_to_and_takes_its_socket_along() {
    let world = World::new("listener");
    world.compile("sleeper", SLEEPER);
    for kind in world.listening() {
        let listener = world.listener(kind);
        let id = listener.id();
        let path = listener.address().to_str().expect("text").strip_prefix("unix:").map(std::path::PathBuf::from);
        assert!(path.as_ref().is_none_or(|path| path.exists()), "{kind}: it is there");
        assert_eq!(path.is_some(), kind == Kind::Unix);
        kill_process(pid(id), Signal::TERM).expect("it is there");
        let ended = || processes::look(id).filter(|process| !process.zombie).into_iter().collect();
        gone(SECOND, &format!("{kind}: the listener was told to end"), ended);
        assert!(path.is_none_or(|path| !path.exists()), "{kind}: its socket is left behind");
    }
    gone(SECOND, "after the listeners", || world.living());
}
