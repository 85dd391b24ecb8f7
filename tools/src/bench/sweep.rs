//! All estimators on all classes over some seeds.
#![forbid(unsafe_code)]

use std::ops::Range;

use super::contender::{contenders, run};
use super::limits::Must;
use super::pairing::readings;
use super::score::{quantile, score, Score};
use crate::traces::{Class, Trace};

/// The scores of a sweep.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The classes run.
    pub classes: Vec<Class>,
    /// The estimators' names; ours first.
    pub names: Vec<&'static str>,
    /// Seeds per class.
    pub seeds: usize,
    /// By class, estimator, seed.
    scores: Vec<Vec<Vec<Score>>>,
}

/// A value over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    /// The median seed's.
    pub median: f64,
    /// The worst seed's.
    pub worst: f64,
}

impl Sweep {
    /// Runs every estimator on full traces of `classes` with each of `seeds`; tells of each trace what limits ours
    /// missed on it.
    pub fn run(classes: &[Class], seeds: Range<u64>, mut told: impl FnMut(Class, u64, Vec<String>)) -> Self {
        let names: Vec<_> = contenders().iter().map(|c| c.name()).collect();
        let mut scores = Vec::new();
        for class in classes {
            let mut of_class = vec![Vec::new(); names.len()];
            for seed in seeds.clone() {
                let trace = Trace::new(*class, seed, class.duration());
                for (mut contender, scores) in contenders().into_iter().zip(&mut of_class) {
                    let (frame, readings) = readings(&trace, *class, seed, contender.pairing());
                    let estimates = run(&mut contender, frame, &readings);
                    scores.push(score(&trace, *class, class.duration(), &estimates));
                }
                let ours = of_class.first().and_then(|scores| scores.last());
                told(*class, seed, ours.map_or(Vec::new(), |score| Must::missed(*class, score)));
            }
            scores.push(of_class);
        }
        Self { classes: classes.to_vec(), names, seeds: seeds.count(), scores }
    }

    /// A value of one class and estimator, by their places; `None` if no seed has it.
    pub fn over_seeds(
        &self,
        class: usize,
        name: usize,
        at_least: bool,
        of: impl Fn(&Score) -> Option<f64>,
    ) -> Option<Median> {
        let mut values: Vec<f64> = self.scores.get(class)?.get(name)?.iter().filter_map(of).collect();
        let median = quantile(&mut values, 0.5)?;
        let worst = if at_least { values.first() } else { values.last() };
        Some(Median { median, worst: *worst? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_worst_seed() {
        let scored = |slew| Score { slew, ..Score::default() };
        let scores = vec![vec![vec![scored(Some(4.0)), scored(Some(1.0)), scored(None), scored(Some(2.0))]]];
        let sweep = Sweep { classes: vec![Class::Wired], names: vec!["one"], seeds: 4, scores };
        let over = |at_least| sweep.over_seeds(0, 0, at_least, |s| s.slew);
        assert_eq!(over(false), Some(Median { median: 2.0, worst: 4.0 }));
        assert_eq!(over(true), Some(Median { median: 2.0, worst: 1.0 }));
        assert_eq!(sweep.over_seeds(0, 0, false, |s| s.jump), None);
    }
}
