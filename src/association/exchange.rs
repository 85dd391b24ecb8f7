//! Delay_Req and Delay_Resp: which request a response answers, and what its correctionField means.
#![forbid(unsafe_code)]

use super::counters::Refusal;
use crate::estimator::{Exchange, Line};
use crate::time::{Correction, LocalTime, PtpTime, Span, Timestamp};

/// Requests awaiting an answer: one goes out per Sync, 8 a second; the slowest answer seen took 101 ms (field guide 3.4).
const SLOTS: usize = 8;

/// An answer later than this is not believed to be one (ten times the slowest seen, field guide 3.4).
const PATIENCE: Span = Span::from_millis(1_000);

/// A line is not taken for better than this when responses are judged by it: software stamps, ours of the request and the
/// receiver's of its arrival, are late by 61 us one time in a hundred where the kernel does not make them.
const MIN_SLACK_NS: u64 = 61_000;

/// What a Delay_Resp's correctionField means. Apple adds it to receiveTimestamp, IEEE 1588 subtracts it, and some
/// receivers send the true time and a correction on top (field guide 1.3, 1.13, 2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorrectionSign {
    /// T4 = receiveTimestamp + correctionField.
    Plus,
    /// T4 = receiveTimestamp - correctionField.
    Minus,
    /// T4 = receiveTimestamp.
    Unused,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    sequence: u16,
    /// When the Sync of the same sequenceId left there and arrived here.
    left: PtpTime,
    arrived: LocalTime,
    sent: Option<LocalTime>,
    answered: bool,
}

/// The requests to one receiver.
#[derive(Clone, Debug, Default)]
pub struct Exchanges {
    slots: [Option<Request>; SLOTS],
    next: usize,
    proven: Option<CorrectionSign>,
    /// The readings that corrections were given while none was proven, a bit for each.
    assumed: u8,
    misread: bool,
}

/// The fields of a Delay_Resp that matter here, with the time it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Response {
    /// Repeats the request's.
    pub sequence: u16,
    /// receiveTimestamp.
    pub receive: Timestamp,
    /// correctionField.
    pub correction: Correction,
    /// When the response arrived here.
    pub arrived: LocalTime,
}

impl Exchanges {
    /// Forgets the requests and what was learnt of the sign: another receiver.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets the requests only: answers to them would mislead.
    pub fn forget_requests(&mut self) {
        self.slots = [None; SLOTS];
    }

    /// What the correction was proven to mean: tests ask.
    #[cfg(test)]
    pub fn proven(&self) -> Option<CorrectionSign> {
        self.proven
    }

    /// Whether it has just been proven that earlier responses were read by another sign than they should have been.
    pub fn take_misread(&mut self) -> bool {
        std::mem::take(&mut self.misread)
    }

    /// Notes a request that is about to leave, after a Sync of the same sequenceId that `left` there and `arrived` here.
    pub fn request(&mut self, sequence: u16, left: PtpTime, arrived: LocalTime) {
        // A restarted receiver repeats its sequence ids, and so do the requests: the latest one is meant.
        for slot in &mut self.slots {
            slot.take_if(|request| request.sequence == sequence);
        }
        self.slots[self.next % SLOTS] =
            Some(Request { sequence, left, arrived, sent: None, answered: false });
        self.next = (self.next + 1) % SLOTS;
    }

    /// Notes when a request left.
    pub fn sent(&mut self, sequence: u16, at: LocalTime) {
        if let Some(request) = self.find(sequence) {
            request.sent = Some(at);
        }
    }

