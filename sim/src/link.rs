//! The way between receiver and sender: loses, delays, doubles and swaps packets, as a seed has it.
#![forbid(unsafe_code)]

use crate::random::Random;
use std::collections::VecDeque;

/// A swapped packet that no other packet passes leaves after this long anyhow: more than one Sync interval.
const SWAP_PATIENCE_NS: i64 = 200_000_000;

/// Packets under way at most; one more is lost. 110 ms of the busiest receiver is a few dozen.
const MAX_UNDER_WAY: usize = 4096;

/// What a link does to the packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairments {
    /// Packets lost, in percent.
    pub loss_percent: f64,
    /// Each packet is late by 0 to this many nanoseconds, evenly spread; order is kept.
    pub jitter_ns: i64,
    /// Packets that arrive twice, in percent.
    pub duplicate_percent: f64,
    /// Packets that the one behind them passes, in percent.
    pub reorder_percent: f64,
}

/// One direction of a link with what is under way on it.
#[derive(Debug)]
pub struct Link<T> {
    impairments: Impairments,
    random: Random,
    /// In the order of `at`.
    under_way: VecDeque<(i64, T)>,
    /// A packet that waits for another to pass it, and how long at most.
    held: Option<(i64, T)>,
    /// Packets lost on purpose.
    pub lost: u64,
    /// Packets doubled.
    pub duplicated: u64,
    /// Packets held back.
    pub reordered: u64,
}

impl<T: Clone> Link<T> {
    /// A link with nothing on it.
    pub fn new(impairments: Impairments, seed: u64) -> Self {
        let random = Random::new(seed);
        Self {
            impairments,
            random,
            under_way: VecDeque::new(),
            held: None,
            lost: 0,
            duplicated: 0,
            reordered: 0,
        }
    }

    /// A packet enters at `now`.
    pub fn put(&mut self, now: i64, packet: T) {
        let what = self.impairments;
        if self.random.percent(what.loss_percent) || self.under_way.len() >= MAX_UNDER_WAY {
            self.lost += 1;
            return;
        }
        let late = self.random.below(what.jitter_ns);
        // Jitter keeps order: nobody leaves before who entered earlier.
        let at = self.under_way.back().map_or(i64::MIN, |&(at, _)| at).max(now.saturating_add(late));
        if self.held.is_none() && self.random.percent(what.reorder_percent) {
            self.reordered += 1;
            self.held = Some((at.saturating_add(SWAP_PATIENCE_NS), packet));
            return;
        }
        if self.random.percent(what.duplicate_percent) {
            self.duplicated += 1;
            self.under_way.push_back((at, packet.clone()));
        }
        self.under_way.push_back((at, packet));
        if let Some((_, held)) = self.held.take() {
            self.under_way.push_back((at, held));
        }
    }

    /// A packet that comes out by `now`, and when it came out.
    pub fn take(&mut self, now: i64) -> Option<(i64, T)> {
        if self.under_way.front().is_some_and(|&(at, _)| at <= now) {
            return self.under_way.pop_front();
        }
        if self.held.as_ref().is_some_and(|&(at, _)| at <= now) {
            return self.held.take();
        }
        None
    }

    /// When the next packet comes out.
    pub fn deadline(&self) -> Option<i64> {
        [self.under_way.front(), self.held.as_ref()].into_iter().flatten().map(|&(at, _)| at).min()
    }

    /// Forgets what is under way.
    pub fn clear(&mut self) {
        self.under_way.clear();
        self.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends 0..count, one each millisecond, and gives what came out with its time.
    fn run(impairments: Impairments, count: u32) -> (Vec<(i64, u32)>, Link<u32>) {
        let mut link = Link::new(impairments, 42);
        let mut out = Vec::new();
        for i in 0..count {
            let now = i64::from(i) * 1_000_000;
            while let Some(deadline) = link.deadline().filter(|&deadline| deadline < now) {
                out.extend(link.take(deadline));
            }
            link.put(now, i);
        }
        while let Some(deadline) = link.deadline() {
            out.extend(link.take(deadline));
        }
        (out, link)
    }

    #[test]
    fn a_perfect_link_gives_each_packet_at_once() {
        let (out, _) = run(Impairments::default(), 100);
        assert_eq!(out, (0..100).map(|i| (i64::from(i) * 1_000_000, i)).collect::<Vec<_>>());
    }

    #[test]
    fn it_loses_and_doubles_what_it_says() {
        let (out, link) =
            run(Impairments { loss_percent: 10.0, duplicate_percent: 5.0, ..Default::default() }, 10_000);
        assert!((850..1150).contains(&link.lost), "{} lost", link.lost);
        assert!((350..550).contains(&link.duplicated), "{} doubled", link.duplicated);
        assert_eq!(out.len() as u64, 10_000 - link.lost + link.duplicated);
    }

    #[test]
    fn jitter_delays_and_never_swaps_nor_hurries() {
        let (out, _) = run(Impairments { jitter_ns: 20_000_000, ..Default::default() }, 1000);
        assert_eq!(out.len(), 1000);
        assert!(out.windows(2).all(|w| w[0].1 < w[1].1 && w[0].0 <= w[1].0));
        let late: Vec<_> = out.iter().map(|&(at, i)| at - i64::from(i) * 1_000_000).collect();
        assert!(late.iter().all(|l| (0..=20_000_000).contains(l)));
        assert!(late.iter().any(|&l| l > 10_000_000));
    }

    #[test]
    fn a_swapped_packet_comes_right_behind_its_successor() {
        let (out, link) = run(Impairments { reorder_percent: 10.0, ..Default::default() }, 1000);
        assert_eq!(out.len(), 1000);
        assert!(link.reordered > 50);
        let swaps = out.windows(2).filter(|w| w[0].1 > w[1].1).collect::<Vec<_>>();
        // The last one held may have had nobody behind it.
        assert!(swaps.len() as u64 + 1 >= link.reordered);
        assert!(swaps.iter().all(|w| w[0].1 == w[1].1 + 1 && w[0].0 == w[1].0));
    }

    #[test]
    fn a_swapped_packet_with_nobody_behind_it_leaves_anyhow() {
        let mut link = Link::new(Impairments { reorder_percent: 100.0, ..Default::default() }, 1);
        link.put(5, 'a');
        assert_eq!(link.take(5), None);
        let deadline = link.deadline().unwrap();
        assert_eq!(link.take(deadline), Some((deadline, 'a')));
        assert_eq!(link.deadline(), None);
    }
}
