//! What does a call cost over a transport of one's own, beside those of dispatch's bench? `cargo bench -p integration-tests --bench ring`
#![allow(clippy::print_stdout, reason = "a bench tells what it measured")]

#[path = "../../../dispatch/benches/round_trip/measure.rs"]
mod measure;
#[expect(dead_code, reason = "the example has a main of its own")]
#[path = "../../examples/ring_transport.rs"]
mod ring_transport;

use measure::{connect, head, row, services};

fn main() -> std::io::Result<()> {
    println!("{}", head());
    println!("{}", row("in process", &services(), 100));
    let (here, there) = ring_transport::pair()?;
    println!("{}", row("rings", &connect(here, there), 1));
    Ok(())
}
