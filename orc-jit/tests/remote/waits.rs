//! Are waits of threads over there told here, and who is inside of what is to be closed?

use crate::support::{Listener, ORC, World, object, spawn};
use dispatch::Tag;
use orc_jit::executor::remote::Place;
use orc_jit::executor::{Executor, InProcess};
use orc_jit::{Teardown, WaitReport};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Linked code that calls 5 says that it is there, and stays until it is let go.
fn stays<E: Executor>(world: &World<E>) -> (Receiver<()>, Sender<()>) {
    let (arrive, arrived) = channel();
    let (leave, leaves) = channel::<()>();
    let ends = Mutex::new((arrive, leaves));
    let stay = move |(): ()| {
        let ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.0.send(()).expect("the test is there");
        ends.1.recv_timeout(PATIENCE).expect("the test lets it go");
    };
    world.session.serve(Tag(5), stay).expect("a free tag");
    (arrived, leave)
}

fn a_wait_is_told<E: Executor>(world: &World<E>) {
    let (arrived, leave) = stays(world);
    world.c("slow", "__attribute__((constructor)) void _ZN3net5beginEv(void) { CALL(5, \"\", 0); }");
    world.c("main", "int one;").links("main", &["slow"]);
    world.session.set_arguments(&world.argv()).expect("no zero bytes");
    world.session.executor().report_waits(Duration::from_millis(20)).expect("it is there");
    let (tell, told) = channel::<WaitReport>();
    let tell = Mutex::new(tell);
    world.session.on_wait(move |report| {
        let tell = tell.lock().unwrap_or_else(PoisonError::into_inner);
        tell.send(report.clone()).expect("the test listens");
    });
    std::thread::scope(|scope| {
        scope.spawn(|| world.session.open("slow").expect("it links").close().expect("open"));
        arrived.recv_timeout(PATIENCE).expect("its initializer runs");
        scope.spawn(|| world.session.open("main").expect("it links").close().expect("open"));
        let report = told.recv_timeout(PATIENCE).expect("told");
        assert_eq!((report.over, &report.dylibs[..]), (false, &["slow".to_owned()][..]), "{report}");
        let (_, name) = report.holders[0].function.clone().expect("an initializer");
        assert_eq!(name, "net::begin()", "{report}");
        assert_ne!(report.holders[0].thread, report.waiter);
        leave.send(()).expect("it stays");
        let over = std::iter::from_fn(|| told.recv_timeout(PATIENCE).ok()).find(|report| report.over);
        assert_eq!(over.map(|over| over.wait), Some(report.wait));
    });
}

fn a_close_is_refused_or_waits<E: Executor>(world: &World<E>) {
    let (arrived, leave) = stays(world);
    world.c("main", "int stay(int c, char **v) { CALL(5, \"\", 0); return 9; }\n BOTH(\"main\")");
    let main = world.open("main");
    let stay = main.address("stay").expect("it is there");
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| world.session.call_main(stay, &world.argv()).expect("it returns"));
        arrived.recv_timeout(PATIENCE).expect("it runs");
        let refused = main.close_with(Teardown::Refuse).expect_err("a thread is inside");
        let text = refused.to_string();
        assert!(text.contains("JITDylib main was not closed") && text.contains("runs the main of main"), "{text}");
        let waited = refused.opened.close_with(Teardown::Wait(Duration::from_millis(10)));
        let main = waited.expect_err("it is there still").opened;
        assert_eq!(
            (main.address("stay").ok(), world.trace()),
            (Some(stay), vec!["main".to_owned()]),
            "as open as before"
        );
        let closing = scope.spawn(|| main.close_with(Teardown::Wait(PATIENCE)));
        leave.send(()).expect("it stays");
        closing.join().expect("no panic").expect("it left in time");
        assert_eq!(inside.join().expect("no panic"), 9);
    });
    assert_eq!(world.trace(), ["~main"]);
}

fn a_thread_keeps_what_it_was_started_with<E: Executor>(world: &World<E>) {
    let (arrived, leave) = stays(world);
    world.c(
        "main",
        "static void *stay(void *p) { CALL(5, \"\", 0); NOTE(\"thread\"); if (p) pthread_exit(p); return 0; }\n\
         int start(int c, char **v) { pthread_t one; pthread_create(&one, 0, stay, v[0]); return pthread_detach(one); }\n\
         BOTH(\"main\")",
    );
    let main = world.open("main");
    assert_eq!(world.call(&main, "start"), 0);
    arrived.recv_timeout(PATIENCE).expect("it runs");
    let refused = main.close_with(Teardown::Refuse).expect_err("a thread is inside");
    assert!(refused.to_string().contains("was started with a function of main"), "{refused}");
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| refused.opened.close_with(Teardown::Wait(PATIENCE)));
        leave.send(()).expect("it stays");
        closing.join().expect("no panic").expect("the thread has ended");
    });
    assert_eq!(world.trace(), ["main", "thread", "~main"]);
}

/// The command says it on standard error, as often as it is asked to, and names what waits for what.
#[test]
fn the_command_tells_of_waits_on_standard_error() {
    let folder = tempfile::tempdir().expect("a directory");
    let write = |name: &str, source: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, object(source)).expect("it can be written");
        path
    };
    let main = write(
        "main.o",
        "int main(void) { void *slow = dlopen(\"slow\", RTLD_NOW); pthread_t *one = slow ? dlsym(slow, \"one\") : 0;\n\
         return one && !pthread_join(*one, 0) ? 7 : 1; }",
    );
    let slow = write(
        "slow.o",
        "pthread_t one; static void *waits(void *p) { return dlopen(\"slow\", RTLD_NOW); }\n\
         __attribute__((constructor)) void begin_slow(void) { pthread_create(&one, 0, waits, 0); sleep(1); }",
    );
    for executor in ["in-process", "spawn"] {
        for (seconds, tells) in [("0.05", true), ("0", false)] {
            let mut command = std::process::Command::new(ORC);
            command.args(["run", "--report-waits", seconds, "--executor", executor, "--needs", ""]).arg(&main);
            let output = command.args(["--dylib", "slow"]).arg(&slow).output().expect("orc starts");
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(7), "{executor}: {text}");
            let told = text.lines().filter(|line| {
                line.contains("for JITDylib slow to be initialized: thread")
                    && line.contains("runs the initializers of slow (begin_slow at 0x")
            });
            assert_eq!(told.count() > 0, tells, "{executor}, {seconds}: {text}");
            assert_eq!(text.contains("it is over after"), tells, "{executor}, {seconds}: {text}");
        }
    }
}

macro_rules! everywhere {
    ($($name:ident),*) => {
        mod in_process {
            $(#[test] fn $name() { super::$name(&super::World::over(super::InProcess::new())); })*
        }
        mod spawned {
            $(#[test] fn $name() { super::$name(&super::World::at(&super::spawn())); })*
        }
        mod tcp {
            $(#[test] fn $name() {
                let listener = super::Listener::tcp();
                let place: super::Place = listener.place();
                super::$name(&super::World::at(&place));
            })*
        }
    };
}

everywhere!(a_wait_is_told, a_close_is_refused_or_waits, a_thread_keeps_what_it_was_started_with);
