//! Links: what lies between a host and a receiver, in each direction.

use crate::random::Random;

/// Spacing of Wi-Fi beacons, to which a sleeping station's packets are held, s.
const BEACON: f64 = 0.1024;
/// A packet behind another one, on a link that keeps order, s.
const SPACING: f64 = 20e-6;

/// A line is so young for so long that a path's growth is taken for the rate, s;
const YOUNG: f64 = 60.0;
/// and so long after the rate has changed, s: until it is known as well as before.
const SETTLES: f64 = 120.0;
/// A growth that comes at once takes so long to show, s.
const SHOWS: f64 = 40.0;
/// A queue's end is felt for so long, s.
const JUST_NOW: f64 = 10.0;
/// Within this it shows that a path is short again, ns: four seconds of samples.
const SHRUNK: i64 = 4_000_000_000;

/// How delays spread above the least one.
#[derive(Clone, Copy, Debug)]
pub enum Jitter {
    /// Exponential with this mean, s: a wire.
    Exponential(f64),
    /// Gamma of this shape and scale (s): Wi-Fi.
    Gamma(f64, f64),
    /// Even up to this, s: a network emulator.
    Even(f64),
    /// Pareto above this scale (s) with this exponent, held at 250 ms: a heavy tail.
    Pareto(f64, f64),
}

/// One direction of a link.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Least delay, s.
    pub base: f64,
    /// What comes on top.
    pub jitter: Jitter,
    /// Share of the packets that are late by a spike, and its bounds, s.
    pub spikes: (f64, f64, f64),
    /// The station sleeps now and then, and packets are held to the next beacon.
    pub power_save: bool,
    /// Share of the packets lost.
    pub loss: f64,
    /// Share of the packets at which a burst of losses begins, and of those that end it.
    pub bursts: (f64, f64),
    /// Share of the packets that come twice, the second one up to 100 ms later.
    pub duplicates: f64,
    /// Share of the packets that others may pass, by up to 50 ms.
    pub reordered: f64,
}

/// Something that happens to a link for a while.
#[derive(Clone, Copy, Debug)]
pub struct Episode {
    /// From when, s.
    pub from: f64,
    /// Until when, s.
    pub until: f64,
    /// What.
    pub what: Trouble,
}

/// What may happen to a link.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// Nothing gets through.
    Partition,
    /// Nothing gets through to the receiver; the other way is well.
    Deaf,
    /// A queue of up to so many seconds, that never quite empties.
    Queue(f64),
    /// The least delay grows by this (s) within the first third, and shrinks again in the last.
    Roaming(f64),
    /// The least delay is longer by this, s.
    Longer(f64),
    /// This share is lost on top.
    Loss(f64),
}

impl Episode {
    /// By how much it makes the least delay longer at `x`, s.
    fn growth(&self, x: f64) -> f64 {
        if !(self.from..self.until).contains(&x) {
            return 0.0;
        }
        let third = (self.until - self.from) / 3.0;
        match self.what {
            Trouble::Longer(by) => by,
            Trouble::Roaming(by) => by * ((x - self.from) / third).min((self.until - x) / third).min(1.0),
            _ => 0.0,
        }
    }
}

impl Way {
    /// A wire: 60 us and some 20.
    pub const WIRED: Self = Self {
        base: 60e-6,
        jitter: Jitter::Exponential(20e-6),
        spikes: (0.0, 0.0, 0.0),
        power_save: false,
        loss: 0.0,
        bursts: (0.0, 1.0),
        duplicates: 0.0,
        reordered: 0.0,
    };

    /// Good Wi-Fi: a millisecond, half of one on top, spikes of 5 to 30 ms.
    pub const WIFI: Self = Self {
        base: 1e-3,
        jitter: Jitter::Gamma(1.2, 0.5e-3),
        spikes: (0.02, 5e-3, 30e-3),
        loss: 0.005,
        ..Self::WIRED
    };

    /// Wi-Fi to a station that saves power.
    pub const POWER_SAVE: Self = Self {
        base: 1.2e-3,
        jitter: Jitter::Gamma(1.5, 1.5e-3),
        spikes: (0.03, 10e-3, 100e-3),
        power_save: true,
        loss: 0.05,
        ..Self::WIRED
    };
}

