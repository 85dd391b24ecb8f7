//! One epoch: the filters, and the verdicts on samples that contradict them.
#![forbid(unsafe_code)]

use super::delays::Delays;
use super::drift::{allowed, drift};
use super::elders::{Elder, Elders};
use super::filter::{Excess, Filter, Point};
use super::fit::LATE_MOST;
use super::line::Line;
use super::output::{Output, State};
use super::rounds::{Rounds, Told};
use super::side::{Side, Straight};
use super::CRYSTALS;
use crate::time::{LocalTime, PtpTime, Span};
use hold::Former;

mod hold;
mod leap;

/// No two crystals differ by more, ns/s.
const MAX_RATE: f64 = 300e3;
/// Power of the rate's random walk, (ns/s)^2 per second: crystals wander by some 0.01 ppm per root second, and a
/// temperature cycle of some minutes adds as much again.
const WANDER: f64 = 20.0 * 20.0;
/// The same for the agile filter, which stands for "the rate has changed".
const AGILE_WANDER: f64 = 4000.0 * 4000.0;
/// Log likelihood ratio of the agile to the steady filter that proves a change of rate (Page's test).
const CHANGE: f64 = 9.0;
/// A change of rate beyond this is no crystal's but a queue's, ns/s.
const CRYSTAL_CHANGE: f64 = 80e3;
/// A sample above the line by more cannot be a late stamp, nor be explained by any network, ns.
const STEP: f64 = 50e6;
/// No queue delays a packet by this much, ns.
const FAR: f64 = 1.5e9;
/// A young line may itself sit this much too late (a beacon interval), ns.
const YOUNG_LATE: f64 = 110e6;
/// Samples in which a line is young.
const YOUNG: u64 = 24;
/// Samples so few that none can be called an outlier.
const INFANT: u64 = 8;
/// Standard deviations above a line whose rate is not known yet from which on the line is in doubt.
const SURPRISE: f64 = 4.0;
/// A share of next to nothing, whose logarithm still exists.
const NEVER: f64 = 1e-30;
/// Samples in a row that make a step.
const STEP_SAMPLES: usize = 3;
/// How far those may lie apart, ns: a beacon interval and some.
const STEP_SPREAD: f64 = 150e6;
/// How long such a run must last at least, s: a Sync interval and some, so that of a clock that goes on as before a
/// sample falls in between, and packets that somebody replays or makes up are no step beside it.
const STEP_LASTS: f64 = 0.15;
/// A measurement from further back than this is of no use, s.
const TOO_OLD: f64 = 10.0;
/// Rates closer than this are those of one crystal, ns/s.
const SAME_RATE: f64 = 500.0;
/// A rate known no better than this is not known, standard deviation, ns/s.
const UNKNOWN_RATE: f64 = 4e3;
/// Samples that a line begins anew from once it was lifted: those that lifted it.
const LIFT_KEEPS: usize = 8;
/// How well the rate is known that went on beside a path's growth, standard deviation, ns/s.
const RETURN_RATE: f64 = 1e3;
/// A rate is settled once it is known as well as this, standard deviation, ns/s.
const SETTLED_RATE: f64 = 700.0;

/// What samples say of a growth, and of a run of late ones, counts a little more in the bound.
const BOUND_GROWTH: f64 = 1.45;
/// From this score on a change of rate may be under way: the bound holds either filter.
const SCORE_DOUBT: f64 = 4.0;
/// A line that leaves the samples has left them further by now than the least of the latest says.
const BOUND_BELOW: f64 = 1.5;
/// Exchanges that must agree before half the round trip moves the line.
const GAP_EXCHANGES: u64 = 2;
/// Samples of each direction that the truth has to lie between (8 s at 8 Hz).
const LATEST: usize = 64;
/// What a path that grows may be taken for a rate by, ns/s.
const LATEST_RATE: f64 = 100e3;
/// The floor lies higher than the filter's mean more often by far than lower: what the line is put above it by, in
/// standard deviations, which evens out the extremes of either side (seen over some hundred traces),
const LEAN: f64 = 0.25;
/// but not where the floor is hardly known at all, ns.
const LEAN_MOST: f64 = 120e3;

/// What a pair did.
#[expect(clippy::large_enum_variant, reason = "a step is rare, and nothing here allocates")]
pub(super) enum Verdict {
    Used,
    Outlier,
    /// The timeline stepped; these are its first samples, oldest first.
    Step(Restart),
}

