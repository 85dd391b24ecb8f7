//! Who is who in a capture: the receiver, whose clock is followed, and the sender that follows it.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use ptpbmca::association::MAX_PEERS;
use ptpbmca::election::{compare, Candidate};
use ptpbmca::time::LocalTime;
use ptpbmca::wire::compose::PORT_NUMBER;
use ptpbmca::wire::{self, Announce, Body, ClockIdentity, Message, PortIdentity};

/// Addresses told apart; a home has fewer devices.
const MAX_SPEAKERS: usize = 1_024;

/// Identities noted of one address: each start of a sender may make a new one.
const MAX_CLOCKS: usize = 16;

/// Our identity where the capture has none of the sender's.
const NOBODY: PortIdentity = PortIdentity { clock: ClockIdentity(0x0200_0000_0002_0008), port: PORT_NUMBER };

/// A PTP message with its time and addresses.
#[derive(Clone, Debug)]
pub struct Captured {
    /// When it was captured.
    pub at: LocalTime,
    /// Who sent it.
    pub from: IpAddr,
    /// To whom, or to which group.
    pub to: IpAddr,
    /// The UDP payload.
    pub bytes: Box<[u8]>,
}

/// The two sides of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parties {
    /// The receiver's addresses, at most as many as an association takes.
    pub receiver: Vec<IpAddr>,
    /// The sender's addresses; none if nobody talks to the receiver.
    pub sender: Vec<IpAddr>,
    /// The sender's port; [`NOBODY`] where it says nothing.
    pub identity: PortIdentity,
    /// The receiver's domainNumber.
    pub domain: u8,
    /// Other hosts with a clock, which could have been asked for.
    pub others: Vec<IpAddr>,
}

/// What an address was heard to say.
#[derive(Debug)]
struct Speaker {
    address: IpAddr,
    clocks: Vec<ClockIdentity>,
    syncs: u64,
    announce: Option<(Announce, PortIdentity)>,
    domain: Option<u8>,
    /// The port it asked from, or else spoke from first.
    asked_from: Option<PortIdentity>,
    spoke_from: PortIdentity,
}

/// Addresses with one clock.
#[derive(Debug, Default)]
struct Host {
    speakers: Vec<Speaker>,
}

impl Host {
    fn syncs(&self) -> u64 {
        self.speakers.iter().map(|speaker| speaker.syncs).sum()
    }

    fn has(&self, address: IpAddr) -> bool {
        self.speakers.iter().any(|speaker| speaker.address == address)
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.speakers.iter().map(|speaker| speaker.address).collect()
    }

    fn candidate(&self) -> Option<Candidate> {
        let (announce, source) = self.speakers.iter().find_map(|speaker| speaker.announce)?;
        Some(Candidate::announced(&announce, source, NOBODY))
    }

    /// Whether it has a clock to follow at all.
    fn has_clock(&self) -> bool {
        self.syncs() > 0 || self.candidate().is_some()
    }

    /// Whether rather this one's clock is followed: by data set where both announce one, else by who serves more.
    fn beats(&self, other: &Self) -> bool {
        match (self.candidate(), other.candidate()) {
            (Some(own), Some(others)) => compare(&own, &others).is_better(),
            _ => self.syncs() > other.syncs(),
        }
    }
}

/// Finds the two sides; `sender` and `receiver` are what the user knows, or empty.
pub fn find(messages: &[Captured], sender: &[IpAddr], receiver: &[IpAddr]) -> Result<Parties, &'static str> {
    let (hosts, spoken) = listen(messages);
    let talked = |a: IpAddr, b: IpAddr| {
        spoken.get(&(a, b)).copied().unwrap_or(0) + spoken.get(&(b, a)).copied().unwrap_or(0)
    };
    let clocks = hosts.iter().filter(|host| host.has_clock());
    let mut found: Option<&Host> = None;
    for host in clocks.clone().filter(|host| !sender.iter().any(|address| host.has(*address))) {
        let known = host.addresses();
        let wanted = receiver.is_empty() || receiver.iter().any(|address| host.has(*address));
        let meets = sender.is_empty() || sender.iter().any(|s| known.iter().any(|r| talked(*s, *r) > 0));
        if wanted && meets && found.is_none_or(|best| host.beats(best)) {
            found = Some(host);
        }
    }
    let addresses = match (receiver, found) {
        ([], None) => return Err("nobody in it sends Sync or Announce"),
        ([], Some(host)) => host.addresses(),
        (given, _) => given.to_vec(),
    };
    let receiver: Vec<IpAddr> = addresses.into_iter().take(MAX_PEERS).collect();

    let with_receiver = |address: IpAddr| receiver.iter().map(|r| talked(address, *r)).sum::<u64>();
    let sender =
        if sender.is_empty() { partner(&hosts, &spoken, &receiver, with_receiver) } else { sender.to_vec() };
    let speakers = || hosts.iter().flat_map(|host| &host.speakers);
    let sending = || speakers().filter(|speaker| sender.contains(&speaker.address));
    let identity = sending()
        .find_map(|speaker| speaker.asked_from)
        .or_else(|| sending().map(|speaker| speaker.spoke_from).next());
    let domain = speakers().filter(|speaker| receiver.contains(&speaker.address)).find_map(|s| s.domain);
    let others = clocks
        .flat_map(Host::addresses)
        .filter(|address| !sender.contains(address) && !receiver.contains(address))
        .collect();
    Ok(Parties {
        receiver,
        sender,
        identity: identity.unwrap_or(NOBODY),
        domain: domain.unwrap_or(0),
        others,
    })
}

