//! `ptpbmca follow`: a receiver's clock, live.
#![forbid(unsafe_code)]

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use ptpbmca::Session;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::arguments::{Clock, Follow};
use crate::history::History;
use crate::remarks;
use crate::report::Report;
use crate::screen::{self, View};
use crate::session::{self, Stop, Watch};

/// Lines come, and samples are taken, this often.
const SECOND: Duration = Duration::from_secs(1);

/// The view is drawn anew this often.
const FRAME: Duration = Duration::from_millis(250);

/// Lines of the log that are kept for the view.
const REMARKS: usize = 32;

/// The program; fails where the session cannot be had or nothing be shown.
pub fn main(follow: &Follow) -> ExitCode {
    let live = !follow.json && !follow.plain && io::stdout().is_terminal() && io::stdin().is_terminal();
    if live {
        remarks::keep();
    } else if follow.session.verbose {
        remarks::print();
    }
    let followed = Stop::on_signals().map_err(|e| e.to_string()).and_then(|stop| {
        let session = Session::start(&follow.session.receiver, &session::config(&follow.session))
            .map_err(|e| e.to_string())?;
        let watch = Watch::start();
        let end = follow.seconds.map_or(Duration::MAX, Duration::from_secs_f64);
        let shown = if live {
            show(follow, &session, &stop, watch, end)
        } else {
            tell(follow, &session, &stop, watch, end)
        };
        match shown {
            // Who reads along may have seen enough.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            shown => shown.map_err(|e| e.to_string()),
        }
    });
    match followed {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("ptpbmca follow: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The session as it is.
pub fn report(session: &Session, watch: &Watch) -> io::Result<Report> {
    let failed = |kind: ptpbmca::ErrorKind| io::Error::other(kind.message().to_string_lossy().into_owned());
    let (now, status) = session.status().map_err(failed)?;
    let local_ns = session.local_now().map_err(failed)?;
    Ok(Report::new(watch.elapsed().as_secs_f64(), local_ns, &now, &status))
}

/// A line per second.
fn tell(follow: &Follow, session: &Session, stop: &Stop, watch: Watch, end: Duration) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !follow.json {
        writeln!(
            out,
            "{:<9}  {:<9}  {:>20}  {:>9}  {:>9}  {:>9}  {:>7}  {:>5}",
            "state", "role", "offset ns", "skew ppm", "bound us", "path us", "age ms", "epoch"
        )?;
    }
    let mut next = Duration::ZERO;
    while stop.wait_until(&watch, next.min(end)) {
        let report = report(session, &watch)?;
        if follow.json {
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
        } else {
            writeln!(out, "{}", line(&report))?;
        }
        out.flush()?;
        if next >= end {
            break;
        }
        // A program that was stopped for a while does not make up for it.
        next = (next + SECOND).max(watch.elapsed());
    }
    Ok(())
}

fn line(report: &Report) -> String {
    let head = format!("{:<9}  {:<9}", report.state, report.role);
    if !report.synchronized {
        return format!("{head}  {}", report.advice);
    }
    let micros = |ns: Option<u64>| ns.map_or("-".to_string(), |ns| format!("{:.1}", ns as f64 / 1e3));
    format!(
        "{head}  {:>20}  {:>+9.3}  {:>9}  {:>9}  {:>7}  {:>5}",
        report.offset_ns,
        report.skew_ppm,
        micros(report.error_ns),
        micros(report.path_delay_ns),
        report.age_ns.map_or("-".to_string(), |ns| format!("{:.0}", ns as f64 / 1e6)),
        report.epoch
    )
}

/// The live view. The terminal is given back as it was, also after a panic.
fn show(follow: &Follow, session: &Session, stop: &Stop, watch: Watch, end: Duration) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let shown = draw_until(&mut terminal, follow, session, stop, watch, end);
    ratatui::restore();
    shown
}

fn draw_until(
    terminal: &mut ratatui::DefaultTerminal,
    follow: &Follow,
    session: &Session,
    stop: &Stop,
    watch: Watch,
    end: Duration,
) -> io::Result<()> {
    let clock = match follow.session.clock {
        Clock::Realtime => "realtime",
        Clock::Monotonic => "monotonic",
    };
    let (mut history, mut log, mut sample) = (History::default(), Vec::new(), Duration::ZERO);
    while !stop.came() {
        let report = report(session, &watch)?;
        let seconds = report.elapsed_s;
        log.extend(remarks::take().into_iter().map(|remark| format!("{seconds:>6.1} s  {remark}")));
        log.drain(..log.len().saturating_sub(REMARKS));
        if watch.elapsed() >= sample {
            history.push(&report);
            sample = (sample + SECOND).max(watch.elapsed());
        }
        let receiver = &follow.session.receiver;
        let view = View { receiver, clock, report: &report, history: &history, remarks: &log };
        terminal.draw(|frame| screen::draw(frame, &view))?;
        let next = (watch.elapsed() + FRAME).min(end);
        while watch.elapsed() < next && !stop.came() {
            let left = next.saturating_sub(watch.elapsed());
            if event::poll(left.min(session::NOTICE))? && ends(&event::read()?) {
                return Ok(());
            }
        }
        if watch.elapsed() >= end {
            break;
        }
    }
    Ok(())
}

/// Whether this is how people leave. The terminal is raw: Ctrl-C comes as a key.
fn ends(event: &Event) -> bool {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else { return false };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn a_line_has_its_columns_or_the_advice() {
        let columns = line(&report());
        assert_eq!(
            columns.split_whitespace().collect::<Vec<_>>(),
            ["LOCKED", "FOLLOWING", "-1794872323000000000", "+37.365", "24.0", "9.8", "12", "1"]
        );
        let silent = Report { synchronized: false, state: "SILENT", advice: "Look.".into(), ..report() };
        assert_eq!(line(&silent), "SILENT     FOLLOWING  Look.");
    }

    #[test]
    fn q_escape_and_control_c_end_it() {
        let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        assert!(ends(&key(KeyCode::Char('q'), KeyModifiers::NONE)));
        assert!(ends(&key(KeyCode::Esc, KeyModifiers::NONE)));
        assert!(ends(&key(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(!ends(&key(KeyCode::Char('c'), KeyModifiers::NONE)));
        assert!(!ends(&Event::Resize(80, 24)));
    }
}
