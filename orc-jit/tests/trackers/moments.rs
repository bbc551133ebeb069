//! What does a removal do at moments when it cannot just be done?

use crate::common::{self, call, call_host, callback};
use crate::places::{everywhere, tracked};
use crate::support::World;
use orc_jit::{Error, Executor, InProcess, Removal, Tracker};
use std::sync::{Arc, Mutex, mpsc};

everywhere!(what_is_inside_keeps_its_memory);

/// A world whose C code can have the tracker that is put into the slot removed: `REMOVE` notes what comes of it.
fn removing(world: &common::World) -> (Arc<Mutex<Option<Tracker<InProcess>>>>, String) {
    let slot: Arc<Mutex<Option<Tracker<InProcess>>>> = Arc::default();
    let (own, log) = (slot.clone(), world.log);
    let action = callback(move || {
        let tracker = common::lock(&own).clone().expect("set before it is needed");
        let words = tracker.remove(Removal::Cascade).map_or_else(|error| error.to_string(), |()| "removed".into());
        log.note(&words);
    });
    (slot, format!("#define REMOVE {}\n", call_host(action)))
}

#[test]
fn an_initializer_cannot_remove_its_own_dylib_s_trackers() {
    let world = common::World::new();
    let (slot, remove) = removing(&world);
    let tracker = world.dylib("main").tracker("part").expect("a live session");
    let source = format!(
        "{remove} static __attribute__((constructor)) void i(void) {{ NOTE(\"part\"); REMOVE; }} FINI(\"part\") int part(void) {{ return 1; }}"
    );
    tracker.add_object("part.o", world.object(&source)).expect("a live session");
    *common::lock(&slot) = Some(tracker.clone());
    let main = world.open("main");
    let refused = "nothing can be removed from JITDylib main while it is being opened, updated or closed";
    assert_eq!(world.log.take(), ["part", refused]);
    assert_eq!(call(&main, "part"), 1, "nothing has changed");
    tracker.remove(Removal::Refuse).expect("now it can");
    assert_eq!(world.log.take(), ["~part"]);
    main.close().expect("open");
    assert_eq!(world.holds(), (0, 0));
}

#[test]
fn an_initializer_of_another_dylib_can() {
    let world = common::World::new();
    let (slot, remove) = removing(&world);
    let tracker = world.dylib("base").tracker("part").expect("a live session");
    tracker.add_object("part.o", world.object("BOTH(\"part\") int part(void) { return 1; }")).expect("a live session");
    *common::lock(&slot) = Some(tracker);
    world
        .c("main", &format!("{remove} static __attribute__((constructor)) void i(void) {{ REMOVE; }}"))
        .links("main", &["base"]);
    let main = world.open("main");
    assert_eq!(world.log.take(), ["part", "~part", "removed"]);
    drop(main);
}

#[test]
fn its_own_code_can_and_is_kept_until_it_returns() {
    let world = common::World::new();
    let (slot, remove) = removing(&world);
    let tracker = world.dylib("main").tracker("part").expect("a live session");
    let source = format!("{remove} FINI(\"part\") int run(void) {{ REMOVE; NOTE(\"still here\"); return 6; }}");
    tracker.add_object("part.o", world.object(&source)).expect("a live session");
    world.c("main", "int stays(void) { return 2; }");
    *common::lock(&slot) = Some(tracker);
    let main = world.open("main");
    let before = {
        let other = common::World::new();
        other.c("main", "int stays(void) { return 2; }");
        let _open = other.open("main");
        other.holds()
    };
    let entry = main.address("run").expect("it is there");
    assert_eq!(world.session.call_main(entry, &[b"it".to_vec()]).expect("it returns"), 6);
    assert_eq!(world.log.take(), ["~part", "removed", "still here"]);
    assert_eq!((world.holds(), call(&main, "stays")), (before, 2), "its memory went when it had returned");
}

