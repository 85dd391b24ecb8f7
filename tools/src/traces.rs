//! Seeded traces of the links an estimator meets: what it may see, and the truth to judge it by.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

/// Local clock at the start of a trace, ns: a present-day UNIX time, where an f64 would lose some 200 ns.
const LOCAL_START: i64 = 1_790_000_000_123_456_789;
/// Remote clock at the start of a trace, ns: an uptime.
const REMOTE_START: i64 = 127_677_463_415_875;
/// Sync interval, s (8 Hz, field guide 3.1).
const SYNC_INTERVAL: f64 = 0.125;
/// Grid on which the clock's rate is constant, s.
const GRID: f64 = 0.05;
/// Spacing of Wi-Fi beacons, s, to which a sleeping station's packets are held.
const BEACON: f64 = 0.1024;
/// Largest correction seen, s (field guide 3.3).
const MAX_CORRECTION: f64 = 0.1095;

/// A kind of link, or of event on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Wire: 60 us + exp(20 us).
    Wired,
    /// Good Wi-Fi: 1 ms + gamma(1.2, 0.5 ms), 2 % spikes of 5 to 30 ms.
    Wifi,
    /// Power-save Wi-Fi: packets held to the next beacon most of the time, 5 % loss.
    PowerSave,
    /// Wi-Fi with a queue of 5 to 40 ms for 60 s.
    Congestion,
    /// Wi-Fi; the receiver restarts, its clock begins near zero.
    Restart,
    /// Wi-Fi; the timeline jumps ahead by 250 ms and runs on another crystal.
    Handover,
    /// Wi-Fi; 20 s without a Sync.
    Gap,
    /// Wi-Fi; the rate changes by 20 ppm at once.
    RateStep,
    /// Two-way on Wi-Fi, equal delays.
    TwoWay,
    /// Two-way on Wi-Fi, 1 ms longer on the way up.
    Asymmetric,
    /// Wire into a busy host: receive stamps 50 us late, 1 % by 2 to 8 ms.
    HostStalls,
    /// Wi-Fi with lost, doubled and late Follow_Ups.
    LostFollowUps,
    /// Wi-Fi; the least delay is 1.5 ms longer for four minutes.
    LongerPath,
    /// Wi-Fi; the least delay grows by 0.5 to 4 ms within minutes, stays a while, and shrinks again.
    Roaming,
    /// Wi-Fi; the session begins inside a queue of 5 to 40 ms that lasts 60 s.
    CongestedStart,
    /// Wi-Fi; the timeline steps back by 250 ms.
    StepBack,
    /// Power-save Wi-Fi with a handover.
    PowerSaveHandover,
    /// Wi-Fi from a master that stamps 2 % of its Syncs 30 us to 2.3 ms late (field guide 1.14).
    LateStamps,
    /// The same on a wire.
    LateStampsWired,
    /// Two-way over 2 ms with 1 ms of uniform jitter in order, as a network emulator makes it.
    Emulated,
    /// Two-way on a wire between busy hosts: stamps late now and then on one side.
    BusyHosts,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 21] = [
        Self::Wired,
        Self::Wifi,
        Self::PowerSave,
        Self::Congestion,
        Self::Restart,
        Self::Handover,
        Self::Gap,
        Self::RateStep,
        Self::TwoWay,
        Self::Asymmetric,
        Self::HostStalls,
        Self::LostFollowUps,
        Self::LongerPath,
        Self::Roaming,
        Self::CongestedStart,
        Self::StepBack,
        Self::PowerSaveHandover,
        Self::LateStamps,
        Self::LateStampsWired,
        Self::Emulated,
        Self::BusyHosts,
    ];

    /// A short name for tables and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wired => "wired",
            Self::Wifi => "wifi",
            Self::PowerSave => "power-save",
            Self::Congestion => "congestion",
            Self::Restart => "restart",
            Self::Handover => "handover",
            Self::Gap => "gap",
            Self::RateStep => "rate-step",
            Self::TwoWay => "two-way",
            Self::Asymmetric => "asymmetric",
            Self::HostStalls => "host-stalls",
            Self::LostFollowUps => "lost-follow-ups",
            Self::LongerPath => "longer-path",
            Self::Roaming => "roaming",
            Self::CongestedStart => "congested-start",
            Self::StepBack => "step-back",
            Self::PowerSaveHandover => "power-save-handover",
            Self::LateStamps => "late-stamps",
            Self::LateStampsWired => "late-stamps-wired",
            Self::Emulated => "emulated",
            Self::BusyHosts => "busy-hosts",
        }
    }

    /// The class of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }

    /// Length of a full trace, s.
    pub const fn duration(self) -> f64 {
        match self {
            Self::Wifi => 1800.0,
            Self::PowerSave | Self::PowerSaveHandover => 900.0,
            _ => 600.0,
        }
    }

    const fn wired(self) -> bool {
        matches!(self, Self::Wired | Self::HostStalls | Self::LateStampsWired | Self::BusyHosts)
    }

    const fn power_save(self) -> bool {
        matches!(self, Self::PowerSave | Self::PowerSaveHandover)
    }

    /// Whether Delay_Req exchanges are part of the trace.
    pub const fn two_way(self) -> bool {
        matches!(self, Self::TwoWay | Self::Asymmetric | Self::Emulated | Self::BusyHosts)
    }
}

