//! The live view.
#![forbid(unsafe_code)]

use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Padding, Paragraph, Sparkline, Wrap};
use ratatui::Frame;

use crate::history::History;
use crate::report::{span, Report, MESSAGES};

/// Messages that are always shown; the rest only where any went by.
const ALWAYS: usize = 6;

/// Columns of a value's name.
const NAME: usize = 13;

/// Columns of a count, at least: a day of Syncs is six digits.
const COUNT: usize = 8;

/// Columns that wrapping at words and the margins take from a line, about.
const WRAPPED: usize = 8;

/// The height of the highest bar of a sparkline, and of the lowest, which is to be seen too.
const FULL: u64 = 1_000;
const LOWEST: u64 = 100;

/// Values below this are drawn as it: a tenth of a microsecond is nothing to an ear, nor to most clocks.
const LEAST_NS: u64 = 100;

/// The highest bar is at least so many times the lowest: a steady value is to look steady.
const LEAST_RANGE: f64 = 10.0;

/// What is to be seen.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The address asked for.
    pub receiver: &'a str,
    /// The local clock's name.
    pub clock: &'a str,
    /// The session.
    pub report: &'a Report,
    /// Its last minute.
    pub history: &'a History,
    /// The log, oldest first.
    pub remarks: &'a [String],
}

/// Draws it. Where there is little room, what comes last is cut off.
pub fn draw(frame: &mut Frame, view: &View) {
    let View { report, history, .. } = view;
    let refusals = report.refusals();
    let clock = clock_lines(view);
    let messages = message_lines(report, &refusals);
    let titled = |lines: usize| u16::try_from(lines).unwrap_or(u16::MAX).saturating_add(1);
    let width = usize::from(frame.area().width);
    let advice_height = titled(report.advice.len() / width.saturating_sub(WRAPPED).max(1) + 1);
    let text = titled(clock.len()).saturating_add(titled(messages.len())).saturating_add(advice_height);
    // Small terminals have one row for each sparkline.
    let sparks =
        if frame.area().height >= text.saturating_add(2 * titled(2)) { titled(2) } else { titled(1) };
    let [clock_area, bound_area, move_area, message_area, advice_area, log_area] = Layout::vertical([
        Constraint::Length(titled(clock.len())),
        Constraint::Length(sparks),
        Constraint::Length(sparks),
        Constraint::Length(titled(messages.len())),
        Constraint::Length(advice_height),
        Constraint::Min(0),
    ])
    .areas(frame.area());

    let title = format!("ptpbmca follow {}", view.receiver);
    let right = format!("{:.0} s, q quits", report.elapsed_s);
    frame.render_widget(
        Paragraph::new(clock).block(section(&title).title_top(Line::from(right).right_aligned())),
        clock_area,
    );
    let bounds = history.bounds();
    let known = || bounds.iter().flatten().copied();
    let title = match (known().min(), known().max()) {
        (Some(least), Some(most)) => format!("bound, last minute: {} to {}", span(least), span(most)),
        _ => "bound, last minute: not known".to_string(),
    };
    sparkline(frame, bound_area, &title, &bounds);
    let moves = history.moves();
    let title = match (history.last_move(), moves.iter().flatten().max()) {
        (Some(last), Some(&most)) => {
            let sign = if last < 0 { '-' } else { '+' };
            let last = span(last.unsigned_abs());
            format!("offset's moves beyond the skew: last {sign}{last}, largest {}", span(most))
        }
        _ => "offset's moves beyond the skew: not known".to_string(),
    };
    sparkline(frame, move_area, &title, &moves);
    frame.render_widget(Paragraph::new(messages).block(section("messages")), message_area);
    let advice = Paragraph::new(report.advice.as_str()).wrap(Wrap { trim: true });
    frame.render_widget(advice.block(section("advice").padding(Padding::horizontal(1))), advice_area);
    let room = usize::from(log_area.height.saturating_sub(1));
    let latest = view.remarks.iter().skip(view.remarks.len().saturating_sub(room));
    let log: Vec<Line> = latest.map(|remark| Line::from(format!(" {remark}"))).collect();
    frame.render_widget(Paragraph::new(log).block(section("log")), log_area);
}

fn section(title: &str) -> Block<'_> {
    Block::default().borders(Borders::TOP).title(format!(" {title} "))
}

fn sparkline(frame: &mut Frame, area: Rect, title: &str, values: &[Option<u64>]) {
    let line = Sparkline::default().data(heights(values)).max(FULL).style(Style::default().fg(Color::Cyan));
    frame.render_widget(line.block(section(title)), area);
}

/// Heights of bars, up to [`FULL`]: logarithms, since what follows a restart is a thousand times what is usual.
fn heights(values: &[Option<u64>]) -> Vec<Option<u64>> {
    let log = |ns: u64| (ns.max(LEAST_NS) as f64).ln();
    let known = || values.iter().flatten().map(|&ns| log(ns));
    let (least, most) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let range = (most - least).max(LEAST_RANGE.ln());
    let height = |ns: u64| LOWEST + ((log(ns) - least) / range * (FULL - LOWEST) as f64).round() as u64;
    values.iter().map(|value| value.map(height)).collect()
}

