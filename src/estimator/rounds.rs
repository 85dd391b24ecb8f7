//! Round trips beside a pair: what such a pair and an exchange sum up to does not depend on where the line runs.
//!
//! So where pairs leave the line, it tells why: the path's growth shows in it, a step of the receiver's clock does not.
#![forbid(unsafe_code)]

use super::latest::Latest;

/// Round trips in a row that prove a step.
const PROOF: usize = 3;
/// Pairs without one after which they are no row.
const PATIENCE: u32 = 3;
/// Part of a step that round trips may be off by from the known one, and steps from each other: no delay explains the
/// rest.
const UNLIKE: f64 = 0.3;
/// Standard deviations by which the known round trip itself may be off.
const GAP_SIGMA: f64 = 6.0;

/// What the round trips of an epoch have shown, ns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounds {
    /// What bounds the truth from above, whatever the corrections mean.
    pub latest: Latest,
    least: f64,
    /// Least one since samples are late, and their number.
    grown: f64,
    grown_count: usize,
    /// How late the first pair was whose round trip denies a delay, and how many said the same.
    late: f64,
    count: usize,
    /// Pairs since the last of them.
    idle: u32,
}

impl Rounds {
    pub const fn new() -> Self {
        let latest = Latest::new();
        Self { latest, least: f64::MAX, grown: f64::MAX, grown_count: 0, late: 0.0, count: 0, idle: 0 }
    }

    /// Takes in one that is `more` than the known round trip (uncertain by `sigma`), beside a pair that is `late` by
    /// more than the line may be wrong (negative: early). Returns whether no delay explains that.
    pub fn see(&mut self, late: f64, more: f64, sigma: f64) -> bool {
        let likely = UNLIKE * late.abs();
        if more.abs() > likely || GAP_SIGMA * sigma > likely {
            return false;
        }
        let same = self.count > 0 && (late - self.late).abs() <= UNLIKE * self.late.abs();
        (self.late, self.count) = if same { (self.late, self.count + 1) } else { (late, 1) };
        self.idle = 0;
        true
    }

    /// A pair came.
    pub const fn next_pair(&mut self) {
        self.idle = self.idle.saturating_add(1);
        if self.idle > PATIENCE {
            self.count = 0;
        }
    }

    /// Whether a step may be proven soon.
    pub const fn awaits(&self) -> bool {
        self.count > 0
    }

    /// What such a step would put the line wrong by, ns.
    pub const fn suspects(&self) -> f64 {
        if self.awaits() {
            self.late.abs()
        } else {
            0.0
        }
    }

    /// Whether a pair that is `late` completes the proof of a step.
    pub fn prove_step(&self, late: f64) -> bool {
        self.count >= PROOF && (late - self.late).abs() <= UNLIKE * self.late.abs()
    }

    /// A round trip was used; `None` where no pair was next to it.
    pub fn used(&mut self, round: Option<(f64, f64)>) {
        if let Some((round, _)) = round {
            self.least = self.least.min(round);
        }
    }

    /// The least one used, 0 before the first.
    pub fn least(&self) -> f64 {
        if self.least < f64::MAX {
            self.least
        } else {
            0.0
        }
    }

    /// A round trip while samples are late.
    pub fn grows(&mut self, round: f64) {
        self.grown = self.grown.min(round);
        self.grown_count = self.grown_count.saturating_add(1);
    }

    /// The least of those and their number.
    pub fn grown(&self) -> Option<(f64, usize)> {
        (self.grown_count > 0).then_some((self.grown, self.grown_count))
    }

    /// Samples begin to be late.
    pub const fn forget_grown(&mut self) {
        (self.grown, self.grown_count) = (f64::MAX, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_alike_that_no_delay_explains_prove_a_step() {
        let mut rounds = Rounds::new();
        for late in [20e6, 21e6, 20.5e6] {
            assert!(!rounds.prove_step(20e6));
            rounds.next_pair();
            assert!(rounds.see(late, 0.4e6, 10e3));
        }
        assert!(rounds.prove_step(20e6) && !rounds.prove_step(-20e6) && !rounds.prove_step(0.0));
        // Unless pairs go on without.
        (0..=PATIENCE).for_each(|_| rounds.next_pair());
        assert!(!rounds.prove_step(20e6) && !rounds.awaits());
    }

    #[test]
    fn a_path_that_grew_or_a_round_trip_hardly_known_proves_nothing() {
        let mut rounds = Rounds::new();
        for (more, sigma) in [(20e6, 10e3), (40e6, 10e3), (-20e6, 10e3), (0.0, 2e6)] {
            assert!(!rounds.see(20e6, more, sigma));
        }
        for late in [20e6, -20e6, 20e6, 40e6, 20e6] {
            assert!(rounds.see(late, 0.0, 10e3));
        }
        assert!(!rounds.prove_step(20e6));
    }
}
