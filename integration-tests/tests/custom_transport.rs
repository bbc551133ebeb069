//! Is a transport that somebody else wrote, over something unlike a socket, one by our own suite?

#[path = "../examples/ring_transport.rs"]
mod ring_transport;

#[test]
fn rings_in_a_file_mapping_are_a_transport() {
    // It asks the suite, and asserts.
    ring_transport::main();
    let text = include_str!("../examples/ring_transport.rs");
    assert!(text.lines().count() < 150, "the promise is a transport in under 150 lines");
}
