//! Whether the clock was stepped, or only the line, the path or a queue was another one than before.
#![forbid(unsafe_code)]

use super::*;

fn two_way(mut link: Link) -> Link {
    link.two_way = Some(link.least);
    link.excused = 0.0;
    link
}

/// Takes the path both ways from its present length to one longer by `by` ns (or shorter), over `seconds`.
fn roam(link: &mut Link, by: f64, seconds: u32) {
    for _ in 0..8 * seconds {
        link.least += by / f64::from(8 * seconds);
        link.two_way = link.two_way.map(|_| link.least);
        link.sync();
    }
}

#[test]
fn a_line_that_runs_on_as_a_path_shrank_has_drifted_and_not_the_clock_leapt() {
    for seed in 1..=12 {
        for (by, seconds) in [(2.5e6, 28), (2.2e6, 29), (3.2e6, 24)] {
            let mut link = two_way(Link::wired(seed));
            link.run(30);
            roam(&mut link, by, seconds);
            link.run(seconds);
            roam(&mut link, -by, seconds);
            link.run(40);
            assert_eq!((link.steps, link.outside), (0, 0), "seed {seed}: {by}");
        }
    }
}

#[test]
fn a_rate_that_changes_inside_a_queue_is_no_step_at_its_end() {
    for seed in 1..=8 {
        for by in [-16.0, 16.0] {
            let mut link = two_way(Link::wifi(seed));
            link.run(60);
            link.queue = (5e6, 40e6);
            link.run(10);
            link.ppm += by;
            link.run(100);
            link.queue = (0.0, 0.0);
            link.run(20);
            assert_eq!((link.steps, link.outside), (0, 0), "seed {seed}: {by}");
            link.look();
            link.run(10);
            assert!(link.error(0.99) < 200e3, "seed {seed}: {by}: {}", link.error(0.99));
        }
    }
}

#[test]
fn a_path_that_comes_back_to_what_was_known_of_it_is_no_step() {
    let mut link = two_way(Link::wired(3));
    link.run(60);
    // It grows while no exchange gets through, so none tells by how much.
    let up = link.two_way.take();
    link.least += 5.7e6;
    link.run(30);
    link.two_way = up.map(|up| up + 5.7e6);
    link.run(60);
    link.least -= 5.7e6;
    link.two_way = up;
    link.run(20);
    assert_eq!((link.steps, link.outside), (0, 0));
    // While a step by as much is one.
    link.offset += 5.7e6;
    link.run(2);
    assert_eq!(link.steps, 1);
}

#[test]
fn a_step_back_is_found_on_a_radio_that_sleeps() {
    for seed in 1..=4 {
        let mut link = Link::wifi(seed);
        let mut found = None;
        for i in 0..8 * 70 {
            // It sleeps now and then, and for long from just before the clock steps.
            let asleep = i % 160 < 20 || i >= 8 * 60;
            link.queue = if asleep { (5e6, 100e6) } else { (0.0, 0.0) };
            if i == 8 * 60 + 12 {
                link.offset -= 580e6;
            }
            if link.sync().stepped {
                found = found.or(Some(i - (8 * 60 + 12)));
            }
        }
        assert!(found.is_some_and(|after| (0..64).contains(&after)), "seed {seed}: {found:?}");
        assert_eq!(link.steps, 1, "seed {seed}");
    }
}

#[test]
fn a_step_back_is_found_however_young_the_line() {
    for age in [1, 2, 3, 5, 8, 12, 20, 40] {
        for two in [false, true] {
            let mut link = if two { two_way(Link::wifi(5)) } else { Link::wifi(5) };
            for _ in 0..age {
                link.sync();
            }
            link.offset -= 402e6;
            let found = (1..=64).find(|_| link.sync().stepped);
            assert!(found.is_some(), "after {age} samples, two-way: {two}");
        }
    }
}

#[test]
fn a_queue_that_sets_in_at_once_and_stays_as_it_is_is_no_step_beside_round_trips() {
    for seed in 1..=4 {
        for queue in [80e6, 300e6] {
            let mut link = two_way(Link::wifi(seed));
            link.run(30);
            link.queue = (queue, queue + 2e6);
            link.run(20);
            link.queue = (0.0, 0.0);
            link.run(20);
            assert_eq!((link.steps, link.outside), (0, 0), "seed {seed}: {queue}");
        }
    }
}