    /// The exchange that `response` completes. `line` is the estimate at hand, which tells the readings of the
    /// correction apart.
    pub fn response(&mut self, response: Response, line: &Line) -> Result<Exchange, Refusal> {
        let request = self.find(response.sequence).ok_or(Refusal::Unrequested)?;
        if request.answered {
            return Err(Refusal::Duplicate);
        }
        let sent = request.sent.ok_or(Refusal::Unrequested)?;
        let took = response.arrived.since(sent);
        if took < Span::ZERO || took > PATIENCE {
            return Err(Refusal::Unrequested);
        }
        let (left, pair_arrived) = (request.left, request.arrived);

        // The request arrived there after it left here and before the response arrived here; both ends of that
        // span are read off the line and are good to its bound.
        let bound = line.error_at(response.arrived).max(MIN_SLACK_NS);
        let slack = Span::from_nanos(i64::try_from(bound).unwrap_or(i64::MAX));
        let earliest = i128::from(line.remote_at(sent).nanos()) - i128::from(slack.nanos());
        let latest = i128::from(line.remote_at(response.arrived).nanos()) + i128::from(slack.nanos());
        let fits = |time: PtpTime| (earliest..=latest).contains(&i128::from(time.nanos()));
        let any = |sign| {
            let correction = match sign {
                CorrectionSign::Plus => response.correction,
                CorrectionSign::Minus => response.correction.negated(),
                CorrectionSign::Unused => Correction::ZERO,
            };
            PtpTime::from_wire(response.receive, &[correction])
        };
        let read = |sign| any(sign).filter(|time| fits(*time));

        use CorrectionSign::{Minus, Plus, Unused};
        let (plus, minus, unused) = (read(Plus), read(Minus), read(Unused));
        // A correction that moves T4 by less than the bound proves nothing (field guide 1.13).
        if response.correction.nanos().unsigned_abs() > bound {
            match (plus, minus, unused) {
                (Some(_), None, None) => self.proven = Some(Plus),
                (None, Some(_), None) => self.proven = Some(Minus),
                // Not of a receiver that was proven to mean something: there a response that fits neither is refused.
                (None, None, Some(_)) if self.proven.is_none() => self.proven = Some(Unused),
                // A correction that leads from a plausible T4 right to the moment at which the response must have
                // left is the receiver's own turnaround (field guide 2.7).
                (Some(left), None, Some(_)) if self.proven.is_none() => {
                    let path = i128::from(line.path_delay_ns.unwrap_or(0));
                    let must_have_left = i128::from(line.remote_at(response.arrived).nanos()) - path;
                    if (must_have_left - i128::from(left.nanos())).unsigned_abs() <= u128::from(bound) {
                        self.proven = Some(Unused);
                    }
                }
                _ => {}
            }
        }
        match self.proven {
            Some(sign) => self.misread |= std::mem::take(&mut self.assumed) & !(1 << sign as u8) != 0,
            None if response.correction == Correction::ZERO => {}
            None => {
                let fitting = [(plus, Plus), (minus, Minus), (unused, Unused)];
                let first = fitting.into_iter().find(|(time, _)| time.is_some());
                self.assumed |= first.map_or(0, |(_, sign)| 1 << sign as u8);
            }
        }
        let received = match self.proven {
            None => plus.or(minus).or(unused),
            Some(Plus) => plus.or(minus),
            Some(Minus) => minus.or(plus),
            Some(Unused) => unused.or(plus).or(minus),
        };
        // Where no reading fits the line, the line may be what is wrong: beside the Sync of the same sequenceId the
        // request took both ways, and the response was back after no more than its stay and those. Proves no sign.
        let after_sync =
            |time: LocalTime| i128::from(left.nanos()) + i128::from(time.since(pair_arrived).nanos());
        let way = i128::from(line.path_delay_ns.unwrap_or(0)) + i128::from(MIN_SLACK_NS);
        let beside = after_sync(sent) - i128::from(MIN_SLACK_NS)..=after_sync(response.arrived) + way;
        let beside_sync = |sign| any(sign).filter(|time| beside.contains(&i128::from(time.nanos())));
        let received = received.or_else(|| match self.proven {
            Some(sign) => beside_sync(sign),
            None => beside_sync(Plus).or_else(|| beside_sync(Minus)).or_else(|| beside_sync(Unused)),
        });
        let received = received.ok_or(Refusal::Implausible)?;
        // Only now: an answer that cannot be one, whoever sent it, leaves room for the true one.
        if let Some(request) = self.find(response.sequence) {
            request.answered = true;
        }
        Ok(Exchange { sent, received })
    }

    fn find(&mut self, sequence: u16) -> Option<&mut Request> {
        self.slots.iter_mut().flatten().find(|request| request.sequence == sequence)
    }
}