/// The host that has most to do with the receiver; all its addresses.
fn partner(
    hosts: &[Host],
    spoken: &HashMap<(IpAddr, IpAddr), u64>,
    receiver: &[IpAddr],
    talk: impl Fn(IpAddr) -> u64,
) -> Vec<IpAddr> {
    let outside = |address: &IpAddr| !receiver.contains(address) && !is_group(*address);
    let of_host = |host: &Host| host.addresses().into_iter().filter(outside).collect::<Vec<_>>();
    // Who only listens is in no host.
    let silent = spoken.keys().map(|(_, to)| *to).filter(outside);
    let silent = silent.filter(|to| !hosts.iter().any(|host| host.has(*to))).map(|to| vec![to]);
    let sides = hosts.iter().map(of_host).chain(silent);
    let weighed = sides.map(|side| (side.iter().map(|address| talk(*address)).sum::<u64>(), side));
    // The address breaks ties, so that the same capture always gives the same answer.
    let best = weighed.filter(|(weight, _)| *weight > 0).max_by(|a, b| (a.0, &b.1).cmp(&(b.0, &a.1)));
    best.map(|(_, side)| side).unwrap_or_default()
}

/// Hears everybody out: the hosts, and how many messages went from whom to whom.
fn listen(messages: &[Captured]) -> (Vec<Host>, HashMap<(IpAddr, IpAddr), u64>) {
    let mut speakers: Vec<Speaker> = Vec::new();
    let mut places: HashMap<IpAddr, usize> = HashMap::new();
    let mut spoken = HashMap::new();
    for captured in messages {
        let Ok(Message { header, body }) = wire::decode(&captured.bytes) else { continue };
        let from = captured.from;
        if !places.contains_key(&from) && speakers.len() < MAX_SPEAKERS {
            places.insert(from, speakers.len());
            speakers.push(Speaker {
                address: from,
                clocks: Vec::new(),
                syncs: 0,
                announce: None,
                domain: None,
                asked_from: None,
                spoke_from: header.source,
            });
        }
        let Some(speaker) = places.get(&from).and_then(|place| speakers.get_mut(*place)) else { continue };
        if spoken.len() < MAX_SPEAKERS * 4 || spoken.contains_key(&(from, captured.to)) {
            *spoken.entry((from, captured.to)).or_insert(0) += 1;
        }
        let clock = header.source.clock;
        if !speaker.clocks.contains(&clock) && speaker.clocks.len() < MAX_CLOCKS {
            speaker.clocks.push(clock);
        }
        match body {
            Body::Sync { .. } => {
                speaker.syncs += 1;
                speaker.domain.get_or_insert(header.domain);
            }
            Body::Announce(announce) => {
                speaker.announce = Some((announce, header.source));
                speaker.domain.get_or_insert(header.domain);
            }
            Body::DelayReq { .. } => {
                speaker.asked_from.get_or_insert(header.source);
            }
            _ => {}
        }
    }
    let mut hosts: Vec<Host> = Vec::new();
    for speaker in speakers {
        let shares = |other: &Speaker| other.clocks.iter().any(|clock| speaker.clocks.contains(clock));
        match hosts.iter_mut().find(|host| host.speakers.iter().any(shares)) {
            Some(host) => host.speakers.push(speaker),
            None => hosts.push(Host { speakers: vec![speaker] }),
        }
    }
    (hosts, spoken)
}

/// A multicast group or a broadcast, which every host hears.
pub fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    }
}

