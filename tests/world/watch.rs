//! What must be true of a session at every event and every 50 ms, and what was found not to be.

use crate::receiver::{Kind, Lie, Receiver};
use ptpbmca::association::Change;
use ptpbmca::time::LocalTime;
use ptpbmca::timeline::{Role, SyncState, Timeline};

/// A jump of the published line beyond this is one, ns: line and reading are rounded to a nanosecond each.
const JUMP: i64 = 2;
/// Steering of a line that is no longer young (estimator, output): 50 ppm, and what brings home in 3 s the part of its
/// distance beyond 350 us. The distance is part of the bound.
const STEER: f64 = 50e-6;
const STEER_BEYOND_NS: f64 = 350e3;
const STEER_WITHIN_S: f64 = 3.0;
/// A line is young for so long, ns.
const YOUNG: i64 = 8_000_000_000;
/// No two readings of one clock differ by less: rounding.
const ROUNDING: i64 = 2;
/// A step by so much must make an epoch, ns: twice what any queue or beacon here holds a packet for.
const STEP: i64 = 400_000_000;
/// Pairs of the new timeline within which it must (8 s at 8 Hz).
const STEP_PAIRS: u32 = 64;
/// Within so long a step and another grandmaster's name are of one handover (an Announce trails by 3 s), ns.
const HANDOVER: i64 = 4_000_000_000;
/// The same after a suspend, where only Announces tell of the name, ns: then the suspend's epoch is also the handover's,
/// for whether it happened before the host woke or just after shows nowhere.
const WAKING: i64 = HANDOVER;
/// Pairs within which a small step, that makes no epoch by itself, must be inside the bound (12 s at 8 Hz): it takes a
/// run of samples to show, and round trips from before it to be forgotten.
const SMALL_STEP_PAIRS: u32 = 96;
/// By how much a path may grow unseen, by pairs alone, ns: what two crystals wander by in the minutes that it takes, and
/// the rate's own uncertainty (estimator, elders).
const UNSEEN_GROWTH: i64 = 200_000;
/// Heap of an association, bytes: outbox and changes at their fullest, and room.
const HEAP: isize = 64 * 1024;
/// Calls of tick in a second of the host's clock: 8 Syncs, 1 Announce, 1 Signaling, role deadlines, and as much again.
const TICKS: u32 = 24;
/// Messages that one event may make: an outbox.
pub const MESSAGES: u32 = 64;

/// What was found of one session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Samples, each 50 ms while synchronised and following.
    pub samples: u64,
    /// Of these, outside of the bound.
    pub outside: u64,
    /// Of these, excused by a documented limit.
    pub excused: u64,
    /// Events after which everything was checked.
    pub events: u64,
    /// Re-anchorings of the timeline.
    pub epochs: u64,
    /// Changes of role.
    pub roles: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.outside += other.outside;
        self.excused += other.excused;
        self.events += other.events;
        self.epochs += other.epochs;
        self.roles += other.roles;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { samples, outside, excused, events, epochs, roles } = self;
        write!(f, "{events} events, {epochs} epochs, {roles} changes of role; of {samples} readings of a followed clock ")?;
        write!(f, "{outside} outside of the bound, {excused} excused")
    }
}

/// One session under watch.
#[derive(Debug)]
pub struct Watch {
    name: String,
    /// The last snapshot, and the local time it was published at.
    last: Option<Timeline>,
    told_role: Role,
    told_synchronized: bool,
    /// Since when synchronised in this epoch, local time.
    synchronized_since: i64,
    /// The era whose timeline is published, as far as can be known.
    believed: usize,
    /// The newest era that a packet has come from.
    newest: usize,
    /// Pairs of eras after the believed one.
    fresh: u32,
    /// Eras of the last pairs.
    latest: [usize; 3],
    pairs: u64,
    /// Eras whose grandmaster was named after the fact, once each.
    named: usize,
    /// There was a small step that has made no epoch so far.
    small: bool,
    /// Least delay down of the session, and since the timeline was last anchored anew, ns.
    least_ever: i64,
    least: i64,
    /// Since when the present line runs, in the world's time.
    line_since: i64,
    ticks: (i64, u32),
    heap: isize,
    /// A queue is on the path, or was just now, that may hold all packets for nearly as long as the least step back that
    /// is looked for.
    pub congested: bool,
    /// The suspend that is being told to the association makes an epoch.
    pub suspending: bool,
    /// When the last of those was over, in the world's time.
    woken: i64,
    /// What was counted.
    pub tally: Tally,
    /// What was wrong, first things first.
    pub violations: Vec<String>,
}

