//! The command `ptpbmca`: follows a receiver's clock, finds out what keeps it silent, replays, simulates.
#![forbid(unsafe_code)]

mod arguments;
mod doctor;
mod follow;
mod generate;
mod history;
mod remarks;
mod report;
mod screen;
mod session;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Follow(follow) => follow::main(&follow),
        Command::Doctor(doctor) => doctor::main(&doctor),
        Command::Replay(replay) => ptpbmca_tools::replay::replay("ptpbmca replay", &replay.into()),
        Command::Simulate(simulate) => ptpbmca_sim::program::main(arguments::SIMULATE, simulate.options),
        Command::Completions { shell } => generate::print_completions(shell),
        Command::Generate { directory } => generate::main(&directory),
    }
}
