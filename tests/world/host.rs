//! Hosts: their clocks, and the sessions they run. What the engine does with an association, a host does here.

use crate::link::Lane;
use crate::memory;
use crate::oscillator::{Crystal, Oscillator};
use crate::random::Random;
use crate::receiver::Receiver;
use crate::watch::{Watch, MESSAGES};
use ptpbmca::association::{Association, Change, Config, Packet, Port, RolePolicy, Tag, Transmit};
use ptpbmca::election::Advertisement;
use ptpbmca::latch::Latch;
use ptpbmca::time::{LocalTime, PtpTime, Span};
use ptpbmca::timeline::{Role, Timeline};
use ptpbmca::wire::compose::PORT_NUMBER;
use ptpbmca::wire::{self, Body, ClockIdentity, PortIdentity};

/// What a host is.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How its monotonic clock runs.
    pub crystal: Crystal,
    /// What that reads at the world's start, ns.
    pub monotonic: i64,
    /// Standard deviation of its kernel's stamps, ns.
    pub stamp_noise: f64,
    /// No kernel stamps: a packet's time is when it was read.
    pub no_stamps: bool,
    /// From an event to the worker's being at it: mean, ns.
    pub latency: f64,
    /// Share of the events for which that takes 2 to 8 ms.
    pub stalls: f64,
    /// Deadlines are kept up to so much early, ns: they share wake-ups.
    pub early: i64,
}

impl Plan {
    /// A good host.
    pub fn good() -> Self {
        Self {
            crystal: Crystal { skew_ppm: -8.0, walk_ppm: 0.007, cycle: (0.2, 500.0), changes: Vec::new() },
            monotonic: 987_654_321_012_345,
            stamp_noise: 300.0,
            no_stamps: false,
            latency: 30e3,
            stalls: 0.0,
            early: 250_000,
        }
    }
}

/// A running host.
pub struct Host {
    plan: Plan,
    crystal: Oscillator,
    random: Random,
    /// What the monotonic clock has stood still for.
    slept: i64,
    /// Asleep since, in the world's time.
    asleep: Option<i64>,
    /// The wall clock minus the clock that counts in suspend.
    wall: i64,
    /// The same as the worker knows it.
    wall_known: i64,
    /// When the wall clock was set and the worker had not noticed.
    pub wall_set: Option<i64>,
    /// The worker does not run before this, in the world's time.
    pub frozen_until: i64,
    /// The moment up to which the worker has worked.
    pub at: i64,
}

/// The wall clock minus the clock since boot at the world's start, ns.
const WALL: i64 = 1_789_012_345_678_901_234;
/// From one message to the next, ns.
const SEND_TAKES: i64 = 7_000;

impl Host {
    /// Switches a host on; it is good for `seconds`.
    pub fn new(plan: &Plan, index: usize, seconds: f64, seed: u64) -> Self {
        let mut random = Random::new(seed, 200 + index as u64);
        let crystal = Oscillator::new(&plan.crystal, plan.monotonic, seconds, &mut random);
        let plan = plan.clone();
        Self {
            plan,
            crystal,
            random,
            slept: 0,
            asleep: None,
            wall: WALL,
            wall_known: WALL,
            wall_set: None,
            frozen_until: 0,
            at: 0,
        }
    }

    /// The monotonic clock.
    pub fn monotonic(&self, world: i64) -> LocalTime {
        LocalTime::from_nanos(self.crystal.read(self.asleep.unwrap_or(world)) - self.slept)
    }

    /// When the monotonic clock reads `at`, if it does not stand still.
    pub fn when(&self, at: LocalTime) -> i64 {
        self.crystal.when(at.nanos().saturating_add(self.slept))
    }

    /// The served timeline minus the monotonic clock: it goes on in a suspend, and is not set with the wall clock.
    pub fn served(&self) -> Span {
        Span::from_nanos(WALL + self.slept)
    }