/// One direction of a link with what it remembers.
#[derive(Clone, Debug)]
pub struct Lane {
    way: Way,
    episodes: Vec<Episode>,
    /// Whether it leads to the receiver.
    up: bool,
    random: Random,
    beacon_phase: f64,
    doze: bool,
    doze_until: f64,
    queue: f64,
    queue_at: f64,
    losing: bool,
    last_arrival: f64,
}

impl Lane {
    /// A lane with nothing on it; both of a link share the beacons of `beacon_phase`.
    pub fn new(way: Way, episodes: Vec<Episode>, up: bool, beacon_phase: f64, random: Random) -> Self {
        Self {
            way,
            episodes,
            up,
            random,
            beacon_phase: beacon_phase * BEACON,
            doze: false,
            doze_until: 0.0,
            queue: 0.0,
            queue_at: 0.0,
            losing: false,
            last_arrival: 0.0,
        }
    }

    /// The longest that a queue at `world` (ns), or just before it, may hold a packet, s.
    pub fn queue(&self, world: i64) -> f64 {
        let x = world as f64 * 1e-9;
        let queues = self.episodes.iter().filter(|e| (e.from..e.until + JUST_NOW).contains(&x));
        queues.map(|e| if let Trouble::Queue(most) = e.what { most } else { 0.0 }).fold(0.0, f64::max)
    }

    /// By how much the least delay is longer at `world` (ns) than at its least since `since`, in ns, and whether it grew
    /// while the line was young, or its rate had changed (at `changes`, s) not long ago.
    pub fn grown(&self, world: i64, since: i64, changes: &[f64]) -> (i64, bool) {
        let at = |world: i64| -> f64 { self.episodes.iter().map(|e| e.growth(world as f64 * 1e-9)).sum() };
        // Growth is linear between these times.
        let corners = self.episodes.iter().flat_map(|e| {
            let third = (e.until - e.from) / 3.0;
            [e.from - 1e-6, e.from + third, e.until - third, e.until + 1e-6].map(|s| (s * 1e9) as i64)
        });
        let within = corners.chain([since]).filter(|corner| (since..=world).contains(corner));
        let least = within.map(at).fold(f64::MAX, f64::min);
        // That it is short again takes some samples to show.
        let longest = at(world).max(at((world - SHRUNK).max(since)));
        let unsettled = |x: f64| {
            let since = since as f64 * 1e-9;
            (since..since + YOUNG).contains(&x)
                || changes.iter().any(|change| (*change..*change + SETTLES).contains(&x))
        };
        let growing = |e: &Episode| e.growth((e.from + e.until) * 0.5) > 0.0;
        // It does so for a third of its time, and when it does at once, as long as that takes to show.
        let begins = |e: &Episode| {
            let slow = if matches!(e.what, Trouble::Roaming(_)) { (e.until - e.from) / 3.0 } else { 0.0 };
            let grows = slow.max(SHOWS).min(e.until - e.from);
            (0..=grows as u32).map(|i| e.from + f64::from(i)).any(unsettled)
        };
        // Nor is one that was seen known any more once the rate has changed.
        let hidden = |e: &Episode| {
            let x = world as f64 * 1e-9;
            (e.from..e.until + 5.0).contains(&x) && changes.iter().any(|change| (e.from..x).contains(change))
        };
        let early = self.episodes.iter().any(|e| growing(e) && (begins(e) || hidden(e)));
        (((longest - least) * 1e9) as i64, early)
    }

    /// When a packet that leaves at `world` (ns) arrives, and once more if it comes twice.
    pub fn carry(&mut self, world: i64) -> [Option<i64>; 2] {
        let x = world as f64 * 1e-9;
        let (mut lost, mut grown, mut queued) = (self.lose(), 0.0, 0.0_f64);
        for episode in self.episodes.iter().filter(|e| (e.from..e.until).contains(&x)) {
            grown += episode.growth(x);
            match episode.what {
                Trouble::Partition => lost = true,
                Trouble::Deaf => lost |= self.up,
                Trouble::Loss(share) => lost |= self.random.chance(share),
                Trouble::Queue(most) => queued = queued.max(most),
                Trouble::Longer(_) | Trouble::Roaming(_) => {}
            }
        }
        let delay = self.delay(x) + grown + self.queued(x, queued);
        if lost {
            return [None, None];
        }
        let mut arrival = x + delay;
        if self.random.chance(self.way.reordered) {
            arrival += self.random.between(0.0, 50e-3);
        } else {
            arrival = arrival.max(self.last_arrival + SPACING);
            self.last_arrival = arrival;
        }
        let twice = self.random.chance(self.way.duplicates);
        let again = twice.then(|| arrival + self.random.scaled(50e-6, 0.1));
        // Never at once, nor before the least delay, whatever the floats were rounded to.
        let nanos = |s: f64| ((s * 1e9).ceil() as i64).max(world + 1);
        [Some(nanos(arrival)), again.map(nanos)]
    }