impl fmt::Display for Parties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |addresses: &[IpAddr]| {
            let names: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            if names.is_empty() {
                "nobody".to_string()
            } else {
                names.join(", ")
            }
        };
        write!(
            f,
            "receiver {}; sender {}, port {}",
            list(&self.receiver),
            list(&self.sender),
            self.identity
        )?;
        if !self.others.is_empty() {
            write!(f, "; not replayed: {} (--receiver chooses)", list(&self.others))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ptpbmca::time::Timestamp;
    use ptpbmca::wire::compose::Sender;
    use ptpbmca::wire::{ClockQuality, DataSet};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn clock(id: u64, domain: u8) -> Sender {
        let identity = PortIdentity { clock: ClockIdentity(id), port: 0x8005 };
        Sender { identity, domain, major_sdo_id: 1 }
    }

    fn said(from: &str, to: &str, message: &Message) -> Captured {
        let bytes = wire::encode(message).as_bytes().into();
        Captured { at: LocalTime::default(), from: ip(from), to: ip(to), bytes }
    }

    fn announce(sender: &Sender, priority1: u8) -> Message {
        let quality = ClockQuality { class: 248, accuracy: 0x21, variance: 0x436a };
        let grandmaster = sender.identity.clock;
        let dataset = DataSet { priority1, quality, priority2: 239, grandmaster, steps_removed: 0 };
        sender.announce(0, &dataset, 0xa0, 37)
    }

    /// A HomePod with two addresses and a Mac that opens with its burst, and then asks.
    fn session() -> Vec<Captured> {
        let (homepod, mac) = (clock(0x1414_7de8_5498_0008, 3), clock(0x5, 3));
        let mut all = vec![
            said("10.0.0.2", "10.0.0.9", &mac.sync(0)),
            said("10.0.0.2", "10.0.0.9", &mac.follow_up(0, Timestamp::default())),
            said("10.0.0.2", "10.0.0.9", &announce(&mac, 250)),
            said("fe80::9", "10.0.0.2", &announce(&homepod, 248)),
        ];
        for sequence in 0..5 {
            all.push(said("10.0.0.9", "10.0.0.2", &homepod.sync(sequence)));
            all.push(said("10.0.0.2", "10.0.0.9", &mac.delay_req(sequence)));
        }
        all
    }

    #[test]
    fn the_better_clock_is_the_receiver() {
        let parties = find(&session(), &[], &[]).unwrap();
        let expected = Parties {
            receiver: vec![ip("fe80::9"), ip("10.0.0.9")],
            sender: vec![ip("10.0.0.2")],
            identity: clock(5, 0).identity,
            domain: 3,
            others: vec![],
        };
        assert_eq!(parties, expected);
    }

    #[test]
    fn without_announces_whoever_serves_is_the_receiver() {
        let all: Vec<_> = session().into_iter().filter(|captured| captured.bytes[0] & 0xf != 11).collect();
        let parties = find(&all, &[], &[]).unwrap();
        assert_eq!((parties.receiver, parties.sender), (vec![ip("10.0.0.9")], vec![ip("10.0.0.2")]));
    }

    #[test]
    fn of_several_the_one_asked_for_is_taken() {
        let mut all = session();
        let (better, third) = (clock(0x77, 0), clock(0x78, 0));
        all.push(said("10.0.0.7", "224.0.1.129", &announce(&better, 1)));
        all.push(said("10.0.0.7", "10.0.0.8", &better.sync(1)));
        all.push(said("10.0.0.8", "10.0.0.7", &third.delay_req(1)));
        let best = find(&all, &[], &[]).unwrap();
        assert_eq!((&best.receiver[..], &best.sender[..]), (&[ip("10.0.0.7")][..], &[ip("10.0.0.8")][..]));
        assert_eq!(best.others, [ip("10.0.0.2"), ip("fe80::9"), ip("10.0.0.9")]);
        let given = find(&all, &[], &[ip("10.0.0.9")]).unwrap();
        assert_eq!((given.receiver, given.sender), (vec![ip("10.0.0.9")], vec![ip("10.0.0.2")]));
        let given = find(&all, &[ip("10.0.0.2")], &[]).unwrap();
        assert_eq!(given.receiver, [ip("fe80::9"), ip("10.0.0.9")]);
    }

    #[test]
    fn a_listener_that_never_speaks_is_the_sender() {
        let homepod = clock(9, 0);
        let all = [
            said("10.0.0.9", "10.0.0.2", &homepod.sync(1)),
            said("10.0.0.9", "224.0.1.129", &homepod.sync(2)),
            said("10.0.0.9", "224.0.1.129", &homepod.sync(3)),
        ];
        let parties = find(&all, &[], &[]).unwrap();
        assert_eq!((&parties.sender[..], parties.identity), (&[ip("10.0.0.2")][..], NOBODY));
        assert!(find(&[], &[], &[]).is_err());
    }
}