    /// The wall clock minus the monotonic one: as it is, and as the worker knows it.
    pub fn wall(&self) -> (i64, i64) {
        (self.wall + self.slept, self.wall_known + self.slept)
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&mut self, by: i64, world: i64) {
        self.wall += by;
        self.wall_set = Some(world);
    }

    /// The worker notices.
    pub fn notice_wall(&mut self) {
        self.wall_known = self.wall;
        self.wall_set = None;
    }

    /// Falls asleep.
    pub fn sleep(&mut self, world: i64) {
        self.asleep.get_or_insert(world);
    }

    /// Whether it is asleep.
    pub fn is_asleep(&self) -> bool {
        self.asleep.is_some()
    }

    /// Wakes up; tells for how long the monotonic clock stood still.
    pub fn wake(&mut self, world: i64) -> i64 {
        let by = self.asleep.take().map_or(0, |since| self.crystal.read(world) - self.crystal.read(since));
        self.slept += by;
        by
    }

    /// When the worker gets at something that happens at `world`.
    pub fn latency(&mut self, world: i64) -> i64 {
        let mut late = self.random.exponential(self.plan.latency);
        if self.plan.stalls > 0.0 && self.random.chance(self.plan.stalls) {
            late += self.random.between(2e6, 8e6);
        }
        world.saturating_add(late as i64).max(self.at)
    }

    /// The kernel's stamp of something at `world`, or what stands for it where there is none.
    fn stamp(&mut self, world: i64, instead: LocalTime) -> LocalTime {
        if self.plan.no_stamps {
            return instead;
        }
        let noise = (self.plan.stamp_noise * self.random.normal()) as i64;
        self.monotonic(world).plus(Span::from_nanos(noise))
    }
}

/// A session to be.
#[derive(Clone, Debug)]
pub struct SessionPlan {
    /// On which host.
    pub host: usize,
    /// With which receiver.
    pub receiver: usize,
    /// Which part to play.
    pub policy: RolePolicy,
    /// Over how many addresses of the receiver, 1 or 2.
    pub peers: usize,
    /// When it begins, s.
    pub from: f64,
}

/// A running session.
pub struct Session {
    /// What it is.
    pub plan: SessionPlan,
    association: Option<Association>,
    latch: Latch<{ Timeline::WORDS }>,
    /// Lanes to the receiver and back, for each address.
    pub up: Vec<Lane>,
    /// See `up`.
    pub down: Vec<Lane>,
    /// When it wants to be ticked, in the world's time.
    pub deadline: i64,
    /// Epochs of the wall clock's own steps.
    wall_epochs: u32,
    /// Our Syncs whose Follow_Up is to come: sequenceId, address, time of leaving.
    syncs: Vec<(u16, u8, LocalTime)>,
    /// What is watched of it.
    pub watch: Watch,
}

/// A packet of ours on its way.
#[derive(Clone, Copy, Debug)]
pub struct Leaving {
    /// The message.
    pub transmit: Transmit,
    /// When it leaves, in the world's time.
    pub at: i64,
}

/// A packet that has come in.
#[derive(Clone, Copy, Debug)]
pub struct Arriving<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The receiver's address.
    pub peer: u8,
    /// When it arrived, in the world's time, and when it had left.
    pub at: i64,
    /// See `at`.
    pub left: i64,
    /// The receiver's era when it left.
    pub era: usize,
}

impl Session {
    /// A session that has not begun.
    pub fn new(plan: SessionPlan, name: String, up: Vec<Lane>, down: Vec<Lane>) -> Self {
        Self {
            plan,
            association: None,
            latch: Latch::new(),
            up,
            down,
            deadline: i64::MAX,
            wall_epochs: 0,
            syncs: Vec::new(),
            watch: Watch::new(name),
        }
    }

    /// Whether it has begun.
    pub fn runs(&self) -> bool {
        self.association.is_some()
    }

