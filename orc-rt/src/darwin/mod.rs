//! Names that code compiled for macOS calls its C library by, where this system's has the same under another name, or where a few lines are it.
//!
//! You get names and addresses, as C spells the names. They are asked for after everything that was linked, as all entry points are. Not here: functions of that
//! system that mean something else or nothing here (Mach ports, Objective-C, dispatch queues), and structures whose layout differs, which
//! nobody translates: a `struct stat` of code compiled for macOS is that of macOS.
//!
//! `unsafe` because C passes pointers.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod machine;
#[cfg(not(target_arch = "x86_64"))]
mod machine {
    /// Code of this machine that is compiled for macOS is not run here.
    pub(super) fn entry_points() -> [(&'static str, u64); 0] {
        []
    }
}

use crate::native::system_symbol;
use std::ffi::{CStr, c_char, c_double, c_float, c_int, c_void};
use std::sync::OnceLock;

/// Names and addresses.
pub(crate) fn entry_points() -> Vec<(&'static str, u64)> {
    let mut all = machine::entry_points().to_vec();
    all.extend([
        ("_tlv_atexit", crate::machine::tls::entry_thread_atexit as *const () as u64),
        ("memset_pattern4", memset_pattern::<4> as *const () as u64),
        ("memset_pattern8", memset_pattern::<8> as *const () as u64),
        ("memset_pattern16", memset_pattern::<16> as *const () as u64),
        ("__assert_rtn", assert_failed as *const () as u64),
        ("__stack_chk_guard", guard()),
        ("__sincos_stret", sin_cos as *const () as u64),
        ("__sincosf_stret", sin_cos_f as *const () as u64),
        ("_NSGetEnviron", environment as *const () as u64),
    ]);
    all.extend(SAME.iter().filter_map(|(name, here)| Some((*name, system_symbol(here)?))));
    all
}

/// Functions and variables that are the same here under another name.
const SAME: &[(&str, &CStr)] = &[
    ("__error", c"__errno_location"),
    ("__stdinp", c"stdin"),
    ("__stdoutp", c"stdout"),
    ("__stderrp", c"stderr"),
    ("__bzero", c"bzero"),
    ("__exp10", c"exp10"),
    ("__exp10f", c"exp10f"),
    // The versions of these functions that conform to POSIX, as those here do.
    ("fopen$DARWIN_EXTSN", c"fopen"),
    ("fdopen$DARWIN_EXTSN", c"fdopen"),
    ("popen$DARWIN_EXTSN", c"popen"),
    ("realpath$DARWIN_EXTSN", c"realpath"),
    ("select$DARWIN_EXTSN", c"select"),
    ("select$1050", c"select"),
];

/// `void memset_pattern16(void *to, const void *pattern, size_t size)`: the pattern again and again, the last one in part.
///
/// # Safety
/// `size` bytes at `to` can be written, `N` at `pattern` read.
unsafe extern "C" fn memset_pattern<const N: usize>(to: *mut u8, pattern: *const u8, size: usize) {
    // SAFETY: the caller's promise; a pattern in what is written is copied first.
    let (to, pattern) = unsafe { (std::slice::from_raw_parts_mut(to, size), *pattern.cast::<[u8; N]>()) };
    for piece in to.chunks_mut(N) {
        piece.copy_from_slice(&pattern[..piece.len()]);
    }
}

/// `void __assert_rtn(const char *function, const char *file, int line, const char *expression)`
///
/// # Safety
/// As assert(3): C strings, or null for no function.
unsafe extern "C-unwind" fn assert_failed(
    function: *const c_char,
    file: *const c_char,
    line: c_int,
    expression: *const c_char,
) -> ! {
    unsafe extern "C-unwind" {
        fn __assert_fail(expression: *const c_char, file: *const c_char, line: u32, function: *const c_char) -> !;
    }
    // SAFETY: the caller's promise.
    unsafe { __assert_fail(expression, file, line.unsigned_abs(), function) }
}

/// The address of the word that functions put before their return address (`-fstack-protector`): one value for the whole process.
fn guard() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    static GUARD: OnceLock<u64> = OnceLock::new();
    // A zero byte ends what a string function would copy over it.
    let guard = GUARD.get_or_init(|| RandomState::new().hash_one("guard") & !0xff);
    std::ptr::from_ref(guard) as u64
}

/// Sine and cosine, in two registers.
#[repr(C)]
struct Both<T> {
    sine: T,
    cosine: T,
}

/// `struct { double sin, cos; } __sincos_stret(double)`
extern "C" fn sin_cos(angle: c_double) -> Both<c_double> {
    let (sine, cosine) = angle.sin_cos();
    Both { sine, cosine }
}

/// `struct { float sin, cos; } __sincosf_stret(float)`
extern "C" fn sin_cos_f(angle: c_float) -> Both<c_float> {
    let (sine, cosine) = angle.sin_cos();
    Both { sine, cosine }
}

/// `char ***_NSGetEnviron(void)`
extern "C" fn environment() -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(system_symbol(c"environ").unwrap_or(0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: &str) -> u64 {
        let all = entry_points();
        all.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is missing")).1
    }

    #[test]
    fn every_name_has_an_address_of_its_own_system() {
        let all = entry_points();
        assert!(all.iter().all(|(_, address)| *address != 0));
        assert_eq!(all.len(), 9 + machine::entry_points().len() + SAME.len(), "the C library lacks one of them");
        assert_eq!(address("__stderrp"), system_symbol(c"stderr").expect("the C library has it"));
    }

    #[test]
    fn a_pattern_fills_memory_and_its_last_copy_is_cut() {
        let mut bytes = [0u8; 11];
        // SAFETY: eleven bytes, and a pattern of four.
        unsafe { memset_pattern::<4>(bytes.as_mut_ptr(), b"abcd".as_ptr(), 11) };
        assert_eq!(&bytes, b"abcdabcdabc");
        // SAFETY: none is written.
        unsafe { memset_pattern::<16>(bytes.as_mut_ptr(), [0; 16].as_ptr(), 0) };
        assert_eq!(bytes[0], b'a');
    }

    #[test]
    fn sine_and_cosine_come_together() {
        let Both { sine, cosine } = sin_cos(0.5);
        assert_eq!((sine, cosine), (0.5_f64.sin(), 0.5_f64.cos()));
        let Both { sine, cosine } = sin_cos_f(0.5);
        assert_eq!((sine, cosine), (0.5_f32.sin(), 0.5_f32.cos()));
    }

    #[test]
    fn the_guard_of_stacks_does_not_change_and_ends_strings() {
        // SAFETY: the address is that of a word.
        let word = || unsafe { *(address("__stack_chk_guard") as *const u64) };
        assert_eq!(word(), word());
        assert_eq!(word() & 0xff, 0);
    }
}