/// One row, in order of arrival; a row of [`Class::LostFollowUps`] holds a Sync's half or a Follow_Up's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// sequenceId; wraps.
    pub sequence: u16,
    /// preciseOriginTimestamp and the sum of the corrections, ns.
    pub origin: Option<(i64, i64)>,
    /// Local time of the Sync's arrival, ns.
    pub arrival: Option<i64>,
    /// Local send time and remote receive time of the last exchange finished before this row, ns.
    pub exchange: Option<(i64, i64)>,
}

/// A trace with its truth.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What an estimator may see.
    pub rows: Vec<Row>,
    /// Local times of the timeline's steps, ns.
    pub steps: Vec<i64>,
    /// Least one-way delay down of the trace, ns: what no one-way estimator can see.
    pub least_delay: i64,
    /// Local time of the start, ns.
    pub start: i64,
    clock: Clock,
}

impl Trace {
    /// Makes the trace of `class` and `seed`, `duration` seconds long; equal arguments give equal traces.
    pub fn new(class: Class, seed: u64, duration: f64) -> Self {
        generate(class, seed, duration)
    }

    /// The true remote time at a local time, ns.
    pub fn remote_at(&self, local: i64) -> i64 {
        self.clock.remote((local - LOCAL_START) as f64 * 1e-9)
    }

    /// The number of steps up to a local time.
    pub fn epoch(&self, local: i64) -> usize {
        self.steps.iter().filter(|s| local >= **s).count()
    }

    /// The rows in the CSV form that the replay reads: `seq,t1_ns,corr_ns,t2_ns,t3_ns,t4_ns`.
    pub fn csv(&self) -> String {
        let mut out = String::from("seq,t1_ns,corr_ns,t2_ns,t3_ns,t4_ns\n");
        let text = |v: Option<i64>| v.map_or(String::new(), |v| v.to_string());
        for r in &self.rows {
            let (t1, corr) = (text(r.origin.map(|o| o.0)), text(r.origin.map(|o| o.1)));
            let (t3, t4) = (text(r.exchange.map(|e| e.0)), text(r.exchange.map(|e| e.1)));
            // Writing to a string does not fail.
            let _ = writeln!(out, "{},{t1},{corr},{},{t3},{t4}", r.sequence, text(r.arrival));
        }
        out
    }
}

