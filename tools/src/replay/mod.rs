//! Replays a trace or a packet capture through wire, association and estimator, as packets go that arrive live.
#![forbid(unsafe_code)]

mod capture;
mod conversation;
mod datagram;
mod estimates;
mod notes;
mod options;
mod parties;
mod plot;
mod record;
mod session;
mod thin;
mod trace;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use ptpbmca::time::LocalTime;

use conversation::Conversation;
use estimates::Estimates;
use notes::Notes;
pub use options::Options;
use options::USAGE;
use parties::Captured;
use record::Record;
use session::{Estimate, Session};

/// PTP messages of a capture that are kept: 18 hours of a session, in some 300 MB.
const MAX_MESSAGES: usize = 1 << 21;

/// Bytes of the longest message kept; PTP's are below 200.
const MAX_MESSAGE: usize = 512;

/// The program `replay`.
pub fn main() -> ExitCode {
    let options = match options::read(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            // Nobody to help is no failure.
            let _ = io::stdout().write_all(USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            eprintln!("replay: {e}\nTry --help.");
            return ExitCode::FAILURE;
        }
    };
    replay("replay", &options)
}

/// Replays as the options say, for the program called `name`.
pub fn replay(name: &str, options: &Options) -> ExitCode {
    match open_and_run(options) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads along may have seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{name}: {e}");
            ExitCode::FAILURE
        }
    }
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn open_and_run(options: &Options) -> io::Result<()> {
    let named = |path: &Path, e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let input: Box<dyn Read + Send> = if is_standard(&options.input) {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(&options.input).map_err(|e| named(&options.input, e))?)
    };
    let csv: Option<Box<dyn Write>> = match &options.csv {
        Some(path) if is_standard(path) => Some(Box::new(io::stdout())),
        Some(path) => Some(Box::new(File::create(path).map_err(|e| named(path, e))?)),
        None => None,
    };
    let picture = run(options, BufReader::new(input), csv, &mut io::stderr())?;
    match (&options.plot, picture) {
        (Some(path), Some(picture)) if is_standard(path) => io::stdout().write_all(picture.as_bytes()),
        (Some(path), Some(picture)) => std::fs::write(path, picture).map_err(|e| named(path, e)),
        _ => Ok(()),
    }
}

/// Where estimates go.
struct Outputs<'a> {
    csv: Option<Estimates<Box<dyn Write + 'a>>>,
    record: Option<Record>,
    notes: Notes<'a>,
    start: Option<LocalTime>,
    last: LocalTime,
    published: u64,
    estimates: u64,
}

/// Replays `input`; gives the picture where one is asked for. Fails only where `csv` cannot be written or `input` not
/// be read.
pub fn run<'a>(
    options: &Options,
    mut input: impl BufRead + Send,
    csv: Option<Box<dyn Write + 'a>>,
    notes: &'a mut dyn Write,
) -> io::Result<Option<String>> {
    let mut outputs = Outputs {
        csv: csv.map(Estimates::new),
        record: options.plot.is_some().then(Record::default),
        notes: Notes::new(notes),
        start: None,
        last: LocalTime::default(),
        published: 0,
        estimates: 0,
    };
    let mut head = Vec::new();
    input.by_ref().take(4).read_to_end(&mut head)?;
    let is_capture = head.first_chunk().is_some_and(|head| capture::is_capture(*head));
    let input = io::Cursor::new(head).chain(input);
    if is_capture {
        replay_capture(options, input, &mut outputs)?;
    } else {
        replay_trace(input, &mut outputs)?;
    }
    let name =
        if is_standard(&options.input) { "standard input".into() } else { options.input.to_string_lossy() };
    let picture = outputs.record.as_ref().map(|record| plot::draw(record, &name));
    picture.transpose().map_err(io::Error::other)
}

