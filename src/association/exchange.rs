//! Delay_Req and Delay_Resp: which request a response answers, and what its correctionField means.
#![forbid(unsafe_code)]

use super::counters::Refusal;
use super::sign::{CorrectionSign, Signs, Weighed};
use crate::estimator::{Exchange, Line};
use crate::time::{Correction, LocalTime, PtpTime, Span, Timestamp};

/// Requests awaiting an answer: one goes out per Sync, 8 a second; the slowest answer seen took 101 ms (field guide 3.4).
const SLOTS: usize = 8;

/// An answer later than this is not believed to be one (ten times the slowest seen, field guide 3.4).
const PATIENCE: Span = Span::from_millis(1_000);

/// A line is not taken for better than this when responses are judged by it: software stamps, ours of the request and the
/// receiver's of its arrival, are late by 61 us one time in a hundred where the kernel does not make them.
const MIN_SLACK_NS: u64 = 61_000;

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
    signs: Signs,
}

/// What a response makes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The exchange it completes.
    pub exchange: Exchange,
    /// By how much later the request may have arrived by another reading of the correction that fits as well.
    pub doubt: Span,
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
        self.signs.proven()
    }

    /// Whether it has just been found that earlier responses were read by another sign than they should have been.
    pub fn take_misread(&mut self) -> bool {
        self.signs.take_misread()
    }

    /// Whether a request of this id left so short a time ago that its answer may still come, or come twice: it would be
    /// taken for the answer to another one, and arrive there before that one left.
    pub fn asked(&self, sequence: u16, now: LocalTime) -> bool {
        let lately = |request: &Request| now.since(request.sent.unwrap_or(request.arrived)) < PATIENCE;
        self.slots.iter().flatten().any(|request| request.sequence == sequence && lately(request))
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
    pub fn response(&mut self, response: Response, line: &Line) -> Result<Answer, Refusal> {
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
        let earliest = i128::from(line.remote_at(sent).nanos());
        let latest = i128::from(line.remote_at(response.arrived).nanos());
        let readings = CorrectionSign::ALL.map(|sign| {
            let correction = match sign {
                CorrectionSign::Plus => response.correction,
                CorrectionSign::Minus => response.correction.negated(),
                CorrectionSign::Unused => Correction::ZERO,
            };
            PtpTime::from_wire(response.receive, &[correction])
        });
        let within = |slack: u64| {
            let span = earliest - i128::from(slack)..=latest + i128::from(slack);
            readings.map(|time| time.filter(|time| span.contains(&i128::from(time.nanos()))))
        };
        let fitting = within(bound);
        // Before three pairs agree the bound is none: the first Sync may have been late by anything.
        if line.trusted {
            // A correction that moves T4 by less than the bound proves nothing (field guide 1.13).
            if response.correction.nanos().unsigned_abs() > bound {
                let nearly = within(bound.saturating_mul(2)).map(|time| time.is_some());
                self.signs.weigh(Weighed { fits: fitting.map(|time| time.is_some()), nearly });
            }
            self.signs.turnaround(is_turnaround(response, took, fitting, line));
        }
        // Where no reading fits the line, the line may be what is wrong: beside the Sync of the same sequenceId the
        // request took both ways, and the response was back after no more than its stay and those. Proves no sign.
        let after_sync =
            |time: LocalTime| i128::from(left.nanos()) + i128::from(time.since(pair_arrived).nanos());
        let way = i128::from(line.path_delay_ns.unwrap_or(0)) + i128::from(MIN_SLACK_NS);
        let beside = after_sync(sent) - i128::from(MIN_SLACK_NS)..=after_sync(response.arrived) + way;
        let beside_sync = readings.map(|time| time.filter(|time| beside.contains(&i128::from(time.nanos()))));

        let (sign, received, latest) =
            self.choose(fitting).or_else(|| self.choose(beside_sync)).ok_or(Refusal::Implausible)?;
        if response.correction != Correction::ZERO {
            self.signs.give(sign);
        }
        // Only now: an answer that cannot be one, whoever sent it, leaves room for the true one.
        if let Some(request) = self.find(response.sequence) {
            request.answered = true;
        }
        Ok(Answer { exchange: Exchange { sent, received }, doubt: latest.since(received) })
    }

    /// Of some readings the proven one; while none is, the first, and the latest of all.
    fn choose(&self, readings: [Option<PtpTime>; 3]) -> Option<(CorrectionSign, PtpTime, PtpTime)> {
        let mut there =
            CorrectionSign::ALL.into_iter().zip(readings).filter_map(|(s, time)| Some((s, time?)));
        match self.signs.proven() {
            Some(proven) => there.find(|(sign, _)| *sign == proven).map(|(sign, time)| (sign, time, time)),
            None => {
                let (sign, first) = there.next()?;
                Some((sign, first, there.fold(first, |latest, (_, time)| latest.max(time))))
            }
        }
    }

    fn find(&mut self, sequence: u16) -> Option<&mut Request> {
        self.slots.iter_mut().flatten().find(|request| request.sequence == sequence)
    }
}

/// Whether the correction leads from a plausible T4 to the moment at which the response must have left: then it is the
/// receiver's own turnaround (field guide 2.7). `None` where nothing tells.
fn is_turnaround(response: Response, took: Span, fitting: [Option<PtpTime>; 3], line: &Line) -> Option<bool> {
    let correction = response.correction.nanos();
    let slack = MIN_SLACK_NS as i64;
    if correction < -slack || correction > took.nanos().saturating_add(slack) {
        // No stay takes less than no time, or longer than until the response was here: no line is needed for this.
        return Some(false);
    }
    let [Some(left), _, Some(_)] = fitting else { return None };
    // Half the round trip is in the bound for the path's halves may differ; here it is taken off again.
    let path = line.path_delay_ns.unwrap_or(0);
    let must_have_left = i128::from(line.remote_at(response.arrived).nanos()) - i128::from(path);
    let unsure = line.error_at(response.arrived).saturating_sub(path).max(MIN_SLACK_NS);
    let there = (must_have_left - i128::from(left.nanos())).unsigned_abs() <= u128::from(unsure);
    (there && correction.unsigned_abs() > unsure.saturating_mul(2)).then_some(true)
}