/// What a new epoch begins with.
pub(super) struct Restart {
    pub samples: [(LocalTime, PtpTime); STEP_SAMPLES],
    pub rate: f64,
    pub delays: [Delays; 2],
}

/// The state of one epoch.
#[derive(Clone, Debug)]
pub(super) struct Track {
    local0: LocalTime,
    remote0: PtpTime,
    /// Mean and standard deviation of the rate before the first sample, ns/s.
    prior: (f64, f64),
    steady: Filter,
    agile: Filter,
    /// Page's sum of log likelihood ratios of agile to steady.
    score: f64,
    down: Side,
    up: Side,
    /// Samples in a row that lie where only a step puts them.
    pending: [(LocalTime, PtpTime); STEP_SAMPLES],
    pending_len: usize,
    /// When the first of them came, and between what all of them lie, ns.
    pending_since: LocalTime,
    pending_between: (f64, f64),
    /// Since when all samples have been too late to be an accident: meanwhile the line coasts.
    hold: Option<f64>,
    /// How many of them the delays were learned from.
    hold_own: usize,
    /// The least lateness of those.
    hold_gap: f64,
    former: Option<Former>,
    /// What the path had grown by where a former floor was given up, ns: pairs alone cannot show that it has not.
    debt: f64,
    /// The bound without half the round trip, while nothing contradicted the line, ns.
    unsure: f64,
    rounds: Rounds,
    elders: Elders,
    output: Output,
}

impl Track {
    pub fn start(local: LocalTime, remote: PtpTime, prior: (f64, f64), delays: Option<[Delays; 2]>) -> Self {
        let [down, up] = delays.unwrap_or_else(|| [Delays::new(), Delays::new()]);
        let (mut down, up) = (Side::new(down), Side::new(up));
        let scale = down.excess().scale;
        down.push(Point::default());
        let p = [[scale * scale, 0.0, 0.0], [0.0, prior.1 * prior.1, 0.0], [0.0; 3]];
        let filter = Filter { t: 0.0, x: [scale, prior.0, 0.0], p };
        let mut track = Self {
            local0: local,
            remote0: remote,
            prior,
            steady: filter,
            agile: filter,
            score: 0.0,
            down,
            up,
            pending: [(local, remote); STEP_SAMPLES],
            pending_len: 0,
            pending_since: local,
            pending_between: (0.0, 0.0),
            hold: None,
            hold_own: 0,
            hold_gap: 0.0,
            former: None,
            debt: 0.0,
            unsure: f64::MAX,
            rounds: Rounds::new(),
            elders: Elders::new(),
            output: Output::new(),
        };
        track.publish(local, 0.0);
        track
    }

    /// The rate in effect, ns/s.
    pub fn rate(&self) -> f64 {
        self.steady.x[1]
    }

    fn point(&self, local: LocalTime, remote: PtpTime) -> Point {
        let elapsed = self.elapsed(local);
        let remote = i128::from(remote.nanos()) - i128::from(self.remote0.nanos());
        // Only these small differences become floats: no offset, however large, loses a nanosecond.
        Point { t: elapsed as f64 * 1e-9, y: (remote - elapsed) as f64 }
    }

    fn elapsed(&self, local: LocalTime) -> i128 {
        i128::from(local.nanos()) - i128::from(self.local0.nanos())
    }

