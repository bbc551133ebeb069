//! The fuzzer's way to `packed` in `tests/bodies/mod.rs`, where what it checks stands.
#![no_main]

#[path = "../../tests/bodies/mod.rs"]
#[allow(dead_code, reason = "each target runs one body")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::packed(data));
