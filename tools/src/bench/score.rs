//! What a trace's estimates are worth: errors now and a second ahead, jumps, slew, convergence, steps, bound.
//!
//! Errors of one-way traces are counted from the trace's least delay, which nothing can show; of two-way traces they
//! are absolute. The first 10 s, and 10 s after each step of the timeline, count for convergence and steps only.
#![forbid(unsafe_code)]

use super::contender::{Estimate, AHEAD};
use crate::traces::{Class, Trace};

/// Left out of the errors at the start and after a step, s.
const SETTLING: f64 = 10.0;
/// Errors have to stay below a limit for so long to have converged, s.
const HOLD: f64 = 10.0;
/// A step declared within this time after one of the timeline is that one, s.
const STEP_WITHIN: f64 = 15.0;
/// Epochs declared before this are the start, s.
const STEP_FROM: f64 = 1.0;
/// Samples this far apart have a gap between them, ns.
const GAP: i64 = 1_000_000_000;
/// Before this part of the trace nothing has happened to the link or the clock.
const UNEVENTFUL: f64 = 0.2;

/// Of absolute values, us.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 99 %.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// The scores of one trace. `None`: not to be had of this trace or this estimator.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Error at the sample, us.
    pub now: Option<Quantiles>,
    /// Error one second after the sample, us.
    pub ahead: Option<Quantiles>,
    /// Largest jump of the mapping between two samples of one true timeline, us.
    pub jump: Option<f64>,
    /// Largest jump anywhere within an epoch as declared, from the first published mapping on, us.
    pub epoch_jump: Option<f64>,
    /// Error of the rate as published, jumps included, 99 %, ppm.
    pub slew: Option<f64>,
    /// Time to stay within 1 ms of the median error, s; infinite if never.
    pub within_1ms: Option<f64>,
    /// Time to stay within 100 us of it, s; infinite if never.
    pub within_100us: Option<f64>,
    /// Error of the last mapping at the end of a gap, against the median, us.
    pub holdover: Option<f64>,
    /// Steps declared without one.
    pub false_steps: usize,
    /// Steps not declared.
    pub missed_steps: usize,
    /// Time from a step, or after silence from the first pair, to its declaration, s.
    pub latency: Option<f64>,
    /// Share of samples from 10 s on, steps included, whose error lies within the bound.
    pub bound_kept: Option<f64>,
    /// Median bound against the 99 % of the error at the sample.
    pub bound_ratio: Option<f64>,
}

/// One published estimate against the truth; s and ns.
struct Judged {
    t: f64,
    estimate: Estimate,
    epoch: usize,
    now: f64,
    /// None where a step lies between.
    ahead: Option<f64>,
    /// Counts for the errors.
    steady: bool,
}

/// Judges the estimates of a trace of `duration` s.
pub fn score(trace: &Trace, class: Class, duration: f64, estimates: &[Estimate]) -> Score {
    let judged = judge(trace, estimates);
    let blind = if class.two_way() { 0.0 } else { trace.least_delay as f64 };
    let steady = || judged.iter().filter(|j| j.steady);
    let now = quantiles(steady().map(|j| j.now + blind));
    let ahead = quantiles(steady().filter_map(|j| j.ahead).map(|e| e + blind));

    // Where the start is the event, the usual error is that of the rest.
    let until = if class == Class::CongestedStart { duration } else { UNEVENTFUL * duration };
    let early = |j: &&Judged| j.epoch == 0 && j.t >= SETTLING && j.t < until;
    let usual = quantile(&mut judged.iter().filter(early).map(|j| j.now).collect::<Vec<_>>(), 0.5);
    let off =
        |j: &Judged, usual: f64| f64::max((j.now - usual).abs(), j.ahead.map_or(0.0, |a| (a - usual).abs()));
    let settled = |limit: f64| usual.map(|usual| settle(&judged, |j| off(j, usual) > limit));

    let pairs = || judged.windows(2).filter_map(|w| if let [a, b] = w { Some((a, b)) } else { None });
    let adjacent = || {
        pairs().filter(|(a, b)| {
            let apart = b.estimate.local - a.estimate.local;
            a.epoch == b.epoch && apart > 0 && apart < GAP && a.steady && b.steady
        })
    };
    let micros = |jump: i64| jump.unsigned_abs() as f64 * 1e-3;
    let slews = adjacent().map(|(a, b)| (b.now - a.now).abs() / (b.t - a.t) * 1e-3);
    let gaps = pairs().filter(|(a, b)| a.epoch == b.epoch && b.estimate.local - a.estimate.local >= GAP);
    let before = |b: &Judged| b.estimate.jump.map(|jump| b.now - jump as f64);
    let holdover = gaps.filter_map(|(_, b)| Some((before(b)? - usual?).abs() * 1e-3)).reduce(f64::max);

    let steps = steps(trace, &judged);
    let bounded =
        || judged.iter().filter(|j| j.t >= SETTLING).filter_map(|j| Some((j, j.estimate.bound? as f64)));
    let kept = bounded().filter(|(j, bound)| (j.now + blind).abs() <= *bound).count() as f64;
    let bound = quantile(&mut bounded().map(|b| b.1 * 1e-3).collect::<Vec<_>>(), 0.5);
    Score {
        now,
        ahead,
        jump: adjacent().filter_map(|(_, b)| b.estimate.jump).map(micros).reduce(f64::max),
        epoch_jump: pairs()
            .filter(|(a, b)| a.estimate.epoch == b.estimate.epoch)
            .filter_map(|(_, b)| b.estimate.jump)
            .map(micros)
            .reduce(f64::max),
        slew: quantile(&mut slews.collect::<Vec<_>>(), 0.99),
        within_1ms: settled(1e6),
        within_100us: settled(1e5),
        holdover,
        bound_kept: bound.map(|_| kept / bounded().count() as f64),
        bound_ratio: bound.zip(now).map(|(bound, now)| bound / now.p99),
        ..steps
    }
}

