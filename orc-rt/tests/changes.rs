//! What is answered without asking the controller, and is it ever another answer than the controller's? (rules 10, 18, 25-28)

mod common;

use common::{Dylib, Entries, Fake, Log, act, address, array, image_of};
use orc_rt::service::mode;
use orc_rt::{Changes, DlError, Handle, Scope};
use proptest::prelude::*;
use std::panic::AssertUnwindSafe;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A controller that counts its changes.
fn counting() -> (Fake, Changes) {
    let changes = Changes::default();
    let fake = Fake::with(|config| config.changes = Some(changes.clone()));
    (fake, changes)
}

#[test]
fn an_open_of_what_is_complete_asks_nothing() {
    let ((fake, _changes), log) = (counting(), Log::default());
    fake.logging::<9000, 9001>(&log, "main", &["base"]).logging::<9002, 9003>(&log, "base", &[]);
    let handle = fake.open("main").expect("two dylibs");
    for _ in 0..5 {
        assert_eq!(fake.open("main"), Ok(handle));
    }
    assert_eq!((fake.opens(), fake.count("main"), log.take()), (1, 6, vec!["base".into(), "main".into()]));
    let base = fake.open("base").expect("it is initialized already");
    assert_eq!(fake.open("base"), Ok(base));
    assert_eq!(fake.opens(), 2, "the first open of base by its name asks what the name means");
    for _ in 0..6 {
        fake.session.dlclose(handle).expect("open");
    }
    assert_eq!((log.take(), fake.closed()), (vec!["~main".to_owned()], vec!["main".to_owned()]));
    fake.session.dlclose(handle).expect_err("closed as often as opened");
    fake.open("main").expect("again");
    assert_eq!((fake.opens(), log.take()), (3, vec!["main".to_owned()]));
}

#[test]
fn an_unload_elsewhere_changes_nothing_for_who_is_open() {
    let ((fake, _changes), log) = (counting(), Log::default());
    fake.logging::<9010, 9011>(&log, "main", &["base"]).logging::<9012, 9013>(&log, "base", &[]);
    fake.logging::<9014, 9015>(&log, "other", &["base"]);
    let main = fake.open("main").expect("two dylibs");
    for _ in 0..3 {
        let other = fake.open("other").expect("a dylib");
        fake.session.dlclose(other).expect("open");
        let before = fake.opens();
        assert_eq!((fake.open("main"), fake.opens()), (Ok(main), before));
    }
}

#[test]
fn without_a_count_every_open_and_lookup_asks() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<9020, 9021>(&log, "main", &[]);
    fake.change("main", |dylib| {
        dylib.symbols.insert("f".into(), 1);
    });
    let handle = fake.open("main").expect("a dylib");
    for times in 2..5 {
        assert_eq!((fake.open("main"), fake.opens()), (Ok(handle), times));
        assert_eq!(fake.session.dlsym(Scope::Handle(handle), "f"), Ok(1));
        assert_eq!(fake.lookups(), times - 1);
    }
}

#[test]
fn the_very_next_open_after_a_change_asks() {
    let ((fake, changes), log) = (counting(), Log::default());
    fake.logging::<9030, 9031>(&log, "main", &["base"]).logging::<9032, 9033>(&log, "base", &[]);
    fake.logging::<9034, 9035>(&log, "late", &[]);
    let handle = fake.open("main").expect("two dylibs");
    log.on(9036, "more of base");
    let change = |dylib: &str, change: &dyn Fn(&mut Dylib)| {
        log.take();
        fake.change(dylib, change);
        changes.note();
        let before = fake.opens();
        assert_eq!(fake.open("main"), Ok(handle));
        assert_eq!(fake.open("main"), Ok(handle));
        assert_eq!(fake.opens(), before + 1, "one open asks, the next one need not");
        log.take()
    };
    assert_eq!(change("base", &|base| base.initializers.push(array(&[address::<9036>()]))), ["more of base"]);
    assert_eq!(change("base", &|base| base.links.push("late".into())), ["late"]);
    assert!(change("main", &|_| ()).is_empty());
}

