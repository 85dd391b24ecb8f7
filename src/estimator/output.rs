//! What is published: a line without jumps that steers towards the filter's, and the bound on its error.
#![forbid(unsafe_code)]

use super::line::Line;
use crate::time::{LocalTime, PtpTime, Span};

/// Pairs before the line is trusted: it takes three to have seen that they agree.
const TRUST_PAIRS: u64 = 3;
/// Exchanges before the path delay is named.
const TRUST_EXCHANGES: u64 = 2;
/// Time constant of the steering, s: slow enough to hide the filter's own noise, fast against a rate's change.
const STEER: f64 = 3.0;
/// While a line is young the time constant is this part of its age, and at least this many seconds.
const YOUNG_STEER: f64 = 0.1;
const LEAST_STEER: f64 = 0.5;
/// Age up to which the line may steer as fast as it takes, s.
const YOUNG: f64 = 8.0;
/// But no line, steered or not, runs faster or slower by more, ns/s: readers keep rates within a half, and find their way
/// back to the nanosecond only on one that is not much steeper or flatter than their own clock's.
const MAX_RATE: f64 = 0.25e9;
/// Limit of the steering after that, ns/s: 50 ppm cannot be heard.
const MAX_STEER: f64 = 50e3;
/// What goes beyond this difference, ns, is steered out over about this time, s: a line that is wrong by a millisecond
/// had better be quick.
const SLOW_MOST: f64 = 350e3;
const LONG_STEER: f64 = 3.0;
/// Standard deviations in the bound: the filter's normal distribution stands for a skewed one.
const BOUND_SIGMA: f64 = 6.0;
/// The line may miss the least delay of the session by some parts of the delays seen next to the floor.
const BOUND_NEAR: f64 = 4.1;
/// Noise of the stamps, ns.
const BOUND_LEAST: f64 = 4e3;
/// Wander of the rate while nothing is heard, ns/s: some 0.1 ppm in a minute.
const BOUND_WANDER: f64 = 100.0;
/// A link whose delays spread by this much may have been congested from the start, ns,
const CONGESTED: f64 = 3e6;
/// so that its least delay may not show for so many samples (3 min at 8 Hz).
const CONGESTED_SAMPLES: f64 = 1440.0;
/// In a young epoch the floor may not have shown yet, nor the rate: as many medians of the delays as this number has to
/// that of its pairs, and at most so many, are added; less a little, so that a minute later none is.
const UNSEEN_SAMPLES: f64 = 64.0;
const UNSEEN_FADE: f64 = 0.1;
/// A few samples may agree by chance: to their median this is added, ns, over their number.
const UNSEEN_FIRST: f64 = 500e3;
const UNSEEN_MOST: f64 = 16.0;
/// No path takes no time, ns.
const LEAST_PATH: f64 = 1.0;
/// Share of the round trip's least delay by which its halves may differ: all of it. Nothing but the sum can be observed,
/// so half the round trip bounds the error of splitting it evenly (as NTP's root distance has it).
const ASYMMETRY: f64 = 1.0;

/// What the tracking knows at one instant; times in s, the rest in ns (per s).
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub now: f64,
    pub target: f64,
    pub rate: f64,
    pub sigma: f64,
    pub rate_sigma: f64,
    /// Excess delay that one in fifty samples stays below.
    pub near: f64,
    /// Scale of the excess delays.
    pub scale: f64,
    /// Excess delay that half the samples stay below.
    pub median: f64,
    /// Samples these were learned from.
    pub samples: f64,
    pub pairs: u64,
    /// Least round trip, where exchanges work.
    pub gap: Option<f64>,
    pub exchanges: u64,
    /// Least round trip measured.
    pub round: f64,
    /// The latest samples of both directions: the truth lies between them, whatever path they took.
    pub between: Option<(f64, f64)>,
    /// What samples that contradict the line add to the bound.
    pub doubt: f64,
    /// And to what it grows by, ns/s.
    pub rate_doubt: f64,
}

/// The published line in the epoch's coordinates.
#[derive(Clone, Debug)]
pub(super) struct Output {
    t: f64,
    y: f64,
    rate: f64,
    skew: f64,
    bound: f64,
    /// The part of the bound that no sample's contradiction is behind.
    calm: f64,
    growth: f64,
    /// The part of the growth that the steering has, ns/s.
    steer: f64,
    path_delay: Option<f64>,
    trusted: bool,
    /// Pairs behind the line, and how many there must be before it may jump no more.
    pairs: u64,
    free: u64,
}

impl Output {
    pub const fn new() -> Self {
        Self {
            t: 0.0,
            y: 0.0,
            rate: 0.0,
            skew: 0.0,
            bound: 0.0,
            calm: 0.0,
            growth: 0.0,
            steer: 0.0,
            path_delay: None,
            trusted: false,
            pairs: 0,
            free: TRUST_PAIRS,
        }
    }