/// A seeded stream of random numbers (SplitMix64; Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for each seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(0x2545_f491_4f6c_dd1d))
    }

    /// 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform between two bounds.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Normal, mean 0, standard deviation 1.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Exponential with a mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Gamma with a shape of at least 1 (Marsaglia, Tsang 2000).
    pub fn gamma(&mut self, shape: f64, scale: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.unit()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v * scale;
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Clock {
    /// Deviation from the local rate at each grid point, s.
    deviation: Vec<f64>,
    /// Start of each epoch and its phase, s.
    steps: Vec<(f64, f64)>,
}

impl Clock {
    fn new(class: Class, seed: u64, duration: f64) -> Self {
        let mut r = Random::new(seed << 8 | 1);
        let mut skew = || r.between(5.0, 80.0) * if r.unit() < 0.5 { 1.0 } else { -1.0 };
        let (first, other) = (skew(), skew());
        let (period, phase) = (r.between(600.0, 1200.0), r.between(0.0, std::f64::consts::TAU));
        let sign = if r.unit() < 0.5 { 1.0 } else { -1.0 };
        let event = duration * 0.25;
        let cells = ((duration + 4.0) / GRID) as usize;
        let (mut walk, mut sum) = (0.0, 0.0);
        let mut deviation = vec![0.0];
        for i in 0..cells {
            let x = i as f64 * GRID;
            walk += 0.01 * GRID.sqrt() * r.normal();
            let cycle = 0.3 * ((std::f64::consts::TAU * x / period + phase).sin() - phase.sin());
            let extra = match class {
                Class::RateStep if x >= event => 20.0 * sign,
                Class::Handover | Class::PowerSaveHandover if x >= event => other - first,
                _ => 0.0,
            };
            sum += (first + walk + cycle + extra) * 1e-6 * GRID;
            deviation.push(sum);
        }
        let mut steps = vec![(0.0, 0.0)];
        match class {
            Class::Handover | Class::PowerSaveHandover => steps.push((event, 0.25)),
            Class::StepBack => steps.push((event, -0.25)),
            Class::Restart => steps.push((event, 0.5 - event - REMOTE_START as f64 * 1e-9)),
            _ => {}
        }
        Self { deviation, steps }
    }

    fn epoch(&self, x: f64) -> usize {
        self.steps.iter().skip(1).filter(|s| x >= s.0).count()
    }

    fn remote(&self, x: f64) -> i64 {
        let cell = ((x / GRID) as usize).min(self.deviation.len() - 2);
        let part = x / GRID - cell as f64;
        let deviation = self.deviation[cell] + (self.deviation[cell + 1] - self.deviation[cell]) * part;
        let phase = self.steps[self.epoch(x)].1;
        REMOTE_START + (x * 1e9).round() as i64 + ((deviation + phase) * 1e9).round() as i64
    }
}

/// The network in one direction.
struct Net {
    class: Class,
    up: bool,
    r: Random,
    duration: f64,
    beacon_phase: f64,
    doze: bool,
    doze_end: f64,
    queue: f64,
    queue_time: f64,
    walk: Walk,
}

/// A walk away from the access point and back.
struct Walk {
    /// What the least delay grows by, s.
    most: f64,
    /// Seconds of growth, of rest, and of return.
    rise: f64,
    rest: f64,
    fall: f64,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut r = Random::new(seed << 8 | 6);
        Self {
            most: r.between(0.5e-3, 4e-3),
            rise: r.between(20.0, 150.0),
            rest: r.between(0.0, 100.0),
            fall: r.between(20.0, 150.0),
        }
    }

    /// The growth at a time since the walk began, s.
    fn height(&self, t: f64) -> f64 {
        let rise = (t / self.rise).clamp(0.0, 1.0);
        let fall = ((t - self.rise - self.rest) / self.fall).clamp(0.0, 1.0);
        self.most * (rise - fall)
    }
}

impl Net {
    fn new(class: Class, seed: u64, duration: f64, up: bool) -> Self {
        let mut r = Random::new(seed << 8 | if up { 3 } else { 2 });
        let beacon_phase = Random::new(seed << 8 | 4).between(0.0, BEACON);
        let doze_end = r.exponential(3.0);
        Self {
            class,
            up,
            r,
            duration,
            beacon_phase,
            doze: true,
            doze_end,
            queue: 0.0,
            queue_time: 0.0,
            walk: Walk::new(seed),
        }
    }

