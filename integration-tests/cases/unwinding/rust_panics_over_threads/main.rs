// Panics of Rust that end threads, are taken from one thread to another (resume_unwind), pass scoped threads, happen in 8 threads at once, poison a lock, and come while
// a thread-local value is destroyed. What is on the way is dropped, in order.
//#Make: libstd_all.a = echo 'pub fn nothing() {}' > nothing.rs && rustc --crate-type staticlib -o libstd_all.a nothing.rs
//#Inputs: main.rs libstd_all.a
//#Libs: -lgcc_s -lc
//#Flags: -O0 -Cpanic=unwind | -O2 -Cpanic=unwind
//#Pic: pic pie
use std::panic::{catch_unwind, panic_any, resume_unwind, take_hook, set_hook};
use std::sync::{Arc, Mutex};
use std::thread;

struct Note(&'static str);
impl Drop for Note {
    fn drop(&mut self) {
        println!("  drop {} (panicking: {})", self.0, thread::panicking());
    }
}

#[inline(never)]
fn down(depth: u32) -> u32 {
    let _note = if depth % 2 == 0 { Some(Note("even")) } else { None };
    if depth == 0 {
        panic_any(7_u64);
    }
    down(depth - 1) + 1
}

struct Catches;
impl Drop for Catches {
    fn drop(&mut self) {
        println!("  caught while a value of the thread goes: {}", catch_unwind(|| down(1)).is_err());
    }
}
thread_local! { static CATCHES: Catches = const { Catches }; }

fn main() {
    let told = take_hook();
    set_hook(Box::new(|info| println!("  panic in {:?}", info.location().map(|place| place.line() > 0))));
    let payload = thread::spawn(|| down(4)).join().expect_err("it panics");
    println!("payload {:?}", payload.downcast_ref::<u64>());
    let again = thread::spawn(move || {
        let _note = Note("second thread");
        resume_unwind(payload)
    });
    let payload: Result<(), _> = again.join();
    println!("again {:?}", payload.expect_err("it goes on").downcast_ref::<u64>());
    let scoped = catch_unwind(|| {
        thread::scope(|scope| {
            scope.spawn(|| down(0));
        });
    });
    println!("scope {:?}", scope_text(&scoped));
    let lock = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let lock = Arc::clone(&lock);
            thread::spawn(move || {
                let mut caught = 0;
                for _ in 0..200 {
                    caught += u32::from(catch_unwind(|| resume_unwind(Box::new(number))).is_err());
                }
                let mut held = lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                *held += caught;
                resume_unwind(Box::new(number))
            })
        })
        .collect();
    let numbers: Vec<i32> = threads
        .into_iter()
        .filter_map(|thread| { let ended: Result<(), _> = thread.join(); ended.err()?.downcast_ref().copied() })
        .collect();
    println!("{numbers:?} poisoned {}", lock.is_poisoned());
    println!("{}", lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    thread::spawn(|| CATCHES.with(|_| ())).join().expect("it ends well");
    set_hook(told);
}

fn scope_text(outcome: &Result<(), Box<dyn std::any::Any + Send>>) -> Option<&str> {
    outcome.as_ref().err()?.downcast_ref::<&str>().copied()
}