#[test]
fn a_finalizer_of_what_goes_finds_it_gone() {
    let world = common::World::new();
    let (slot, remove) = removing(&world);
    let tracker = world.dylib("main").tracker("part").expect("a live session");
    let source = format!("{remove} static __attribute__((destructor)) void f(void) {{ REMOVE; }} int part;");
    tracker.add_object("part.o", world.object(&source)).expect("a live session");
    *common::lock(&slot) = Some(tracker.clone());
    let main = world.open("main");
    tracker.remove(Removal::Refuse).expect("nobody uses it");
    assert_eq!(world.log.take(), ["tracker part of JITDylib main has been removed"]);
    drop(main);
    assert_eq!(world.holds(), (0, 0));
}

#[test]
fn while_another_thread_opens_the_dylib_nothing_is_removed() {
    let world = common::World::new();
    let (entered, inside) = mpsc::channel();
    let (go_on, wait) = mpsc::channel();
    let (entered, wait) = (Mutex::new(entered), Mutex::new(wait));
    let stop = callback(move || {
        common::lock(&entered).send(()).expect("somebody waits");
        common::lock(&wait).recv().expect("somebody says");
    });
    let tracker = world.dylib("main").tracker("part").expect("a live session");
    tracker.add_object("part.o", world.object("int part(void) { return 1; } BOTH(\"part\")")).expect("a live session");
    world.c("main", &format!("static __attribute__((constructor)) void i(void) {{ {}; }}", call_host(stop)));
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| world.open("main"));
        inside.recv().expect("it is being opened");
        let refused = tracker.remove(Removal::Refuse);
        go_on.send(()).expect("it waits");
        let main = opening.join().expect("it opens");
        assert!(
            matches!(&refused, Err(Error::Executor(error)) if error.0.contains("while it is being opened")),
            "{refused:?}"
        );
        assert_eq!(call(&main, "part"), 1, "nothing has changed");
        tracker.remove(Removal::Refuse).expect("now it can");
        assert_eq!(world.log.take(), ["part", "~part"]);
    });
}

fn what_is_inside_keeps_its_memory<E: Executor>(world: &World<E>) {
    // The thread that waits inside is the program's; a second one has a destructor to run.
    world.c("main", "int done, here; int wait_inside(void); static void *thread(void *p) { wait_inside(); return 0; } static pthread_t t;\n\
        int begin(void) { return pthread_create(&t, 0, thread, 0); } int is_inside(void) { return here; }\n\
        int end(void) { done = 1; return pthread_join(t, 0); }");
    let part = tracked(
        world,
        "part",
        "part",
        "extern volatile int done, here; static int value = 5; extern void *__dso_handle;\n\
        int __cxa_thread_atexit(void (*)(void *), void *, void *);\n\
        static void bye(void *p) { *(int *)p += 1; if (value != 6) abort(); NOTE(\"the thread's own\"); }\n\
        int part(void) { __cxa_thread_atexit(bye, &value, &__dso_handle); here = 1; while (!done) usleep(100); return value; } FINI(\"part\")",
    );
    tracked(
        world,
        "main",
        "bridge",
        "int (*inner)(void); int wait_inside(void) { return inner(); } int set(int argc, char **argv) { inner = (int (*)(void))strtoul(argv[2], 0, 0); return 0; }",
    );
    world.links("part", &["main"]);
    let opened = world.open("part");
    let address = opened.address("part").expect("it is there");
    let argv = [b"it".to_vec(), b"-".to_vec(), format!("{address:#x}").into_bytes()];
    assert_eq!(world.session.call_main(opened.address("set").expect("it is there"), &argv).expect("it runs"), 0);
    assert_eq!(world.call(&opened, "begin"), 0);
    crate::support::wait_for("the thread", || world.call(&opened, "is_inside") == 1);
    part.remove(Removal::Refuse).expect("nobody is bound to it");
    assert_eq!(world.trace(), ["~part"], "its finalizers have run; its memory waits for the thread");
    assert_eq!(world.call(&opened, "end"), 0);
    assert_eq!(world.trace(), ["the thread's own"]);
}
