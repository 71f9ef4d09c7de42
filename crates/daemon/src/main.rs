//! The `limosad` program.
fn main() {}
