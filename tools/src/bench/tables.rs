//! A sweep as tables that read well in a terminal and in Markdown.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

use super::contender::OURS;
use super::limits::{letter, Must};
use super::score::Score;
use super::sweep::{Median, Sweep};
use crate::traces::Class;

/// Follows a value that misses its limit.
const MISSED: &str = " !";
/// State per receiver, bytes, and time per Sync, ns, that ours may take.
const MOST_STATE: usize = 64 << 10;
const MOST_TIME: f64 = 10e3;

/// What an estimator costs.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The estimator.
    pub name: &'static str,
    /// ns per Sync, of the median class.
    pub median: f64,
    /// ns per Sync, of the class that takes longest.
    pub worst: f64,
    /// Allocations after the first minute of all traces.
    pub allocations: u64,
    /// Size of the state in bytes, where it is known.
    pub state: Option<usize>,
}

/// What matters most: the error one second ahead of all, and every score of ours.
pub fn summary(sweep: &Sweep) -> String {
    let mut out = String::new();
    field(&mut out, sweep, "Error one second ahead, p99", |s| s.ahead.map(|q| q.p99), true);
    ours(&mut out, sweep);
    let (links, seeds, missed) = (sweep.classes.len(), sweep.seeds, count_missed(sweep));
    // Writing to a string does not fail.
    let _ = writeln!(out, "Links: {links}. Seeds of each: {seeds}. Limits missed (`!`): {missed}.\n");
    out
}

/// All other scores of all.
pub fn details(sweep: &Sweep) -> String {
    let mut out = String::new();
    field(&mut out, sweep, "Error one second ahead, p50", |s| s.ahead.map(|q| q.p50), false);
    field(&mut out, sweep, "Error one second ahead, max", |s| s.ahead.map(|q| q.max), false);
    field(&mut out, sweep, "Error now, p50", |s| s.now.map(|q| q.p50), false);
    field(&mut out, sweep, "Error now, p99", |s| s.now.map(|q| q.p99), false);
    field(&mut out, sweep, "Error now, max", |s| s.now.map(|q| q.max), false);
    field(&mut out, sweep, "Largest jump between two samples", |s| s.jump, false);
    field(&mut out, sweep, "Time to stay within 1 ms", |s| s.within_1ms.map(|s| s * 1e6), false);
    field(&mut out, sweep, "Time to stay within 100 us", |s| s.within_100us.map(|s| s * 1e6), false);
    out
}

/// The table of costs.
pub fn costs(costs: &[Cost]) -> String {
    let mut rows =
        vec![["estimator", "ns per Sync", "slowest link", "allocations after a minute", "state, bytes"]
            .map(String::from)
            .to_vec()];
    for cost in costs {
        let is_ours = cost.name == OURS;
        let mark = |missed: bool| if is_ours && missed { MISSED } else { "" };
        rows.push(vec![
            cost.name.to_string(),
            format!("{:.0}{}", cost.median, mark(cost.median > MOST_TIME)),
            format!("{:.0}{}", cost.worst, mark(cost.worst > MOST_TIME)),
            format!("{}{}", cost.allocations, mark(cost.allocations > 0)),
            cost.state.map_or("-".into(), |bytes| format!("{bytes}{}", mark(bytes > MOST_STATE))),
        ]);
    }
    format!("### Cost\n\n{}\n", aligned(&rows, 1))
}

/// How many limits ours misses with its worst seed.
fn count_missed(sweep: &Sweep) -> usize {
    let missed = |(place, class): (usize, &Class)| {
        let missed = |must: &&Must| {
            let value = sweep.over_seeds(place, 0, must.at_least, must.of);
            value.is_some_and(|value| must.is_missed(*class, value.worst))
        };
        Must::ALL.iter().filter(missed).count()
    };
    sweep.classes.iter().enumerate().map(missed).sum()
}

/// One score of every estimator; `limited`: with what ours must reach.
fn field(out: &mut String, sweep: &Sweep, title: &str, of: fn(&Score) -> Option<f64>, limited: bool) {
    let must = Must::ALL.iter().find(|must| limited && must.title == "+1 s p99");
    let mut rows = vec![head()];
    if let Some(head) = rows.first_mut() {
        head.extend(must.map(|_| "must".to_string()));
        head.extend(sweep.names.iter().map(|name| name.to_string()));
    }
    for (place, class) in sweep.classes.iter().enumerate() {
        let mut row = link(*class);
        row.extend(must.map(|must| (must.limit)(*class).map_or(String::new(), time)));
        for name in 0..sweep.names.len() {
            let value = sweep.over_seeds(place, name, false, of);
            let is_missed = |v: Median| name == 0 && must.is_some_and(|must| must.is_missed(*class, v.worst));
            let mark = if value.is_some_and(is_missed) { MISSED } else { "" };
            row.push(cell(sweep, value, time) + mark);
        }
        rows.push(row);
    }
    let _ = writeln!(out, "### {title}\n\n{}", aligned(&rows, 2));
}

