//! Does anything pile up when executors are started and killed, over and over?

use crate::processes::{gone, look, marked, open_files, shared_memory};
use crate::world::{SECOND, World, pid};
use rustix::process::{Signal, kill_process};
use std::env;
use std::time::Duration;

const SLEEPER: &str = r#"
#include <stdio.h>
#include <unistd.h>
int main(void) {
    printf("%d\n", (int)getpid());
    fflush(stdout);
    for (;;) pause();
}
"#;

fn cycles() -> usize {
    let text = env::var("ORC_LIFE_CYCLES").unwrap_or_else(|_| "300".into());
    text.parse().unwrap_or_else(|_| panic!("ORC_LIFE_CYCLES={text} is no number"))
}

#[test]
fn starting_and_killing_leaves_nothing() {
    let world = World::new("cycles");
    world.compile("sleeper", SLEEPER);
    let kinds = world.kinds.clone();
    let listeners: Vec<_> = world.listening().into_iter().map(|kind| (kind, world.listener(kind).id())).collect();
    let mut before = Vec::new();
    let shared = shared_memory();
    for cycle in 0..cycles() {
        let kind = kinds[cycle % kinds.len()];
        let mut orc = world.start(kind, &["sleeper.o"]);
        match cycle / kinds.len() % 4 {
            // At any moment of the start: they take some milliseconds.
            0 => {
                std::thread::sleep(Duration::from_micros((cycle as u64 * 977) % 25_000));
                orc.kill();
            }
            1 => {
                let program: u32 = orc.line().parse().unwrap_or_else(|_| panic!("{kind}: {}", orc.said()));
                kill_process(pid(program), Signal::KILL).expect("it is there");
            }
            2 => {
                orc.line();
                orc.kill();
            }
            _ => {
                orc.line();
                kill_process(orc.pid(), Signal::TERM).expect("it is there");
            }
        }
        let code = orc.end();
        assert!([137, 143].contains(&code), "{kind}: cycle {cycle}: exit code {code}: {}", orc.said());
        // What is made once and stays is made by now.
        if cycle + 1 == kinds.len() * 4 {
            gone(SECOND, "processes of the first rounds", || world.living());
            before = listeners.iter().map(|(_, id)| open_files(*id)).collect();
        }
        if cycle % 100 == 99 {
            gone(SECOND, &format!("processes after {cycle} cycles"), || world.living());
        }
    }
    gone(SECOND, "processes", || world.living());
    gone(SECOND * 3, "zombies of listeners", || world.zombies());
    for ((kind, id), before) in listeners.iter().zip(before) {
        let more = || (open_files(*id) > before).then(|| open_files(*id)).into_iter().collect();
        gone(SECOND, &format!("{kind}: open files of the listener, {before} before"), more);
        assert!(look(*id).is_some_and(|listener| !listener.zombie), "{kind}: the listener serves on");
    }
    // Others on this machine may have shared memory, too, under names of their own.
    let ours = |name: &String| name.contains("orc") && !shared.contains(name);
    let left: Vec<_> = shared_memory().into_iter().filter(ours).collect();
    assert!(left.is_empty(), "shared memory is left behind: {left:?}");
    assert_eq!(marked(&world.mark).len(), listeners.len());
    world.end();
}
