//! Do opens on several threads wait for each other where they must, and nowhere else? (rules 11-13)

mod common;

use common::{World, call, call_host, callback};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[test]
fn one_dylib_is_initialized_once_and_everybody_waits_for_it() {
    let world = World::new();
    let pause = callback(|| std::thread::sleep(Duration::from_millis(50)));
    world.c("main", &format!("int ready; __attribute__((constructor)) static void i(void) {{ {}; ready = 1; NOTE(\"main\"); }} int is_ready(void) {{ return ready; }} FINI(\"main\")", call_host(pause)));
    let start = Barrier::new(6);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                start.wait();
                let main = world.open("main");
                assert_eq!(call(&main, "is_ready"), 1, "complete when open returns");
                std::mem::forget(main);
            });
        }
    });
    assert_eq!((world.log.take(), world.count("main")), (vec!["main".to_owned()], 6));
}

/// Each initializer waits until the other has begun: one after the other, they would wait for ever.
#[test]
fn disjoint_opens_go_on_at_the_same_time() {
    let world = World::new();
    static MET: AtomicU32 = AtomicU32::new(0);
    let meet = || {
        callback(|| {
            MET.fetch_add(1, Ordering::SeqCst);
            let since = Instant::now();
            while MET.load(Ordering::SeqCst) < 2 {
                assert!(since.elapsed() < Duration::from_secs(60), "the other initializer never began");
                std::thread::yield_now();
            }
        })
    };
    for name in ["a", "b"] {
        world.c(
            name,
            &format!("__attribute__((constructor)) static void i(void) {{ {}; NOTE(\"{name}\"); }}", call_host(meet())),
        );
    }
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let world = &world;
            scope.spawn(move || drop(world.open(name)));
        }
    });
    let mut noted = world.log.take();
    noted.sort_unstable();
    assert_eq!(noted, ["a", "b"]);
}

/// The native loader holds a lock while it runs initializers, and deadlocks here.
#[test]
fn an_initializer_may_join_a_thread_that_opens_another_dylib() {
    let world = World::new();
    world.traced("leaf", &[]).traced("other", &["leaf"]);
    world.c(
        "main",
        "#include <pthread.h>\nstatic void *work(void *name) { void *h = dlopen(name, RTLD_NOW); NOTE(h ? \"opened\" : dlerror()); return h; }\n\
         __attribute__((constructor)) static void i(void) { pthread_t t; void *h; NOTE(\"starts\"); pthread_create(&t, 0, work, \"other\"); pthread_join(t, &h); NOTE(\"joined\"); dlclose(h); }\n\
         FINI(\"main\")",
    );
    let main = world.open("main");
    assert_eq!(world.log.take(), ["starts", "leaf", "other", "opened", "joined", "~other", "~leaf"]);
    drop(main);
    assert_eq!(world.log.take(), ["~main"]);
}

#[test]
fn a_thread_that_opens_what_waits_for_it_gets_the_handle() {
    let world = World::new();
    world.c(
        "main",
        "#include <pthread.h>\nstatic void *work(void *name) { void *h = dlopen(name, RTLD_NOW); NOTE(h ? \"has main\" : dlerror()); return h; }\n\
         __attribute__((constructor)) static void i(void) { void *h = dlopen(\"part\", RTLD_NOW); NOTE(h ? \"main\" : dlerror()); }",
    );
    // part's initializer runs while main waits for it, and opens main on the same thread: rule 7.
    world.c("part", "__attribute__((constructor)) static void i(void) { void *h = dlopen(\"main\", RTLD_NOW); NOTE(h ? \"part has main\" : dlerror()); }");
    drop(world.open("main"));
    assert_eq!(world.log.take(), ["part has main", "main"]);
}

/// Thread one initializes a and then opens b; thread two initializes b and then opens a. The open that would close the circle returns.
#[test]
fn threads_that_wait_for_each_others_dylibs_do_not_hang() {
    let world = World::new();
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    let both = || {
        callback(|| {
            BEGUN.fetch_add(1, Ordering::SeqCst);
            while BEGUN.load(Ordering::SeqCst) < 2 {
                std::thread::yield_now();
            }
        })
    };
    for (own, other) in [("a", "b"), ("b", "a")] {
        world.c(own, &format!("__attribute__((constructor)) static void i(void) {{ {}; NOTE(dlopen(\"{other}\", RTLD_NOW) ? \"{own}\" : dlerror()); }}", call_host(both())));
    }
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let world = &world;
            scope.spawn(move || std::mem::forget(world.open(name)));
        }
    });
    let mut noted = world.log.take();
    noted.sort_unstable();
    assert_eq!(noted, ["a", "b"]);
}

/// Eight threads open, look up, call and close at random. While somebody has a dylib open, its data must be initialized; at the end all is gone.
#[test]
fn random_opens_lookups_and_closes() {
    let world = World::new();
    const DYLIBS: usize = 6;
    for number in 0..DYLIBS {
        let links: Vec<String> =
            (number + 1..DYLIBS).filter(|other| (number + other) % 2 == 1).map(|other| format!("d{other}")).collect();
        let calls: String = links.iter().map(|link| format!("if ({link}_f() != 1) return -1; ")).collect();
        let externs: String = links.iter().map(|link| format!("int {link}_f(void); ")).collect();
        let source = format!(
            "static volatile int ready; {externs} __attribute__((constructor)) static void i(void) {{ ready += 1; }} __attribute__((destructor)) static void down(void) {{ ready = 100; }}\n\
             int d{number}_f(void) {{ {calls} return ready; }} int f(void) {{ return d{number}_f(); }}"
        );
        world.c(&format!("d{number}"), &source);
        world.links(&format!("d{number}"), &links.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let until = Instant::now() + Duration::from_secs(3);
    let cycles = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for seed in 1..=8u64 {
            let (session, cycles) = (world.session.clone(), &cycles);
            scope.spawn(move || {
                let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let mut next = move |bound: usize| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    (random % bound as u64) as usize
                };
                let mut open = Vec::new();
                while Instant::now() < until {
                    match next(4) {
                        0 | 1 => {
                            let name = format!("d{}", next(DYLIBS));
                            open.push(session.open(&name).unwrap_or_else(|error| panic!("{name}: {error}")));
                        }
                        2 if !open.is_empty() => {
                            let at = next(open.len());
                            open.swap_remove(at).close().expect("open");
                            cycles.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => {
                            for one in &open {
                                assert_eq!(call(one, "f"), 1, "initialized once, and not finalized");
                            }
                        }
                    }
                    if open.len() > 3 {
                        open.clear();
                    }
                }
            });
        }
    });
    assert!(cycles.load(Ordering::Relaxed) > 50, "{cycles:?} cycles are no test");
    assert_eq!(world.holds(), (0, 0));
}

#[test]
fn lookups_and_updates_go_on_beside_opens() {
    let world = World::new();
    world.c("main", "int f0(void) { return 0; }");
    let main = world.open("main");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..100 {
                let object =
                    common::tiny::Tiny::new().calls(&format!("f{number}"), &format!("f{}", number - 1)).bytes();
                world.dylib("main").add_object(format!("{number}.o"), object).expect("a live session");
                main.update().expect("open");
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    assert_eq!(call(&main, "f0"), 0);
                    drop(world.open("main"));
                }
            });
        }
    });
    assert_eq!(call(&main, "f99"), 99);
}
