//! Delay_Req and Delay_Resp: the path delay under every reading of the correction, and what is refused.
#![forbid(unsafe_code)]

use super::super::exchange::{Answer, Exchanges, Response};
use super::super::sign::CorrectionSign;
use super::super::Refusal;
use super::*;
use crate::estimator::Line;

use MessageType::{DelayReq, Signaling};

fn answering(answers: Answers) -> World {
    let mut world = World::new(RolePolicy::Auto);
    world.receiver.answers = answers;
    world.run(300 * MS);
    world.forget();
    world
}

/// Serves for half a minute, and asks that the two-way estimate is right to its bound all along, and right at last.
fn path_delay_comes_right(answers: Answers, sign: Option<CorrectionSign>, turnaround: i64) {
    let mut world = answering(answers);
    world.receiver.turnaround = turnaround;
    world.serve_and_announce(3 * SECOND);
    for _ in 0..27 {
        world.serve(SECOND);
        let bound = world.timeline().error_at(at(world.now)) as i64;
        let error = world.error().unwrap();
        assert!(error.abs() <= bound, "{answers:?}: off by {error} ns, bound {bound} ns");
    }
    let error = world.error().unwrap();
    assert!(error.abs() < 100 * US, "{answers:?}: off by {error} ns");
    let path = world.timeline().path_delay_ns as i64;
    assert!((path - MS).abs() < 100 * US, "{answers:?}: path delay {path} ns");
    assert_eq!(world.association.exchanges.proven(), sign, "{answers:?}");
    assert!(world.association.counters().delay_resp_used >= 220);
}

#[test]
fn apples_plus_gives_the_right_path_delay() {
    for correction in [42_803_500, -42_803_500, 110_270_000] {
        path_delay_comes_right(Answers::Plus(correction), Some(CorrectionSign::Plus), 2 * MS);
    }
    // A slow answer leaves room for every reading of a small correction: plus, then, without proof.
    path_delay_comes_right(Answers::Plus(110_270_000), Some(CorrectionSign::Plus), 99 * MS);
    path_delay_comes_right(Answers::Plus(-428_875), None, 99 * MS);
    path_delay_comes_right(Answers::Plus(-42_803_500), None, 99 * MS);
}

#[test]
fn the_standards_minus_gives_the_right_path_delay() {
    for correction in [42_803_500, -42_803_500] {
        path_delay_comes_right(Answers::Minus(correction), Some(CorrectionSign::Minus), 2 * MS);
    }
}

#[test]
fn a_true_time_with_a_correction_on_top_gives_the_right_path_delay() {
    path_delay_comes_right(Answers::TruthAnd(42_803_500), Some(CorrectionSign::Unused), 2 * MS);
    path_delay_comes_right(Answers::TruthAnd(-42_803_500), Some(CorrectionSign::Unused), 2 * MS);
    // As the profile's reference code has it: its own turnaround, which fits under "plus" as well.
    path_delay_comes_right(Answers::TruthAndTurnaround, Some(CorrectionSign::Unused), 3 * MS);
    path_delay_comes_right(Answers::TruthAndTurnaround, Some(CorrectionSign::Unused), 50 * MS);
}

#[test]
fn no_correction_proves_nothing_and_needs_nothing() {
    path_delay_comes_right(Answers::Plus(0), None, 2 * MS);
}

/// The public sender this flow was learnt from had the two-way refinement's sign the wrong way round (field guide 1.4):
/// the first Delay_Resp would throw the timeline by twice the offset.
#[test]
fn defect_sign_of_the_two_way_refinement_the_first_delay_resp_does_not_throw_the_timeline() {
    let mut world = answering(Answers::Never);
    world.serve_and_announce(3 * SECOND);
    let before = world.error().unwrap();
    assert!((-1_500 * US..-300 * US).contains(&before), "one-way: late by the path delay, {before} ns");
    world.receiver.answers = Answers::Plus(24_990_916);
    for _ in 0..8 {
        world.serve(INTERVAL);
        let error = world.error().unwrap();
        // Never further off than before, and towards the truth, not away from it.
        assert!((before - 50 * US..100 * US).contains(&error), "{error} ns");
    }
    assert!(world.association.counters().delay_resp_used >= 7);
    assert_eq!(world.epoch(), 0);
    world.serve(10 * SECOND);
    assert!(world.error().unwrap().abs() < 100 * US);
}

