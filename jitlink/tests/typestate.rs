//! Steps of a link cannot be left out, taken twice or taken in another order: such programs do not compile.

#[test]
fn wrong_orders_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/wrong-order/*.rs");
}
