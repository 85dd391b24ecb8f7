//! Whole replays: traces and captures in, estimates and pictures out.
#![forbid(unsafe_code)]

mod writing;

use super::*;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;

use ptpbmca::estimator::{Estimator, Exchange, SyncPair};
use ptpbmca::time::PtpTime;
use writing::*;

/// Replays `input`: the lines of estimates, the notes, and the picture.
fn replay_with(arguments: &str, input: &[u8]) -> (Vec<String>, String, Option<String>) {
    let arguments = arguments.split_whitespace().chain(["-"]);
    let options = options::read(lexopt::Parser::from_args(arguments)).unwrap().unwrap();
    let (mut csv, mut notes) = (Vec::new(), Vec::new());
    let picture = run(&options, input, Some(Box::new(&mut csv)), &mut notes).unwrap();
    let lines = String::from_utf8(csv).unwrap().lines().map(str::to_string).collect();
    (lines, String::from_utf8(notes).unwrap(), picture)
}

fn replay(input: &[u8]) -> (Vec<String>, String) {
    let (lines, notes, _) = replay_with("", input);
    (lines, notes)
}

/// The fields of a line; all six are there.
fn fields(line: &str) -> [Option<i128>; 6] {
    let fields: Vec<_> =
        line.split(',').map(|field| (!field.is_empty()).then(|| field.parse().unwrap())).collect();
    fields.try_into().unwrap()
}

#[test]
fn a_tiny_trace_gives_a_line_per_pair() {
    let mut text = "seq,t1_ns,corr_ns,t2_ns,t3_ns,t4_ns\r\n# a comment\n\n".to_string();
    for index in 0..6_i64 {
        let sent = index * 125 * MILLISECOND;
        text += &format!("{index},{},{},{},,\r\n", 5_000_000_000 + sent - 500, 500, 1_000_000_000 + sent);
    }
    let (lines, notes) = replay(text.as_bytes());
    assert_eq!(lines[..2], ["1000000000,,,0,,", "1125000000,,,0,,"]);
    assert_eq!(lines.len(), 6);
    for (index, line) in lines.iter().enumerate().skip(2) {
        let t2 = 1_000_000_000 + index as i128 * 125_000_000;
        let [at, remote, plus_1, epoch, plus_2, error] = fields(line);
        assert_eq!((at, epoch), (Some(t2), Some(0)));
        let (remote, plus_1, plus_2) = (remote.unwrap(), plus_1.unwrap(), plus_2.unwrap());
        // The receiver is 4 s ahead, and the estimate as near as its bound says.
        assert!((remote - t2 - 4_000_000_000).abs() <= error.unwrap(), "{line}");
        // One straight line.
        assert!((plus_2 - plus_1 - (plus_1 - remote)).abs() <= 1, "{line}");
    }
    assert!(notes.contains("6 pairs") && !notes.contains("left out"), "{notes}");
}

#[test]
fn nothing_is_lost_between_the_trace_and_the_estimator() {
    let beats = beats(400, 1);
    let (lines, notes) = replay(trace(&beats).as_bytes());
    assert_eq!(lines.len(), beats.len());
    let mut estimator = Estimator::new();
    let mut exchanges = 0;
    for (line, beat) in lines.iter().zip(&beats) {
        let now = at(beat.t2);
        if let Some((t3, t4)) = beat.exchange {
            exchanges += 1;
            estimator
                .exchange(Exchange { sent: at(t3), received: PtpTime::from_nanos(t4 as u64).unwrap() }, now);
        }
        let remote = PtpTime::from_nanos((beat.t1 + beat.corr) as u64).unwrap();
        estimator.pair(SyncPair { local: now, remote }, now);
        let expected = estimator.line().filter(|line| line.trusted);
        let [_, remote, plus_1, _, plus_2, error] = fields(line);
        assert_eq!(remote.is_some(), expected.is_some());
        let (Some(remote), Some(expected)) = (remote, expected) else { continue };
        for (seconds, given) in [(0, Some(remote)), (1, plus_1), (2, plus_2)] {
            let then = at(beat.t2 + seconds * 1_000 * MILLISECOND);
            // The published line rounds its rate to 2^-60.
            let difference = given.unwrap() - i128::from(expected.remote_at(then).nanos());
            assert!(difference.abs() <= 1, "{line}: {difference}");
        }
        assert_eq!(error, Some(i128::from(expected.error_at(now))));
    }
    assert!(notes.contains(&format!("{exchanges} answers used")), "{notes}");
    // Two-way, the path delay is no part of the error.
    let last = beats.last().unwrap();
    let [_, remote_at_last, ..] = fields(lines.last().unwrap());
    assert!((remote_at_last.unwrap() - i128::from(remote(last.t2))).abs() < 300_000);
}

