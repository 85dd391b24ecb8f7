//! The command line.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ptpbmca::association::RolePolicy;
use ptpbmca::{LocalClock, EVENT_PORT, GENERAL_PORT};
use ptpbmca_tools::replay;

/// How the simulated receiver is called.
pub const SIMULATE: &str = "ptpbmca simulate";

/// The longest time that can be asked for, in seconds: a hundred years.
const MOST_SECONDS: f64 = 3.2e9;

/// The time on an AirPlay 2 receiver's clock, by PTP over UDP 319 and 320.
#[derive(Debug, Parser)]
#[command(name = "ptpbmca", version, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a receiver's clock, live
    ///
    /// A view that is drawn anew four times a second on a terminal, a line per second elsewhere. Ends with q or Ctrl-C.
    Follow(Follow),
    /// Find out why a speaker stays silent
    ///
    /// Looks at this host's ports, privileges, firewall and routes, has a session with the receiver for some seconds, and
    /// ends with one sentence and an exit code that names the cause.
    #[command(after_help = EXIT_CODES)]
    Doctor(Doctor),
    /// Show what the library makes of a trace or a packet capture
    ///
    /// INPUT is pcap or pcapng, taken on the sender's host (tcpdump -i any --time-stamp-precision=nano -w FILE 'udp port
    /// 319 or udp port 320'), or rows of CSV: seq,t1_ns,corr_ns,t2_ns,t3_ns,t4_ns. Goes through the code that runs live.
    Replay(Replay),
    /// Be a simulated receiver
    #[command(after_help = ptpbmca_sim::program::usage(SIMULATE))]
    Simulate(Simulate),
    /// Print the completions for a shell
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Write the man page and the completions to a directory
    #[command(hide = true)]
    Generate {
        /// Where the folders man and completions go.
        directory: PathBuf,
    },
}

/// What the doctor's exit codes mean; those of [`crate::doctor::Cause`].
const EXIT_CODES: &str = "\
A receiver speaks PTP only while a sender's session names this host as a timing peer: let the player run up to its \
session set-up, or expect \"nothing there\".

Exit codes:
  0  healthy
  1  the examination itself failed
  2  wrong usage
  3  nothing there: no message of the receiver
  4  ports held by another program of this host
  5  unprivileged: the ports need a privilege
  6  Announce only, no Sync
  7  Sync without Follow_Up
  8  Follow_Up without Sync
  9  no way there: an address or a network that does not work
 10  messages come, but no clock that can be trusted";

/// How to have the session.
#[derive(Args, Clone, Debug)]
pub struct SessionArguments {
    /// The receiver's address, or several of one receiver, separated by commas; fe80::1%eth0 too
    #[arg(value_name = "ADDR")]
    pub receiver: String,
    /// An address of this host to send from and receive on
    #[arg(long, value_name = "ADDR")]
    pub local: Option<String>,
    /// The ports, at both ends; real receivers talk to 319 and 320 only
    #[arg(long, num_args = 2, value_names = ["EVENT", "GENERAL"],
          value_parser = clap::value_parser!(u16).range(1..), default_values_t = [EVENT_PORT, GENERAL_PORT])]
    pub ports: Vec<u16>,
    /// Which part to play
    #[arg(long, value_enum, default_value_t = Role::Auto)]
    pub role: Role,
    /// The local clock that times count in
    #[arg(long, value_enum, default_value_t = Clock::Realtime)]
    pub clock: Clock,
    /// PTP domain
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub domain: u8,
    /// majorSdoId to send: 1 for AirPlay, 0 for plain IEEE 1588 masters
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=15))]
    pub sdo: u8,
    /// priority1 to announce; 0: by role
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub priority1: u8,
    /// Our clock identity; made from a hardware address by default
    #[arg(long, value_name = "HEX", value_parser = identity)]
    pub clock_id: Option<u64>,
    /// Lead after so long without an Announce (role auto)
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    pub announce_timeout: u32,
    /// Tell the library's log on standard error
    #[arg(short, long)]
    pub verbose: bool,
}

/// `follow`.
#[derive(Args, Debug)]
pub struct Follow {
    /// The session.
    #[command(flatten)]
    pub session: SessionArguments,
    /// One JSON object per line
    #[arg(long, conflicts_with = "plain")]
    pub json: bool,
    /// One line per second, also on a terminal
    #[arg(long)]
    pub plain: bool,
    /// End after so many seconds
    #[arg(long, value_name = "N", value_parser = seconds)]
    pub seconds: Option<f64>,
}

/// `doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    /// The session.
    #[command(flatten)]
    pub session: SessionArguments,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// How long the session is
    #[arg(long, value_name = "N", value_parser = seconds, default_value = "5")]
    pub seconds: f64,
}

