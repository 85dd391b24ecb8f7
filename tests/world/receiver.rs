//! Receivers: the simulated one of `sim/`, run by a crystal of its own, with the tongues of the devices in the field and
//! the truth of what its clock read.

use crate::oscillator::{Crystal, Oscillator};
use crate::random::Random;
use ptpbmca::time::Correction;
use ptpbmca::wire::{self, Body, ClockIdentity, ClockQuality, Encoded};
use ptpbmca_sim::{Announcing, Arrival, Command, Config, Core, DelayResp, Host, Segment, Serving};

/// What a receiver is (field guide 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Before OS 27: the better clock serves.
    HomePodOld,
    /// Standalone, OS 27: serves while the sender is silent, and only then.
    HomePodNew,
    /// In an Apple TV's group: its Announces thin out, and the clock it tells is the Apple TV's.
    HomePodGrouped,
    /// One of a stereo pair: its Announces thin out.
    StereoPair,
    /// An Apple TV.
    AppleTv,
    /// Names no timeline in its Follow_Ups.
    Sonos,
    /// Never serves; wakes a silent sender.
    Nqptp,
    /// A grandmaster only, as good as iOS.
    Airptpd,
    /// Third-party code: Delay_Resp carries its own turnaround as correction.
    Avnu,
    /// A worse clock than ours, that follows.
    Follower,
    /// Says nothing.
    SilentTv,
    /// Does not keep to its word.
    Liar(Lie),
}

/// How a receiver lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Announces a better clock and never serves it.
    NeverSync,
    /// Some of its Follow_Ups tell times that are seconds to minutes off.
    WildTimes,
    /// Its Delay_Resp tell times that are milliseconds off, each by another.
    DelayResp,
    /// Its Follow_Ups name another clock every ten seconds, whose time is the same.
    Names,
}

impl Kind {
    /// All but the liars.
    pub const HONEST: [Self; 11] = [
        Self::HomePodOld,
        Self::HomePodNew,
        Self::HomePodGrouped,
        Self::StereoPair,
        Self::AppleTv,
        Self::Sonos,
        Self::Nqptp,
        Self::Airptpd,
        Self::Avnu,
        Self::Follower,
        Self::SilentTv,
    ];

    /// The liars.
    pub const LIARS: [Self; 4] = [
        Self::Liar(Lie::NeverSync),
        Self::Liar(Lie::WildTimes),
        Self::Liar(Lie::DelayResp),
        Self::Liar(Lie::Names),
    ];

    fn behave(self, config: &mut Config) {
        match self {
            Self::HomePodOld | Self::Liar(_) => {}
            Self::HomePodNew => config.serving = Serving::WhenSilent,
            Self::HomePodGrouped | Self::StereoPair => config.announcing = Announcing::Thinning,
            Self::AppleTv => config.delay_resp = DelayResp::Minus,
            Self::Sonos => config.delay_resp = DelayResp::Plain,
            Self::Nqptp => config.serving = Serving::WakeUp,
            Self::Airptpd => {
                (config.serving, config.priority1, config.delay_resp) =
                    (Serving::Always, 128, DelayResp::Plain);
                // Every host that runs it has the same identity (field guide 2.1c).
                config.identity = 0xffff_0000_dead_beef;
            }
            Self::Avnu => config.delay_resp = DelayResp::TruthPlusCorrection,
            Self::Follower => config.priority1 = 255,
            Self::SilentTv => config.announcing = Announcing::Never,
        }
        config.never_sync |= matches!(self, Self::SilentTv | Self::Liar(Lie::NeverSync));
    }

    /// Whether it never tells its clock.
    pub fn never_serves(self) -> bool {
        matches!(self, Self::Nqptp | Self::Follower | Self::SilentTv | Self::Liar(Lie::NeverSync))
    }
}

/// A receiver to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is.
    pub kind: Kind,
    /// How its clock runs.
    pub crystal: Crystal,
    /// What its clock reads at the start, ns.
    pub uptime: u64,
    /// Standard deviation of its stamps' noise, ns.
    pub stamp_noise: f64,
    /// Share of its Syncs that are stamped late, by up to 2.3 ms (field guide 1.14).
    pub late_stamps: f64,
    /// It answers no Delay_Req.
    pub one_way: bool,
    /// Longest time an answer takes, ns.
    pub answers_within: i64,
    /// Whether it is told its senders before it hears them.
    pub knows_senders: bool,
}