#[test]
fn captures_and_traces_give_the_same_estimates() {
    let beats = beats(200, 2);
    let (expected, _) = replay(trace(&beats).as_bytes());
    // As we number requests, and as others do.
    for number in [|sequence: u16| sequence, |sequence: u16| sequence.wrapping_mul(7).wrapping_add(3)] {
        let packets = packets(&beats, number);
        for file in [pcap(&packets), pcapng(&packets)] {
            let (lines, notes) = replay(&file);
            assert_eq!(lines, expected);
            let parties = "receiver 10.0.0.9; sender 10.0.0.2, port 0499b9b7e0f10008-8005\n";
            assert!(notes.contains(parties) && notes.contains("171 answers used"), "{notes}");
        }
    }
}

#[test]
fn a_captured_session_may_have_other_ports_and_addresses_and_companions() {
    let beats = beats(50, 3);
    let (expected, _) = replay(trace(&beats).as_bytes());
    let mut all = packets(&beats, |sequence| sequence);
    for packet in &mut all {
        let last = if packet.from == IpAddr::from([10, 0, 0, 2]) { [2, 9] } else { [9, 2] };
        let address = |last| format!("fe80::{last}").parse::<IpAddr>().unwrap();
        (packet.from, packet.to) = (address(last[0]), address(last[1]));
        packet.port += 12_700;
    }
    // The same receiver has another sender.
    let aside = all[..4].iter().filter(|packet| packet.from == "fe80::9".parse::<IpAddr>().unwrap());
    let renumbered = |packet: &Packet| {
        let mut payload = packet.payload.clone();
        payload[30] ^= 0x55;
        Packet { to: "fe80::4".parse().unwrap(), payload, ..*packet }
    };
    let aside: Vec<_> = aside.map(renumbered).collect();
    assert!(aside.len() >= 2);
    all.splice(4..4, aside);
    // A second receiver, better by its number of Syncs, and somebody's DNS.
    let stranger: IpAddr = "fe80::7".parse().unwrap();
    let to = "fe80::3".parse().unwrap();
    let sync = |sequence| ptpbmca::wire::encode(&clock(7).sync(sequence)).to_vec();
    let others = (0..60).map(|sequence| (13_019, sync(sequence))).chain([(53, vec![0; 40])]);
    let others = others.map(|(port, payload)| Packet { at: LOCAL, from: stranger, to, port, payload });
    all.splice(0..0, others.collect::<Vec<_>>());
    let ports = "--event-port 13019 --general-port 13020";
    for (who, found) in [("", 0), ("--receiver fe80::9", 50), ("--sender fe80::2", 50)] {
        let (lines, notes, _) = replay_with(&format!("{ports} {who}"), &pcapng(&all));
        assert_eq!(lines.len(), found, "{notes}");
        if found > 0 {
            assert_eq!(lines, expected);
            assert!(notes.contains("not replayed: fe80::7 (--receiver chooses)"), "{notes}");
        }
    }
    let (lines, notes) = replay(&pcapng(&all));
    assert!(lines.is_empty() && notes.contains("are the ports right"), "{notes}");
}

#[test]
fn requests_sent_before_the_follow_up_came_are_not_lost() {
    let beats = beats(40, 4);
    let mut all = packets(&beats, |sequence| sequence);
    // Follow_Ups come 5 ms late: after the request, before the answer.
    let follow_ups = all.iter_mut().filter(|packet| packet.payload[0] & 0xf == 8);
    follow_ups.for_each(|packet| packet.at += 5 * MILLISECOND);
    all.sort_by_key(|packet| packet.at);
    let (lines, notes) = replay(&pcap(&all));
    assert_eq!(lines.len(), 40);
    assert!(notes.contains("34 answers used"), "{notes}");
}