fn judge(trace: &Trace, estimates: &[Estimate]) -> Vec<Judged> {
    let seconds = |local: i64| (local - trace.start) as f64 * 1e-9;
    let error = |local: i64, remote: i64| (i128::from(remote) - i128::from(trace.remote_at(local))) as f64;
    let judge = |estimate: &Estimate| {
        let (remote, ahead) = estimate.remote?;
        let (local, later) = (estimate.local, estimate.local + AHEAD);
        let t = seconds(local);
        let epoch = trace.epoch(local);
        let unsettled = |step: &i64| (0.0..SETTLING).contains(&(t - seconds(*step)));
        Some(Judged {
            t,
            estimate: *estimate,
            epoch,
            now: error(local, remote),
            ahead: (trace.epoch(later) == epoch).then(|| error(later, ahead)),
            steady: t >= SETTLING && !trace.steps.iter().any(unsettled),
        })
    };
    estimates.iter().filter_map(judge).collect()
}

/// Seconds from the start of the trace until `bad` holds for no sample of the next 10 s.
fn settle(judged: &[Judged], bad: impl Fn(&Judged) -> bool) -> f64 {
    let mut settled = f64::INFINITY;
    // What comes after the end is not known to be good.
    let mut next_bad = judged.last().map_or(0.0, |j| j.t);
    for j in judged.iter().rev() {
        if bad(j) {
            next_bad = j.t;
        }
        if next_bad - j.t >= HOLD {
            settled = j.t;
        }
    }
    settled
}

/// The part of a score that is about steps.
fn steps(trace: &Trace, judged: &[Judged]) -> Score {
    let seconds = |local: i64| (local - trace.start) as f64 * 1e-9;
    let declared: Vec<f64> = judged
        .windows(2)
        .filter_map(
            |w| if let [a, b] = w { (a.estimate.epoch != b.estimate.epoch).then_some(b.t) } else { None },
        )
        .filter(|t| *t >= STEP_FROM)
        .collect();
    let mut latency: Option<f64> = None;
    let mut missed_steps = 0;
    for step in trace.steps.iter().map(|step| seconds(*step)) {
        // After silence nobody can know before the first pair.
        let first = judged.iter().map(|j| j.t).find(|t| *t >= step).unwrap_or(step);
        let from = if first - step > 1.0 { first } else { step };
        match declared.iter().find(|t| (0.0..=STEP_WITHIN).contains(&(*t - step))) {
            Some(found) => latency = Some(latency.unwrap_or(0.0).max(found - from)),
            None => missed_steps += 1,
        }
    }
    let is_true = |t: &&f64| trace.steps.iter().any(|s| (0.0..=STEP_WITHIN).contains(&(*t - seconds(*s))));
    let false_steps = declared.len() - declared.iter().filter(is_true).count();
    Score { false_steps, missed_steps, latency, ..Score::default() }
}

/// Of values in ns, in us.
fn quantiles(values: impl Iterator<Item = f64>) -> Option<Quantiles> {
    let mut values: Vec<f64> = values.map(|v| v.abs() * 1e-3).collect();
    let mut at = |p| quantile(&mut values, p);
    Some(Quantiles { p50: at(0.5)?, p99: at(0.99)?, max: at(1.0)? })
}

