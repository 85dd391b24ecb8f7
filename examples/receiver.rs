//! The simulated receiver as a program: see `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ptpbmca_sim::program::main("receiver", std::env::args_os().skip(1))
}
