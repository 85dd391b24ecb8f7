//! The command line.
#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::path::PathBuf;

use lexopt::prelude::*;
use ptpbmca::{EVENT_PORT, GENERAL_PORT};

/// What `--help` says.
pub const USAGE: &str = "\
Replays what a receiver's clock sent, through the code that runs live, and shows what was made of it.

usage: replay [options] INPUT

INPUT, or - for standard input, is one of
  a trace      rows of CSV, in order of arrival:  seq,t1_ns,corr_ns,t2_ns,t3_ns,t4_ns
               t1 preciseOriginTimestamp, corr the sum of the correctionFields, t2 local time of the Sync's arrival,
               t3 and t4 local sending and remote arrival of a Delay_Req finished before this row, or empty;
               half rows: seq,,,t2,, for a Sync alone, seq,t1,corr,,, for a Follow_Up alone
  a capture    pcap or pcapng, taken on the sender's host:
               tcpdump -i any --time-stamp-precision=nano -w FILE 'udp port 319 or udp port 320'

output
  --csv OUT            a line per completed Sync/Follow_Up pair, flushed, of the rows read so far; - is standard output:
                       t2_ns,remote_at_t2_ns,remote_at_t2_plus_1s_ns,epoch,remote_at_t2_plus_2s_ns,error_ns
                       the remote times and the bound are empty while not synchronised
  --plot OUT.svg       a picture: samples, the published line, its bound, epochs
                       (without either: --csv -)
of a capture
  --receiver ADDR      whose clock to follow; repeat for several addresses of it (who sends Sync, by the better Announce)
  --sender ADDR        who follows it (who talks to it)
  --event-port N       (319)
  --general-port N     (320)

What was found, left out or counted is told on standard error. Not being able to read all of INPUT is no failure:
what can be read is replayed.
";

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A file, or `-`.
    pub input: PathBuf,
    /// Where estimates go, if anywhere; `-` is standard output.
    pub csv: Option<PathBuf>,
    /// Where the picture goes, if one is wanted.
    pub plot: Option<PathBuf>,
    /// The captured sender's addresses, where given.
    pub sender: Vec<IpAddr>,
    /// The captured receiver's addresses, where given.
    pub receiver: Vec<IpAddr>,
    /// The port of event messages.
    pub event_port: u16,
    /// The port of general messages.
    pub general_port: u16,
}

/// Reads the command line; `None` where help is asked for.
pub fn read(mut arguments: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let (mut input, mut csv, mut plot) = (None, None, None);
    let (mut sender, mut receiver) = (Vec::new(), Vec::new());
    let (mut event_port, mut general_port) = (EVENT_PORT, GENERAL_PORT);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("csv") => csv = Some(PathBuf::from(arguments.value()?)),
            Long("plot") => plot = Some(PathBuf::from(arguments.value()?)),
            Long("sender") => sender.push(arguments.value()?.parse()?),
            Long("receiver") => receiver.push(arguments.value()?.parse()?),
            Long("event-port") => event_port = arguments.value()?.parse()?,
            Long("general-port") => general_port = arguments.value()?.parse()?,
            Short('h') | Long("help") => return Ok(None),
            Value(value) if input.is_none() => input = Some(PathBuf::from(value)),
            other => return Err(other.unexpected()),
        }
    }
    let input = input.ok_or("no INPUT")?;
    if csv.is_none() && plot.is_none() {
        csv = Some(PathBuf::from("-"));
    }
    Ok(Some(Options { input, csv, plot, sender, receiver, event_port, general_port }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &str) -> Result<Option<Options>, lexopt::Error> {
        read(lexopt::Parser::from_args(arguments.split_whitespace()))
    }

    #[test]
    fn what_is_said_is_done() {
        let said = "--csv a.csv --plot p.svg --sender 10.0.0.2 --receiver fe80::9 --receiver 10.0.0.9 \
                    --event-port 13019 --general-port 13020 in.pcap";
        let expected = Options {
            input: "in.pcap".into(),
            csv: Some("a.csv".into()),
            plot: Some("p.svg".into()),
            sender: vec!["10.0.0.2".parse().unwrap()],
            receiver: vec!["fe80::9".parse().unwrap(), "10.0.0.9".parse().unwrap()],
            event_port: 13_019,
            general_port: 13_020,
        };
        assert_eq!(options(said).unwrap(), Some(expected));
        let plain = options("-").unwrap().unwrap();
        assert_eq!((plain.input, plain.csv, plain.plot), ("-".into(), Some("-".into()), None));
        assert_eq!(options("--plot p.svg x").unwrap().unwrap().csv, None);
    }

    #[test]
    fn nonsense_is_refused_and_help_is_given() {
        assert_eq!(options("--help").unwrap(), None);
        for wrong in ["", "a b", "--csv", "--sender speaker a", "--event-port 70000 a", "--what a"] {
            assert!(options(wrong).is_err(), "{wrong}");
        }
        // Every option of the help is understood: an option without its value is not "unexpected".
        let named = USAGE.lines().filter_map(|line| line.trim().split(' ').next());
        for option in named.filter(|word| word.starts_with("--")) {
            assert!(!matches!(options(option), Err(lexopt::Error::UnexpectedOption(_))), "{option}");
        }
    }
}