impl Watch {
    /// Over a session called `name`.
    pub fn new(name: String) -> Self {
        Self {
            name,
            last: None,
            told_role: Role::Listening,
            told_synchronized: false,
            synchronized_since: 0,
            believed: 0,
            newest: 0,
            fresh: 0,
            latest: [0; 3],
            pairs: 0,
            named: usize::MAX,
            small: false,
            least_ever: i64::MAX,
            least: i64::MAX,
            line_since: 0,
            ticks: (0, 0),
            heap: 0,
            congested: false,
            suspending: false,
            woken: i64::MIN / 2,
            tally: Tally::default(),
            violations: Vec::new(),
        }
    }

    /// Notes what is wrong at a moment of the world.
    pub fn wrong(&mut self, world: i64, what: impl AsRef<str>) {
        /// More of them tell nothing new.
        const KEPT: usize = 12;
        if self.violations.len() < KEPT {
            let at = world as f64 * 1e-9;
            self.violations.push(format!("{} at {at:.6} s: {}", self.name, what.as_ref()));
        }
    }

    /// A packet that left in `era` was taken in, and its Sync, if it is one, was under way for `delay`; `pairs` is the
    /// association's count.
    pub fn heard(&mut self, era: usize, delay: Option<i64>, pairs: u64) {
        if era > self.newest {
            (self.newest, self.fresh) = (era, 0);
        }
        if let Some(delay) = delay {
            self.least = self.least.min(delay);
            self.least_ever = self.least_ever.min(delay);
        }
        if pairs != self.pairs {
            self.pairs = pairs;
            self.latest.rotate_left(1);
            self.latest[2] = era;
            self.fresh += u32::from(era > self.believed && era == self.newest);
        }
    }

    /// The association made `bytes` more of heap its own (or fewer).
    pub fn allocated(&mut self, bytes: isize, world: i64) {
        self.heap += bytes;
        if self.heap > HEAP {
            self.wrong(world, format!("{} bytes of heap", self.heap));
            self.heap = 0;
        }
    }

    /// `tick` was called at `now`, and is wanted again at `next`.
    pub fn ticked(&mut self, now: LocalTime, next: Option<LocalTime>, world: i64) {
        if let Some(next) = next.filter(|next| *next <= now) {
            self.wrong(world, format!("next deadline {} ns ago", now.since(next).nanos()));
        }
        let second = now.nanos() / 1_000_000_000;
        self.ticks = if self.ticks.0 == second { (second, self.ticks.1 + 1) } else { (second, 1) };
        if self.ticks.1 == TICKS {
            self.wrong(world, format!("{TICKS} ticks within a second"));
        }
    }

