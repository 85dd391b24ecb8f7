//! What a person is told beside the estimates, on standard error.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::Write;

use ptpbmca::association::{Change, Refusal};
use ptpbmca::time::LocalTime;

use super::session::Totals;

/// Lines of one kind that are written out; beyond that they are counted.
const MAX_LINES: u64 = 100;

/// Notes to a person.
pub struct Notes<'a> {
    output: &'a mut dyn Write,
    malformed: u64,
    changes: u64,
    /// Epochs that began, apart from the first.
    pub epochs: u64,
}

impl<'a> Notes<'a> {
    /// Notes to `output`.
    pub fn new(output: &'a mut dyn Write) -> Self {
        Self { output, malformed: 0, changes: 0, epochs: 0 }
    }

    /// Says something. That nobody listens is no reason to stop.
    pub fn say(&mut self, what: impl Display) {
        let _ = writeln!(self.output, "replay: {what}");
    }

    /// A line could not be read.
    pub fn malformed(&mut self, line: u64, why: &str) {
        self.malformed += 1;
        match self.malformed {
            1..MAX_LINES => self.say(format_args!("line {line}: {why}; left out")),
            MAX_LINES => {
                self.say(format_args!("line {line}: {why}; left out, and further ones only counted"))
            }
            _ => {}
        }
    }

    /// What changed in the session, at a time since its `start`.
    pub fn change(&mut self, at: LocalTime, start: LocalTime, change: &Change) {
        self.epochs += u64::from(matches!(change, Change::Epoch { .. }));
        self.changes += 1;
        if self.changes > MAX_LINES {
            return;
        }
        let seconds = at.since(start).nanos() as f64 * 1e-9;
        let more = if self.changes == MAX_LINES { "; further changes are not told" } else { "" };
        match *change {
            Change::Role { from, to, reason } => {
                self.say(format_args!("{seconds:10.3} s  role {from:?} -> {to:?}: {reason}{more}"));
            }
            Change::Epoch { epoch, reason } => {
                self.say(format_args!("{seconds:10.3} s  epoch {epoch}: {reason}{more}"));
            }
            Change::Synchronized => self.say(format_args!("{seconds:10.3} s  synchronised{more}")),
            Change::Lost => self.say(format_args!("{seconds:10.3} s  no longer synchronised{more}")),
            Change::Grandmaster { from, to } => {
                self.say(format_args!("{seconds:10.3} s  grandmaster {from} -> {to}{more}"));
            }
        }
    }

    /// Lines that could not be read, so far.
    pub fn malformed_lines(&self) -> u64 {
        self.malformed
    }

    /// What was counted in the whole session.
    pub fn totals(&mut self, totals: &Totals) {
        let Totals { received: [sync, follow_up, delay_resp, announce], pairs, answers, steps, refused } =
            totals;
        self.say(format_args!(
            "heard {sync} Sync, {follow_up} Follow_Up, {delay_resp} Delay_Resp, {announce} Announce; \
             {pairs} pairs, {answers} answers used, {steps} steps"
        ));
        let refused = refused.iter().zip(Refusal::ALL).filter(|(count, _)| **count > 0);
        let refused: Vec<String> = refused.map(|(count, why)| format!("{count} {why:?}")).collect();
        if !refused.is_empty() {
            self.say(format_args!("refused: {}", refused.join(", ")));
        }
    }
}
