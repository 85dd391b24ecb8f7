//! Traces: rows of a CSV file, made into the messages that a receiver would have sent.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, Read};

use ptpbmca::time::{Correction, LocalTime, Span, Timestamp, NANOS_PER_SECOND};
use ptpbmca::wire::compose::{Sender, MAJOR_SDO_ID, PORT_NUMBER};
use ptpbmca::wire::{self, ClockIdentity, PortIdentity};

use super::session::{following, Estimate, Session};

/// Bytes of the longest line read: six numbers of 20 digits are below 130.
const MAX_LINE: u64 = 4_096;

/// How long an answer to a Delay_Req is waited for. A row tells when a request left and when it arrived there, not
/// when its answer came: that was before the row, and no later than this, which is as late as is believed live (field
/// guide 3.4 has 101 ms as the slowest seen).
const ANSWERED_WITHIN: Span = Span::from_millis(1_000);

/// The receiver's part in a replayed trace, which names nobody.
const RECEIVER: Sender = Sender {
    identity: PortIdentity { clock: ClockIdentity(0x0200_0000_0001_0008), port: PORT_NUMBER },
    domain: 0,
    major_sdo_id: MAJOR_SDO_ID,
};

/// Our part.
const SENDER: Sender = Sender {
    identity: PortIdentity { clock: ClockIdentity(0x0200_0000_0002_0008), port: PORT_NUMBER },
    domain: 0,
    major_sdo_id: MAJOR_SDO_ID,
};

/// What a row says: a Sync, a Follow_Up, both, and an exchange that was finished before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    sequence: u16,
    /// preciseOriginTimestamp and correctionField.
    follow_up: Option<(Timestamp, Correction)>,
    /// When the Sync arrived.
    sync: Option<LocalTime>,
    exchange: Option<Exchange>,
}

/// t3 and t4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exchange {
    sent: LocalTime,
    received: Timestamp,
}

/// Reads a line. `None`: nothing to replay in it (empty, a comment, the header).
pub fn parse(line: &[u8], first: bool) -> Result<Option<Row>, &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| "not text")?.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let mut fields = text.split(',').map(str::trim);
    let mut next = || fields.next().unwrap_or_default();
    let sequence = next();
    if first && sequence.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Ok(None);
    }
    let sequence = sequence.parse().map_err(|_| "seq is no number from 0 to 65535")?;
    let (t1, correction, t2, t3, t4) = (next(), next(), next(), next(), next());
    let row = Row {
        sequence,
        follow_up: follow_up(number(t1, "t1_ns")?, number(correction, "corr_ns")?)?,
        sync: local(number(t2, "t2_ns")?, "t2_ns does not fit 64 bits")?,
        exchange: exchange(number(t3, "t3_ns")?, number(t4, "t4_ns")?)?,
    };
    if row.follow_up.is_none() && row.sync.is_none() && row.exchange.is_none() {
        return Err("neither a Sync nor a Follow_Up");
    }
    Ok(Some(row))
}

