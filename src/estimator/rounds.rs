//! Round trips beside a pair: what such a pair and an exchange sum up to does not depend on where the line runs.
//!
//! So where pairs leave the line, it tells why: the path's growth shows in it, a step of the receiver's clock does not.
#![forbid(unsafe_code)]

use super::latest::Latest;

/// Round trips in a row that prove a step,
const PROOF: usize = 3;
/// and where they go up and down by as much as the step, so that some agree by chance.
const RESTLESS_PROOF: usize = 10;
/// They do where less than this part of those remembered agree.
const AGREEING: f64 = 0.7;
/// Pairs without one after which they are no row.
const PATIENCE: u32 = 3;
/// Part of a step that round trips may be off by from the known one, and steps from each other: no delay explains the
/// rest.
pub(super) const UNLIKE: f64 = 0.3;
/// Standard deviations by which the known round trip itself may be off.
const GAP_SIGMA: f64 = 6.0;
/// Round trips remembered: 4 s at 8 Hz.
const REMEMBERED: usize = 32;

/// What round trips in a row prove, where the pairs beside them are off the line and the path is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The clock was stepped: from one pair to the next.
    Leap,
    /// The line runs at another rate than the clock: it has left the pairs little by little.
    Drift,
}

/// A round trip, and where its pair lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    /// When the pair came, s.
    pub t: f64,
    pub round: f64,
    /// How late the pair is against the line (negative: early), ns.
    pub late: f64,
}

/// What the round trips of an epoch have shown, ns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounds {
    /// What bounds the truth from above, whatever the corrections mean.
    pub latest: Latest,
    least: f64,
    /// Least one since samples are late, and their number.
    grown: f64,
    grown_count: usize,
    /// The latest ones and when, newest first, and their number.
    remembered: [(f64, f64); REMEMBERED],
    len: usize,
    /// How late the first pair was whose round trip denies a delay, how many said the same, and what it would be.
    late: f64,
    count: usize,
    proof: usize,
    told: Told,
    /// Pairs since the last of them.
    idle: u32,
}

impl Rounds {
    pub const fn new() -> Self {
        Self {
            latest: Latest::new(),
            least: f64::MAX,
            grown: f64::MAX,
            grown_count: 0,
            remembered: [(0.0, 0.0); REMEMBERED],
            len: 0,
            late: 0.0,
            count: 0,
            proof: PROOF,
            told: Told::Leap,
            idle: 0,
        }
    }

    /// Takes in one that is `more` than the known round trip (uncertain by `sigma`), beside a pair that is `late` by
    /// more than the line may be wrong (negative: early). `left` is when pairs were last on the line, and what it is called
    /// that this one is not. Returns whether no delay explains that.
    pub fn see(&mut self, beside: Beside, more: f64, sigma: f64, left: (f64, Told)) -> bool {
        let Beside { round, late, .. } = beside;
        let likely = UNLIKE * late.abs();
        // Nor was the path another one as long as pairs lay on the line: one that got shorter may have come back to what
        // was known of it before.
        let before = self.least_of(|t| t <= left.0);
        if more.abs() > likely {
            // It takes back one that agreed, maybe by chance: a liar's are anything.
            self.count = self.count.saturating_sub(1);
            return false;
        }
        if GAP_SIGMA * sigma > likely || before.is_some_and(|before| (before - round).abs() > likely) {
            return false;
        }
        let same = self.count > 0 && (late - self.late).abs() <= UNLIKE * self.late.abs();
        if same {
            self.count += 1;
        } else {
            (self.late, self.count, self.told) = (late, 1, left.1);
        }
        let near = |r: &&(f64, f64)| (r.1 - round).abs() <= likely;
        let agreeing = self.remembered[..self.len].iter().filter(near).count();
        let restless = (agreeing as f64) < AGREEING * self.len as f64;
        self.proof = if restless { RESTLESS_PROOF } else { PROOF };
        self.idle = 0;
        true
    }

    /// Remembers a round trip, whatever it tells.
    pub fn remember(&mut self, beside: Beside) {
        self.remembered.rotate_right(1);
        self.remembered[0] = (beside.t, beside.round);
        self.len = (self.len + 1).min(REMEMBERED);
    }