fn replay_trace(mut input: impl BufRead, outputs: &mut Outputs) -> io::Result<()> {
    let mut trace = trace::Trace::default();
    let (mut line, mut number) = (Vec::new(), 0);
    let damage = loop {
        match trace::read_line(&mut input, &mut line) {
            Ok(true) => {}
            Ok(false) => break None,
            Err(e) => break Some(e),
        }
        number += 1;
        let row = match trace::parse(&line, number == 1) {
            Ok(Some(row)) => row,
            Ok(None) => continue,
            Err(why) => {
                outputs.notes.malformed(number, why);
                continue;
            }
        };
        let estimate = trace.take(&row);
        if let Some(session) = trace.session() {
            outputs.step(session, estimate)?;
        }
    };
    if let Some(e) = damage {
        outputs.notes.say(format_args!("the input cannot be read beyond line {number}: {e}"));
    }
    if outputs.notes.malformed_lines() > 0 {
        let malformed = outputs.notes.malformed_lines();
        outputs.notes.say(format_args!("{malformed} of {number} lines left out"));
    }
    if trace.unused > 0 {
        outputs
            .notes
            .say(format_args!("{} exchanges without a Sync to go with, or of the future", trace.unused));
    }
    outputs.end(trace.session());
    Ok(())
}

fn replay_capture(options: &Options, input: impl Read + Send, outputs: &mut Outputs) -> io::Result<()> {
    let mut messages: Vec<Captured> = Vec::new();
    let (mut frames, mut beyond) = (0_u64, 0_u64);
    let ending = capture::read(input, |frame| {
        frames += 1;
        let Some(datagram) = datagram::udp(frame.link, frame.bytes) else { return };
        let ours = datagram.port == options.event_port || datagram.port == options.general_port;
        if !ours || datagram.payload.len() > MAX_MESSAGE {
            return;
        }
        if messages.len() == MAX_MESSAGES {
            beyond += 1;
            return;
        }
        let bytes = datagram.payload.into();
        messages.push(Captured { at: frame.at, from: datagram.from, to: datagram.to, bytes });
    });
    let notes = &mut outputs.notes;
    notes.say(format_args!("{} PTP messages in {frames} packets", messages.len()));
    if let Some(damage) = &ending.damage {
        notes.say(format_args!("the capture is damaged {damage}; what came before is replayed"));
    }
    if ending.timeless > 0 {
        notes.say(format_args!("{} packets without a time left out", ending.timeless));
    }
    if beyond > 0 {
        notes.say(format_args!("{beyond} more messages left out: replay such a capture in parts"));
    }
    let Some(start) = messages.first().map(|captured| captured.at) else {
        notes.say("nothing to replay; are the ports right (--event-port, --general-port)?");
        return Ok(());
    };
    let parties = match parties::find(&messages, &options.sender, &options.receiver) {
        Ok(parties) => parties,
        Err(why) => {
            notes.say(format_args!("nothing to replay: {why}"));
            return Ok(());
        }
    };
    notes.say(&parties);
    let mut conversation = Conversation::new(parties, start);
    for captured in &messages {
        let estimate = conversation.take(captured);
        outputs.step(conversation.session(), estimate)?;
    }
    if conversation.foreign > 0 {
        outputs.notes.say(format_args!("{} messages of others", conversation.foreign));
    }
    outputs.end(Some(conversation.session()));
    Ok(())
}

impl Outputs<'_> {
    /// Puts out what one row or packet led to.
    fn step(&mut self, session: &mut Session, estimate: Option<Estimate>) -> io::Result<()> {
        self.last = session.now();
        let start = *self.start.get_or_insert(session.now());
        for (at, change) in session.take_changes() {
            self.notes.change(at, start, &change);
        }
        if let (Some(silence), Some(record)) = (session.take_silence(), &mut self.record) {
            record.silence(&silence);
        }
        let Some(estimate) = estimate else { return Ok(()) };
        self.estimates += 1;
        self.published += u64::from(estimate.published.is_some());
        if let Some(record) = &mut self.record {
            record.pair(&estimate);
        }
        self.csv.as_mut().map_or(Ok(()), |csv| csv.write(&estimate))
    }

    fn end(&mut self, session: Option<&mut Session>) {
        let Some(session) = session else {
            self.notes.say("nothing to replay: no row with a Sync");
            return;
        };
        let start = self.start.unwrap_or_default();
        let seconds = self.last.since(start).nanos() as f64 * 1e-9;
        let (estimates, published, epochs) = (self.estimates, self.published, self.notes.epochs);
        self.notes.totals(&session.totals());
        let state = session.sync_state();
        self.notes.say(format_args!(
            "{seconds:.1} s; {published} of {estimates} pairs while synchronised; {epochs} new epochs; ends {state:?}"
        ));
        if published == 0 {
            self.notes.say(session.advice());
        }
    }
}

#[cfg(test)]
mod tests;