fn clock_lines<'a>(view: &View<'a>) -> Vec<Line<'a>> {
    let report = view.report;
    let unknown = || "unknown".to_string();
    let color = match report.state {
        "LOCKED" | "LEADING" => Color::Green,
        "HOLDOVER" | "ACQUIRING" => Color::Yellow,
        _ => Color::Red,
    };
    let state = Line::from(vec![
        Span::raw(format!(" {:<NAME$}", "state")),
        Span::styled(report.state, Style::default().fg(color).add_modifier(Modifier::BOLD)),
        Span::raw(format!(", {}, epoch {}", report.role, report.epoch)),
    ]);
    let row = |name: &str, value: String| Line::from(format!(" {name:<NAME$}{value}"));
    let (offset, rate) = if report.synchronized {
        (
            format!("{} ns, receiver minus {} clock", report.offset_ns, view.clock),
            format!(
                "{}   path delay {}   last Sync {}",
                report.error_ns.map_or_else(unknown, span),
                report.path_delay_ns.map_or_else(unknown, span),
                report.age_ns.map_or_else(|| "never".to_string(), |age| format!("{} ago", span(age))),
            ),
        )
    } else {
        (unknown(), unknown())
    };
    let identity = |id: &Option<String>| id.clone().unwrap_or_else(unknown);
    let stamps = match (report.kernel_receive_stamps, report.kernel_send_stamps) {
        (true, true) => "the kernel stamps both ways",
        (true, false) => "the kernel stamps what arrives",
        (false, true) => "the kernel stamps what leaves",
        (false, false) => "no stamps of the kernel",
    };
    vec![
        state,
        row("offset", offset),
        row("skew", if report.synchronized { format!("{:+.3} ppm", report.skew_ppm) } else { unknown() }),
        row("bound", rate),
        row("grandmaster", identity(&report.grandmaster_id)),
        row(
            "identities",
            format!(
                "receiver {}, ours {}",
                identity(&report.receiver_clock_id),
                identity(&report.local_clock_id)
            ),
        ),
        row("announced", report.announced.as_ref().map_or_else(|| "nothing".to_string(), |set| set.line())),
        row("ports", format!("{} and {}, {stamps}", report.event_port, report.general_port)),
    ]
}

fn message_lines<'a>(report: &Report, refusals: &str) -> Vec<Line<'a>> {
    let shown = |index: usize, key: &str| {
        index < ALWAYS || report.received(key) > 0 || report.sent.get(key).is_some_and(|&sent| sent > 0)
    };
    let shown = MESSAGES.iter().enumerate().filter(|(index, (_, _, key))| shown(*index, key));
    let (mut names, mut received, mut sent) =
        (format!(" {:<9}", ""), format!(" {:<9}", "received"), format!(" {:<9}", "sent"));
    for (_, (_, name, key)) in shown {
        let width = name.len().max(COUNT);
        names += &format!("  {name:>width$}");
        received += &format!("  {:>width$}", report.received(key));
        sent += &format!("  {:>width$}", report.sent.get(key).copied().unwrap_or(0));
    }
    let totals = format!(
        " {} pairs, {} Delay_Resp used, {} Delay_Req answered, {} steps",
        report.pairs, report.delay_resp_used, report.delay_req_answered, report.steps
    );
    let refused = if refusals.is_empty() { "nothing" } else { refusals };
    [names, received, sent, totals, format!(" refused: {refused}")].map(Line::from).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;
    use ratatui::backend::TestBackend;
    use ratatui::Terminal;

    fn drawn(report: &Report, width: u16, height: u16) -> String {
        let mut history = History::default();
        (0..5).for_each(|_| history.push(report));
        let remarks: Vec<_> = (0..9).map(|i| format!("remark {i}")).collect();
        let view =
            View { receiver: "10.0.0.7", clock: "realtime", report, history: &history, remarks: &remarks };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &view)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn what_is_to_be_seen_is_there() {
        let screen = drawn(&report(), 90, 32);
        for part in [
            "LOCKED, FOLLOWING, epoch 1",
            "-1794872323000000000 ns, receiver minus realtime clock",
            "+37.365 ppm",
            "24.0 µs   path delay 9.8 µs   last Sync 12.00 ms ago",
            "02147f0000020008",
            "bound, last minute: 24.0 µs to 24.0 µs",
            "moves beyond the skew: last +0.0 µs",
            "▁▁▁▁▁",
            "336",
            "refused: outlier 3",
            "Following the receiver's clock.",
            "remark 8",
        ] {
            assert!(screen.contains(part), "{part} is not in\n{screen}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_shown_as_a_number() {
        let unknown = Report {
            synchronized: false,
            state: "SILENT",
            error_ns: None,
            age_ns: None,
            grandmaster_id: None,
            ..report()
        };
        let screen = drawn(&unknown, 90, 32);
        assert!(screen.contains("bound, last minute: not known"), "{screen}");
        assert!(!screen.contains("-1794872323000000000") && !screen.contains("ppm"), "{screen}");
    }

    #[test]
    fn bars_tell_the_usual_from_what_follows_a_restart() {
        let bars = heights(&[Some(100_000), Some(200_000), None, Some(100_000_000), Some(0)]);
        assert_eq!((bars[2], bars[3], bars[4]), (None, Some(FULL), Some(LOWEST)));
        let usual = [bars[0], bars[1]].map(Option::unwrap);
        assert!(LOWEST + 300 < usual[0] && usual[0] + 30 < usual[1] && usual[1] < FULL - 300, "{bars:?}");
        assert_eq!(heights(&[Some(5_000); 3]), [Some(LOWEST); 3]);
        assert!(heights(&[None; 3]).iter().all(Option::is_none) && heights(&[]).is_empty());
    }

    #[test]
    fn any_size_of_terminal_is_drawn_on() {
        for (width, height) in [(80, 24), (20, 5), (1, 1), (300, 100)] {
            drawn(&report(), width, height);
        }
        let advice =
            "Nothing heard from the receiver: check that the session set-up has told it about us, that a \
                      firewall lets UDP 319 and 320 in, and that both are on one network: the last word.";
        let wordy = Report { advice: advice.into(), ..report() };
        let small = drawn(&wordy, 80, 24);
        assert!(small.contains("last word.") && small.contains("Delay_Resp "), "{small}");
    }
}