#[test]
fn half_rows_find_each_other() {
    let beats = beats(30, 5);
    let mut rows = Vec::new();
    for (index, Beat { sequence, t1, corr, t2, .. }) in beats.iter().enumerate() {
        let (sync, follow_up) = (format!("{sequence},,,{t2},,"), format!("{sequence},{t1},{corr},,,"));
        match index % 10 {
            // Lost, either of them.
            3 => rows.push((index * 10, sync)),
            4 => rows.push((index * 10, follow_up)),
            // Twice, both of them, and each time the first counts.
            5 => {
                let again =
                    [format!("{sequence},,,{},,", t2 + 1), format!("{sequence},{},{corr},,,", t1 + 1)];
                let [sync_again, follow_up_again] = again;
                rows.extend([sync, sync_again, follow_up, follow_up_again].map(|row| (index * 10, row)));
            }
            // Overtaken by the next two Syncs.
            6 => rows.extend([(index * 10, sync), (index * 10 + 25, follow_up)]),
            // The Follow_Up first.
            7 => rows.extend([(index * 10, follow_up), (index * 10, sync)]),
            _ => rows.extend([(index * 10, sync), (index * 10, follow_up)]),
        }
    }
    rows.sort_by_key(|(place, _)| *place);
    let text: String = rows.iter().map(|(_, row)| format!("{row}\n")).collect();
    let (lines, notes) = replay(text.as_bytes());
    let given: Vec<_> = lines.iter().map(|line| fields(line)[0].unwrap()).collect();
    let order = [0, 1, 2, 5, 7, 8, 6, 9].map(|index| [index, index + 10, index + 20]);
    let mut expected: Vec<usize> = (0..3).flat_map(|round| order.map(|places| places[round])).collect();
    expected.truncate(24);
    assert_eq!(given, expected.iter().map(|index| i128::from(beats[*index].t2)).collect::<Vec<_>>());
    assert!(notes.contains("6 Duplicate"), "{notes}");
}

#[test]
fn a_silence_passes_as_it_would_live() {
    let gap = |seconds: i64| {
        let mut beats = beats(200, 6);
        for beat in &mut beats[100..] {
            beat.exchange = None;
            let later = seconds * 1_000 * MILLISECOND;
            (beat.t1, beat.t2) = (beat.t1 + later + later / 25_000, beat.t2 + later);
        }
        replay_with("--plot -", trace(&beats).as_bytes())
    };
    let (lines, notes, picture) = gap(20);
    assert!(lines[3..].iter().all(|line| fields(line)[1].is_some()), "{notes}");
    assert!(!notes.contains("no longer synchronised") && notes.contains("0 new epochs"), "{notes}");
    assert!(picture.unwrap().contains("1 epoch,"));
    // What the picture shows of the silence: the bound has grown.
    let mut beats = beats(100, 6);
    let mut trace = trace::Trace::default();
    let mut take = |beat: &Beat| {
        let text = writing::trace(std::slice::from_ref(beat));
        let row = trace::parse(text.lines().nth(1).unwrap().as_bytes(), false).unwrap().unwrap();
        let estimate = trace.take(&row);
        (estimate.unwrap().published, trace.session().unwrap().take_silence())
    };
    let (mut before, mut silence) = (None, None);
    beats[99].t2 += 20_000 * MILLISECOND;
    for beat in &beats {
        assert_eq!(silence, None);
        let bound = before;
        (before, silence) = take(beat);
        if let Some(session::Silence { until, published: Some(after) }) = silence {
            assert_eq!(until, at(beats[99].t2));
            assert!(after.error_ns > bound.map_or(u64::MAX, |bound: session::Published| bound.error_ns));
        }
    }
    assert!(silence.is_some());
    // After a minute there is nothing to go on with.
    let (lines, notes, _) = gap(70);
    assert!(notes.contains("no longer synchronised") && notes.contains("for a minute"), "{notes}");
    assert_eq!((fields(&lines[99])[3], fields(&lines[100])[3]), (Some(0), Some(1)));
    assert_eq!((fields(&lines[100])[1], fields(&lines[103])[1].is_some()), (None, true));
    // The end of the synchronised time is told when it came, not when the next row did: 60 s after the last Sync.
    let lost = notes.lines().find(|line| line.contains("no longer")).unwrap();
    assert!(lost.contains(" 72.3"), "{lost}");
}

