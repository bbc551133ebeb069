//! What if the controller changes something while the program runs? Through every executor: linked code calls a service that adds objects
//! or changes link orders, then opens or updates.
//!
//! Not for: the same in one process with every case of the loader (`orc-jit/tests/`), and its model (`dylib-graph/tests/`).

mod inside;
mod mended;
mod updates;
mod world;
