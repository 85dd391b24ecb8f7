//! What a receiver sends when: sans-IO, time passed in. What it hears is in `hear.rs`.
#![forbid(unsafe_code)]

use crate::clock::{Clock, Reading, Segment};
use crate::config::{Announcing, Command, Config, DelayResp, Host, Serving};
use crate::counters::Counters;
use crate::hear::Heard;
use crate::line::{Event, Line};
use crate::link::Link;
use crate::messages::Composer;
use crate::peer::{FirstPair, Pair, Peer, PendingRequest};
use crate::random::Random;
use ptpbmca::time::{Correction, Timestamp, NANOS_PER_SECOND};
use ptpbmca::wire::{encode, ClockIdentity, Encoded, MessageType, PortIdentity};
use std::collections::VecDeque;

/// Between two Announces of a HomePod (field guide 3.1).
const ANNOUNCE_INTERVAL_NS: i64 = 250_000_000;
/// Between two Announces once they have thinned out, and of a HomePod that is not allowed to serve (field guide 4).
const RARE_ANNOUNCE_INTERVAL_NS: i64 = 20_000_000_000;
/// Announces before they thin out (field guide 4).
const ELECTION_ANNOUNCES: u32 = 3;
/// Between two Signaling messages: as often as Announces in the capture, 12 of both sides in 8 s (field guide 3.1).
const SIGNALING_INTERVAL_NS: i64 = 1_000_000_000;
/// First Announce to first Sync in the capture: 0.2 s (field guide 3.2).
const FIRST_SYNC_AFTER_NS: i64 = 200_000_000;
/// A master that neither announces nor serves for so long is none: 3 Announces of 1 s (field guide 3.1, AVNU).
pub(crate) const MASTER_TIMEOUT_NS: i64 = 3_000_000_000;
/// Senders served at most. nqptp keeps 64 clocks (field guide 5).
pub(crate) const MAX_PEERS: usize = 64;
/// Messages that wait for their turn at most: several rounds for every peer.
const MAX_PLANNED: usize = 1024;
/// Lines kept for a reader at most.
const MAX_LINES: usize = 4096;
/// The corrections of Delay_Resp are of both signs; one was seen of either: this share is negative, in percent, ...
const NEGATIVE_CORRECTION_PERCENT: f64 = 25.0;
/// ... and between these nanoseconds; -428875 was seen (field guide 3.3).
const NEGATIVE_CORRECTION_NS: (i64, i64) = (50_000, 5_000_000);

/// A message with its way.
#[derive(Clone, Copy, Debug)]
pub struct Transmit {
    /// To whom.
    pub to: Host,
    /// From which of the receiver's addresses.
    pub via: usize,
    /// From and to the event port; else the general port.
    pub event: bool,
    /// The datagram.
    pub bytes: Encoded,
    kind: MessageType,
    sequence_id: u16,
    peer: usize,
}

/// A message that is composed when its turn comes, so that it is stamped right before it leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Planned {
    Sync { peer: usize, sequence_id: u16 },
    FollowUp { peer: usize, sequence_id: u16, egress: Reading },
    Announce { peer: usize },
    WakeUp { peer: usize, priority1: u8, priority2: u8 },
    Signaling { peer: usize },
    DelayReq { peer: usize, sequence_id: u16 },
    DelayResp(Answer),
}

/// What a Delay_Resp has to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) peer: usize,
    pub(crate) sequence_id: u16,
    pub(crate) requesting: PortIdentity,
    pub(crate) received: Reading,
}

/// A receiver without sockets.
#[derive(Debug)]
pub struct Core {
    pub(crate) config: Config,
    pub(crate) composer: Composer,
    pub(crate) clock: Clock,
    random: Random,
    pub(crate) peers: Vec<Peer>,
    pub(crate) counters: Counters,
    pub(crate) serving: bool,
    /// The peer whose clock is followed.
    pub(crate) following: Option<usize>,
    next_sync: i64,
    sync_sequence: u16,
    announce_sequence: u16,
    signaling_sequence: u16,
    pub(crate) planned: VecDeque<Planned>,
    /// Delay_Resp on their way to being sent.
    pub(crate) answers: Link<Answer>,
    outgoing: Link<Transmit>,
    pub(crate) incoming: Link<Heard>,
    /// When the last session's first Sync pair had left.
    first_pair_at: Option<i64>,
    silent_until: Option<i64>,
    dead: bool,
    script: VecDeque<(i64, Command)>,
    lines: VecDeque<Line>,
}

