//! A thread that is inside a dylib.

use crate::world::{PATIENCE, everywhere};
use std::thread;

//#Rule: 24
everywhere! {
    fn a_dylib_with_a_thread_inside_keeps_its_memory_and_cannot_come_back_before(world) {
        let source = r#"
            static int value = 40;
            TRACED(p)
            int work(int argc, char **argv) {
                value++;
                stay();
                return ++value;
            }"#;
        world.c("p", source, &[]);
        let opened = world.open("p");
        let work = opened.address("work").expect("it is there");
        thread::scope(|scope| {
            let inside = scope.spawn(|| world.session.call_main(work, &["program".into()]));
            let arrived = world.arrived.lock().expect("no panic");
            arrived.recv_timeout(PATIENCE).expect("it comes to its stay");
            opened.close().expect("it was open");
            world.noted(&["p", "~p"]);
            let error = world.session.open("p").expect_err("its memory is in use").to_string();
            assert!(error.contains("still inside its code"), "through {}: {error}", world.kind);
            world.leave.send(()).expect("it waits");
            let status = inside.join().expect("no panic").expect("the executor lives");
            assert_eq!(status, 42, "through {}", world.kind);
        });
        let again = world.open("p");
        world.leave.send(()).expect("nobody waits yet");
        assert_eq!(world.call(&again, "work"), 42, "its data are as in the object");
        world.noted(&["p"]);
    }
}