    /// Delay of a packet that leaves at `x`, s.
    fn delay(&mut self, x: f64) -> f64 {
        let r = &mut self.r;
        if self.class.wired() {
            return 60e-6 + r.exponential(20e-6);
        }
        if self.class == Class::Emulated {
            return r.between(1e-3, 3e-3);
        }
        if self.class.power_save() {
            while x >= self.doze_end {
                self.doze = !self.doze;
                self.doze_end += r.exponential(if self.doze { 3.0 } else { 1.5 });
            }
            if self.doze {
                let at_station = x + 0.8e-3;
                let beacon = ((at_station - self.beacon_phase) / BEACON).floor() + 1.0;
                return self.beacon_phase + beacon * BEACON - x + 0.4e-3 + r.gamma(1.2, 1e-3);
            }
            let spike = if r.unit() < 0.03 { r.between(0.01, 0.1) } else { 0.0 };
            return 1.2e-3 + r.gamma(1.5, 1.5e-3) + spike;
        }
        let mut delay = 1e-3 + r.gamma(1.2, 0.5e-3);
        if r.unit() < 0.02 {
            delay += r.between(5e-3, 30e-3);
        }
        let t = x / self.duration;
        let grown = match self.class {
            Class::Asymmetric if self.up => 1e-3,
            Class::LongerPath if (0.25..0.65).contains(&t) => 1.5e-3,
            Class::Roaming => self.walk.height(x - 0.25 * self.duration),
            _ => 0.0,
        };
        let queued = match self.class {
            Class::Congestion => (0.2..0.3).contains(&t),
            Class::CongestedStart => t < 0.1,
            _ => false,
        };
        if queued {
            // A queue that forgets within a second.
            let keep = (self.queue_time - x).min(0.0).exp();
            self.queue = self.queue * keep + (1.0 - keep * keep).sqrt() * r.normal();
            self.queue_time = self.queue_time.max(x);
            delay += 0.005 + 0.035 / (1.0 + (-1.2 * self.queue).exp());
        }
        delay + grown
    }

    fn lost(&mut self) -> bool {
        let share = match self.class {
            c if c.power_save() => 0.05,
            c if c.wired() || c == Class::Emulated => 0.0,
            _ => 0.005,
        };
        self.r.unit() < share
    }
}

