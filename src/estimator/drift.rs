//! How fast the latest samples of one direction leave the line.
//!
//! A path that grows or shrinks steadily pulls the floor one way and, where both ways take it, the ceiling the other. A
//! line whose rate is not known well gives way to either, and the clock's rate lies between theirs: by exchanges it shows
//! how far the rate may be wrong, which counts once nothing is heard any more. Where they are few it does not show, and any
//! rate counts that the clock may have had.
#![forbid(unsafe_code)]

use super::filter::Point;
use super::side::{Side, Straight, HISTORY};

/// Samples looked at: 16 s at 8 Hz.
const SAMPLES: usize = 128;
/// Fewer tell no trend: 4 s at 8 Hz.
const FEWEST: usize = 32;
/// The edge of some samples is where this part of them lies beyond it: a few were stamped late, and seem to be early
/// (field guide 1.14).
const BEYOND: usize = 8;
/// By so much the edges of two halves differ without any trend one time in a thousand: as a quantile of the delays.
const CHANCE: f64 = 0.3;
/// Stamps differ by so much, ns.
const STAMPS: f64 = 6e3;
/// How far back samples count that are to show that there is no trend, s,
const MINUTE: f64 = 60.0;
/// and how many of them each half must have.
const FEWEST_HALF: usize = 4;
/// Halves closer than this tell no rate, s.
const LEAST_APART: f64 = 1.0;
/// Of that many samples the lowest one lies that far off the edge no more often than this.
const RARELY: f64 = 1e-3;

/// By how much at least the latest samples' edge leaves `line`, either way, ns/s.
pub(super) fn drift(side: &Side, line: Straight) -> f64 {
    let recent = side.recent();
    let len = recent.len().min(SAMPLES);
    if len < FEWEST {
        return 0.0;
    }
    let (late, early) = recent[..len].split_at(len / 2);
    let ((newer, t), (older, since)) = (edge(late, line), edge(early, line));
    let unsure = side.delays.quantile(CHANCE) + STAMPS;
    // Samples that come late may be older than those before them.
    let apart = (t - since).max(1.0);
    ((newer - older).abs() - unsure).max(0.0) / apart
}

/// By how much at most the edge of the last minute's samples may leave `line`, either way, ns/s; where they are too few to
/// tell, by any.
pub(super) fn allowed(side: &Side, line: Straight) -> f64 {
    let recent = side.recent();
    let newest = recent.first().map_or(0.0, |p| p.t);
    let len = recent.iter().take_while(|p| newest - p.t < MINUTE).count();
    if len < 2 * FEWEST_HALF {
        return f64::MAX;
    }
    let (late, early) = recent[..len].split_at(len / 2);
    let ((newer, t), (older, since)) = (edge(late, line), edge(early, line));
    let apart = t - since;
    if apart < LEAST_APART {
        return f64::MAX;
    }
    let chance = 1.0 - RARELY.powf(1.0 / late.len() as f64);
    let unsure = side.delays.quantile(chance.max(CHANCE)) + STAMPS;
    ((newer - older).abs() + unsure) / apart
}

/// How far the edge of some samples lies below the line, and their middle.
fn edge(samples: &[Point], line: Straight) -> (f64, f64) {
    let mut below = [0.0; HISTORY / 2 + 1];
    let len = below.iter_mut().zip(samples).map(|(b, p)| *b = line.above(p)).count();
    let (_, edge, _) = below[..len].select_nth_unstable_by(len / BEYOND, f64::total_cmp);
    (*edge, samples.iter().map(|p| p.t).sum::<f64>() / len as f64)
}

#[cfg(test)]
mod tests {
    use super::super::delays::Delays;
    use super::*;

    const LINE: Straight = Straight { t: 0.0, y: 0.0, rate: 20e3 };

    /// A side whose floor runs `by` faster than the line, with delays of up to 40 us.
    fn side(by: f64, samples: usize) -> Side {
        let mut side = Side::new(Delays::new());
        for i in 0..samples {
            let (t, delay) = (i as f64 * 0.125, f64::from(i as u32 * 17 % 40) * 1e3);
            side.delays.add(delay);
            // A few were stamped late.
            let late = if i % 40 == 7 { 2e6 } else { 0.0 };
            side.push(Point { t, y: LINE.at(t) + by * t - delay + late });
        }
        side
    }

    #[test]
    fn a_floor_that_leaves_the_line_tells_how_fast() {
        for by in [-10e3, 10e3, 50e3] {
            let seen = drift(&side(by, 128), LINE);
            assert!((0.6 * by.abs()..1.05 * by.abs()).contains(&seen), "{by}: {seen}");
        }
        assert!(drift(&side(50e3, 40), LINE) > 10e3);
    }

    #[test]
    fn what_a_minute_allows_holds_the_trend_and_is_narrow_where_there_is_none() {
        for by in [-50e3, -10e3, 0.0, 10e3, 50e3] {
            let most = allowed(&side(by, 256), LINE);
            assert!(most >= by.abs() && most < 1.1 * by.abs() + 3e3, "{by}: {most}");
        }
        // A few tell a little, fewer nothing.
        assert!((50e3..120e3).contains(&allowed(&side(50e3, 16), LINE)));
        assert_eq!(allowed(&side(0.0, 15), LINE), f64::MAX);
        assert_eq!(allowed(&side(0.0, 0), LINE), f64::MAX);
    }

    #[test]
    fn one_that_keeps_to_it_or_is_hardly_known_does_not() {
        for (by, samples) in [(0.0, 256), (0.0, 40), (500.0, 256), (50e3, 31), (0.0, 0)] {
            assert_eq!(drift(&side(by, samples), LINE), 0.0, "{by} {samples}");
        }
    }
}