    pub fn pair(&mut self, local: LocalTime, remote: PtpTime, now: LocalTime) -> Verdict {
        let point = self.point(local, remote);
        if point.t < self.steady.t - TOO_OLD {
            return Verdict::Outlier;
        }
        let mut steady = self.steady;
        steady.predict(point.t, WANDER);
        let h = [1.0, (point.t - steady.t).min(0.0), 0.0];
        let (floor, variance, _) = steady.project(h);
        let sigma = variance.max(0.0).sqrt();
        let r = point.y - floor;
        let young = if self.down.seen < YOUNG { YOUNG_LATE } else { 0.0 };
        let far = r > STEP + 5.0 * sigma + young || r.abs() > FAR;
        if far && !crate::planted::bug("absurd-times-taken") {
            return self.far_sample(local, remote, r, now);
        }
        self.pending_len = 0;
        if self.hold.is_none() && !self.rounds.awaits() {
            self.unsure = self.output.bound() - 0.5 * self.steady.x[2].max(0.0);
        }
        self.rounds.next_pair();
        let told = self.rounds.prove(-r);
        if told == Some(Told::Leap) {
            if let [second, first, ..] = *self.down.recent() {
                self.pending = [self.sample(first), self.sample(second), (local, remote)];
                return Verdict::Step(self.restart(self.pending));
            }
        }
        self.steady = steady;
        self.agile.predict(point.t, AGILE_WANDER);
        self.down.push(point);
        if told == Some(Told::Drift) {
            self.sink();
            self.publish(now, 0.0);
            return Verdict::Used;
        }

        let limit = Side::limit(sigma);
        if r > limit
            && self.down.seen > INFANT
            && !self.rounds.awaits()
            && self.contradicted(&self.down, Straight::floor(&self.steady), limit)
        {
            self.lift(h, point.y);
            self.publish(now, 0.0);
            return Verdict::Used;
        }
        if self.judge_late_run(point.t, r, sigma) {
            return Verdict::Step(self.restart(self.pending));
        }
        let mut excess = self.down.excess();
        if self.down.seen <= INFANT {
            // Among the first few a late stamp cannot be told from a lucky sample; a wrong guess is soon put right.
            excess.late = NEVER;
        }
        if self.hold.is_some() {
            // Nothing but a sample above the line says anything of it now.
            excess.tail = 0.99;
        } else {
            self.down.delays.add(-r);
        }
        let unsure = self.down.seen <= INFANT || self.steady.p[1][1] > UNKNOWN_RATE * UNKNOWN_RATE;
        if unsure && r > SURPRISE * sigma && (r <= limit || self.down.seen <= INFANT) && self.hold.is_none() {
            // A truncated normal so far out is far too sure of itself.
            self.steady.p[0][0] += r * r;
            self.agile.p[0][0] += r * r;
            self.down.rejuvenate();
        }
        let steady = self.steady.update(h, point.y, 1.0, excess);
        let agile = self.agile.update(h, point.y, 1.0, excess);
        if self.hold.is_none() {
            self.judge_change(agile - steady);
        }
        if self.down.begins_anew() && self.hold.is_none() && self.former.is_none_or(|f| f.abrupt && !f.holds)
        {
            self.begin_anew();
        }
        self.doubt_exchanges();
        self.follow_former();
        self.remember_growth();
        self.publish(now, if r > limit { 1.5 * r } else { 0.0 });
        if r > limit {
            Verdict::Outlier
        } else {
            Verdict::Used
        }
    }

    /// A sample where no network can put it: three in a row are a step.
    fn far_sample(&mut self, local: LocalTime, remote: PtpTime, r: f64, now: LocalTime) -> Verdict {
        // All of a run agree, not only the last of it: packets made up with one and the same time drift apart.
        let y = self.point(local, remote).y;
        let (low, high) = self.pending_between;
        self.pending_between = (low.min(y), high.max(y));
        if self.pending_len == 0
            || (self.pending_between.1 - self.pending_between.0 >= STEP_SPREAD
                && !crate::planted::bug("step-run-unlike"))
        {
            (self.pending_len, self.pending_since, self.pending_between) = (0, local, (y, y));
        }
        self.pending.rotate_left(1);
        self.pending[STEP_SAMPLES - 1] = (local, remote);
        self.pending_len = (self.pending_len + 1).min(STEP_SAMPLES);
        let lasts = local.since(self.pending_since).nanos() as f64 * 1e-9 >= STEP_LASTS
            || crate::planted::bug("step-at-once");
        if self.pending_len == STEP_SAMPLES && lasts {
            return Verdict::Step(self.restart(self.pending));
        }
        // The line may be wrong by as much as this, and by the delay of the sample itself.
        self.publish(now, 2.0 * r.abs() + STEP_SPREAD);
        Verdict::Outlier
    }

    fn restart(&self, samples: [(LocalTime, PtpTime); STEP_SAMPLES]) -> Restart {
        Restart { samples, rate: self.rate(), delays: [self.down.delays.clone(), self.up.delays.clone()] }
    }

    /// Three of the last five samples beyond the line, or two of eight by more than any late stamp.
    fn contradicted(&self, side: &Side, line: Straight, limit: f64) -> bool {
        side.beyond(line, 5, limit).0 >= 3 || side.beyond(line, 8, limit.max(LATE_MOST)).0 >= 2
    }