/// `replay`.
#[derive(Args, Debug)]
pub struct Replay {
    /// A trace or a capture; - is standard input
    pub input: PathBuf,
    /// Estimates as CSV, a line per Sync/Follow_Up pair; - is standard output, and the default without --plot
    #[arg(long, value_name = "OUT")]
    pub csv: Option<PathBuf>,
    /// A picture: samples, the published line, its bound, epochs
    #[arg(long, value_name = "OUT.svg")]
    pub plot: Option<PathBuf>,
    /// Whose clock to follow; repeat for several addresses of it
    #[arg(long, value_name = "ADDR")]
    pub receiver: Vec<IpAddr>,
    /// Who follows it
    #[arg(long, value_name = "ADDR")]
    pub sender: Vec<IpAddr>,
    /// The port of event messages in the capture
    #[arg(long, value_name = "N", default_value_t = EVENT_PORT)]
    pub event_port: u16,
    /// The port of general messages in the capture
    #[arg(long, value_name = "N", default_value_t = GENERAL_PORT)]
    pub general_port: u16,
}

/// `simulate`: its options are read by the simulation.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub struct Simulate {
    /// Options, see below
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<OsString>,
}

/// Which part to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The better clock leads
    Auto,
    /// Always follow, offer nothing
    Follow,
    /// Always lead
    Lead,
}

/// A clock of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Clock {
    /// Nanoseconds since 1970
    Realtime,
    /// The platform's audio clock
    Monotonic,
}

impl From<Role> for RolePolicy {
    fn from(role: Role) -> Self {
        match role {
            Role::Auto => Self::Auto,
            Role::Follow => Self::Follow,
            Role::Lead => Self::Lead,
        }
    }
}

impl From<Clock> for LocalClock {
    fn from(clock: Clock) -> Self {
        match clock {
            Clock::Realtime => Self::Realtime,
            Clock::Monotonic => Self::Monotonic,
        }
    }
}

impl From<Replay> for replay::Options {
    fn from(replay: Replay) -> Self {
        let Replay { input, mut csv, plot, receiver, sender, event_port, general_port } = replay;
        if csv.is_none() && plot.is_none() {
            csv = Some(PathBuf::from("-"));
        }
        Self { input, csv, plot, sender, receiver, event_port, general_port }
    }
}

/// A span of time in seconds, not below 0.
fn seconds(text: &str) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=MOST_SECONDS).contains(&seconds) => Ok(seconds),
        _ => Err("not a number of seconds"),
    }
}

fn identity(text: &str) -> Result<u64, &'static str> {
    match u64::from_str_radix(text.trim_start_matches("0x"), 16) {
        Ok(0) | Err(_) => Err("not eight bytes in hexadecimal"),
        Ok(identity) => Ok(identity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::CommandFactory;

    fn read(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_is_said_is_done() {
        let line = "ptpbmca follow 10.0.0.7 --local 10.0.0.2 --ports 13319 13320 --role lead --clock monotonic --seconds 2.5 \
                    --clock-id 0x14147de854980008 --json";
        let Command::Follow(follow) = read(line).unwrap().command else { panic!("not follow") };
        assert_eq!(follow.session.ports, [13_319, 13_320]);
        assert_eq!((follow.session.role, follow.session.clock), (Role::Lead, Clock::Monotonic));
        assert_eq!(follow.session.clock_id, Some(0x1414_7de8_5498_0008));
        assert_eq!((follow.seconds, follow.json), (Some(2.5), true));
        let Command::Doctor(doctor) = read("ptpbmca doctor fe80::1%lo").unwrap().command else {
            panic!("not doctor")
        };
        assert_eq!((doctor.session.ports, doctor.seconds), (vec![319, 320], 5.0));
        let Command::Simulate(simulate) = read("ptpbmca simulate --help --loss 2").unwrap().command else {
            panic!("not simulate")
        };
        assert_eq!(simulate.options, ["--help", "--loss", "2"]);
        let Command::Replay(replay) = read("ptpbmca replay -").unwrap().command else { panic!("not replay") };
        assert_eq!(replay::Options::from(replay).csv, Some("-".into()));
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            "",
            "follow",
            "follow a --ports 319",
            "follow a --ports 0 320",
            "follow a --seconds -1",
            "follow a --seconds NaN",
            "follow a --json --plain",
            "follow a --clock-id speaker",
            "doctor a --sdo 16",
            "replay",
            "completions cmd",
        ] {
            assert!(read(&format!("ptpbmca {wrong}")).is_err(), "{wrong}");
        }
    }
}