    /// Begins, at `host.at`.
    pub fn start(&mut self, host: &mut Host, receiver: &Receiver, out: &mut Vec<Leaving>) {
        let clock = ClockIdentity(0xfe6b_3a00_f840_0008 + self.plan.host as u64);
        let lead = self.plan.policy == RolePolicy::Lead;
        let config = Config {
            policy: self.plan.policy,
            advertisement: if lead { Advertisement::ios(clock) } else { Advertisement::mac(clock) },
            identity: PortIdentity { clock, port: PORT_NUMBER },
            domain: 0,
            major_sdo_id: 1,
            announce_timeout: Span::from_millis(3_000),
            peers: self.plan.peers as u8,
        };
        let (now, mut heap) = (host.monotonic(host.at), 0);
        self.association = Some(counted(&mut heap, || Association::new(config, host.served(), now)));
        self.watch.allocated(heap, host.at);
        self.settle(host, receiver, now, out);
    }

    /// A packet is read, at `host.at`.
    pub fn receive(
        &mut self,
        packet: Arriving,
        host: &mut Host,
        receiver: &Receiver,
        out: &mut Vec<Leaving>,
    ) {
        let Some(association) = &mut self.association else { return };
        let now = host.monotonic(host.at);
        let received = host.stamp(packet.at, now);
        let mut heap = 0;
        let taken = Packet { bytes: packet.bytes, peer: packet.peer, received };
        counted(&mut heap, || association.receive(taken, now));
        self.watch.allocated(heap, host.at);
        let sync = packet.bytes.first().is_some_and(|first| first & 15 == 0);
        let delay = sync.then(|| packet.at - packet.left);
        self.watch.heard(packet.era, delay, association.counters().pairs);
        self.settle(host, receiver, now, out);
    }

    /// Its time has come, at `host.at`.
    pub fn tick(&mut self, host: &mut Host, receiver: &Receiver, out: &mut Vec<Leaving>) {
        let Some(association) = &mut self.association else { return };
        let due = association.poll_timeout();
        // A deadline kept a little early is told as kept on time.
        let now = due.map_or(host.monotonic(host.at), |due| due.max(host.monotonic(host.at)));
        let mut heap = 0;
        counted(&mut heap, || association.tick(now));
        self.watch.allocated(heap, host.at);
        self.watch.ticked(now, association.poll_timeout(), host.at);
        self.settle(host, receiver, now, out);
    }

    /// The host was suspended for `by`.
    pub fn resume(&mut self, by: i64, host: &mut Host, receiver: &Receiver, out: &mut Vec<Leaving>) {
        let Some(association) = &mut self.association else { return };
        let now = host.monotonic(host.at);
        association.local_clock_stood_still(Span::from_nanos(by), host.served(), now);
        self.watch.suspending = true;
        self.settle(host, receiver, now, out);
    }

    /// The worker has noticed that the wall clock was set.
    pub fn wall_was_set(&mut self) {
        let timeline = Timeline::from_words(&self.latch.read().unwrap_or([0; Timeline::WORDS]));
        self.wall_epochs += u32::from(timeline.conversion.is_synchronized());
    }