    /// The floor lies higher than the line: the path got shorter, or the line was never right.
    fn lift(&mut self, h: [f64; 3], y: f64) {
        let (_, top) = self.down.beyond(Straight::floor(&self.steady), 5, 0.0);
        let grown = self
            .former
            .filter(|f| f.holds || f.abrupt)
            .map_or(0.0, |f| f.line.at(self.steady.t) - self.steady.x[0]);
        // What the path had grown by it has shrunk by; the rest is news.
        let returned = top.min(grown).max(0.0);
        self.steady.x[0] += returned;
        self.steady.p[0][0] += (top - returned).powi(2) + 0.01 * returned * returned;
        let before = self.steady.x[0];
        self.steady.update(h, y, 1.0, self.down.excess());
        // More than the path had grown by: then it may be the clock that was set ahead, and the path as long as before.
        let owed = self.debt.max(returned);
        let clock = top > owed + self.output.calm();
        self.debt = if clock { owed } else { (self.debt - top).max(0.0) };
        self.hold = None;
        if returned == 0.0 && self.steady.x[0] - before > self.down.delays.quantile(0.2) {
            self.down.relearn(Straight::floor(&self.steady));
        }
        self.agile = self.steady;
        self.score = 0.0;
        if returned == 0.0 && self.steady.p[1][1] > UNKNOWN_RATE * UNKNOWN_RATE {
            // Nor was the rate known. What came before may have taken another path.
            self.down.forget(LIFT_KEEPS);
        }
        self.follow_former();
    }

    /// Page's test of "the rate has changed" against "it wanders as ever".
    fn judge_change(&mut self, ratio: f64) {
        self.score = (self.score + ratio).max(0.0);
        if self.score <= CHANGE {
            return;
        }
        self.score = 0.0;
        if (self.agile.x[1] - self.steady.x[1]).abs() > CRYSTAL_CHANGE {
            self.agile = self.steady;
            return;
        }
        if self.agile.x[0] < self.steady.x[0] && self.former.is_none() {
            let fall = self.steady.x[1] - self.agile.x[1];
            self.former = Some(Former {
                line: Straight::floor(&self.steady),
                since: self.steady.t,
                grown: 0.0,
                fall,
                holds: false,
                abrupt: false,
            });
        }
        self.steady = self.agile;
    }

    /// A stored point as the measurement it came from.
    fn sample(&self, point: Point) -> (LocalTime, PtpTime) {
        let elapsed = (point.t * 1e9).round() as i128;
        let remote = i128::from(self.remote0.nanos()) + elapsed + point.y.round() as i128;
        (self.local0.plus(Span::from_nanos(elapsed as i64)), PtpTime::clamped(remote))
    }

    /// Begins anew from the whole history, while that holds every sample of the epoch.
    fn begin_anew(&mut self) {
        // A round learns what the delays look like, the next makes use of it.
        // With exchanges a round costs twice as much, and there are twice as many samples to rely on.
        let rounds = if self.up.seen > INFANT { 1 } else { self.down.rounds() };
        for _ in 0..rounds {
            let Some(down) = self.down.fit(self.prior) else { return };
            let mirrored = (-self.prior.0, self.prior.1);
            let up = if self.up.seen >= 4 { self.up.fit(mirrored) } else { None };
            let both = up.and_then(|up| down.state_with(&up, self.prior));
            let ceiling = self.steady.x[0] + self.steady.x[2];
            let gap_variance = self.steady.p[2][2];
            let t = self.steady.t;
            let mut state = both.unwrap_or_else(|| down.state());
            state.predict(t, WANDER);
            if both.is_none() && self.up.seen > 0 {
                state.x[2] = ceiling - state.x[0];
                state.p[2][2] = gap_variance;
            }
            self.steady = state;
            self.down.relearn(Straight::floor(&self.steady));
            if both.is_some() {
                self.up.relearn(Straight::ceiling(&self.steady));
            }
        }
        self.agile = self.steady;
        self.score = 0.0;
    }

    /// No round trip takes less than no time. Where the exchanges say so, one of them was read wrong while the line was
    /// not known well enough to tell, and none that comes after it can put that right.
    fn doubt_exchanges(&mut self) {
        let sigma = self.steady.p[2][2].max(0.0).sqrt();
        if self.up.seen > 0 && self.steady.x[2] < -Side::limit(sigma) {
            self.forget_exchanges();
        }
    }

    /// What exchanges have shown is forgotten: they were read wrong.
    pub fn forget_exchanges(&mut self) {
        self.up = Side::new(Delays::new());
        self.rounds = Rounds::new();
        for f in [&mut self.steady, &mut self.agile] {
            f.x[2] = 0.0;
            f.p[2] = [0.0; 3];
            (f.p[0][2], f.p[1][2]) = (0.0, 0.0);
        }
    }