fn generate(class: Class, seed: u64, duration: f64) -> Trace {
    let clock = Clock::new(class, seed, duration);
    let (mut down, mut up) = (Net::new(class, seed, duration, false), Net::new(class, seed, duration, true));
    let mut r = Random::new(seed << 8 | 5);
    let event = duration * 0.25;
    let stamp_noise = if class.wired() || class == Class::Emulated { 0.3e-6 } else { 3e-6 };
    let late_share = match class {
        Class::LateStamps | Class::LateStampsWired => 0.02,
        _ => 0.0,
    };
    let at = |x: f64| LOCAL_START + (x * 1e9).round() as i64;
    let mut rows: Vec<(f64, Row)> = Vec::new();
    let (mut last_arrival, mut previous, mut least) = (-1.0, None, f64::MAX);
    let mut sequence = 65_000 + (r.bits() % 400) as u16;
    let mut scheduled = 0.05;
    while scheduled < duration {
        let correction = 0.5e-3
            + if r.unit() < 0.03 {
                r.between(0.02, MAX_CORRECTION)
            } else {
                (2.5e-3 * r.normal().exp()).min(MAX_CORRECTION)
            };
        let egress = scheduled + r.between(0.0, 1e-3) + correction;
        scheduled += SYNC_INTERVAL;
        sequence = sequence.wrapping_add(1);
        let noise = stamp_noise * r.normal();
        let stamped_late =
            if r.unit() < late_share { 30e-6 * (2.3e-3f64 / 30e-6).powf(r.unit()) } else { 0.0 };
        let lost = down.lost();
        let delay = down.delay(egress);
        let follow_up_lost = down.lost();
        let host = match class {
            Class::HostStalls => {
                50e-6 * (0.35 * r.normal()).exp() + if r.unit() < 0.01 { r.between(2e-3, 8e-3) } else { 0.0 }
            }
            Class::BusyHosts if r.unit() < 0.1 => 20e-6 * (4e-3f64 / 20e-6).powf(r.unit()),
            _ => 0.0,
        };
        let silent = match class {
            Class::Gap => (event..event + 20.0).contains(&egress),
            Class::Restart => (event - 0.2..event + 2.5).contains(&egress),
            _ => false,
        };
        if silent || lost {
            continue;
        }
        let received = f64::max(egress + delay, last_arrival + 20e-6);
        last_arrival = received;
        let arrival = received + host;
        least = least.min(arrival - egress);
        // What left before a step carries the old timeline.
        let stamp = clock.remote(egress) + ((noise + stamped_late) * 1e9).round() as i64;
        let correction = (correction * 1e9).round() as i64;
        let mut exchange = None;
        if let (true, Some(before)) = (class.two_way(), previous) {
            let sent: f64 = before + 0.002 + 0.018 * r.unit();
            let left = sent + 15e-6 + r.exponential(5e-6);
            let there = left + up.delay(left);
            if !up.lost() && there < arrival {
                exchange =
                    Some((at(sent), clock.remote(there) + (stamp_noise * r.normal() * 1e9).round() as i64));
            }
        }
        previous = Some(arrival);
        let row = Row {
            sequence,
            origin: Some((stamp - correction, correction)),
            arrival: Some(at(arrival)),
            exchange,
        };
        if class != Class::LostFollowUps {
            if !follow_up_lost {
                rows.push((arrival, row));
            }
            continue;
        }
        rows.push((arrival, Row { origin: None, exchange: None, ..row }));
        if r.unit() < 0.01 {
            rows.push((arrival + 1e-3, Row { origin: None, exchange: None, ..row }));
        }
        if r.unit() < 0.05 {
            continue;
        }
        let follow_up = arrival + 0.3e-3 + if r.unit() < 0.05 { r.between(0.13, 0.4) } else { 0.0 };
        rows.push((follow_up, Row { arrival: None, exchange: None, ..row }));
        if r.unit() < 0.03 {
            rows.push((follow_up + r.between(2e-3, 0.2), Row { arrival: None, exchange: None, ..row }));
        }
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    Trace {
        rows: rows.into_iter().map(|r| r.1).collect(),
        steps: clock.steps.iter().skip(1).map(|s| at(s.0)).collect(),
        least_delay: (least * 1e9).round() as i64,
        start: LOCAL_START,
        clock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_trace() {
        let one = Trace::new(Class::Wifi, 7, 20.0);
        assert_eq!(one.rows, Trace::new(Class::Wifi, 7, 20.0).rows);
        assert_ne!(one.rows, Trace::new(Class::Wifi, 8, 20.0).rows);
    }

    #[test]
    fn no_packet_arrives_before_its_least_delay() {
        for class in
            Class::ALL.into_iter().filter(|c| !matches!(c, Class::LateStamps | Class::LateStampsWired))
        {
            let trace = Trace::new(class, 3, 60.0);
            for (arrival, (t1, corr)) in trace.rows.iter().filter_map(|r| r.arrival.zip(r.origin)) {
                if trace.epoch(arrival) == trace.epoch(arrival - 200_000_000) {
                    let early = t1 + corr - (trace.remote_at(arrival) - trace.least_delay);
                    assert!(early < 20_000, "{class:?}: {early} ns");
                }
            }
        }
    }

    #[test]
    fn every_class_makes_rows_and_a_name_finds_it() {
        for class in Class::ALL {
            assert_eq!(Class::from_name(class.name()), Some(class));
            let trace = Trace::new(class, 1, 40.0);
            assert!(trace.rows.len() > 150, "{class:?}");
            assert_eq!(trace.csv().lines().count(), trace.rows.len() + 1);
            assert_eq!(trace.rows.iter().any(|r| r.exchange.is_some()), class.two_way(), "{class:?}");
        }
    }
}
