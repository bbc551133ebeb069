// Compiled with -Cpanic=abort, a program gets that panic runtime of the two: nothing is caught, the process ends.
//#Make: libstd_all.a = echo 'pub fn nothing() {}' > nothing.rs && rustc --crate-type staticlib -Cpanic=abort -o libstd_all.a nothing.rs
//#Make: rust.ld = echo "INPUT(" "$(rustc --print target-libdir)"/lib*.rlib ")" > rust.ld
//#NativeInputs: main.rs libstd_all.a
//#OrcInputs: main.rs rust.ld
//#Libs: -lgcc_s -lc
//#Flags: -O0 -Cpanic=abort | -O2 -Cpanic=abort
//#Pic: pic pie
//#Exit: 134
use std::io::Write;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    println!("{words:?} before");
    std::io::stdout().flush().expect("a standard output");
    let caught = std::panic::catch_unwind(|| {
        let _owned = String::from("never freed");
        panic!("the end");
    });
    println!("not reached: {}", caught.is_err());
}
