//! States are made by steps only.
use jitlink::link::Built;

fn main() {
    let _ = Built(());
}
