#![crate_type = "lib"]
use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_int};

/// Describes the words of a text into `out`, which has `size` bytes.
#[unsafe(no_mangle)]
extern "C" fn describe(text: *const c_char, out: *mut c_char, size: usize) -> c_int {
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    let words: BTreeSet<String> = text.split(' ').map(str::to_owned).collect();
    let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(|| 1)).collect();
    let threads: i32 = threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum();
    let longest = words.iter().map(String::len).max().unwrap_or(0);
    let told = format!("{} words, longest {longest}, threads {threads}\0", words.len());
    if told.len() > size {
        return 1;
    }
    unsafe { std::ptr::copy_nonoverlapping(told.as_ptr().cast(), out, told.len()) };
    0
}

#[unsafe(no_mangle)]
extern "C" fn caught() -> c_int {
    std::panic::set_hook(Box::new(|_| {}));
    let caught = std::panic::catch_unwind(|| {
        let numbers: Vec<u32> = Vec::new();
        numbers[std::hint::black_box(3)]
    });
    let _ = std::panic::take_hook();
    c_int::from(caught.is_err())
}