/// A quantile, on the straight line between its neighbours.
pub(super) fn quantile(values: &mut [f64], p: f64) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let place = values.len().checked_sub(1)? as f64 * p;
    let (low, high) = (values.get(place.floor() as usize)?, values.get(place.ceil() as usize)?);
    // No difference of infinities.
    Some(if low == high { *low } else { low + (high - low) * place.fract() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// Estimates 8 times a second that miss the truth (less the least delay) by what `error` says of the time, in ns.
    fn estimates(trace: &Trace, seconds: f64, error: impl Fn(f64) -> i64) -> Vec<Estimate> {
        let mut before: Option<i64> = None;
        (0..(seconds * 8.0) as i64)
            .map(|i| {
                let local = trace.start + i * SECOND / 8;
                let wrong = error(i as f64 / 8.0) - trace.least_delay;
                let jump = before.map(|before| wrong - before);
                before = Some(wrong);
                let at = |local| trace.remote_at(local) + wrong;
                let remote = Some((at(local), at(local + SECOND)));
                Estimate { local, remote, jump, epoch: trace.epoch(local) as u32, bound: Some(2_500) }
            })
            .collect()
    }

    #[test]
    fn errors_by_hand() {
        let trace = Trace::new(Class::Wired, 1, 60.0);
        // A second each of 0, 1, 2, ... 49 us from 10 s on, 5 ms before.
        let judged =
            estimates(&trace, 60.0, |t| if t < 10.0 { 5_000_000 } else { (t - 10.0) as i64 * 1_000 });
        let score = score(&trace, Class::Wired, 60.0, &judged);
        let near = |value: Option<f64>, wanted: f64| (value.unwrap() - wanted).abs() < 0.002;
        let now = score.now.unwrap();
        // 400 samples; place 199.5 lies between 24 and 25 us, place 395.01 within 49.
        assert!(
            near(Some(now.p50), 24.5) && near(Some(now.p99), 49.0) && near(Some(now.max), 49.0),
            "{now:?}"
        );
        assert!(near(score.ahead.map(|a| a.p50), 24.5));
        // 1 us each second, spread over an eighth: 8 ppm in one of eight samples.
        assert!(near(score.jump, 1.0) && near(score.slew, 8.0), "{score:?}");
        assert!(near(score.epoch_jump, 5_000.0));
        assert_eq!((score.within_1ms, score.within_100us), (Some(10.0), Some(10.0)));
        // 0, 1 and 2 us lie within 2.5: 24 of 400.
        assert!(near(score.bound_kept, 0.06) && near(score.bound_ratio, 2.5 / 49.0));
        assert_eq!((score.false_steps, score.missed_steps, score.latency), (0, 0, None));
        assert_eq!(score.holdover, None);
    }

    #[test]
    fn what_a_two_way_trace_hides_counts() {
        let trace = Trace::new(Class::TwoWay, 1, 30.0);
        let judged = estimates(&trace, 30.0, |_| 0);
        let delay = trace.least_delay as f64 * 1e-3;
        let score = score(&trace, Class::TwoWay, 30.0, &judged);
        assert!((score.now.unwrap().p50 - delay).abs() < 0.002 && delay > 1_000.0);
    }

    #[test]
    fn steps_are_found_missed_or_false() {
        let trace = Trace::new(Class::Handover, 1, 120.0);
        // The step is at 30 s.
        let verdict = |epoch: fn(f64) -> u32| {
            let mut judged = estimates(&trace, 120.0, |_| 0);
            for (i, e) in judged.iter_mut().enumerate() {
                e.epoch = epoch(i as f64 / 8.0);
            }
            let s = score(&trace, Class::Handover, 120.0, &judged);
            (s.false_steps, s.missed_steps, s.latency)
        };
        assert_eq!(verdict(|t| u32::from(t >= 30.25)), (0, 0, Some(0.25)));
        assert_eq!(verdict(|_| 0), (0, 1, None));
        assert_eq!(verdict(|t| u32::from(t >= 29.0)), (1, 1, None));
        assert_eq!(verdict(|t| u32::from(t >= 30.5) + u32::from(t >= 80.0)), (1, 0, Some(0.5)));
    }

    #[test]
    fn a_gap_is_judged_at_its_end() {
        let trace = Trace::new(Class::Gap, 1, 120.0);
        let mut judged = estimates(&trace, 120.0, |t| if t < 50.0 { 3_000 } else { 12_000 });
        judged.retain(|e| !(30..50).contains(&((e.local - trace.start) / SECOND)));
        // The first after the gap jumps by 9 us, the line before it was off by nothing more than usual.
        let score = score(&trace, Class::Gap, 120.0, &judged);
        assert!(score.holdover.unwrap() < 0.01, "{score:?}");
        // A gap has jumps of its own.
        assert!(score.jump.unwrap() < 0.01 && (score.epoch_jump.unwrap() - 9.0).abs() < 0.01);
    }

    #[test]
    fn convergence_has_to_last() {
        let trace = Trace::new(Class::Wired, 1, 60.0);
        let judged = estimates(&trace, 60.0, |t| match t {
            t if t < 2.0 => 0,
            t if t < 4.0 => 300_000,
            _ => 0,
        });
        let score = score(&trace, Class::Wired, 60.0, &judged);
        assert_eq!((score.within_1ms, score.within_100us), (Some(0.0), Some(4.0)));
    }
}
