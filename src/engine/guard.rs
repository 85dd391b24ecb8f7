//! Against floods from strangers: notices them, and has the kernel keep them away for a while.

use std::net::IpAddr;

use super::net::{filter, Endpoint};
use crate::time::{LocalTime, Span};

/// So many packets from strangers within [`WINDOW`] are a flood: ten times what a studio's PTP clocks send to the
/// multicast groups, and some hundredths of what the worker can refuse.
const FLOOD: u32 = 256;

/// The time in which they are counted.
const WINDOW: Span = Span::from_millis(100);

/// For so long they are kept away; then it is seen whether they still come, which takes [`FLOOD`] packets.
const KEEP_AWAY: Span = Span::from_millis(10_000);

/// The kernel is asked for its drops so often.
const ASK_DROPS: Span = Span::from_millis(1_000);

/// A flood is told in the log once, and again after this.
const TELL_AGAIN: Span = Span::from_millis(60_000);

/// What one pair of ports has to do with strangers.
#[derive(Debug, Default)]
pub struct Guard {
    /// Packets from addresses of no session that came to the worker.
    pub foreign: u64,
    /// Packets that the kernel dropped, for whatever reason.
    pub dropped: u64,
    counted: u32,
    counting_since: Option<LocalTime>,
    kept_away_until: Option<LocalTime>,
    asked: Option<LocalTime>,
    told: Option<LocalTime>,
    /// The system has refused, or there are too many addresses: not tried again before the next flood is told.
    refused: bool,
}

impl Guard {
    /// Counts a packet from a stranger; tells whether it is one too many.
    pub fn count(&mut self, now: LocalTime) -> bool {
        self.foreign = self.foreign.wrapping_add(1);
        if self.counting_since.is_none_or(|since| now.since(since) >= WINDOW) {
            (self.counting_since, self.counted) = (Some(now), 0);
        }
        self.counted = self.counted.saturating_add(1);
        self.counted == FLOOD && !self.is_up() && !crate::planted::bug("no-filter")
    }

    /// Whether strangers are kept away.
    pub fn is_up(&self) -> bool {
        self.kept_away_until.is_some()
    }

    /// Keeps away all but `known` from these sockets.
    pub fn raise(&mut self, endpoints: &[Endpoint], known: &[IpAddr], now: LocalTime) {
        let again = self.told.is_none_or(|told| now.since(told) >= TELL_AGAIN);
        if self.refused && !again {
            return;
        }
        let raised = endpoints.iter().try_for_each(|e| filter::attach(&e.socket, e.ipv6, known));
        if again {
            self.told = Some(now);
            match &raised {
                Ok(()) => log::warn!(
                    "a flood of packets from addresses of no session: the kernel keeps them away for the time being"
                ),
                Err(error) => {
                    log::warn!("a flood of packets from addresses of no session, and no filter: {error}")
                }
            }
        }
        self.refused = raised.is_err();
        match raised {
            Ok(()) => self.kept_away_until = Some(now.plus(KEEP_AWAY)),
            Err(_) => self.drop_filter(endpoints),
        }
    }

    /// The sessions have changed while strangers were kept away.
    pub fn admit(&mut self, endpoints: &[Endpoint], known: &[IpAddr]) {
        let admitted = endpoints.iter().try_for_each(|e| filter::attach(&e.socket, e.ipv6, known));
        if admitted.is_err() {
            self.drop_filter(endpoints);
        }
    }

    /// The sockets are new ones.
    pub fn begin_anew(&mut self) {
        self.kept_away_until = None;
    }

    /// Does what is due.
    pub fn tick(&mut self, endpoints: &mut [Endpoint], now: LocalTime) {
        if self.kept_away_until.is_some_and(|until| now >= until) {
            self.drop_filter(endpoints);
        }
        if self.asked.is_none_or(|asked| now.since(asked) >= ASK_DROPS) {
            self.asked = Some(now);
            for endpoint in endpoints {
                let Some(total) = filter::dropped(&endpoint.socket) else { continue };
                let more = total.wrapping_sub(endpoint.dropped);
                endpoint.dropped = total;
                self.dropped = self.dropped.wrapping_add(more.into());
            }
        }
    }

    fn drop_filter(&mut self, endpoints: &[Endpoint]) {
        self.kept_away_until = None;
        endpoints.iter().for_each(|e| filter::detach(&e.socket));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> LocalTime {
        LocalTime::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn what_comes_now_and_then_is_no_flood() {
        let mut guard = Guard::default();
        // A studio's clocks: 100 a second.
        assert!((0..10_000).all(|number| !guard.count(at(10 * number))));
        assert_eq!(guard.foreign, 10_000);
        // 100,000 a second: told once a window.
        let told = (0..100_000).filter(|number| guard.count(at(200_000 + number / 100))).count();
        assert_eq!(told, 10);
    }
}