    pub fn exchange(&mut self, sent: LocalTime, received: PtpTime, doubt: Span, now: LocalTime) -> bool {
        let Point { t, y } = self.point(sent, received);
        let ahead = t - self.steady.t;
        let floor = self.steady.x[0] + self.steady.x[1] * ahead;
        let sigma = self.steady.p[0][0].max(0.0).sqrt();
        let round = self.round(t, y);
        let tells = round.is_some_and(|beside| self.judge_round(beside));
        if tells {
            self.publish(now, 0.0);
            return false;
        }
        // While pairs speak of a step, and where the round trip would be negative, this cannot be judged.
        let negative =
            y < floor - Side::limit(sigma) || round.is_some_and(|beside| beside.round < -Side::limit(0.0));
        let unsure = self.pending_len > 0 || self.hold.is_some() || negative;
        if ahead.abs() > TOO_OLD || y - floor > FAR || unsure {
            return false;
        }
        self.rounds.used(round);
        self.rounds.latest.see(Point { t, y }, doubt.nanos() as f64, self.steady.x[1]);
        let scale = self.up.excess().scale;
        if self.up.seen == 0 {
            for f in [&mut self.steady, &mut self.agile] {
                f.x[2] = y - (f.x[0] + f.x[1] * ahead) - scale;
                f.p[2] = [0.0; 3];
                (f.p[0][2], f.p[1][2], f.p[2][2]) = (0.0, 0.0, scale * scale);
            }
        }
        self.up.push(Point { t, y: -y });
        let h = [1.0, ahead, 1.0];
        let (ceiling, variance, _) = self.steady.project(h);
        let limit = Side::limit(variance.max(0.0).sqrt());
        let beyond = ceiling - y;
        let line = Straight::ceiling(&self.steady);
        // The first few may all have been spikes: then a single quick one tells more than they do.
        let lower = beyond > limit && (self.up.seen <= INFANT || self.contradicted(&self.up, line, limit));
        if lower {
            let (_, top) = self.up.beyond(line, 5, 0.0);
            self.steady.p[2][2] += top * top;
            self.agile.p[2][2] += top * top;
        }
        self.up.delays.add(-beyond);
        let model: Excess = self.up.excess();
        let steady = self.steady.update(h, y, -1.0, model);
        let agile = self.agile.update([1.0, t - self.agile.t, 1.0], y, -1.0, model);
        if !lower {
            self.judge_change(agile - steady);
        }
        self.publish(now, 0.0);
        beyond <= limit || lower
    }

    /// The local clock stood still for `by`: the line goes on, but is not to be trusted until it is measured anew.
    pub fn shift(&mut self, by: Span) {
        /// How well a suspend's length is known, standard deviation, ns.
        const SUSPEND: f64 = 1e6;
        let gained = by.plus(Span::from_nanos((self.rate() * 1e-9 * by.nanos() as f64) as i64));
        self.remote0 = self.remote0.plus(gained);
        self.steady.p[0][0] += SUSPEND * SUSPEND;
        self.agile.p[0][0] += SUSPEND * SUSPEND;
        self.output.set_free();
        self.publish(self.local0, 0.0);
    }

    /// Begins anew with a first sample after such a pause. What the delays are like and the rate outlast it; the samples
    /// of before do not, for where they lie is known no better than the pause's length.
    pub fn resume(&self, local: LocalTime, remote: PtpTime) -> Self {
        /// What the rate may have changed by meanwhile, ns/s.
        const CHANGE: f64 = 1e3;
        let prior = (self.rate(), (self.steady.p[1][1].max(0.0) + CHANGE * CHANGE).sqrt());
        Self::start(local, remote, prior, Some([self.down.delays.clone(), self.up.delays.clone()]))
    }

    /// The line of now, to remember.
    fn elder(&self) -> Elder {
        let sigma = |i: usize| self.steady.p[i][i].max(0.0).sqrt();
        Elder::new(Straight::floor(&self.steady), sigma(0), sigma(1))
    }