impl Plan {
    /// A receiver of a kind with a good crystal.
    pub fn good(kind: Kind) -> Self {
        Self {
            kind,
            crystal: Crystal { skew_ppm: 21.0, walk_ppm: 0.007, cycle: (0.2, 700.0), changes: Vec::new() },
            uptime: 127_677_000_000_000,
            stamp_noise: 300.0,
            late_stamps: 0.0,
            one_way: false,
            answers_within: 5_000_000,
            knows_senders: true,
        }
    }
}

/// A time in which the receiver's timeline was one and the same.
#[derive(Clone, Copy, Debug)]
pub struct Era {
    /// When it began, in the world's time.
    pub since: i64,
    /// How the clock ran against its crystal.
    pub segment: Segment,
}

/// A packet of a receiver on its way.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// To whom.
    pub to: Host,
    /// From which of its addresses.
    pub via: usize,
    /// The bytes.
    pub bytes: Encoded,
    /// The era it left in.
    pub era: usize,
}

/// A running receiver.
pub struct Receiver {
    /// What it is.
    pub kind: Kind,
    core: Core,
    crystal: Oscillator,
    /// Its timelines, the first one first.
    pub eras: Vec<Era>,
    stamp_noise: f64,
    late_stamps: f64,
    random: Random,
    announces: u32,
    /// When it has something to do next, in the world's time.
    pub deadline: i64,
}

/// The clock that a liar names.
const OTHER: u64 = 77;
/// From the arrival of a packet to its being read, ns.
const READ_WITHIN: i64 = 5_000;

impl Receiver {
    /// Switches a receiver on at the world's start; it is good for `seconds`.
    pub fn new(plan: &Plan, index: usize, senders: &[Host], seconds: f64, seed: u64) -> Self {
        let mut random = Random::new(seed, 100 + index as u64);
        let mut config = Config {
            addresses: vec![address(index, 0), address(index, 1)],
            identity: 0x1414_7de8_0000_0008 | (index as u64) << 16,
            uptime_ns: plan.uptime,
            peers: if plan.knows_senders { senders.to_vec() } else { Vec::new() },
            delay_resp_latency_ns: plan.answers_within,
            seed: random.bits(),
            kept_pairs: 4,
            ..Config::default()
        };
        plan.kind.behave(&mut config);
        if plan.one_way {
            config.delay_resp = DelayResp::Never;
        }
        // Its crystal has run for ever, and counts from anywhere.
        let crystal = Oscillator::new(&plan.crystal, 50_000_000_000, seconds, &mut random);
        let mut core = Core::new(config, crystal.read(0));
        if plan.kind == Kind::HomePodGrouped {
            let apple_tv = 0x50bc_96e6_9986_0008;
            core.apply(
                Command::Grandmaster { identity: apple_tv, step_ns: 0, skew_ppb: None },
                crystal.read(0),
            );
        }
        let eras = vec![Era { since: 0, segment: core.segment() }];
        Self {
            kind: plan.kind,
            core,
            crystal,
            eras,
            stamp_noise: plan.stamp_noise,
            late_stamps: plan.late_stamps,
            random,
            announces: 0,
            deadline: 0,
        }
    }

    /// What the timeline of an era reads at a moment of the world.
    pub fn truth(&self, era: usize, world: i64) -> i64 {
        let nanos = self.eras[era.min(self.eras.len() - 1)].segment.read(self.crystal.read(world)).nanos();
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }

    /// Something is done to it.
    pub fn apply(&mut self, command: Command, world: i64) {
        let before = self.core.segment().epoch;
        self.core.apply(command, self.crystal.read(world));
        if self.core.segment().epoch != before {
            self.eras.push(Era { since: world, segment: self.core.segment() });
        }
        self.deadline = world;
    }

    /// A packet has come in.
    pub fn receive(&mut self, bytes: &[u8], event: bool, from: Host, via: usize, world: i64) {
        let noise = (self.stamp_noise * self.random.normal()) as i64;
        let arrival = Arrival { from, via, event, at_ns: self.crystal.read(world) + noise };
        self.core.receive(bytes, arrival, self.crystal.read(world + READ_WITHIN));
        self.deadline = world + READ_WITHIN;
    }