    /// Lets the line jump for the next few pairs: the caller declares an epoch.
    pub const fn set_free(&mut self) {
        self.free = self.pairs.saturating_add(TRUST_PAIRS);
    }

    /// Takes the line on to `state.now`, steering towards its target.
    pub fn follow(&mut self, state: State) {
        // A little before `self.t` where a deadline was kept early: readers are on the line of before, so that is where the
        // new one begins.
        let State { now, target, .. } = state;
        let mut steer = 0.0;
        if self.pairs >= self.free && !crate::planted::bug("association-line-jumps") {
            // Once trusted it moves by no jumps.
            self.y += self.rate * (now - self.t);
            let difference = target - self.y;
            let constant = (now * YOUNG_STEER).clamp(LEAST_STEER, STEER);
            let constant = if crate::planted::bug("steers-at-will") { 0.01 } else { constant };
            let limit = if now < YOUNG || crate::planted::bug("steers-at-will") {
                f64::MAX
            } else {
                MAX_STEER + (difference.abs() - SLOW_MOST).max(0.0) / LONG_STEER
            };
            steer = (difference / constant).clamp(-limit, limit);
        } else {
            self.y = target;
        }
        self.t = now;
        self.rate = (state.rate + steer).clamp(-MAX_RATE, MAX_RATE);
        self.skew = state.rate;
        self.pairs = state.pairs;
        self.trusted = state.pairs >= self.free;
        let hidden_for = CONGESTED_SAMPLES * (state.scale / CONGESTED).min(1.0);
        let hidden = 1.25 * state.scale * (2.0 - 2.0 * state.samples / hidden_for).clamp(0.0, 1.0);
        let pairs = state.pairs.max(1) as f64;
        let unseen = (state.median + UNSEEN_FIRST / pairs)
            * (UNSEEN_SAMPLES / pairs - UNSEEN_FADE).clamp(0.0, UNSEEN_MOST);
        self.calm = BOUND_SIGMA * state.sigma
            + BOUND_NEAR * state.near
            + BOUND_LEAST
            + hidden
            + unseen
            + state.gap.map_or(0.0, |g| ASYMMETRY * 0.5 * g);
        self.bound = self.calm + (target - self.y).abs() + state.doubt;
        if let Some((lower, upper)) = state.between {
            // What was learned of the path may not hold any more; this does.
            self.bound = self.bound.max(BOUND_LEAST + (upper - self.y).max(self.y - lower));
        }
        if crate::planted::bug("bound-too-small") {
            self.bound *= 0.1;
        }
        self.steer = steer.abs();
        self.growth = self.steer + BOUND_SIGMA * state.rate_sigma + state.rate_doubt + BOUND_WANDER;
        self.path_delay = state
            .gap
            .filter(|_| state.exchanges >= TRUST_EXCHANGES)
            .map(|g| (0.5 * g.max(state.round)).max(LEAST_PATH));
    }

    /// Nothing is heard any more. The steering was for the time until the next sample: kept up for longer, it would take
    /// the line beyond where it was to go. The line runs on at the measured rate, which may be wrong by `drift`, ns/s.
    pub fn coast(&mut self, now: f64, drift: f64) {
        self.growth = self.growth.max(self.steer + drift);
        let gone = (now - self.t).max(0.0);
        self.t += gone;
        self.y += self.rate * gone;
        self.bound += self.growth * gone;
        self.growth -= self.steer;
        self.steer = 0.0;
        self.rate = self.skew.clamp(-MAX_RATE, MAX_RATE);
    }

    /// What the line may be wrong by while nothing contradicts it, ns.
    pub const fn calm(&self) -> f64 {
        self.calm
    }

    /// The published bound, ns.
    pub const fn bound(&self) -> f64 {
        self.bound
    }