#[test]
fn what_an_open_could_not_finish_is_asked_for_again() {
    let ((fake, changes), log) = (counting(), Log::default());
    fake.logging::<9040, 9041>(&log, "main", &[]).logging::<9042, 9043>(&log, "bad", &[]);
    let main = fake.open("main").expect("a dylib");
    act(9042, || std::panic::resume_unwind(Box::new("thrown")));
    let thrown = std::panic::catch_unwind(AssertUnwindSafe(|| fake.open("bad")));
    assert!(thrown.is_err());
    fake.change("main", |dylib| dylib.links.push("bad".into()));
    changes.note();
    assert!(matches!(fake.open("main"), Err(DlError::Poisoned { .. })));
    assert!(matches!(fake.open("main"), Err(DlError::Poisoned { .. })), "and again, though it is open itself");
    log.on(9042, "bad");
    fake.session.unload(fake.id("bad")).expect("nobody holds it");
    log.take();
    assert_eq!((fake.open("main"), log.take()), (Ok(main), vec!["bad".to_owned()]));
    let before = fake.opens();
    assert_eq!((fake.open("main"), fake.opens()), (Ok(main), before));
}

#[test]
fn modes_keep_their_meaning() {
    let ((fake, changes), log) = (counting(), Log::default());
    fake.logging::<9050, 9051>(&log, "main", &[]).logging::<9052, 9053>(&log, "other", &[]);
    fake.change("main", |dylib| dylib.is_program = true);
    let open = |name: &str, mode: u32| fake.session.dlopen(name, mode);
    assert!(matches!(open("main", mode::NOLOAD), Err(DlError::NotLoaded { .. })));
    let main = open("main", mode::LAZY).expect("a dylib");
    let asked = |name: &str, mode: u32| {
        let before = fake.opens();
        assert_eq!(open(name, mode), Ok(main), "{name:?} {mode:#x}");
        fake.opens() - before
    };
    assert_eq!((asked("main", mode::NOLOAD), asked("", 0), asked("", mode::NOLOAD | mode::NOW)), (0, 0, 0));
    assert_eq!((asked("main", mode::GLOBAL), asked("main", mode::GLOBAL), asked("", mode::GLOBAL)), (1, 0, 0));
    assert_eq!((asked("main", mode::NODELETE), asked("main", mode::NODELETE | mode::GLOBAL)), (1, 0));
    // What NOLOAD did not link, the next open asks for.
    log.on(9054, "more");
    fake.change("main", |dylib| dylib.initializers.push(array(&[address::<9054>()])));
    changes.note();
    assert_eq!((asked("main", mode::NOLOAD), asked("main", 0)), (1, 1));
    for _ in 0..fake.count("main") - 1 {
        fake.session.dlclose(main).expect("open");
    }
    fake.session.dlclose(main).expect_err("what NODELETE holds is nobody's to close");
    // A dylib that was unloaded is not global any more.
    let other = open("other", mode::GLOBAL).expect("a dylib");
    fake.session.dlclose(other).expect("open");
    open("other", 0).expect("a dylib");
    let before = fake.opens();
    open("other", mode::GLOBAL).expect("open");
    assert_eq!(fake.opens(), before + 1);
}