#[test]
fn each_pair_is_followed_by_a_delay_req_with_its_sequence_id() {
    let mut world = answering(Answers::Plus(0));
    world.receiver.sync_sequence = 65_530;
    world.serve(16 * INTERVAL);
    let requests: Vec<_> = world.sent.iter().filter(|sent| sent.kind() != Signaling).collect();
    assert_eq!(requests.len(), 16);
    for (number, request) in requests.iter().enumerate() {
        assert_eq!((request.kind(), request.port, request.peer), (DelayReq, Port::Event, 0));
        assert_eq!(request.bytes.len(), 44);
        assert_eq!(request.bytes[..8], [0x11, 0x02, 0, 44, 0, 0, 0x04, 0x08]);
        assert_eq!(request.message.header.sequence_id, 65_530_u16.wrapping_add(number as u16));
    }
}

#[test]
fn a_master_that_runs_wild_is_not_asked_at_its_pace() {
    let mut world = answering(Answers::Never);
    for _ in 0..1_000 {
        world.post_pair();
        world.run(MS);
    }
    assert!(world.sent_of(DelayReq).len() <= 34);
}

#[test]
fn answers_that_are_not_ours_are_refused_and_counted() {
    let mut world = World::locked(RolePolicy::Auto);
    world.post_pair();
    world.run(20 * MS);
    let request = world.sent_of(DelayReq)[0].clone();
    let asked = request.message.header;
    let mut receiver = Receiver { answers: Answers::Plus(0), ..world.receiver.clone() };
    let answer = |receiver: &Receiver, header: &Header| {
        receiver.delay_resp(header, request.at + MS, request.at + 2 * MS).unwrap()
    };
    let mut hear = |message: &Message, why, expected| {
        world.hear(message);
        assert_eq!(world.refused(why), expected, "{why:?}");
        assert_eq!(world.association.counters().delay_resp_used, 0);
    };
    // To another requester: another clock, then another port of ours.
    let mut other = asked;
    other.source.clock = APPLE_TV;
    hear(&answer(&receiver, &other), Refusal::Unrequested, 1);
    other = asked;
    other.source.port += 1;
    hear(&answer(&receiver, &other), Refusal::Unrequested, 2);
    // To no request of ours.
    other = asked;
    other.sequence_id += 1;
    hear(&answer(&receiver, &other), Refusal::Unrequested, 3);
    // From another clock.
    receiver.identity.clock = APPLE_TV;
    hear(&answer(&receiver, &asked), Refusal::Identity, 1);
    receiver.identity = HOMEPOD;
    // The right one, replayed.
    let right = answer(&receiver, &asked);
    world.hear(&right);
    assert_eq!(world.association.counters().delay_resp_used, 1);
    world.hear(&right);
    assert_eq!(world.refused(Refusal::Duplicate), 1);
    assert_eq!(world.association.counters().delay_resp_used, 1);
}

#[test]
fn an_implausible_answer_is_refused() {
    let mut world = World::locked(RolePolicy::Auto);
    let before = world.timeline().path_delay_ns;
    for (number, off) in [400 * MS, -400 * MS, 100_000 * SECOND, -100_000 * SECOND].into_iter().enumerate() {
        world.post_pair();
        world.run(INTERVAL);
        let request = world.sent_of(DelayReq)[number].clone();
        let mut liar = Receiver { answers: Answers::Plus(30 * MS), ..world.receiver.clone() };
        liar.offset += off;
        let answer = liar.delay_resp(&request.message.header, request.at + MS, request.at + 2 * MS);
        world.hear(&answer.unwrap());
        assert_eq!(world.refused(Refusal::Implausible), number as u64 + 1);
    }
    assert_eq!(world.association.counters().delay_resp_used, 0);
    assert_eq!(world.timeline().path_delay_ns, before);
}

#[test]
fn an_answer_later_than_a_second_is_refused() {
    let mut world = World::locked(RolePolicy::Auto);
    world.receiver.answers = Answers::Plus(0);
    world.receiver.turnaround = 1_001 * MS;
    world.post_pair();
    world.run(2 * SECOND);
    assert_eq!(world.refused(Refusal::Unrequested), 1);
    assert_eq!(world.association.counters().delay_resp_used, 0);
}

