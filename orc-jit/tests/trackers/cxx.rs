//! Do C++ objects come and go by trackers: statics, thread-local objects, exceptions, inline functions?

use crate::common::{self, call};
use orc_jit::{InProcess, Removal, Tracker};

fn cxx(world: &common::World, name: &str, source: &str) -> Tracker<InProcess> {
    let tracker = world.dylib("main").tracker(name).expect("a live session");
    tracker.add_object(format!("{name}.o"), world.cxx_object(source)).expect("a live session");
    tracker
}

fn with_the_library() -> common::World {
    let world = common::World::new();
    let library = world.session.open_library("libstdc++.so.6").expect("the C++ library");
    world.dylib("main").add_library(library).expect("a live session");
    world
}

const NOISY: &str = "struct Noisy { const char *name; Noisy(const char *n) : name(n) { NOTE(n); } ~Noisy() { NOTE(\"gone\"); NOTE(name); } };\n";

#[test]
fn statics_and_thread_local_objects_go_with_their_tracker() {
    let world = with_the_library();
    world.c("main", "BOTH(\"main\")");
    let main = world.open("main");
    let before = world.holds();
    for _ in 0..3 {
        let part = cxx(
            &world,
            "part",
            &format!(
                "{NOISY} static Noisy global(\"global\");\n\
            extern \"C\" int part() {{ static Noisy local(\"local\"); thread_local Noisy own(\"own\"); return own.name[0]; }}"
            ),
        );
        main.update().expect("it links");
        assert_eq!(call(&main, "part"), 'o' as i32);
        assert_eq!(world.log.take().last().map(String::as_str), Some("own"));
        part.remove(Removal::Refuse).expect("nobody uses it");
        assert_eq!(world.log.take(), ["gone", "own", "gone", "local", "gone", "global"]);
        assert_eq!(world.holds(), before);
    }
}

#[test]
fn exceptions_pass_between_trackers_until_one_is_gone() {
    let world = with_the_library();
    let thrower =
        cxx(&world, "thrower", "struct Oops { int code; }; extern \"C\" void thrower(int code) { throw Oops{code}; }");
    let catcher = cxx(
        &world,
        "catcher",
        "struct Oops { int code; }; extern \"C\" void thrower(int);\n\
         extern \"C\" int catcher() { try { thrower(7); } catch (const Oops &oops) { return oops.code; } return 0; }",
    );
    let main = world.open("main");
    assert_eq!(call(&main, "catcher"), 7);
    let users = thrower.dependents().expect("it is there");
    // The type's description is one for both, and it is the first one's.
    assert_eq!(users.len(), 1);
    assert!(users[0].symbols.iter().any(|symbol| symbol == "typeinfo for Oops"), "{users:?}");
    thrower.remove(Removal::Cascade).expect("the catcher goes with it");
    assert!(catcher.dependents().is_err());
    cxx(&world, "again", "extern \"C\" int again() { try { throw 5; } catch (int n) { return n; } }");
    main.update().expect("it links");
    assert_eq!(call(&main, "again"), 5);
}

#[test]
fn an_inline_function_s_static_is_one_until_its_tracker_goes() {
    let world = with_the_library();
    let inline = "inline int next() { static int n; return ++n; } template <class T> struct Box { static T value; }; template <class T> T Box<T>::value = 10;\n";
    let first =
        cxx(&world, "first", &format!("{inline} extern \"C\" int first() {{ return next() + Box<int>::value; }}"));
    let second =
        cxx(&world, "second", &format!("{inline} extern \"C\" int second() {{ return next() + Box<int>::value++; }}"));
    let main = world.open("main");
    assert_eq!([call(&main, "first"), call(&main, "second"), call(&main, "first")], [11, 12, 14]);
    let refused = first.remove(Removal::Refuse).expect_err("the second shares what is in it").to_string();
    assert!(refused.contains("second.o (JITDylib main): ") && refused.contains("next()"), "{refused}");
    second.remove(Removal::Refuse).expect("nobody uses it");
    first.remove(Removal::Refuse).expect("nobody uses it any more");
    // What was one for the session is not kept for somebody who may come: the next one has its own.
    cxx(&world, "third", &format!("{inline} extern \"C\" int third() {{ return next() + Box<int>::value; }}"));
    main.update().expect("it links");
    assert_eq!(call(&main, "third"), 11);
    main.close().expect("open");
}