#[test]
fn a_clock_that_was_set_back_goes_on_from_there() {
    let mut beats = beats(100, 7);
    let back = 3_600 * 1_000 * MILLISECOND;
    let step = 10_000 * MILLISECOND;
    for beat in &mut beats[50..] {
        beat.exchange = None;
        beat.t2 -= back;
    }
    // And then the receiver's clock steps.
    beats[75..].iter_mut().for_each(|beat| beat.t1 += step);
    let (lines, notes) = replay(trace(&beats).as_bytes());
    assert_eq!(lines.len(), 100);
    let epochs: Vec<_> = lines.iter().map(|line| fields(line)[3].unwrap()).collect();
    assert_eq!(epochs[..75], [[0; 50].as_slice(), &[1; 25]].concat());
    assert!(epochs.is_sorted() && epochs.last() == Some(&2));
    let [at, remote_at, ..] = fields(lines.last().unwrap());
    let error = remote_at.unwrap() - i128::from(remote(at.unwrap() as i64 + back) + step);
    assert!(error.abs() < 5 * i128::from(MILLISECOND), "{error}: {notes}");
    for text in [
        "epoch 1: the recording clock was set back",
        "epoch 2: the receiver's",
        "heard 100 Sync",
        "2 new epochs",
    ] {
        assert!(notes.contains(text), "{text}: {notes}");
    }
}

#[test]
fn lines_that_cannot_be_read_are_told_and_skipped() {
    let bad = [
        "x,1,2,3,,",
        "65536,1,2,3,,",
        "1,1,,3,,",
        "1,,2,3,,",
        "1,1e3,2,3,,",
        "1,1,2,99999999999999999999,,",
        "1,99999999999999999999,2,3,,",
        "1,1,999999999999999999,3,,",
        "1,1,2,3,4,-1",
        "1,,,,,",
        "1",
        "\u{7f}\u{e9}",
        "seq,t1_ns,corr_ns,t2_ns,t3_ns,t4_ns",
    ];
    let good = trace(&beats(5, 8));
    let long = "9".repeat(10_000);
    let text = format!("{good}{}\n{long}\n{good}", bad.join("\n"));
    let (lines, notes) = replay(text.as_bytes());
    // The second time around they are duplicates.
    assert_eq!(lines.len(), 5, "{notes}");
    for line in 7..7 + bad.len() + 2 {
        assert!(notes.contains(&format!("line {line}: ")), "{line}: {notes}");
    }
    assert!(notes.contains(&format!("{} of {} lines left out", bad.len() + 2, bad.len() + 13)), "{notes}");
}

#[test]
fn times_at_the_ends_of_the_range_do_no_harm() {
    let ends = [
        i128::from(i64::MIN),
        -1,
        0,
        1,
        999_999_999,
        i128::from(LOCAL),
        i128::from(REMOTE),
        i128::from(i64::MAX) - 1,
        i128::from(i64::MAX),
        i128::from(u64::MAX),
        140_737_488_355_327,
        -140_737_488_355_327,
    ];
    for seed in 1..=40 {
        let mut random = Random(seed);
        let mut text = String::new();
        for _ in 0..300 {
            text += &random.below(20).to_string();
            for _ in 0..5 {
                text += ",";
                let end = ends[random.below(ends.len() as u64) as usize];
                match random.below(4) {
                    0 => {}
                    1 => text += &(LOCAL + random.below(1 << 36) as i64).to_string(),
                    2 => text += &(end + i128::from(random.below(3)) - 1).to_string(),
                    _ => text += &end.to_string(),
                }
            }
            text += "\n";
        }
        let (lines, _, picture) = replay_with("--plot -", text.as_bytes());
        assert!(lines.len() <= 300);
        lines.iter().for_each(|line| assert!(fields(line)[0].is_some()));
        let picture = picture.unwrap();
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
    }
}

