#![no_std]
#![crate_type = "lib"]
use core::ffi::{c_char, c_int, c_void};
unsafe extern "C-unwind" {
    fn __orc_rt_jit_dlopen(name: *const c_char, mode: c_int) -> *mut c_void;
}
struct Tells(extern "C" fn());
impl Drop for Tells {
    fn drop(&mut self) {
        (self.0)();
    }
}
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn open_through_rust(name: *const c_char, told: extern "C" fn()) -> *mut c_void {
    let _tells = Tells(told);
    unsafe { __orc_rt_jit_dlopen(name, 2) }
}