#[test]
fn lookups_are_asked_once_until_something_changes() {
    let ((fake, changes), log) = (counting(), Log::default());
    fake.logging::<9060, 9061>(&log, "main", &["base"]).logging::<9062, 9063>(&log, "base", &[]);
    fake.logging::<9064, 9065>(&log, "other", &[]);
    fake.change("base", |base| {
        base.symbols.insert("f".into(), 0xf);
    });
    fake.change("base", |base| {
        base.symbols.insert("null".into(), 0);
    });
    let handle = fake.open("main").expect("two dylibs");
    let find = |name: &str| fake.session.dlsym(Scope::Handle(handle), name).ok();
    let asked = |name: &str, found: Option<u64>| {
        let before = fake.lookups();
        assert_eq!((find(name), find(name)), (found, found), "{name}");
        fake.lookups() - before
    };
    assert_eq!((asked("f", Some(0xf)), asked("null", Some(0)), asked("g", None)), (1, 1, 1));
    assert_eq!((asked("f", Some(0xf)), asked("null", Some(0)), asked("g", None)), (0, 0, 0));
    fake.change("main", |main| {
        main.symbols.insert("g".into(), 0x6);
    });
    changes.note();
    assert_eq!((asked("g", Some(0x6)), asked("f", Some(0xf))), (1, 1), "what was missing has come");
    let other = fake.open("other").expect("a dylib");
    assert_eq!(asked("f", Some(0xf)), 1, "a plan may have brought names");
    fake.session.dlclose(other).expect("open");
    assert_eq!(asked("f", Some(0xf)), 1, "an unload may have taken some");
    fake.session.dlclose(handle).expect("open");
    assert_eq!(find("f"), None, "the handle is stale");
    let again = fake.open("main").expect("two dylibs");
    assert_eq!(fake.session.dlsym(Scope::Handle(again), "f"), Ok(0xf));
}

#[test]
fn a_resolver_is_told_no_however_often_it_was_answered_before() {
    let ((fake, _changes), log) = (counting(), Log::default());
    fake.logging::<9070, 9071>(&log, "main", &[]);
    fake.change("main", |main| {
        main.symbols.insert("f".into(), 0xf);
    });
    let handle = fake.open("main").expect("a dylib");
    assert_eq!(fake.session.dlsym(Scope::Handle(handle), "f"), Ok(0xf));
    let (asked, inside) = (Arc::new(AtomicUsize::new(0)), fake.clone());
    act(9072, {
        let asked = Arc::clone(&asked);
        move || {
            let before = (inside.opens(), inside.lookups());
            let _ = (inside.open("main"), inside.session.dlsym(Scope::Handle(handle), "f"));
            asked.store(inside.opens() - before.0 + 10 * (inside.lookups() - before.1), Ordering::SeqCst);
        }
    });
    let slot: &'static mut u64 = Box::leak(Box::default());
    let mut image = image_of::<9072>(&fake, "main");
    image.ifuncs.push((address::<9072>() as u64, ptr::from_mut(slot).expose_provenance() as u64));
    // SAFETY: the resolver is a function of this test, the slot a number of it.
    unsafe { fake.session.register_images(vec![image]) }.expect("free addresses");
    // This controller answers; that of a linker, which is in the midst of linking, says no.
    assert_eq!(asked.load(Ordering::SeqCst), 11);
}

#[test]
fn whoever_hears_of_a_change_finds_it_made() {
    let ((fake, changes), log) = (counting(), Log::default());
    fake.logging::<9080, 9081>(&log, "main", &["base"]).logging::<9082, 9083>(&log, "base", &[]);
    fake.logging::<9084, 9085>(&log, "other", &[]);
    let first = fake.open("main").expect("two dylibs");
    let (ran, stop) = (Arc::new(AtomicUsize::new(0)), AtomicBool::new(false));
    act(9086, {
        let ran = Arc::clone(&ran);
        move || {
            ran.fetch_add(1, Ordering::SeqCst);
        }
    });
    std::thread::scope(|scope| {
        for name in ["main", "base", "other"] {
            let (fake, stop) = (&fake, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let handle = fake.open(name).expect("nothing fails");
                    fake.session.dlclose(handle).expect("open");
                }
            });
        }
        for round in 1..=300 {
            let dylib = if round % 2 == 0 { "main" } else { "base" };
            fake.change(dylib, |dylib| {
                dylib.initializers.push(array(&[address::<9086>()]));
                dylib.symbols.insert("round".into(), round as u64);
            });
            changes.note();
            let handle = fake.open("main").expect("nothing fails");
            assert_eq!(ran.load(Ordering::SeqCst), round, "returned without what was added before");
            assert!(fake.session.dlsym(Scope::Handle(handle), "round").is_ok_and(|found| found + 1 >= round as u64));
            fake.session.dlclose(handle).expect("open");
        }
        stop.store(true, Ordering::Relaxed);
    });
    fake.session.dlclose(first).expect("open");
    assert_eq!(fake.count("main"), 0);
}