fn line() -> Line {
    Line {
        anchor_local: at(START),
        anchor_remote: PtpTime::from_nanos(100 * SECOND as u64).unwrap(),
        rate: 0.0,
        skew: 0.0,
        error_ns: 100_000,
        error_growth: 0.0,
        path_delay_ns: Some(MS as u64),
        trusted: true,
    }
}

/// When a Sync left that came over 1 ms, 50 ms before START.
fn sync_left(off: i64) -> PtpTime {
    PtpTime::from_nanos((100 * SECOND - 51 * MS + off) as u64).unwrap()
}

/// A response with `correction`, to a request that left at START, came back 4 ms later and arrived there after 1 ms by
/// the reading that adds nothing.
fn read(exchanges: &mut Exchanges, sequence: u16, receive: i64, correction: i64) -> Result<i64, Refusal> {
    read_after(exchanges, sequence, receive, correction, 0)
}

/// The same where the Sync that came 50 ms before the request says that the clock is `off` the line.
fn read_after(
    exchanges: &mut Exchanges,
    sequence: u16,
    receive: i64,
    correction: i64,
    off: i64,
) -> Result<i64, Refusal> {
    exchanges.request(sequence, sync_left(off), at(START - 50 * MS));
    let answer = respond(exchanges, sequence, (receive, correction), &line())?;
    Ok(answer.exchange.received.nanos() as i64 - 100 * SECOND)
}

/// The same, judged by any line.
fn answer(
    exchanges: &mut Exchanges,
    sequence: u16,
    said: (i64, i64),
    line: &Line,
) -> Result<Answer, Refusal> {
    exchanges.request(sequence, sync_left(0), at(START - 50 * MS));
    respond(exchanges, sequence, said, line)
}

fn respond(
    exchanges: &mut Exchanges,
    sequence: u16,
    (receive, correction): (i64, i64),
    line: &Line,
) -> Result<Answer, Refusal> {
    exchanges.sent(sequence, at(START));
    let response = Response {
        sequence,
        receive: stamp(100 * SECOND + receive),
        correction: Correction::from_nanos(correction),
        arrived: at(START + 4 * MS),
    };
    exchanges.response(response, line)
}

fn there(after: i64) -> PtpTime {
    PtpTime::from_nanos((100 * SECOND + after) as u64).unwrap()
}

#[test]
fn where_both_signs_fit_it_is_the_proven_one_else_plus() {
    let mut exchanges = Exchanges::default();
    let both = |exchanges: &mut Exchanges, sequence| read(exchanges, sequence, 2 * MS, 500 * US);
    assert_eq!(both(&mut exchanges, 1), Ok(2_500 * US));
    assert_eq!(exchanges.proven(), None);
    // 41 ms late by one reading, 1 ms after the request left by the other.
    assert_eq!(read(&mut exchanges, 2, 21 * MS, 20 * MS), Ok(MS));
    assert_eq!(exchanges.proven(), Some(CorrectionSign::Minus));
    assert_eq!(both(&mut exchanges, 3), Ok(1_500 * US));
    assert_eq!(read(&mut exchanges, 4, -19 * MS, 20 * MS), Ok(MS));
    assert_eq!(exchanges.proven(), Some(CorrectionSign::Plus));
    assert_eq!(both(&mut exchanges, 5), Ok(2_500 * US));
    // A receiver that was proven to mean one of them is not believed to mean none.
    assert_eq!(read(&mut exchanges, 6, 2 * MS, 20 * MS), Err(Refusal::Implausible));
    assert_eq!(exchanges.proven(), Some(CorrectionSign::Plus));
    // Another one begins anew.
    exchanges.clear();
    assert_eq!(exchanges.proven(), None);
}