    /// A snapshot was published at `now`, with what changed since the last one.
    pub fn published(
        &mut self,
        timeline: &Timeline,
        changes: &[Change],
        now: LocalTime,
        receiver: &Receiver,
        world: i64,
    ) {
        self.tally.events += 1;
        let line = timeline.conversion;
        let (mut epochs, mut roles) = (0_u32, 0_u32);
        let mut naming = false;
        for change in changes {
            match *change {
                Change::Role { from, to, .. } => {
                    self.tally.roles += 1;
                    if from != self.told_role {
                        self.wrong(world, format!("role changes from {from:?}, was {:?}", self.told_role));
                    }
                    self.told_role = to;
                    roles += u32::from(from != Role::Listening);
                }
                Change::Epoch { reason, .. } => {
                    epochs += 1;
                    naming |= reason == "the receiver names the clock it serves";
                }
                Change::Synchronized => self.told_synchronized = true,
                Change::Lost => self.told_synchronized = false,
                Change::Grandmaster { .. } => {}
            }
        }
        self.tally.epochs += u64::from(epochs);
        if line.role != self.told_role {
            self.wrong(world, format!("is {:?}, told was {:?}", line.role, self.told_role));
            self.told_role = line.role;
        }
        if line.is_synchronized() != self.told_synchronized {
            self.wrong(
                world,
                format!("is {:?}, told was synchronised: {}", line.sync_state, self.told_synchronized),
            );
            self.told_synchronized = line.is_synchronized();
        }
        if (line.sync_state == SyncState::Leading) != (line.role == Role::Leading) {
            self.wrong(world, format!("{:?} while {:?}", line.sync_state, line.role));
        }
        let before = self.last.replace(*timeline);
        let epoch = before.map_or(0, |before| before.conversion.epoch);
        if line.epoch.wrapping_sub(epoch) != epochs {
            self.wrong(world, format!("epoch {} after {epoch}, told {epochs} times", line.epoch));
        }
        let suspend = u32::from(
            std::mem::take(&mut self.suspending) && before.is_some_and(|b| b.conversion.is_synchronized()),
        );
        if suspend > 0 {
            self.woken = world;
        }
        if epochs < roles + suspend {
            self.wrong(world, format!("{epochs} epochs for {roles} changes of role and {suspend} suspends"));
        }
        let moved = epochs.saturating_sub(roles + suspend);
        let was_synchronized = before.is_some_and(|before| before.conversion.is_synchronized());
        if epochs > 0 || !was_synchronized {
            self.synchronized_since = now.nanos();
        }
        if moved > 0 {
            if naming && self.named != self.newest {
                self.named = self.newest;
            } else if moved == 1 && std::mem::take(&mut self.small) {
                // Round trips have proven it meanwhile.
            } else if moved > 1 || self.newest <= self.believed {
                let one_way = before.is_none_or(|before| before.path_delay_ns == 0);
                if moved == 1 && self.congested && one_way {
                    // By pairs alone, a queue that sets in at once and never empties looks as if the clock had been set
                    // back; and where the line was lost in it, its end as if it had been set ahead. Round trips tell.
                    self.tally.excused += 1;
                } else if receiver.kind == Kind::Liar(Lie::Names) {
                    // Names are believed.
                    self.tally.excused += 1;
                } else {
                    self.wrong(
                        world,
                        format!("epoch {}, and the timeline did not move: {changes:?}", line.epoch),
                    );
                }
            }
        }
        if moved > 0 || suspend > 0 || (line.is_synchronized() && !was_synchronized) {
            if !was_synchronized {
                self.believed = self.latest.into_iter().min().unwrap_or(0);
            } else if moved > 0 {
                self.believed = self.newest;
            }
            self.fresh = 0;
            // What the path took before says nothing of a line that begins now.
            self.least = i64::MAX;
            self.line_since = world;
        }
        self.moved_unseen(line.sync_state, receiver, world);
        if let Some(before) = before.filter(|b| epochs == 0 && b.conversion.is_synchronized()) {
            self.steady(&before, timeline, now, world);
        }
    }

    /// A timeline that moved must have made an epoch by now, unless it moved by too little to be told from a path.
    fn moved_unseen(&mut self, state: SyncState, receiver: &Receiver, world: i64) {
        if self.newest <= self.believed {
            return;
        }
        let by = receiver.truth(self.newest, world).saturating_sub(receiver.truth(self.believed, world));
        let named = |era: usize| receiver.eras[era].segment.grandmaster;
        // A step and a new name that come close together are one handover.
        let last = receiver.eras[self.newest].since - receiver.eras[self.newest.saturating_sub(1)].since;
        let waking = receiver.eras[self.newest].since - self.woken;
        let one = last < HANDOVER || (receiver.kind == Kind::Sonos && (0..WAKING).contains(&waking));
        let named = |era: usize| if one { 0 } else { named(era) };
        let must = by.abs() >= STEP || named(self.newest) != named(self.believed);
        // Wild times break the runs of samples that a step is told by.
        let liar = receiver.kind == Kind::Liar(Lie::WildTimes);
        let within = if must && !liar { STEP_PAIRS } else { SMALL_STEP_PAIRS };
        if self.fresh < within {
            return;
        }
        // A liar's names count for nothing where its time is the same: Announce and Follow_Up may disagree for ever.
        let lies = receiver.kind == Kind::Liar(Lie::Names) && by.abs() < STEP;
        if must && !lies && state == SyncState::Locked {
            self.wrong(
                world,
                format!("the timeline moved by {by} ns {} pairs ago, and the epoch did not", self.fresh),
            );
        }
        (self.believed, self.fresh) = (self.newest, 0);
        self.small |= !must;
    }