impl Core {
    /// A receiver that starts at `now` of the host's monotonic clock. Its first line is the truth of its clock.
    pub fn new(config: Config, now: i64) -> Self {
        let identity = match config.identity {
            0 => config.addresses.first().map_or(1, |host| host.identity()),
            identity => identity,
        };
        let first = Segment {
            monotonic_ns: now,
            receiver_ns: config.uptime_ns,
            skew_ppb: config.skew_ppb,
            grandmaster: identity,
            epoch: 0,
        };
        let mut random = Random::new(config.seed);
        let latency =
            crate::link::Impairments { jitter_ns: config.delay_resp_latency_ns, ..Default::default() };
        let mut script: Vec<_> =
            config.script.iter().map(|&(at, what)| (now.saturating_add(at), what)).collect();
        script.sort_by_key(|&(at, _)| at);
        let mut core = Self {
            composer: Composer { identity: ClockIdentity(identity), priority1: config.priority1 },
            clock: Clock::new(first),
            peers: Vec::new(),
            counters: Counters::default(),
            serving: false,
            following: None,
            next_sync: i64::MAX,
            sync_sequence: 0,
            announce_sequence: 0,
            signaling_sequence: 0,
            planned: VecDeque::new(),
            answers: Link::new(latency, random.bits()),
            outgoing: Link::new(config.outgoing, random.bits()),
            incoming: Link::new(config.incoming, random.bits()),
            first_pair_at: None,
            silent_until: None,
            dead: false,
            script: script.into(),
            lines: VecDeque::from([Line::Truth(first)]),
            random,
            config,
        };
        for host in core.config.peers.clone() {
            core.peer(host, None);
        }
        core.decide(now);
        core
    }

    /// Its clockIdentity.
    pub fn identity(&self) -> u64 {
        self.composer.identity.0
    }

    /// What its clock read at this time of the host's monotonic clock, in nanoseconds.
    pub fn truth_at(&self, monotonic_ns: i64) -> u64 {
        self.clock.truth_at(monotonic_ns)
    }

    /// How its clock runs now.
    pub fn segment(&self) -> Segment {
        self.clock.segment()
    }

    /// What it counted.
    pub fn counters(&self) -> Counters {
        let lost = self.outgoing.lost + self.incoming.lost;
        let duplicated = self.outgoing.duplicated + self.incoming.duplicated;
        let reordered = self.outgoing.reordered + self.incoming.reordered;
        Counters { lost, duplicated, reordered, ..self.counters }
    }

    /// The last Sync pairs it measured of a sender, the oldest first.
    pub fn pairs(&self, sender: Host) -> Vec<Pair> {
        let peer = self.peers.iter().find(|peer| peer.host == sender);
        peer.map(|peer| peer.pairs.iter().copied().collect()).unwrap_or_default()
    }

    /// The event port and the general port.
    pub fn ports(&self) -> (u16, u16) {
        (self.config.event_port, self.config.general_port)
    }

    /// Whom it knows: named or heard.
    pub fn senders(&self) -> Vec<Host> {
        self.peers.iter().map(|peer| peer.host).collect()
    }

    /// When the first Sync pair of the last session had left, by the host's monotonic clock, in nanoseconds.
    pub fn first_pair_at(&self) -> Option<i64> {
        self.first_pair_at
    }

    /// Whether it serves its clock now.
    pub fn is_serving(&self) -> bool {
        self.serving
    }

    /// Whether it is gone.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Counts a packet the socket would not send.
    pub fn send_failed(&mut self) {
        self.counters.send_failed += 1;
    }

    /// The next line to print.
    pub fn next_line(&mut self) -> Option<Line> {
        self.lines.pop_front()
    }

