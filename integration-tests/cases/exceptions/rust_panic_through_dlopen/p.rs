#![no_std]
#![crate_type = "lib"]
unsafe extern "C-unwind" {
    fn panic_in_rust();
}
#[used]
#[unsafe(link_section = ".init_array")]
static INIT: extern "C-unwind" fn() = {
    extern "C-unwind" fn start_of_p() {
        unsafe { panic_in_rust() }
    }
    start_of_p
};
