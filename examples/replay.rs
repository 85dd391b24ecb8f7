//! Replays a trace or a packet capture, and shows what the library makes of it: see `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ptpbmca_tools::replay::main()
}