#[test]
fn what_was_read_before_the_sign_was_proven_is_taken_back() {
    let mut exchanges = Exchanges::default();
    let both = |exchanges: &mut Exchanges, sequence| read(exchanges, sequence, 2 * MS, 500 * US);
    assert_eq!(both(&mut exchanges, 1), Ok(2_500 * US));
    assert!(!exchanges.take_misread());
    assert_eq!(read(&mut exchanges, 2, 21 * MS, 20 * MS), Ok(MS));
    assert!(exchanges.take_misread());
    assert_eq!(both(&mut exchanges, 3), Ok(1_500 * US));
    assert!(!exchanges.take_misread());
    // What was read as it turns out to be meant stays, and so does what bore no correction.
    exchanges.clear();
    assert_eq!(both(&mut exchanges, 4), Ok(2_500 * US));
    assert_eq!(read(&mut exchanges, 5, -19 * MS, 20 * MS), Ok(MS));
    assert!(!exchanges.take_misread());
    exchanges.clear();
    assert_eq!(read(&mut exchanges, 6, MS, 0), Ok(MS));
    assert_eq!(read(&mut exchanges, 7, 21 * MS, 20 * MS), Ok(MS));
    assert!(!exchanges.take_misread());
}

#[test]
fn a_correction_below_the_bound_proves_nothing() {
    let mut exchanges = Exchanges::default();
    // At either end of what is plausible only one reading fits, and yet.
    assert_eq!(read(&mut exchanges, 1, 4_150 * US, 90 * US), Ok(4_060 * US));
    assert_eq!(exchanges.proven(), None);
    assert_eq!(read(&mut exchanges, 2, -150 * US, 90 * US), Ok(-60 * US));
    assert_eq!(exchanges.proven(), None);
}

#[test]
fn a_correction_is_the_turnaround_where_it_leads_to_the_moment_of_leaving_time_and_again() {
    // The response came in at 4 ms over a path of 1 ms: it left at 3 ms. Half a millisecond before is not then.
    let mut exchanges = Exchanges::default();
    let then = |exchanges: &mut Exchanges, sequence| read(exchanges, sequence, MS, 2 * MS);
    for sequence in 1..=5 {
        assert_eq!(then(&mut exchanges, sequence), Ok(3 * MS));
        assert_eq!(read(&mut exchanges, 50 + sequence, MS, 1_500 * US), Ok(2_500 * US));
    }
    assert_eq!(exchanges.proven(), None);
    // Nobody answers before being asked, nor after the answer was here.
    for (receive, correction) in [(MS, -100 * US), (-3_200 * US, 4_200 * US)] {
        assert_eq!(read(&mut exchanges, 60, receive, correction), Ok(receive + correction));
        for sequence in 1..=5 {
            assert_eq!(then(&mut exchanges, sequence), Ok(3 * MS));
        }
        exchanges.clear();
    }
    for sequence in 1..=5 {
        assert_eq!(then(&mut exchanges, sequence), Ok(3 * MS));
    }
    assert_eq!((exchanges.proven(), exchanges.take_misread()), (None, false));
    assert_eq!(then(&mut exchanges, 6), Ok(MS));
    assert_eq!((exchanges.proven(), exchanges.take_misread()), (Some(CorrectionSign::Unused), true));
    assert_eq!(read(&mut exchanges, 7, MS, 1_500 * US), Ok(MS));
    // One that was proven to mean "plus" answers at once now and then.
    exchanges.clear();
    assert_eq!(read(&mut exchanges, 1, -19 * MS, 20 * MS), Ok(MS));
    for sequence in 2..=9 {
        assert_eq!(then(&mut exchanges, sequence), Ok(3 * MS));
    }
    assert_eq!(exchanges.proven(), Some(CorrectionSign::Plus));
}

#[test]
fn what_was_read_by_a_sign_that_seemed_proven_is_taken_back_too() {
    let mut exchanges = Exchanges::default();
    let both = |exchanges: &mut Exchanges, sequence| read(exchanges, sequence, 2 * MS, 500 * US);
    assert_eq!(read(&mut exchanges, 1, 21 * MS, 20 * MS), Ok(MS));
    assert_eq!(both(&mut exchanges, 2), Ok(1_500 * US));
    assert!(!exchanges.take_misread());
    assert_eq!(read(&mut exchanges, 3, -19 * MS, 20 * MS), Ok(MS));
    assert!(exchanges.take_misread());
    assert_eq!(both(&mut exchanges, 4), Ok(2_500 * US));
    assert!(!exchanges.take_misread());
}

