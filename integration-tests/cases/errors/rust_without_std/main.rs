// A Rust program without the toolchain's libraries: the error says where they are.
//#Inputs: main.rs
//#Flags: -O2
//#Pic: pic
//#ExpectError: undefined symbol ... rustc --print target-libdir
fn main() {
    println!("{}", std::env::args().count());
}
