//! Where the stories of these tests take place: each in this process, and in a spawned one.

use crate::support::{World, object};
use orc_jit::{Executor, Tracker};

/// A test of each story in each place.
macro_rules! everywhere {
    ($($story:ident),+ $(,)?) => {
        mod in_this_process {
            $(#[test] fn $story() { super::$story(&crate::support::World::over(orc_jit::InProcess::new())); })+
        }
        mod in_a_spawned_one {
            $(#[test] fn $story() { super::$story(&crate::support::World::at(&crate::support::spawn())); })+
        }
    };
}
pub(crate) use everywhere;

/// A tracker of `dylib` with one object made of C, called `NAME.o`.
#[track_caller]
pub(crate) fn tracked<E: Executor>(world: &World<E>, dylib: &str, name: &str, source: &str) -> Tracker<E> {
    let tracker = world.dylib(dylib).tracker(name).expect("a live session");
    tracker.add_object(format!("{name}.o"), object(source)).expect("a live session");
    tracker
}
