// A Rust program without the standard library: core and compiler_builtins come from the toolchain's .rlib files.
//#Make: libcore.rlib = cp "$(rustc --print target-libdir)"/libcore-*.rlib libcore.rlib
//#Make: libcompiler_builtins.rlib = cp "$(rustc --print target-libdir)"/libcompiler_builtins-*.rlib libcompiler_builtins.rlib
//#Inputs: main.rs libcore.rlib libcompiler_builtins.rlib
//#Pic: pic pie
//#Args: 12 seven 30
//#Exit: 42
#![no_std]
#![no_main]

use core::ffi::{CStr, c_char, c_int, c_void};
use core::fmt::{self, Write};
use core::ops::Deref;

unsafe extern "C" {
    fn realloc(pointer: *mut c_void, size: usize) -> *mut c_void;
    fn free(pointer: *mut c_void);
    fn write(file: c_int, bytes: *const c_void, count: usize) -> isize;
    fn qsort(base: *mut c_void, count: usize, size: usize, compare: extern "C" fn(*const c_void, *const c_void) -> c_int);
    fn abort() -> !;
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Out, "{info}");
    unsafe { abort() }
}
// The toolchain's core is built with unwind tables that name it; nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

struct Out;
impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let written = unsafe { write(1, text.as_ptr().cast(), text.len()) };
        if written == text.len() as isize { Ok(()) } else { Err(fmt::Error) }
    }
}

/// A vector on malloc, with a destructor that says goodbye.
struct List<T: Copy> {
    start: *mut T,
    count: usize,
}
impl<T: Copy> List<T> {
    const fn new() -> Self {
        Self { start: core::ptr::null_mut(), count: 0 }
    }
    fn push(&mut self, value: T) {
        let bytes = (self.count + 1) * size_of::<T>();
        unsafe {
            self.start = realloc(self.start.cast(), bytes).cast();
            self.start.add(self.count).write(value);
        }
        self.count += 1;
    }
}
impl<T: Copy> Deref for List<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        if self.count == 0 { &[] } else { unsafe { core::slice::from_raw_parts(self.start, self.count) } }
    }
}
impl<T: Copy> Drop for List<T> {
    fn drop(&mut self) {
        let _ = writeln!(Out, "dropping {} of {} bytes", self.count, size_of::<T>());
        unsafe { free(self.start.cast()) }
    }
}

trait Shape {
    fn area(&self) -> f64;
    fn describe(&self, out: &mut dyn Write) -> fmt::Result;
}
struct Square(f64);
struct Named<T>(T, &'static str);
impl Shape for Square {
    fn area(&self) -> f64 {
        self.0 * self.0
    }
    fn describe(&self, out: &mut dyn Write) -> fmt::Result {
        write!(out, "square of {:>6.2}", self.0)
    }
}
impl<T: Shape> Shape for Named<T> {
    fn area(&self) -> f64 {
        self.0.area() + 0.5
    }
    fn describe(&self, out: &mut dyn Write) -> fmt::Result {
        self.0.describe(out)?;
        write!(out, " called {:?}", self.1)
    }
}

extern "C" fn by_length(left: *const c_void, right: *const c_void) -> c_int {
    let (left, right) = unsafe { (*left.cast::<&str>(), *right.cast::<&str>()) };
    left.len().cmp(&right.len()).then(left.cmp(right)) as c_int
}

fn run(arguments: &[&str]) -> Result<i32, fmt::Error> {
    let mut sum = 0;
    for argument in arguments {
        match argument.parse::<i32>() {
            Ok(number) => sum += number,
            Err(error) => writeln!(Out, "{argument}: {error}")?,
        }
    }
    let shapes: [&dyn Shape; 2] = [&Square(1.5), &Named(Square(2.0), "two\t")];
    for shape in shapes {
        shape.describe(&mut Out)?;
        writeln!(Out, ", area {:.3e}", shape.area())?;
    }
    let mut words = List::new();
    for word in "the quick brown fox jumps over a lazy dog äöü".split_whitespace() {
        words.push(word);
    }
    unsafe { qsort(words.start.cast(), words.count, size_of::<&str>(), by_length) };
    writeln!(Out, "{:?}", &*words)?;
    let mut primes = List::new();
    let mut candidate = 2u128;
    while primes.len() < 20 {
        if primes.iter().all(|prime| candidate % prime != 0) {
            primes.push(candidate);
        }
        candidate += 1;
    }
    writeln!(Out, "{:?} {:#x} {}", &primes[15..], u128::MAX / primes[19], primes.iter().sum::<u128>())?;
    Ok(sum)
}

#[unsafe(no_mangle)]
pub extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let mut arguments = List::new();
    for n in 1..argc as usize {
        if let Ok(text) = unsafe { CStr::from_ptr(*argv.add(n)) }.to_str() {
            arguments.push(text);
        }
    }
    run(&arguments).unwrap_or(1)
}