/// What can be done to four dylibs.
#[derive(Clone, Debug)]
enum Act {
    Open(usize, u32),
    Close(usize),
    Update(usize),
    AddCode(usize),
    Define(usize, usize),
    Link(usize, usize),
    Unlink(usize),
    Break(bool),
    Find(usize, usize),
    FindDefault(usize),
}

const DYLIBS: [&str; 4] = ["a", "b", "c", "d"];
const NAMES: [&str; 3] = ["x", "y", "z"];

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let modes = prop_oneof![4 => Just(0), 1 => Just(mode::NOLOAD), 1 => Just(mode::GLOBAL), 1 => Just(mode::NODELETE)];
    let act = prop_oneof![
        6 => (0..5usize, modes).prop_map(|(dylib, mode)| Act::Open(dylib, mode)),
        4 => (0..4usize).prop_map(Act::Close),
        1 => (0..4usize).prop_map(Act::Update),
        2 => (0..4usize).prop_map(Act::AddCode),
        2 => (0..4usize, 0..3usize).prop_map(|(dylib, name)| Act::Define(dylib, name)),
        2 => (0..4usize, 0..4usize).prop_map(|(from, to)| Act::Link(from, to)),
        1 => (0..4usize).prop_map(Act::Unlink),
        1 => any::<bool>().prop_map(Act::Break),
        4 => (0..4usize, 0..3usize).prop_map(|(dylib, name)| Act::Find(dylib, name)),
        2 => (0..3usize).prop_map(Act::FindDefault),
    ];
    proptest::collection::vec(act, 1..60)
}

/// A session that acts, with the handles that it was given. Those of two sessions differ, so dylibs stand for them.
struct Actor {
    fake: Fake,
    changes: Option<Changes>,
    handles: [Option<Handle>; 4],
}

impl Actor {
    fn new(changes: Option<Changes>) -> Self {
        let fake = Fake::with(|config| config.changes = changes.clone());
        for name in DYLIBS {
            fake.add(name, &[], Dylib::default());
        }
        fake.change("a", |dylib| dylib.is_program = true);
        Self { fake, changes, handles: [None; 4] }
    }

    fn change(&self, dylib: usize, change: impl FnOnce(&mut Dylib)) {
        self.fake.change(DYLIBS[dylib], change);
        self.changed();
    }

    fn changed(&self) {
        if let Some(changes) = &self.changes {
            changes.note();
        }
    }