    /// When `poll_transmit` has something to do; `None`: not before something is heard.
    pub fn deadline(&self) -> Option<i64> {
        if self.dead {
            return None;
        }
        let always = [self.outgoing.deadline(), self.script.front().map(|&(at, _)| at), self.silent_until];
        let always = always.into_iter().flatten().min();
        if self.silent_until.is_some() {
            return always;
        }
        let now = (!self.planned.is_empty()).then_some(i64::MIN);
        let links = [now, self.answers.deadline(), self.incoming.deadline(), Some(self.next_sync)];
        let peers = self.peers.iter().flat_map(|peer| {
            let second = peer.second_wake.map(|(at, ..)| at);
            let timeout = peer.last_as_master().map(|at| at.saturating_add(MASTER_TIMEOUT_NS));
            // A master counts only while it keeps this receiver from serving.
            let timeout = timeout.filter(|_| !self.serving && !peer.timed_out);
            [Some(peer.next_announce), Some(peer.next_signaling), second, timeout]
        });
        let all = always.into_iter().chain(links.into_iter().flatten()).chain(peers.flatten());
        all.min().filter(|&at| at < i64::MAX)
    }

    /// The next packet that leaves at `now`. Time is read anew before each call: a Sync is stamped with it.
    pub fn poll_transmit(&mut self, now: i64) -> Option<Transmit> {
        if self.dead {
            return None;
        }
        self.advance(now);
        loop {
            if let Some((_, transmit)) = self.outgoing.take(now) {
                self.left(&transmit, now);
                return Some(transmit);
            }
            let answer = self.answers.take(now).map(|(_, answer)| Planned::DelayResp(answer));
            let planned = answer.or_else(|| self.planned.pop_front())?;
            let transmit = self.compose(planned, now);
            self.outgoing.put(now, transmit);
        }
    }

    /// Does `command` at `now`.
    pub fn apply(&mut self, command: Command, now: i64) {
        if self.dead {
            return;
        }
        match command {
            Command::Restart { uptime_ns, silence_ns } => {
                let segment = self.clock.restart(now, uptime_ns, self.identity(), self.config.skew_ppb);
                self.say(Line::Truth(segment));
                self.say(Line::Event(now, Event::Restart));
                self.silence(now, silence_ns);
                (self.sync_sequence, self.announce_sequence, self.signaling_sequence) = (0, 0, 0);
                self.peers.iter_mut().for_each(Peer::forget);
                (self.serving, self.following, self.next_sync) = (false, None, i64::MAX);
            }
            Command::Silence { for_ns } => self.silence(now, for_ns),
            Command::Grandmaster { identity, step_ns, skew_ppb } => {
                let skew_ppb = skew_ppb.unwrap_or(self.segment().skew_ppb);
                let segment = self.clock.follow(now, identity, step_ns, skew_ppb);
                self.say(Line::Truth(segment));
            }
            Command::Step { step_ns } => {
                let segment = self.clock.step(now, step_ns);
                self.say(Line::Truth(segment));
            }
            Command::Die => {
                self.dead = true;
                self.say(Line::Event(now, Event::Died));
            }
        }
    }

    pub(crate) fn say(&mut self, line: Line) {
        if self.lines.len() < MAX_LINES {
            self.lines.push_back(line);
        }
    }

    pub(crate) fn is_silent(&self, now: i64) -> bool {
        self.dead || self.silent_until.is_some_and(|until| now < until)
    }

    pub(crate) fn plan(&mut self, what: Planned) {
        if self.planned.len() < MAX_PLANNED {
            self.planned.push_back(what);
        }
    }

    fn silence(&mut self, now: i64, for_ns: i64) {
        let until = now.saturating_add(for_ns.max(0));
        self.silent_until = Some(until);
        self.planned.clear();
        self.answers.clear();
        self.incoming.clear();
        self.say(Line::Event(now, Event::Silent(until)));
    }