    /// After anything happened: sends, publishes, sets the deadline.
    fn settle(&mut self, host: &mut Host, receiver: &Receiver, now: LocalTime, out: &mut Vec<Leaving>) {
        let Some(association) = &mut self.association else { return };
        let (mut heap, mut messages, mut leaves) = (0, 0, host.at);
        while let Some(transmit) = counted(&mut heap, || association.poll_transmit()) {
            messages += 1;
            if messages > MESSAGES {
                self.watch.wrong(host.at, "more messages than one event may make");
                break;
            }
            leaves += SEND_TAKES;
            if let Some(tag) = transmit.tag {
                let at = host.stamp(leaves, now);
                if let Tag::Sync { peer, sequence, .. } = tag {
                    self.syncs.retain(|sync| (sync.0, sync.1) != (sequence, peer));
                    self.syncs.push((sequence, peer, at));
                }
                counted(&mut heap, || association.sent(tag, at, now));
            } else if transmit.message.first().is_some_and(|first| first & 15 == 8) {
                follow_up_is_true(&transmit, &mut self.syncs, host.served(), &mut self.watch, host.at);
            }
            out.push(Leaving { transmit, at: leaves });
        }
        host.at = leaves;
        let timeline = counted(&mut heap, || association.timeline(now));
        // As many as may wait to be told.
        let mut changes: [Option<Change>; 32] = [None; 32];
        let mut count = 0;
        while let Some(change) = counted(&mut heap, || association.poll_change()) {
            changes[count % 32] = Some(change);
            count += 1;
        }
        self.deadline = match association.poll_timeout() {
            Some(at) => host.when(at.plus(Span::from_nanos(-host.plan.early))).max(host.at + 1),
            None => i64::MAX,
        };
        self.watch.allocated(heap, host.at);
        let changes: Vec<Change> = changes.into_iter().flatten().collect();
        self.latch.write(&timeline.to_words());
        self.watch.published(&timeline, &changes, now, receiver, host.at);
        if timeline.conversion.role == Role::Leading {
            let read = timeline.conversion.receiver_time(now.nanos()) as i64;
            let served = now.nanos() + host.served().nanos();
            if read != served {
                self.watch.wrong(host.at, format!("leads {} ns off the served timeline", read - served));
            }
        }
    }

    /// What a reader sees at a moment of the world.
    pub fn read(&self, host: &Host, world: i64) -> Option<(Timeline, LocalTime)> {
        self.association.as_ref()?;
        // The worker may be ahead by what it takes to get at something.
        let now = host.monotonic(world.max(host.at));
        let timeline = Timeline::from_words(&self.latch.read()?);
        Some((timeline.aged(now), now))
    }

    /// What a reader whose local clock is the wall clock sees, and by how far its reading of now is off that of one who
    /// counts in the monotonic clock, ns.
    pub fn read_wall(&self, host: &Host, world: i64) -> Option<(u32, i64)> {
        let (timeline, now) = self.read(host, world)?;
        let (wall, known) = host.wall();
        let mut line = timeline.conversion;
        line.shift_ns = known;
        let local = now.nanos() + wall;
        let off = line.receiver_time(local) as i64 - timeline.conversion.receiver_time(now.nanos()) as i64;
        Some((line.epoch.wrapping_add(self.wall_epochs), off))
    }
}

/// Does `call`, and adds to `heap` what it left there.
fn counted<T>(heap: &mut isize, call: impl FnOnce() -> T) -> T {
    let before = memory::live();
    let done = call();
    *heap += memory::live() - before;
    done
}

/// A Follow_Up of ours tells on the served timeline when its Sync left.
fn follow_up_is_true(
    transmit: &Transmit,
    syncs: &mut Vec<(u16, u8, LocalTime)>,
    served: Span,
    watch: &mut Watch,
    world: i64,
) {
    let Ok(message) = wire::decode(&transmit.message) else {
        return watch.wrong(world, "a Follow_Up of ours does not decode");
    };
    let sequence = message.header.sequence_id;
    let found = syncs.iter().position(|sync| (sync.0, sync.1) == (sequence, transmit.peer));
    let (Some(found), Body::FollowUp { precise_origin, .. }) = (found, message.body) else {
        return watch.wrong(world, format!("Follow_Up {sequence} to no Sync"));
    };
    let (_, _, left) = syncs.swap_remove(found);
    let told = PtpTime::from_wire(precise_origin, &[message.header.correction]).map_or(0, PtpTime::nanos);
    let truth = left.nanos() + served.nanos();
    if told as i64 != truth || transmit.port != Port::General {
        watch.wrong(world, format!("Follow_Up {sequence} is {} ns off", told as i64 - truth));
    }
}
