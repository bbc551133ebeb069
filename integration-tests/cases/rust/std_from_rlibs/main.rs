// A Rust program from what `rustc --emit=obj` leaves and the toolchain's rlibs, of which rustc's own link makes more: the allocator's shim, the choice of a
// panic runtime. Its backtraces name functions, files and lines, as natively: of a panic, and one that it asks for, on two threads.
//#Make: libstd_all.a = echo 'pub fn nothing() {}' > nothing.rs && rustc --crate-type staticlib -o libstd_all.a nothing.rs
//#Make: rust.ld = echo "INPUT(" "$(rustc --print target-libdir)"/lib*.rlib ")" > rust.ld
//#NativeInputs: main.rs libstd_all.a
//#OrcInputs: main.rs rust.ld
//#NativeFlags: -Wl,--gc-sections
//#Libs: -lgcc_s -lc
//#Flags: -O0 -Cpanic=unwind -g | -O2 -Cpanic=unwind -g
//#Pic: pic pie
//#Args: one two
//#Exit: 3
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic;
use std::sync::mpsc;
use std::thread;

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Loud(&'static str);
impl Drop for Loud {
    fn drop(&mut self) {
        println!("drop {}", self.0);
    }
}

/// The frames of this file: function, file and line.
fn own_frames(trace: &str) -> Vec<String> {
    let lines: Vec<&str> = trace.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter(|pair| pair[1].contains("main.rs:"));
    pairs
        .map(|pair| {
            let function = pair[0].split_once(": ").map_or(pair[0], |(_, function)| function);
            format!("{function} {}", pair[1].rsplit_once('/').map_or(pair[1], |(_, file)| file))
        })
        .collect()
}

#[inline(never)]
fn deep(depth: u32) -> Vec<String> {
    if depth == 0 {
        return own_frames(&Backtrace::force_capture().to_string());
    }
    let mut frames = deep(depth - 1);
    frames.push(format!("depth {depth}"));
    frames
}

#[inline(never)]
fn fails(values: &[u32], at: usize) -> u32 {
    let _loud = Loud("on the way out");
    values[at]
}

fn main() {
    panic::set_hook(Box::new(|info| {
        println!("panicked at {}", info.location().map_or(0, |location| location.line()));
        for frame in own_frames(&Backtrace::force_capture().to_string()) {
            println!("  {frame}");
        }
    }));
    let mut counts: HashMap<String, usize> = HashMap::new();
    for word in std::env::args().skip(1).chain(["one".to_owned()]) {
        *counts.entry(word).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort();
    println!("{counts:?}");

    println!("{:#?}", deep(2));
    let caught = panic::catch_unwind(|| fails(&[1, 2, 3], std::env::args().count() + 4));
    println!("caught {}", caught.is_err());

    let (send, receive) = mpsc::channel();
    let thread = thread::Builder::new().name("worker".into()).spawn(move || {
        SEEN.with_borrow_mut(|seen| seen.push("in the thread".into()));
        send.send(SEEN.with_borrow(Vec::len)).expect("it is heard");
        fails(&[], 7)
    });
    let ended = thread.expect("a thread").join();
    println!("{:?} {} {}", receive.recv(), ended.is_err(), SEEN.with_borrow(Vec::len));
    std::process::exit(counts.len() as i32 + 1);
}