    /// Everything whose time has come by `now`.
    pub(crate) fn advance(&mut self, now: i64) {
        while let Some((_, command)) = self.script.pop_front_if(|&mut (at, _)| at <= now) {
            self.apply(command, now);
        }
        if self.is_silent(now) {
            return;
        }
        if self.silent_until.take().is_some() {
            self.say(Line::Event(now, Event::Speaking));
        }
        while let Some((at, heard)) = self.incoming.take(now) {
            self.listen(Heard { arrival_ns: at, ..heard });
        }
        self.decide(now);
        for peer in 0..self.peers.len() {
            self.keep_time_for(peer, now);
        }
        if self.next_sync <= now {
            self.next_sync = after(self.next_sync, self.config.sync_interval_ns, now);
            let sequence_id = next(&mut self.sync_sequence);
            for peer in 0..self.peers.len() {
                if self.peers[peer].sync_from <= now {
                    self.plan(Planned::Sync { peer, sequence_id });
                }
            }
        }
    }

    fn keep_time_for(&mut self, index: usize, now: i64) {
        let rarely = !self.serving || self.config.announcing == Announcing::Thinning;
        let peer = &mut self.peers[index];
        let mut due = Vec::new();
        if peer.next_announce <= now {
            peer.announces = peer.announces.saturating_add(1);
            let few = self.serving && peer.announces < ELECTION_ANNOUNCES;
            let interval = if rarely && !few { RARE_ANNOUNCE_INTERVAL_NS } else { ANNOUNCE_INTERVAL_NS };
            peer.next_announce = after(peer.next_announce, interval, now);
            due.push(Planned::Announce { peer: index });
        }
        if peer.next_signaling <= now {
            peer.next_signaling = after(peer.next_signaling, SIGNALING_INTERVAL_NS, now);
            due.push(Planned::Signaling { peer: index });
        }
        if let Some((_, priority1, priority2)) = peer.second_wake.take_if(|(at, ..)| *at <= now) {
            due.push(Planned::WakeUp { peer: index, priority1, priority2 });
        }
        due.into_iter().for_each(|planned| self.plan(planned));
    }

    /// Begins to serve a sender.
    pub(crate) fn serve(&mut self, index: usize, now: i64) {
        let announces = self.config.announcing != Announcing::Never;
        let syncs = !self.config.never_sync;
        let now = now.saturating_add(self.config.phase_ns);
        let alone = self.peers.iter().all(|peer| peer.sync_from == i64::MAX);
        let peer = &mut self.peers[index];
        peer.next_announce = if announces { now } else { i64::MAX };
        peer.next_signaling = now;
        peer.announces = 0;
        peer.first_pair = FirstPair::Waiting;
        if syncs {
            peer.sync_from = now.saturating_add(FIRST_SYNC_AFTER_NS);
            // All senders are served in the same beat; the first one starts it.
            if alone {
                self.next_sync = peer.sync_from;
            }
        }
    }

    /// Ceases to serve.
    pub(crate) fn cease(&mut self, now: i64) {
        self.next_sync = i64::MAX;
        self.planned.retain(|planned| !matches!(planned, Planned::Sync { .. } | Planned::Announce { .. }));
        // Field guide 4: kept from serving, an OS 27 HomePod announces itself about every 20 s.
        let quiet = self.config.serving == Serving::WhenSilent && self.config.announcing != Announcing::Never;
        for peer in &mut self.peers {
            peer.sync_from = i64::MAX;
            peer.next_signaling = i64::MAX;
            peer.next_announce = if quiet { now.saturating_add(RARE_ANNOUNCE_INTERVAL_NS) } else { i64::MAX };
        }
    }