    fn publish(&mut self, now: LocalTime, doubt: f64) {
        let rate = &mut self.steady.x[1];
        *rate = rate.clamp(-MAX_RATE, MAX_RATE);
        let now = (self.elapsed(now) as f64 * 1e-9).max(self.steady.t);
        let floor = Straight::floor(&self.steady);
        let elder = self.elder();
        let two_way = self.up.seen > 0;
        let fall =
            if two_way { self.elders.fall(&elder) } else { self.elders.fall_one_way(&elder, self.prior) };
        let grown = self.former.map_or(0.0, |f| f.line.at(now) - floor.at(now)).max(fall);
        if self.hold.is_none() {
            self.elders.see(elder);
        }
        let follows = match self.former {
            Some(f) if f.holds => f.line,
            _ => floor,
        };
        let gap = if two_way { self.steady.x[2].max(0.0) } else { 0.0 };
        let sigma = self.steady.p[0][0].max(0.0).sqrt();
        // Half a round trip that was seen once may be half a spike.
        let delay = if self.up.seen >= GAP_EXCHANGES { 0.5 * gap } else { 0.0 };
        // The floor's posterior leans upwards; with exchanges the two floors' leanings cancel.
        let lean = if two_way { 0.0 } else { LEAN * sigma.min(LEAN_MOST - sigma).max(0.0) };
        let agile = (self.agile.x[0] - self.steady.x[0]).abs() + 3.0 * self.agile.p[0][0].max(0.0).sqrt();
        let changing = (self.score / SCORE_DOUBT).clamp(0.0, 1.0);
        let median = self.down.delays.quantile(0.5);
        let rate_doubt = if two_way { 0.0 } else { self.elders.rate_doubt(&elder, self.prior) };
        let state = State {
            now,
            target: follows.at(now) + delay + lean,
            rate: follows.rate,
            sigma,
            rate_sigma: self.steady.p[1][1].max(0.0).sqrt(),
            near: self.down.delays.quantile(0.02),
            scale: self.down.excess().scale.min(median),
            median,
            samples: self.down.delays.count(),
            pairs: self.down.seen,
            gap: two_way.then_some(gap),
            exchanges: self.up.seen,
            round: self.rounds.least(),
            between: self.between(now),
            doubt: doubt
                + BOUND_GROWTH * if two_way { grown } else { grown.max(self.debt) }
                // A run's least lateness may be that of a sample from before what it is about.
                + (BOUND_GROWTH * self.down.late(floor, sigma))
                    .max(match self.hold {
                        // And the line may coast at a rate that was a path's, which shrank or grew until then.
                        Some(since) => BOUND_GROWTH * self.hold_gap.max(rate_doubt * (now - since)),
                        None => BOUND_BELOW * self.down.below(floor),
                    })
                .max(BOUND_GROWTH * self.rounds.suspects())
                .max(if two_way { 0.0 } else { BOUND_GROWTH * self.down.above(floor, sigma) })
                + self.rounds.latest.above(Straight::ceiling(&self.steady), now)
                + agile * changing,
            rate_doubt: (self.agile.x[1] - self.steady.x[1]).abs() * changing + rate_doubt,
        };
        self.output.follow(state);
    }

    /// Where the latest samples of both directions leave room for the truth at `now`: above every Sync, which took some
    /// time, and below every request; the less certain the older they are.
    fn between(&self, now: f64) -> Option<(f64, f64)> {
        let rate = self.steady.x[1];
        // Nor do crystals differ by more than that: a rate that does may be the path's all of it.
        let unsure = 3.0 * self.steady.p[1][1].max(0.0).sqrt() + LATEST_RATE.max(rate.abs());
        let top = |side: &Side, rate: f64| {
            let latest = side.recent().iter().take(LATEST).map(|p| p.y + (rate - unsure) * (now - p.t));
            latest.fold(f64::MIN, f64::max)
        };
        (self.up.seen >= GAP_EXCHANGES).then(|| (top(&self.down, rate), -top(&self.up, -rate)))
    }

    /// Nothing has been heard for a while: ends the steering. Where the ways up and down told of different rates the
    /// path was changing, and the clock's rate lies between them: as far apart as it seems, or where no rate has lasted long
    /// enough to be the clock's, as it may be.
    pub fn coast(&mut self, now: LocalTime) {
        let [floor, ceiling] = [Straight::floor(&self.steady), Straight::ceiling(&self.steady)];
        let two_way = self.up.seen >= GAP_EXCHANGES;
        let drift = if two_way {
            let most = allowed(&self.down, floor).max(allowed(&self.up, ceiling));
            // What was expected may have been learned from this very path: any crystal's rate counts.
            let doubt = self.elders.rate_doubt(&self.elder(), (0.0, CRYSTALS)).min(most);
            drift(&self.down, floor).max(drift(&self.up, ceiling)).max(doubt)
        } else {
            0.0
        };
        self.output.coast(self.elapsed(now) as f64 * 1e-9, drift);
    }

    pub fn line(&self) -> Line {
        self.output.line(self.local0, self.remote0)
    }
}