fn number(field: &str, name: &'static str) -> Result<Option<i128>, &'static str> {
    if field.is_empty() {
        return Ok(None);
    }
    field.parse().map(Some).map_err(|_| match name {
        "t1_ns" => "t1_ns is no whole number",
        "corr_ns" => "corr_ns is no whole number",
        "t2_ns" => "t2_ns is no whole number",
        "t3_ns" => "t3_ns is no whole number",
        _ => "t4_ns is no whole number",
    })
}

fn local(nanos: Option<i128>, why: &'static str) -> Result<Option<LocalTime>, &'static str> {
    let fits = |nanos| i64::try_from(nanos).map(LocalTime::from_nanos).map_err(|_| why);
    nanos.map(fits).transpose()
}

fn timestamp(nanos: i128, why: &'static str) -> Result<Timestamp, &'static str> {
    let nanos = u64::try_from(nanos).map_err(|_| why)?;
    // The remainder is below 1e9 and fits.
    Ok(Timestamp { seconds: nanos / NANOS_PER_SECOND, nanoseconds: (nanos % NANOS_PER_SECOND) as u32 })
}

fn follow_up(
    t1: Option<i128>,
    correction: Option<i128>,
) -> Result<Option<(Timestamp, Correction)>, &'static str> {
    /// The largest correctionField in whole nanoseconds: 39 hours.
    const LIMIT: i128 = (i64::MAX >> 16) as i128;
    let (t1, correction) = match (t1, correction) {
        (Some(t1), Some(correction)) => (t1, correction),
        (None, None) => return Ok(None),
        (Some(_), None) => return Err("t1_ns without corr_ns"),
        (None, Some(_)) => return Err("corr_ns without t1_ns"),
    };
    // A clock that has just been started may read less than its Sync's correction; no timestamp is negative, so the
    // correction takes it. A sum of two 128-bit numbers as read may not fit.
    let correction = correction.saturating_add(t1.min(0));
    if !(-LIMIT..=LIMIT).contains(&correction) {
        return Err("corr_ns is beyond what a correctionField holds");
    }
    let origin = timestamp(t1.max(0), "t1_ns does not fit 64 bits")?;
    // Within the limit, and so within 64 bits.
    Ok(Some((origin, Correction::from_nanos(correction as i64))))
}

fn exchange(t3: Option<i128>, t4: Option<i128>) -> Result<Option<Exchange>, &'static str> {
    let sent = local(t3, "t3_ns does not fit 64 bits")?;
    let received = t4.map(|t4| timestamp(t4, "t4_ns is negative or does not fit 64 bits")).transpose()?;
    // One of the two alone is a request that was never answered.
    Ok(sent.zip(received).map(|(sent, received)| Exchange { sent, received }))
}

/// A trace under replay.
#[derive(Debug, Default)]
pub struct Trace {
    session: Option<Session>,
    /// The exchange fed last: a row may repeat it.
    last: Option<Exchange>,
    /// An exchange that waits for the association to ask.
    waiting: Option<Exchange>,
    /// sequenceId of the next recorded request.
    request: u16,
    /// Exchanges that found no request to answer.
    pub unused: u64,
}

impl Trace {
    /// The session, once a row has begun it.
    pub fn session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// Takes in a row. Gives the estimate if it completes a pair.
    pub fn take(&mut self, row: &Row) -> Option<Estimate> {
        // A Follow_Up has no time of its own: those before the first Sync are left out.
        let session = match (&mut self.session, row.sync) {
            (Some(session), _) => session,
            (none, Some(at)) => none.insert(Session::new(following(SENDER.identity, 0, 1), at)),
            (None, None) => return None,
        };
        if let Some(at) = row.sync {
            session.advance(at);
        }
        if row.exchange.is_some() && row.exchange != self.last {
            self.unused += u64::from(self.waiting.is_some());
            (self.waiting, self.last) = (row.exchange, row.exchange);
        }
        // Its request followed an earlier Sync, and it was finished before this one came.
        self.feed_exchange();
        let mut estimate = None;
        if let Some(at) = row.sync {
            let sync = RECEIVER.sync(row.sequence);
            estimate = self.session.as_mut()?.receive(&wire::encode(&sync), 0, at);
        }
        if let Some((origin, correction)) = row.follow_up {
            let mut message = RECEIVER.follow_up(row.sequence, origin);
            message.header.correction = correction;
            // When it came is not told: with its Sync, or with the row before.
            let session = self.session.as_mut()?;
            estimate = session.receive(&wire::encode(&message), 0, session.now()).or(estimate);
        }
        // Without a request so far, the pair's may serve.
        self.feed_exchange();
        estimate
    }

    /// Lets the association's Delay_Req have left at t3 and answers it with t4. The answer comes as late as can be,
    /// with the present row: whatever the path was like, T4 then lies between the two.
    fn feed_exchange(&mut self) {
        let Some(session) = self.session.as_mut().filter(|session| session.wants_to_ask()) else { return };
        let Some(Exchange { sent, received }) = self.waiting.take() else { return };
        if sent > session.now() {
            // Not finished before this row, whatever the row says.
            self.unused += 1;
            return;
        }
        let request = SENDER.delay_req(self.request);
        self.request = self.request.wrapping_add(1);
        session.requested(request.header.sequence_id, sent);
        let answered = session.now().min(sent.plus(ANSWERED_WITHIN));
        let answer = RECEIVER.delay_resp(&request.header, received);
        session.receive(&wire::encode(&answer), 0, answered);
    }
}

/// Reads the next line into `line`, without its end. Gives false at the end of the input; a line that is too long is
/// cut, and told apart by its length.
pub fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if input.by_ref().take(MAX_LINE).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    while line.len() as u64 >= MAX_LINE && line.last() != Some(&b'\n') {
        let rest = input.fill_buf()?;
        let end = rest.iter().position(|byte| *byte == b'\n');
        let skipped = end.map_or(rest.len(), |end| end + 1);
        input.consume(skipped);
        if end.is_some() || skipped == 0 {
            break;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Row {
        parse(text.as_bytes(), false).unwrap().unwrap()
    }

    #[test]
    fn rows_are_what_they_say() {
        let timestamp = |seconds, nanoseconds| Timestamp { seconds, nanoseconds };
        let whole = row(
            " 65535, 18446744073709551615 ,-7,-9223372036854775808,9223372036854775807,1000000001,more\r\n",
        );
        let expected = Row {
            sequence: 65_535,
            follow_up: Some((timestamp(18_446_744_073, 709_551_615), Correction::from_nanos(-7))),
            sync: Some(LocalTime::from_nanos(i64::MIN)),
            exchange: Some(Exchange { sent: LocalTime::from_nanos(i64::MAX), received: timestamp(1, 1) }),
        };
        assert_eq!(whole, expected);
        let none = Row { sequence: 3, follow_up: None, sync: None, exchange: None };
        assert_eq!(row("3,,,5"), Row { sync: Some(LocalTime::from_nanos(5)), ..none });
        // A request without an answer is no exchange.
        assert_eq!(row("3,,,5,6,"), Row { sync: Some(LocalTime::from_nanos(5)), ..none });
        let follow_up = Some((timestamp(0, 0), Correction::from_nanos(400)));
        assert_eq!(row("3,-100,500,,,"), Row { follow_up, ..none });
        for nothing in ["", "  \r", "# 1,2,3,4,,"] {
            assert_eq!(parse(nothing.as_bytes(), false), Ok(None));
        }
        assert_eq!(parse(b"seq,t1_ns", true), Ok(None));
        assert!(parse(b"1,-140737488355327,-1,2,,", false).is_err());
    }

    /// Four rows with an exchange in the last one, and how many answers were used and exchanges unused.
    fn used(last: [&str; 3]) -> (u64, u64) {
        let mut trace = Trace::default();
        for index in 0..4_i64 {
            let t2 = 1_000_000_000 + index * 125_000_000;
            trace.take(&row(&format!("{index},{},0,{t2},,", t2 + 4_000_000_000)));
        }
        for (index, exchange) in last.into_iter().enumerate() {
            let t2 = 1_500_000_000 + index as i64 * 125_000_000;
            trace.take(&row(&format!("{},{},0,{t2},{exchange}", index + 4, t2 + 4_000_000_000)));
        }
        (trace.session().unwrap().totals().answers, trace.unused)
    }

    #[test]
    fn exchanges_are_used_once_and_only_if_they_are_over() {
        assert_eq!(used([",", ",", ","]), (0, 0));
        assert_eq!(used(["1400000000,5400100000", ",", ","]), (1, 0));
        // The same one again is no other.
        assert_eq!(used(["1400000000,5400100000"; 3]), (1, 0));
        assert_eq!(used(["1400000000,5400100000", "1500000001,5500100001", "1700000000,5700100000"]), (3, 0));
        // Not over when its row came; old, but over.
        assert_eq!(used(["1500000001,5500100001", ",", ","]), (0, 1));
        assert_eq!(used(["400000000,4400100000", ",", ","]), (1, 0));
    }

    #[test]
    fn long_lines_are_cut_and_the_next_one_is_whole() {
        let long = "1".repeat(MAX_LINE as usize * 3);
        let text = format!("{long}\n2,\n{}\n3", &long[..MAX_LINE as usize - 1]);
        let (mut input, mut line) = (text.as_bytes(), Vec::new());
        let mut lengths = Vec::new();
        while read_line(&mut input, &mut line).unwrap() {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [MAX_LINE as usize, 3, MAX_LINE as usize, 1]);
    }
}