#[test]
fn a_proven_sign_that_fits_no_more_is_given_up_after_three() {
    let mut exchanges = Exchanges::default();
    assert_eq!(read(&mut exchanges, 1, 21 * MS, 20 * MS), Ok(MS));
    assert_eq!(exchanges.proven(), Some(CorrectionSign::Minus));
    // "Plus" fits as well as none: no other sign is proven.
    let either = |exchanges: &mut Exchanges, sequence| read(exchanges, sequence, MS, 2_500 * US);
    for sequence in 2..=3 {
        assert_eq!(either(&mut exchanges, sequence), Err(Refusal::Implausible));
    }
    // One that it does fit begins the count anew.
    assert_eq!(read(&mut exchanges, 4, 21 * MS, 20 * MS), Ok(MS));
    for sequence in 5..=6 {
        assert_eq!(either(&mut exchanges, sequence), Err(Refusal::Implausible));
    }
    assert_eq!((exchanges.proven(), exchanges.take_misread()), (Some(CorrectionSign::Minus), false));
    assert_eq!(either(&mut exchanges, 7), Ok(3_500 * US));
    assert_eq!((exchanges.proven(), exchanges.take_misread()), (None, true));
}

#[test]
fn a_line_that_is_not_trusted_proves_nothing_nor_does_a_reading_that_hardly_misses() {
    let mut exchanges = Exchanges::default();
    let fresh = Line { trusted: false, ..line() };
    assert_eq!(answer(&mut exchanges, 1, (21 * MS, 20 * MS), &fresh).unwrap().exchange.received, there(MS));
    assert_eq!(exchanges.proven(), None);
    assert_eq!(read(&mut exchanges, 1, 21 * MS, 20 * MS), Ok(MS));
    assert_eq!(exchanges.proven(), Some(CorrectionSign::Minus));
    // 150 us after the response was here, to a line that is good to 100.
    exchanges.clear();
    assert_eq!(read(&mut exchanges, 1, 2_150 * US, 2 * MS), Ok(150 * US));
    assert_eq!(exchanges.proven(), None);
}

#[test]
fn the_latest_reading_that_fits_is_told_until_a_sign_is_proven() {
    let mut exchanges = Exchanges::default();
    let mut doubt = |receive, correction| {
        answer(&mut exchanges, 1, (receive, correction), &line()).unwrap().doubt.nanos()
    };
    // "Plus" is the earliest of a negative correction, and the latest of a positive one.
    assert_eq!(doubt(2 * MS, -500 * US), MS);
    assert_eq!(doubt(2 * MS, 500 * US), 0);
    assert_eq!(doubt(2 * MS, 0), 0);
    // Of three readings, the later two.
    assert_eq!(doubt(1_500 * US, -MS), 2 * MS);
    assert_eq!(doubt(3_500 * US, -MS), MS);
    assert_eq!(doubt(-19 * MS, 20 * MS), 0);
    assert_eq!(doubt(2 * MS, -500 * US), 0);
}

#[test]
fn an_answer_from_before_the_request_is_refused() {
    let mut exchanges = Exchanges::default();
    exchanges.request(1, sync_left(0), at(START - 50 * MS));
    let receive = stamp(100 * SECOND + 4 * MS);
    let response =
        Response { sequence: 1, receive, correction: Correction::ZERO, arrived: at(START + 4 * MS) };
    // Not known to have left, then known to have left later.
    assert_eq!(exchanges.response(response, &line()).err(), Some(Refusal::Unrequested));
    exchanges.sent(1, at(START + 4 * MS + 1));
    assert_eq!(exchanges.response(response, &line()).err(), Some(Refusal::Unrequested));
}

#[test]
fn a_repeated_sequence_id_means_the_latest_request() {
    let mut exchanges = Exchanges::default();
    assert_eq!(read(&mut exchanges, 5, MS, 0), Ok(MS));
    // The receiver restarted, and its ids with it.
    assert_eq!(read(&mut exchanges, 5, MS, 0), Ok(MS));
}

