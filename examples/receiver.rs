//! The simulated receiver as a program.
fn main() {}