#[test]
fn damaged_input_is_read_as_far_as_it_goes() {
    let beats = beats(12, 9);
    let packets = packets(&beats, |sequence| sequence);
    for file in [pcap(&packets), pcapng(&packets)] {
        let (whole, _) = replay(&file);
        assert_eq!(whole.len(), 12);
        for length in (0..file.len()).step_by(3) {
            let (lines, notes) = replay(&file[..length]);
            assert_eq!(lines, whole[..lines.len()]);
            let ends_well = lines.len() == 12;
            assert!(ends_well || !notes.is_empty(), "{length}");
        }
        let (lines, notes) = replay(&file[..file.len() - 1]);
        assert!(lines.len() == 11 && notes.contains("damaged from byte"), "{notes}");
        let mut random = Random(10);
        for _ in 0..1_000 {
            let mut damaged = file.clone();
            for _ in 0..=random.below(4) {
                let place = random.below(file.len() as u64) as usize;
                damaged[place] = random.next() as u8;
            }
            assert!(replay(&damaged).0.len() <= 12);
        }
    }
    // Blocks of other kinds are passed over, however long, and one too long for any ends the reading.
    let mut file = pcapng(&[]);
    // The first section has an interface of its own kind.
    file[28 + 8] = 101;
    block(&mut file, 0x0bad, &vec![7; 300_000]);
    let sections = [file, pcapng(&packets)].concat();
    assert_eq!(replay(&sections).0.len(), 12);
    let mut file = pcapng(&packets);
    block(&mut file, 0x0bad, &vec![7; 9_000_000]);
    let (lines, notes) = replay(&file);
    assert!(lines.len() == 12 && notes.contains("longer than any packet"), "{notes}");
    // Text that is none.
    let mut random = Random(11);
    for _ in 0..200 {
        let noise: Vec<u8> =
            (0..random.below(2_000)).map(|_| b"0123456789,,,\n-#s"[random.below(17) as usize]).collect();
        replay(&noise);
        let noise: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
        replay(&noise);
    }
}

#[test]
fn the_picture_of_half_an_hour_is_small() {
    let mut beats = beats(14_400, 12);
    // The receiver starts anew after ten minutes.
    beats[4_800..].iter_mut().for_each(|beat| beat.t1 -= REMOTE / 2);
    beats[4_800..].iter_mut().for_each(|beat| beat.exchange = None);
    let (lines, notes, picture) = replay_with("--plot -", trace(&beats).as_bytes());
    assert_eq!(lines.len(), 14_400);
    let picture = picture.unwrap();
    assert!(picture.len() < 1_000_000, "{}", picture.len());
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    for text in ["14400 pairs in 1800 s, 2 epochs", "epoch 1", "standard input", "sample - published, us"] {
        assert!(picture.contains(text), "{text}: {notes}");
    }
    // Nothing at all is a picture, too.
    let (_, _, picture) = replay_with("--plot -", b"");
    assert!(picture.unwrap().contains("0 pairs"));
}

/// Counts the lines flushed so far, as a reader of the output sees them.
struct Flushed {
    written: usize,
    flushed: Arc<AtomicUsize>,
}

impl Write for Flushed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written += bytes.iter().filter(|byte| **byte == b'\n').count();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushed.store(self.written, Relaxed);
        Ok(())
    }
}

/// Hands out one row at a time, each only once the line of the one before was flushed.
struct Rows<'a> {
    rows: std::str::SplitInclusive<'a, char>,
    given: usize,
    flushed: Arc<AtomicUsize>,
}

impl Read for Rows<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert_eq!(self.flushed.load(Relaxed), self.given.saturating_sub(1), "row {}", self.given);
        let Some(row) = self.rows.next() else { return Ok(0) };
        self.given += 1;
        buffer[..row.len()].copy_from_slice(row.as_bytes());
        Ok(row.len())
    }
}

#[test]
fn lines_come_as_soon_as_their_rows() {
    let text = trace(&beats(20, 13));
    let flushed = Arc::new(AtomicUsize::new(0));
    let rows = Rows { rows: text.split_inclusive('\n'), given: 0, flushed: Arc::clone(&flushed) };
    let output = Box::new(Flushed { written: 0, flushed: Arc::clone(&flushed) });
    let options = options::read(lexopt::Parser::from_args(["-"])).unwrap().unwrap();
    run(&options, BufReader::new(rows), Some(output), &mut Vec::new()).unwrap();
    assert_eq!(flushed.load(Relaxed), 20);
}