    fn lose(&mut self) -> bool {
        let (begins, ends) = self.way.bursts;
        let turn = if self.losing { ends } else { begins };
        if turn > 0.0 && self.random.chance(turn) {
            self.losing = !self.losing;
        }
        self.random.chance(self.way.loss) || self.losing
    }

    fn delay(&mut self, x: f64) -> f64 {
        let r = &mut self.random;
        if self.way.power_save {
            while x >= self.doze_until {
                self.doze = !self.doze;
                self.doze_until =
                    self.doze_until.max(x - 10.0) + r.exponential(if self.doze { 3.0 } else { 1.5 });
            }
            if self.doze {
                let at_station = x + 0.7 * self.way.base;
                let beacon = ((at_station - self.beacon_phase) / BEACON).floor() + 1.0;
                let held = self.beacon_phase + beacon * BEACON - x;
                return held.max(0.7 * self.way.base) + 0.4 * self.way.base + r.gamma(1.2, 1e-3);
            }
        }
        let jitter = match self.way.jitter {
            Jitter::Exponential(mean) => r.exponential(mean),
            Jitter::Gamma(shape, scale) => r.gamma(shape, scale),
            Jitter::Even(most) => r.between(0.0, most),
            Jitter::Pareto(scale, exponent) => {
                (scale * ((1.0 - r.unit()).powf(-1.0 / exponent) - 1.0)).min(0.25)
            }
        };
        let (share, low, high) = self.way.spikes;
        let spike = if share > 0.0 && r.chance(share) { r.between(low, high) } else { 0.0 };
        self.way.base + jitter + spike
    }

    /// A queue that forgets within a second, and does not empty.
    fn queued(&mut self, x: f64, most: f64) -> f64 {
        if most <= 0.0 {
            return 0.0;
        }
        let keep = (self.queue_at - x).clamp(-20.0, 0.0).exp();
        self.queue = self.queue * keep + (1.0 - keep * keep).sqrt() * self.random.normal();
        self.queue_at = self.queue_at.max(x);
        most * (0.125 + 0.875 / (1.0 + (-1.2 * self.queue).exp()))
    }
}

#[test]
fn a_link_delays_loses_and_doubles_as_it_says() {
    let mut way = Way { loss: 0.1, duplicates: 0.05, reordered: 0.02, ..Way::WIFI };
    let mut lane = Lane::new(way, Vec::new(), false, 0.0, Random::new(3, 3));
    let (mut lost, mut twice, mut passed, mut last) = (0, 0, 0, 0);
    for i in 0..10_000 {
        let world = i * 10_000_000;
        match lane.carry(world) {
            [None, _] => lost += 1,
            [Some(arrival), again] => {
                assert!(arrival - world >= 1_000_000, "faster than its least delay");
                passed += i32::from(arrival < last);
                last = arrival;
                twice += i32::from(again.is_some());
            }
        }
    }
    assert!(
        (900..1200).contains(&lost) && (350..550).contains(&twice) && passed > 50,
        "{lost} {twice} {passed}"
    );
    (way.loss, way.bursts) = (0.0, (0.01, 0.1));
    let episodes = vec![Episode { from: 50.0, until: 60.0, what: Trouble::Partition }];
    let mut lane = Lane::new(way, episodes, false, 0.0, Random::new(3, 4));
    let arrives: Vec<_> = (0..10_000).map(|i| lane.carry(i * 10_000_000)[0].is_some()).collect();
    assert!(arrives[5_000..6_000].iter().all(|arrives| !arrives));
    let lost = arrives.iter().filter(|arrives| !**arrives).count() - 1_000;
    assert!((500..1_500).contains(&lost), "{lost} in bursts");
}
