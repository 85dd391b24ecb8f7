//! `ptpbmca doctor`: finds out why a speaker stays silent.
#![forbid(unsafe_code)]

mod cause;
mod holders;
mod host;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use ptpbmca::timeline::Role;
use ptpbmca::{Config, Error, ErrorKind, Session};
use serde::Serialize;

use crate::arguments::Doctor;
use crate::follow;
use crate::remarks;
use crate::report::{policy_name, span, Report, MESSAGES};
use crate::session::{self, Stop, Watch};
pub use cause::Cause;
use host::Host;

/// What the doctor found out.
#[derive(Debug, Serialize)]
struct Findings<'a> {
    receiver: &'a str,
    host: Host,
    /// The session at its end; `None` where none could be had.
    session: Option<Report>,
    /// The role was given to the receiver at some time.
    yielded: bool,
    /// What a session should have brought and did not.
    missing: Vec<&'static str>,
    cause: Cause,
    exit_code: u8,
    sentence: String,
}

/// The program; its exit code names the cause.
pub fn main(doctor: &Doctor) -> ExitCode {
    if doctor.session.verbose {
        remarks::print();
    }
    match examine(doctor) {
        Ok(cause) => ExitCode::from(cause.exit_code()),
        Err(e) => {
            eprintln!("ptpbmca doctor: {e}");
            ExitCode::FAILURE
        }
    }
}

fn examine(doctor: &Doctor) -> io::Result<Cause> {
    let stop = Stop::on_signals()?;
    let config = session::config(&doctor.session);
    let receiver = doctor.session.receiver.as_str();
    let mut out = io::stdout().lock();
    let host = Host::examine(Path::new("/"), receiver, &config);
    if !doctor.json {
        host.tell(&mut out)?;
        out.flush()?;
    }
    let yielded = Arc::new(AtomicBool::new(false));
    let had = have_session(doctor, &config, &stop, &yielded)?;
    let yielded = yielded.load(Ordering::Relaxed);
    let (cause, sentence) = match &had {
        Err(error) => cause::of_host(receiver, &host, &config, error),
        Ok(report) => cause::of_session(receiver, report, yielded, &config),
    };
    let session = had.ok();
    let missing = session.as_ref().map(missing).unwrap_or_default();
    let exit_code = cause.exit_code();
    let findings = Findings { receiver, host, session, yielded, missing, cause, exit_code, sentence };
    if doctor.json {
        writeln!(out, "{}", serde_json::to_string(&findings)?)?;
    } else {
        findings.tell(&mut out, &config)?;
    }
    Ok(cause)
}

/// The session at its end.
fn have_session(
    doctor: &Doctor,
    config: &Config,
    stop: &Stop,
    yielded: &Arc<AtomicBool>,
) -> io::Result<Result<Report, Error>> {
    let follows = Arc::clone(yielded);
    let started = Session::start_with_events(&doctor.session.receiver, config, move |_, now| {
        if now.role == Role::Following {
            follows.store(true, Ordering::Relaxed);
        }
    });
    let session = match started {
        Ok(session) => session,
        Err(error) if error.kind == ErrorKind::Internal => return Err(io::Error::other(error)),
        Err(error) => return Ok(Err(error)),
    };
    let watch = Watch::start();
    // Ended early, what came until then counts.
    stop.wait_until(&watch, Duration::from_secs_f64(doctor.seconds));
    follow::report(&session, &watch).map(Ok)
}

/// What somebody who follows needs, and did not get.
fn missing(report: &Report) -> Vec<&'static str> {
    if report.state == "LEADING" {
        return Vec::new();
    }
    let mut needed = vec!["announce", "sync", "follow_up"];
    if report.sent.get("delay_req").is_some_and(|&sent| sent > 0) {
        needed.push("delay_resp");
    }
    let named = MESSAGES.iter().filter(|(_, _, key)| needed.contains(key) && report.received(key) == 0);
    named.map(|&(_, name, _)| name).collect()
}

impl Findings<'_> {
    fn tell(&self, out: &mut impl Write, config: &Config) -> io::Result<()> {
        if let Some(report) = &self.session {
            let counts = |counts: &crate::report::Counts| {
                let some = MESSAGES.iter().filter_map(|(_, name, key)| Some((name, *counts.get(key)?)));
                let some =
                    some.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}"));
                let some: Vec<_> = some.collect();
                if some.is_empty() {
                    "nothing".to_string()
                } else {
                    some.join(", ")
                }
            };
            let or_nothing = |text: String| if text.is_empty() { "nothing".to_string() } else { text };
            let elapsed = report.elapsed_s;
            writeln!(out, "session     {elapsed:.1} s with role {}", policy_name(config.role))?;
            writeln!(out, "received    {}", counts(&report.received))?;
            writeln!(out, "sent        {}", counts(&report.sent))?;
            writeln!(out, "missing     {}", or_nothing(self.missing.join(", ")))?;
            writeln!(out, "refused     {}", or_nothing(report.refusals()))?;
            let announced = report.announced.as_ref().map(|set| set.line());
            writeln!(out, "announced   {}", or_nothing(announced.unwrap_or_default()))?;
            let bound = report.error_ns.map(|ns| format!(", within {}", span(ns))).unwrap_or_default();
            writeln!(out, "clock       {}, {}{bound}", report.state, report.role)?;
        }
        writeln!(out, "\n{}", self.sentence)
    }
}
