// With `#[global_allocator]` the program's own functions are what the standard library allocates with.
//#Make: rust.ld = echo "INPUT(" "$(rustc --print target-libdir)"/lib*.rlib ")" > rust.ld
//#OrcInputs: main.rs rust.ld
//#Flags: -O0 -Cpanic=unwind | -O2 -Cpanic=unwind
//#Pic: pic pie
//#ExpectStdout: [1, 2, 3] counted: true
//#ExpectStdout: caught: true, balanced: true
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

struct Counting;

static ALLOCATED: AtomicIsize = AtomicIsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() {
    let before = ALLOCATED.load(Ordering::Relaxed);
    let text = format!("{:?}", vec![1, 2, 3]);
    println!("{text} counted: {}", ALLOCATED.load(Ordering::Relaxed) > before);
    drop(text);
    std::panic::set_hook(Box::new(|_| {}));
    let mut balanced = false;
    let mut caught = false;
    for round in 0..2 {
        let before = ALLOCATED.load(Ordering::Relaxed);
        caught = std::panic::catch_unwind(|| {
            let _lost = vec![0u8; 10_000];
            panic!("on purpose");
        })
        .is_err();
        // The first panic sets things up that stay.
        balanced = round == 0 || ALLOCATED.load(Ordering::Relaxed) == before;
    }
    println!("caught: {caught}, balanced: {balanced}");
}