    /// The next packet that leaves at a moment at which it has something to do.
    pub fn transmit(&mut self, world: i64) -> Option<Outgoing> {
        if self.kind == Kind::Liar(Lie::Names) {
            let grandmaster =
                if world / 10_000_000_000 % 2 == 1 { OTHER } else { self.core.segment().grandmaster };
            // As it says, another timeline; its time is the same.
            if self.eras[self.eras.len() - 1].segment.grandmaster != grandmaster {
                let segment = Segment { grandmaster, ..self.core.segment() };
                self.eras.push(Era { since: world, segment });
            }
        }
        loop {
            let Some(transmit) = self.core.poll_transmit(self.crystal.read(world)) else {
                let next = self.core.deadline().map_or(i64::MAX, |at| self.crystal.when(at));
                self.deadline = next.max(world + 1);
                return None;
            };
            let era = self.eras.len() - 1;
            if let Some(bytes) = self.speak(transmit.bytes) {
                return Some(Outgoing { to: transmit.to, via: transmit.via, bytes, era });
            }
        }
    }

    /// Says it as its kind does.
    fn speak(&mut self, bytes: Encoded) -> Option<Encoded> {
        if self.kind == Kind::SilentTv {
            return None;
        }
        let mut message = wire::decode(&bytes).ok()?;
        match &mut message.body {
            Body::FollowUp { apple_clock, .. } => {
                let mut off = self.stamp_noise * self.random.normal();
                if self.random.chance(self.late_stamps) {
                    off += self.random.scaled(30e3, 2.3e6);
                }
                match self.kind {
                    Kind::Sonos => *apple_clock = None,
                    Kind::Liar(Lie::WildTimes) if self.random.chance(0.02) => {
                        off += self.random.sign() * self.random.scaled(2e9, 1e12);
                    }
                    Kind::Liar(Lie::Names) => {
                        *apple_clock = self.eras.last().map(|era| ClockIdentity(era.segment.grandmaster));
                    }
                    _ => {}
                }
                let correction = message.header.correction.scaled();
                message.header.correction = Correction::from_scaled(correction + (off * 65_536.0) as i64);
            }
            Body::DelayResp { .. } if self.kind == Kind::Liar(Lie::DelayResp) => {
                let off = self.random.sign() * self.random.scaled(1e6, 50e6);
                let correction = message.header.correction.scaled();
                message.header.correction = Correction::from_scaled(correction + (off * 65_536.0) as i64);
            }
            Body::Announce(announce) => match self.kind {
                Kind::Sonos => {
                    announce.dataset.quality.accuracy = 0xfe;
                    announce.dataset.priority2 = 248;
                }
                Kind::Airptpd => {
                    // As iOS, and once a second.
                    self.announces = self.announces.wrapping_add(1);
                    if self.announces % 4 != 1 {
                        return None;
                    }
                    announce.dataset.quality = ClockQuality { class: 6, accuracy: 0x21, variance: 0x436a };
                    (announce.dataset.priority2, announce.time_source) = (128, 0x20);
                }
                _ => return Some(bytes),
            },
            _ => return Some(bytes),
        }
        Some(wire::encode(&message))
    }
}

/// An address of receiver `index`: IPv4 or IPv6.
pub fn address(index: usize, via: usize) -> Host {
    host(1, index, via)
}

/// An address of host `index`: IPv4 or IPv6.
pub fn sender(index: usize, via: usize) -> Host {
    host(0, index, via)
}

/// Which host, and which of its addresses, `to` is.
pub fn sender_of(to: Host) -> (usize, usize) {
    match to.ip {
        std::net::IpAddr::V4(ip) => (usize::from(ip.octets()[3]) - 1, 0),
        std::net::IpAddr::V6(ip) => (usize::from(ip.segments()[7]) - 1, 1),
    }
}

fn host(net: u8, index: usize, via: usize) -> Host {
    let number = index as u8 + 1;
    match via {
        0 => Host::from(std::net::IpAddr::from([10, 0, net, number])),
        _ => Host::from(std::net::IpAddr::from([0xfe80, 0, 0, 0, 0, 0, u16::from(net), u16::from(number)])),
    }
}
