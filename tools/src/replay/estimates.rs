//! Estimates as lines of CSV.
#![forbid(unsafe_code)]

use std::io::{self, Write};

use super::session::Estimate;

/// Writes one line per estimate, each flushed: who reads along sees what was known at that row.
#[derive(Debug)]
pub struct Estimates<W> {
    output: W,
}

impl<W: Write> Estimates<W> {
    /// Lines to `output`.
    pub fn new(output: W) -> Self {
        Self { output }
    }

    /// `t2_ns,remote_at_t2_ns,remote_at_t2_plus_1s_ns,epoch,remote_at_t2_plus_2s_ns,error_ns`; the receiver's times
    /// and the bound are empty while nothing is published.
    pub fn write(&mut self, estimate: &Estimate) -> io::Result<()> {
        let (t2, epoch) = (estimate.local.nanos(), estimate.epoch);
        // In one piece, so that a line is written whole.
        let line = match estimate.published {
            Some(known) => format!(
                "{t2},{},{},{epoch},{},{}\n",
                known.remote_ns, known.remote_plus_1s_ns, known.remote_plus_2s_ns, known.error_ns
            ),
            None => format!("{t2},,,{epoch},,\n"),
        };
        self.output.write_all(line.as_bytes())?;
        self.output.flush()
    }
}