/// Every score of ours, with marks where a limit is missed.
fn ours(out: &mut String, sweep: &Sweep) {
    let mut rows = vec![head()];
    if let Some(head) = rows.first_mut() {
        head.extend(Must::ALL.iter().map(|must| must.title.to_string()));
    }
    for (place, class) in sweep.classes.iter().enumerate() {
        let mut row = link(*class);
        for must in &Must::ALL {
            let value = sweep.over_seeds(place, 0, must.at_least, must.of);
            let missed = value.is_some_and(|value| must.is_missed(*class, value.worst));
            let text = match must.title {
                "false steps" | "missed" => cell(sweep, value, |v| format!("{v:.0}")),
                "in bound %" => cell(sweep, value, |v| format!("{:.2}", (v * 100.0).floor() / 100.0)),
                title if title.contains("ppm") || title.contains(", s") || title.contains('/') => {
                    cell(sweep, value, |v| if v.is_finite() { format!("{v:.1}") } else { "never".into() })
                }
                _ => cell(sweep, value, time),
            };
            row.push(text + if missed { MISSED } else { "" });
        }
        rows.push(row);
    }
    let _ = writeln!(out, "### {OURS} in full\n\n{}", aligned(&rows, 2));
}

fn head() -> Vec<String> {
    vec![String::new(), "link".to_string()]
}

fn link(class: Class) -> Vec<String> {
    vec![letter(class).map_or(String::new(), String::from), class.name().to_string()]
}

/// The median and the worst seed; one number where there is one seed, or where they look alike.
fn cell(sweep: &Sweep, value: Option<Median>, text: impl Fn(f64) -> String) -> String {
    let Some(Median { median, worst }) = value else { return "-".into() };
    let (median, worst) = (text(median), text(worst));
    if sweep.seeds == 1 || median == worst {
        return median;
    }
    format!("{median} / {worst}")
}

/// A time of so many us, with a unit where it is another.
fn time(us: f64) -> String {
    match us {
        v if v.is_infinite() => "never".into(),
        v if v < 9.95 => format!("{v:.1}"),
        v if v < 999.5 => format!("{v:.0}"),
        v if v < 9_950.0 => format!("{:.1} ms", v * 1e-3),
        v if v < 999_500.0 => format!("{:.0} ms", v * 1e-3),
        v if v < 9.95e6 => format!("{:.1} s", v * 1e-6),
        v if v < 999.5e6 => format!("{:.0} s", v * 1e-6),
        _ => ">1000 s".into(),
    }
}

/// A Markdown table with straight columns, of which the first `words` are words and the others numbers.
fn aligned(rows: &[Vec<String>], words: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0).max(2)).collect();
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, (text, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                c if c < words => write!(out, "| {text:<width$} "),
                _ => write!(out, "| {text:>width$} "),
            };
        }
        out.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let end = if column < words { '-' } else { ':' };
                let _ = write!(out, "|{}{end}", "-".repeat(width + 1));
            }
            out.push_str("|\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_digits_or_three_and_a_unit() {
        let shown = [0.0, 0.26, 9.96, 44.4, 999.6, 12_345.0, 3.21e6, 1e12, f64::INFINITY].map(time);
        assert_eq!(shown, ["0.0", "0.3", "10", "44", "1.0 ms", "12 ms", "3.2 s", ">1000 s", "never"]);
    }

    #[test]
    fn columns_are_straight() {
        let rows =
            [vec!["".into(), "link".into(), "one".into()], vec!["a".into(), "x".into(), "1.0 ms".into()]];
        let table = "|    | link |    one |\n|----|------|-------:|\n| a  | x    | 1.0 ms |\n";
        assert_eq!(aligned(&rows, 2), table);
    }

    #[test]
    fn a_missed_limit_is_marked() {
        let cost = Cost { name: OURS, median: 1.0, worst: 2e4, allocations: 3, state: Some(1 << 20) };
        assert_eq!(costs(&[cost]).matches(MISSED).count(), 3);
        assert_eq!(costs(&[Cost { name: "another", ..cost }]).matches(MISSED).count(), 0);
    }
}