    /// Does it, and says all that can be seen of it.
    fn act(&mut self, act: &Act) -> String {
        // The same function for each: what counts is how often, and of which dylib an unload follows.
        let session = &self.fake.session;
        let seen = match *act {
            Act::Open(dylib, mode) => {
                let name = DYLIBS.get(dylib).copied().unwrap_or_default();
                let was_open = self.fake.count(DYLIBS[dylib % 4]) > 0;
                let opened = session.dlopen(name, mode);
                if let Ok(handle) = opened {
                    let known = self.handles[dylib % 4].replace(handle);
                    assert!(!was_open || known == Some(handle), "another handle");
                }
                format!("{:?}", opened.map(|_| ()).map_err(|error| error.to_string()))
            }
            Act::Close(dylib) => match self.handles[dylib] {
                Some(handle) => format!("{}", session.dlclose(handle).is_ok()),
                None => String::new(),
            },
            Act::Update(dylib) => match self.handles[dylib] {
                Some(handle) => format!("{}", session.dlupdate(handle).is_ok()),
                None => String::new(),
            },
            Act::AddCode(dylib) => {
                let (first, second) = (array(&[address::<9090>()]), array(&[address::<9091>()]));
                self.change(dylib, |dylib| {
                    dylib.initializers.push(if dylib.links.is_empty() { first } else { second });
                });
                String::new()
            }
            Act::Define(dylib, name) => {
                let at = |dylib: &Dylib| 0x100 + dylib.symbols.len() as u64;
                self.change(dylib, |dylib| {
                    dylib.symbols.insert(NAMES[name].into(), at(dylib));
                });
                String::new()
            }
            Act::Link(from, to) => {
                self.change(from, |dylib| dylib.links.push(DYLIBS[to].into()));
                String::new()
            }
            Act::Unlink(dylib) => {
                self.change(dylib, |dylib| drop(dylib.links.pop()));
                String::new()
            }
            Act::Break(broken) => {
                // This controller refuses what is linked already, too, which one with a linker does not.
                self.fake.break_linking(broken.then_some("broken"));
                self.changed();
                String::new()
            }
            Act::Find(dylib, name) => match self.handles[dylib] {
                Some(handle) => format!("{:?}", session.dlsym(Scope::Handle(handle), NAMES[name]).ok()),
                None => String::new(),
            },
            Act::FindDefault(name) => format!("{:?}", session.dlsym(Scope::Default(None), NAMES[name]).ok()),
        };
        let counts = DYLIBS.map(|name| self.fake.count(name));
        format!("{seen} {counts:?} {:?}", self.fake.closed())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_can_tell_whether_the_controller_was_asked(acts in acts()) {
        let _alone = common::lock(&ALONE);
        let log = Log::default();
        log.on(9090, "first");
        log.on(9091, "second");
        let (mut asks, mut knows) = (Actor::new(None), Actor::new(Some(Changes::default())));
        for act in &acts {
            let asked = (asks.act(act), log.take());
            let known = (knows.act(act), log.take());
            prop_assert_eq!(asked, known, "{:?}", act);
        }
        prop_assert!(knows.fake.opens() <= asks.fake.opens() && knows.fake.lookups() <= asks.fake.lookups());
    }
}

/// Of those who use one log.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn c_code_hears_the_same() {
    let ((fake, changes), log) = (counting(), Log::default());
    fake.logging::<9100, 9101>(&log, "main", &[]);
    fake.change("main", |main| {
        main.symbols.insert("f".into(), 0xf);
    });
    let c = Entries::of(&fake.session);
    // SAFETY: the image is a function of this test, which stays.
    unsafe { fake.session.register_images(vec![image_of::<9100>(&fake, "main")]) }.expect("free addresses");
    fake.open("main").expect("a dylib");
    let handle = ptr::with_exposed_provenance_mut(fake.open("main").expect("open").as_raw() as usize);
    for which in ["__orc_rt_jit_dlsym", "dlsym"] {
        for _ in 0..2 {
            assert_eq!(c.dlsym(which, handle, c"f".as_ptr()).addr(), 0xf);
            assert!(c.dlsym(which, handle, c"g".as_ptr()).is_null());
            let text = c.dlerror("dlerror").expect("each miss says so");
            assert!(text.contains("symbol g is not defined in JITDylib main"), "{text}");
        }
    }
    assert_eq!(fake.lookups(), 2);
    fake.change("main", |main| {
        main.symbols.insert("g".into(), 0x6);
    });
    changes.note();
    assert_eq!(c.dlsym("dlsym", handle, c"g".as_ptr()).addr(), 0x6);
    for _ in 0..2 {
        assert_eq!(c.handle_call("__orc_rt_jit_dlclose", handle), 0);
    }
    assert_eq!(c.handle_call("dlclose", handle), -1);
    assert!(c.dlerror("dlerror").is_some_and(|text| text.contains("stale")));
}