    /// The line for readers, given the epoch's first sample.
    pub fn line(&self, local0: LocalTime, remote0: PtpTime) -> Line {
        // Casts from float saturate and take NaN as 0.
        let elapsed = (self.t * 1e9).round() as i64;
        let remote =
            (self.y.round() as i128).saturating_add(i128::from(remote0.nanos()) + i128::from(elapsed));
        Line {
            anchor_local: local0.plus(Span::from_nanos(elapsed)),
            anchor_remote: PtpTime::clamped(remote),
            rate: self.rate * 1e-9,
            skew: self.skew * 1e-9,
            error_ns: self.bound.ceil() as u64,
            error_growth: self.growth * 1e-9,
            path_delay_ns: self.path_delay.map(|d| d.round() as u64),
            trusted: self.trusted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(now: f64, target: f64, pairs: u64) -> State {
        State {
            now,
            target,
            rate: 10e3,
            sigma: 1e3,
            rate_sigma: 10.0,
            near: 1e3,
            scale: 20e3,
            median: 20e3,
            samples: 1000.0,
            pairs,
            gap: None,
            exchanges: 0,
            round: 0.0,
            between: None,
            doubt: 0.0,
            rate_doubt: 0.0,
        }
    }

    #[test]
    fn it_jumps_until_trusted_and_steers_after() {
        let mut output = Output::new();
        for pairs in 1..=3 {
            output.follow(state(40.0, 1e6 * pairs as f64, pairs));
            assert_eq!((output.y, output.trusted), (1e6 * pairs as f64, pairs == 3));
        }
        output.follow(state(40.0, 3e6 + 100e3, 4));
        assert_eq!(output.y, 3e6);
        // 100 us in 3 s would be 33 ppm.
        assert!((output.rate - 10e3 - 100e3 / STEER).abs() < 1.0, "{}", output.rate);
        assert!(output.bound > 100e3, "{}", output.bound);
        output.follow(state(40.0, 3e6 + 300e3, 5));
        assert_eq!(output.rate, 10e3 + MAX_STEER);
        output.follow(state(40.0, 3e6 + SLOW_MOST + 3e6, 6));
        assert_eq!(output.rate, 10e3 + MAX_STEER + 1e6);
        output.set_free();
        output.follow(state(40.0, 5e6, 7));
        assert_eq!((output.y, output.rate), (5e6, 10e3));
    }

    #[test]
    fn steering_ends_when_nothing_is_heard() {
        let mut output = Output::new();
        output.follow(state(39.0, 0.0, 4));
        output.follow(state(40.0, 3e6, 5));
        let (steered, before) = (output.rate, output.bound);
        assert!(steered > 10e3 + MAX_STEER);
        let (y, growth) = (output.y, output.growth);
        output.coast(41.0, 0.0);
        // No jump: where readers of the line before are by then, at the measured rate from there on.
        assert_eq!((output.t, output.y, output.rate), (41.0, y + steered, 10e3));
        assert_eq!(output.bound, before + growth);
        assert!((output.growth - (growth - (steered - 10e3))).abs() < 1e-6);
        let once = (output.y, output.rate, output.bound, output.growth);
        output.coast(41.0, 0.0);
        assert_eq!((output.y, output.rate, output.bound, output.growth), once);
    }

    #[test]
    fn it_never_steers_faster_than_readers_can_follow() {
        for target in [1e9, -1e9] {
            let mut output = Output::new();
            output.follow(state(0.375, 0.0, 4));
            output.follow(state(0.5, target, 5));
            output.follow(state(0.625, target, 6));
            assert_eq!(output.rate, MAX_RATE.copysign(target));
            // Where readers of the last line are by then, is where this one goes on.
            let (local, remote) = (LocalTime::default(), PtpTime::clamped(1 << 60));
            let before = output.line(local, remote);
            output.follow(state(0.75, target, 7));
            let after = output.line(local, remote);
            let read = |line: Line| crate::timeline::Conversion {
                anchor_local: line.anchor_local,
                anchor_remote: line.anchor_remote,
                rate: crate::timeline::Rate::new(line.rate),
                sync_state: crate::timeline::SyncState::Locked,
                ..Default::default()
            };
            let at = after.anchor_local.nanos();
            assert!(read(before).receiver_time(at).abs_diff(read(after).receiver_time(at)) <= 1);
            assert!(read(after).local_time(read(after).receiver_time(at + 999)).abs_diff(at + 999) <= 1);
        }
    }

    #[test]
    fn the_bound_holds_what_could_be_wrong() {
        let bound = |change: fn(&mut State)| {
            let mut output = Output::new();
            let mut state = state(20.0, 0.0, 1000);
            change(&mut state);
            output.follow(state);
            output.bound
        };
        let calm = bound(|_| ());
        assert!((5e3..20e3).contains(&calm), "{calm}");
        assert!(bound(|s| s.sigma = 10e3) >= calm + 50e3);
        assert!(bound(|s| s.gap = Some(2e6)) >= calm + 1e6);
        assert!(bound(|s| s.doubt = 1e6) >= calm + 1e6);
        let growth = |rate_doubt: f64| {
            let mut output = Output::new();
            output.follow(State { rate_doubt, ..state(20.0, 0.0, 1000) });
            output.growth
        };
        assert!(growth(20e3) >= growth(0.0) + 20e3);
        // The floor may not have shown yet.
        assert!(bound(|s| s.pairs = 80) >= calm + 10e3);
        // A wide spread in a young session may be a queue that never let go.
        assert!(bound(|s| (s.scale, s.samples) = (15e6, 400.0)) > 15e6);
        assert!(bound(|s| (s.scale, s.samples) = (15e6, 1500.0)) < 1.1 * calm);
    }
}
