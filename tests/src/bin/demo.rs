//! weft-demo
fn main() {}
