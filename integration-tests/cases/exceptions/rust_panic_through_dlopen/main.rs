// A panic leaves an initializer written in Rust, passes dlopen, a C++ frame that sees it as a foreign exception (catch (...), then throw;),
// another one whose destructors run, and is caught by Rust. The dylib is poisoned.
//#Rule: 15
//#Make: libstd_all.a = echo 'pub fn nothing() {}' > nothing.rs && rustc --crate-type staticlib -o libstd_all.a nothing.rs
//#Dylib: P p.rs needs main
//#Needs: none
//#Inputs: main.rs middle.cc libstd_all.a
//#Libs: -lgcc_s -lc
//#Flags: -O2
//#FlagsFor: main.rs -Cpanic=unwind
//#FlagsFor: p.rs -Cpanic=unwind
//#Pic: pic
//#ExpectStdout: P panics
//#ExpectStdout: C++ sees something foreign
//#ExpectStdout: destructor of C++
//#ExpectStdout: Rust caught: out of P
//#ExpectStdout: poisoned: true
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::catch_unwind;

unsafe extern "C-unwind" {
    fn open_through_cpp(name: *const c_char) -> *mut c_void;
    fn __orc_rt_jit_dlopen(name: *const c_char, mode: c_int) -> *mut c_void;
    fn __orc_rt_jit_dlerror() -> *const c_char;
}

/// What the dylib's initializer calls: the standard library is linked once.
#[unsafe(no_mangle)]
extern "C-unwind" fn panic_in_rust() {
    println!("P panics");
    std::panic::resume_unwind(Box::new("out of P".to_owned()));
}

fn main() {
    let caught = catch_unwind(|| unsafe { open_through_cpp(c"P".as_ptr()) });
    match caught {
        Ok(handle) => println!("not reached: {handle:?}"),
        Err(payload) => println!("Rust caught: {}", payload.downcast_ref::<String>().map_or("?", String::as_str)),
    }
    let again = unsafe { __orc_rt_jit_dlopen(c"P".as_ptr(), 2) };
    let error = unsafe { __orc_rt_jit_dlerror() };
    let text = if error.is_null() { "" } else { unsafe { CStr::from_ptr(error) }.to_str().unwrap() };
    println!("poisoned: {}", again.is_null() && text.contains("threw"));
}