    /// The least of those remembered whose time is one `of` those asked for.
    pub fn least_of(&self, of: impl Fn(f64) -> bool) -> Option<f64> {
        self.remembered[..self.len].iter().filter(|(t, _)| of(*t)).map(|(_, round)| *round).reduce(f64::min)
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

    /// What a pair that is `late` completes the proof of.
    pub fn prove(&self, late: f64) -> Option<Told> {
        let alike = (late - self.late).abs() <= UNLIKE * self.late.abs();
        (self.count >= self.proof && alike).then_some(self.told)
    }

    /// The line was put right: what was said of it is forgotten.
    pub const fn settle(&mut self) {
        self.count = 0;
    }

    /// A round trip was used; `None` where no pair was next to it.
    pub fn used(&mut self, beside: Option<Beside>) {
        if let Some(beside) = beside {
            self.least = self.least.min(beside.round);
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

    fn beside(late: f64) -> Beside {
        Beside { t: 10.0, round: 1e6, late }
    }

    const LEAP: (f64, Told) = (9.0, Told::Leap);

    #[test]
    fn three_alike_that_no_delay_explains_prove_a_step() {
        let mut rounds = Rounds::new();
        for late in [20e6, 21e6, 20.5e6] {
            assert_eq!(rounds.prove(20e6), None);
            rounds.next_pair();
            assert!(rounds.see(beside(late), 0.4e6, 10e3, LEAP));
        }
        assert_eq!([20e6, -20e6, 0.0].map(|late| rounds.prove(late)), [Some(Told::Leap), None, None]);
        // Unless pairs go on without.
        (0..=PATIENCE).for_each(|_| rounds.next_pair());
        assert!(rounds.prove(20e6).is_none() && !rounds.awaits());
    }

    #[test]
    fn among_restless_round_trips_three_alike_may_be_chance() {
        let mut rounds = Rounds::new();
        for i in 0..16 {
            rounds.remember(Beside { round: 1e6 + 5e6 * f64::from(i % 8), ..beside(0.0) });
        }
        for count in 1..RESTLESS_PROOF {
            rounds.next_pair();
            assert!(rounds.see(Beside { round: 21e6, ..beside(20e6) }, 0.0, 10e3, (0.0, Told::Leap)));
            assert_eq!(rounds.prove(20e6), None, "{count}");
        }
        assert!(rounds.see(Beside { round: 21e6, ..beside(20e6) }, 0.0, 10e3, (0.0, Told::Leap)));
        assert_eq!(rounds.prove(20e6), Some(Told::Leap));
    }

    #[test]
    fn a_path_that_grew_or_a_round_trip_hardly_known_proves_nothing() {
        let mut rounds = Rounds::new();
        for (more, sigma) in [(20e6, 10e3), (40e6, 10e3), (-20e6, 10e3), (0.0, 2e6)] {
            assert!(!rounds.see(beside(20e6), more, sigma, LEAP));
        }
        for late in [20e6, -20e6, 20e6, 40e6, 20e6] {
            assert!(rounds.see(beside(late), 0.0, 10e3, LEAP));
        }
        assert_eq!(rounds.prove(20e6), None);
    }

    #[test]
    fn a_few_that_agree_among_many_that_do_not_prove_nothing() {
        let mut rounds = Rounds::new();
        for more in [0.0, 9e6, 0.0, -8e6, 0.0, 30e6, 0.0] {
            rounds.next_pair();
            rounds.see(beside(20e6), more, 10e3, LEAP);
        }
        assert_eq!(rounds.prove(20e6), None);
        // Two more, and they are the many.
        rounds.see(beside(20e6), 0.0, 10e3, LEAP);
        rounds.see(beside(20e6), 0.0, 10e3, LEAP);
        assert_eq!(rounds.prove(20e6), Some(Told::Leap));
    }

    #[test]
    fn a_path_that_was_longer_just_before_explains_early_pairs() {
        let mut rounds = Rounds::new();
        rounds.remember(Beside { t: 8.0, round: 41e6, late: 0.0 });
        rounds.remember(Beside { t: 9.5, round: 1e6, late: -20e6 });
        assert!(!rounds.see(beside(-20e6), 0.0, 10e3, LEAP));
        // Where pairs lay on the line while the round trip was this one already, it does not.
        assert!(rounds.see(beside(-20e6), 0.0, 10e3, (9.5, Told::Leap)));
    }
}