    /// Within an epoch the line makes no jumps, and is steered gently.
    fn steady(&mut self, before: &Timeline, timeline: &Timeline, now: LocalTime, world: i64) {
        let (old, new) = (before.conversion, timeline.conversion);
        if !new.is_synchronized() || old.role != new.role {
            return;
        }
        let jump = new.receiver_time(now.nanos()) as i64 - old.receiver_time(now.nanos()) as i64;
        if jump.abs() > JUMP {
            self.wrong(world, format!("the line jumps by {jump} ns in epoch {}", new.epoch));
        }
        let steered = new.rate.ratio_minus_one() - timeline.skew;
        let beyond = (timeline.error_ns as f64 - STEER_BEYOND_NS).max(0.0) * 1e-9;
        let limit = STEER + beyond / STEER_WITHIN_S + 1e-12;
        // What was published when the line was young stands until the next sample.
        let grown_up = new.anchor_local.nanos() - self.synchronized_since > YOUNG;
        if new.role == Role::Following && grown_up && steered.abs() > limit {
            self.wrong(world, format!("steered by {:.3} ppm, at most {:.3}", steered * 1e6, limit * 1e6));
        }
    }

    /// Whether an error is one of those that nothing on this side can show:
    ///
    /// - By pairs alone, a path that grows by no more than crystals may do meanwhile looks as if the clock did; and so does
    ///   one that grows while the rate is not known: in the first minute of a line, and after a change of the rate. Samples
    ///   say only that the line lies nowhere below them: a clock that is slower by as much gives the very same ones.
    ///   `grown` is by how much the path is longer than the least since the line began, and whether it grew at such a time.
    /// - In holdover, a crystal whose temperature changes. `warmed` is by how much its rate has, in ns/s.
    pub fn excused(
        &self,
        timeline: &Timeline,
        (off, bound): (i64, u64),
        grown: (i64, bool),
        warmed: f64,
        age: i64,
    ) -> bool {
        let beyond = off.abs().saturating_sub(i64::try_from(bound).unwrap_or(i64::MAX));
        let hidden = grown.0 > 0 && (grown.0 <= UNSEEN_GROWTH || grown.1);
        let path = timeline.path_delay_ns == 0 && off < 0 && beyond <= grown.0 && hidden;
        let held = timeline.conversion.sync_state == SyncState::Holdover;
        path || (held && beyond as f64 <= warmed.abs() * age as f64 * 1e-9)
    }

    /// Since when the present line runs, in the world's time.
    pub fn line_since(&self) -> i64 {
        self.line_since
    }

    /// What a reader gets at `now` from a session that follows: `None` where that is within the bound, else by how much
    /// it is not, and the bound.
    pub fn error(
        &self,
        timeline: &Timeline,
        now: LocalTime,
        receiver: &Receiver,
        world: i64,
    ) -> Option<(i64, u64)> {
        let bound = timeline.error_at(now);
        let off = self.off(timeline, now, receiver, world);
        let limit = i64::try_from(bound).unwrap_or(i64::MAX).saturating_add(ROUNDING);
        (off.abs() > limit).then_some((off, bound))
    }

    /// By how much a reading at `now` is off what can be known, ns.
    pub fn off(&self, timeline: &Timeline, now: LocalTime, receiver: &Receiver, world: i64) -> i64 {
        let read = i64::try_from(timeline.conversion.receiver_time(now.nanos())).unwrap_or(i64::MAX);
        // One-way, the least delay shows nowhere: that of the session, or where the line began anew, since then.
        let (ever, least) = self.delays();
        let hidden = if timeline.path_delay_ns == 0 { (ever, least) } else { (0, 0) };
        let off = (self.believed..receiver.eras.len()).map(|era| {
            let early = read.saturating_sub(receiver.truth(era, world));
            let (low, high) = (early.saturating_add(hidden.0), early.saturating_add(hidden.1));
            if low > 0 {
                low
            } else {
                high.min(0)
            }
        });
        off.min_by_key(|off| off.abs()).unwrap_or(0)
    }

    /// The least delay down of the session, and the least since its timeline was last anchored anew, ns.
    pub fn delays(&self) -> (i64, i64) {
        match (self.least_ever, self.least) {
            (i64::MAX, _) => (0, 0),
            (ever, i64::MAX) => (ever, ever),
            both => both,
        }
    }

    /// A reading and its way back, from `away` nanoseconds off.
    pub fn inverse(&mut self, timeline: &Timeline, local: i64, away: i64, world: i64) {
        let line = timeline.conversion;
        let local = local.saturating_add(away);
        let there = line.receiver_time(local);
        let back = line.local_time(there);
        if there > 0 && (back - local).abs() > 1 {
            self.wrong(world, format!("local time {local} comes back {} ns off", back - local));
        }
        let again = line.receiver_time(line.local_time(there));
        if there > 0 && again.abs_diff(there) > 1 {
            self.wrong(world, format!("receiver time {there} comes back as {again}"));
        }
    }
}