    fn compose(&mut self, planned: Planned, now: i64) -> Transmit {
        let grandmaster = ClockIdentity(self.segment().grandmaster);
        let (index, message) = match planned {
            Planned::Sync { peer, sequence_id } => {
                // Its Follow_Up is next, whatever else waits.
                let egress = self.clock.read(now);
                self.planned.push_front(Planned::FollowUp { peer, sequence_id, egress });
                (peer, self.composer.sync(sequence_id))
            }
            Planned::FollowUp { peer, sequence_id, egress } => {
                let (low, high) = self.config.correction_ns;
                let (stamp, correction) = egress.split(self.spread(low, high));
                (peer, self.composer.follow_up(sequence_id, stamp, correction, grandmaster))
            }
            Planned::Announce { peer } => {
                (peer, self.composer.announce(next(&mut self.announce_sequence), grandmaster))
            }
            Planned::WakeUp { peer, priority1, priority2 } => {
                (peer, self.composer.wake_up(priority1, priority2))
            }
            Planned::Signaling { peer } => {
                (peer, self.composer.signaling(next(&mut self.signaling_sequence)))
            }
            Planned::DelayReq { peer, sequence_id } => {
                self.peers[peer].pending_request = Some(PendingRequest { sequence_id, sent_ns: now });
                (peer, self.composer.delay_req(sequence_id))
            }
            Planned::DelayResp(answer) => {
                let (receive, correction) = self.delay_resp(answer.received, now);
                let Answer { peer, sequence_id, requesting, .. } = answer;
                (peer, self.composer.delay_resp(sequence_id, requesting, receive, correction))
            }
        };
        let kind = message.message_type();
        let Peer { host: to, via, .. } = self.peers[index];
        let sequence_id = message.header.sequence_id;
        Transmit { to, via, event: kind.is_event(), bytes: encode(&message), kind, sequence_id, peer: index }
    }

    /// receiveTimestamp and correctionField of the answer to a Delay_Req that came at `received`.
    fn delay_resp(&mut self, received: Reading, now: i64) -> (Timestamp, Correction) {
        let plain = Timestamp {
            seconds: received.nanos() / NANOS_PER_SECOND,
            nanoseconds: (received.nanos() % NANOS_PER_SECOND) as u32,
        };
        let signed = if self.random.percent(NEGATIVE_CORRECTION_PERCENT) {
            -self.spread(NEGATIVE_CORRECTION_NS.0, NEGATIVE_CORRECTION_NS.1)
        } else {
            self.spread(self.config.correction_ns.0, self.config.correction_ns.1)
        };
        match self.config.delay_resp {
            DelayResp::Plus => received.split(signed),
            DelayResp::Minus => {
                let (stamp, correction) = received.split(-signed);
                (stamp, correction.negated())
            }
            DelayResp::Plain | DelayResp::Never => (plain, Correction::ZERO),
            DelayResp::TruthPlusCorrection => {
                let response = self.clock.read(now).nanos();
                let turnaround = i128::from(response) - i128::from(received.nanos());
                (plain, Correction::from_nanos(i64::try_from(turnaround).unwrap_or(i64::MAX)))
            }
        }
    }

    /// Small values often, large ones seldom; `low` where it is not above 0 or `high` not above it.
    fn spread(&mut self, low: i64, high: i64) -> i64 {
        if low <= 0 || high <= low {
            return low.max(0);
        }
        self.random.log_uniform(low as f64, high as f64) as i64
    }

    /// A packet leaves the link.
    fn left(&mut self, transmit: &Transmit, now: i64) {
        let count = &mut self.counters;
        let counter = match transmit.kind {
            MessageType::Sync => &mut count.sync_sent,
            MessageType::FollowUp => &mut count.follow_up_sent,
            MessageType::Announce => &mut count.announce_sent,
            MessageType::Signaling => &mut count.signaling_sent,
            MessageType::DelayReq => &mut count.delay_req_sent,
            _ => &mut count.delay_resp_sent,
        };
        *counter += 1;
        let peer = &mut self.peers[transmit.peer];
        match (transmit.kind, peer.first_pair) {
            (MessageType::Sync, FirstPair::Waiting | FirstPair::SyncLeft(_)) => {
                peer.first_pair = FirstPair::SyncLeft(transmit.sequence_id);
            }
            (MessageType::FollowUp, FirstPair::SyncLeft(id)) if id == transmit.sequence_id => {
                peer.first_pair = FirstPair::Left;
                self.first_pair_at = Some(now);
                let line = Line::Event(now, Event::FirstSync(peer.host.ip));
                self.say(line);
            }
            _ => {}
        }
    }
}

/// One interval after `due`, or after `now` where that has passed already.
fn after(due: i64, interval: i64, now: i64) -> i64 {
    let regular = due.saturating_add(interval);
    if regular > now {
        regular
    } else {
        now.saturating_add(interval)
    }
}

/// This sequenceId; the counter goes on.
fn next(sequence: &mut u16) -> u16 {
    let this = *sequence;
    *sequence = this.wrapping_add(1);
    this
}