#[test]
fn an_answer_that_fits_its_sync_is_taken_where_the_line_is_wrong() {
    let mut exchanges = Exchanges::default();
    for off in [-250 * MS, -20 * MS, 20 * MS, 3_600 * SECOND] {
        assert_eq!(read_after(&mut exchanges, 1, off + MS, 0, off), Ok(off + MS));
        assert_eq!(read_after(&mut exchanges, 1, off + MS, 0, 0), Err(Refusal::Implausible));
        // Before the Sync left it and as much after, or after the response was here.
        for wrong in [-2 * MS, 6 * MS] {
            let read = read_after(&mut exchanges, 1, off + wrong, 0, off);
            assert_eq!(read, Err(Refusal::Implausible), "{off} {wrong}");
        }
        // Whichever sign fits, and it proves nothing.
        assert_eq!(read_after(&mut exchanges, 1, off + 41 * MS, 40 * MS, off), Ok(off + MS));
        assert_eq!(exchanges.proven(), None);
    }
    assert_eq!(read(&mut exchanges, 2, -19 * MS, 20 * MS), Ok(MS));
    assert_eq!(read_after(&mut exchanges, 3, -59 * MS, 40 * MS, -20 * MS), Ok(-19 * MS));
    assert_eq!(read_after(&mut exchanges, 4, 21 * MS, 40 * MS, -20 * MS), Err(Refusal::Implausible));
}

#[test]
fn with_answers_a_small_step_is_an_epoch_within_half_a_second() {
    for age in [4, 30] {
        for step in [-1_400 * MS, -250 * MS, -20 * MS, -5 * MS, 8 * MS, 45 * MS] {
            let mut world = answering(Answers::Plus(42_803_500));
            world.serve_and_announce(age * SECOND);
            assert_eq!(world.epoch(), 0);
            world.receiver.offset += step;
            world.serve(INTERVAL);
            for _ in 0..4 {
                world.serve(INTERVAL);
                let bound = world.timeline().error_at(at(world.now)) as i64;
                let error = world.error().unwrap();
                assert!(error.abs() <= bound, "{age} {step}: off by {error} ns, bound {bound} ns");
            }
            assert_eq!(world.epoch(), 1, "{age} {step}");
            world.serve(10 * SECOND);
            assert_eq!(world.epoch(), 1, "{age} {step}");
            assert!(world.error().unwrap().abs() < 100 * US, "{age} {step}");
        }
    }
}

#[test]
fn a_path_that_grows_both_ways_is_no_step_and_told_right() {
    for age in [4, 30] {
        for growth in [2 * MS, 20 * MS] {
            let mut world = answering(Answers::Plus(42_803_500));
            world.serve_and_announce(age * SECOND);
            world.receiver.down += growth;
            world.receiver.up += growth;
            world.serve(INTERVAL);
            for _ in 0..8 * 40 {
                world.serve(INTERVAL);
                let bound = world.timeline().error_at(at(world.now)) as i64;
                let error = world.error().unwrap();
                assert!(error.abs() <= bound, "{age} {growth}: off by {error} ns, bound {bound} ns");
            }
            assert_eq!(world.epoch(), 0, "{age} {growth}");
            let error = world.error().unwrap();
            assert!(error.abs() < 100 * US, "{age} {growth}: {error}");
            let path = world.timeline().path_delay_ns as i64;
            assert!((path - MS - growth).abs() < 100 * US, "{age} {growth}: {path}");
        }
    }
}

/// A pair that is of no use leaves its Sync open for another Follow_Up, such as the copy over the other family: the
/// request that goes with it bears the same id as the first, and so do their answers.
#[test]
fn an_id_is_asked_by_once_while_its_answer_may_come() {
    let mut world = World::with(Config { peers: 2, ..config(RolePolicy::Auto) });
    world.receiver.answers = Answers::Plus(0);
    world.run(300 * MS);
    world.serve_and_announce(5 * SECOND);
    world.forget();
    let before = world.association.counters().delay_resp_used;
    let (left, sequence) = (world.now, world.receiver.sync_sequence);
    let sync = world.receiver.sync();
    // Stamped 100 ms late, and only over this family.
    let late = world.receiver.follow_up(left + 100 * MS);
    let follow_up = world.receiver.follow_up(left);
    world.receiver.sync_sequence += 1;
    world.receiver.turnaround = 60 * MS;
    world.post(left + MS, 0, &sync);
    world.post(left + 2 * MS, 0, &late);
    world.post(left + 52 * MS, 1, &follow_up);
    world.run(INTERVAL);
    let asked: Vec<_> = world.sent_of(DelayReq).iter().map(|sent| sent.message.header.sequence_id).collect();
    assert_eq!(asked, [sequence]);
    assert_eq!(world.association.counters().delay_resp_used, before + 1);
    assert!(world.association.exchanges.asked(sequence, at(world.now)));
    assert!(!world.association.exchanges.asked(sequence, at(world.now + SECOND)));
}
