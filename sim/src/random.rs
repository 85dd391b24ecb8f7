//! A seeded stream of random numbers, so that a run with impairments can be had again.
#![forbid(unsafe_code)]

/// SplitMix64 (Steele, Lea and Flood, 2014): small, full period, good enough to lose packets by.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream that belongs to `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        // 53 bits are what a double holds.
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True in `percent` of 100 cases.
    pub fn percent(&mut self, percent: f64) -> bool {
        self.unit() * 100.0 < percent
    }

    /// A whole number in [0, `end`); 0 where `end` is not above 0.
    pub fn below(&mut self, end: i64) -> i64 {
        (self.unit() * end.max(0) as f64) as i64
    }

    /// Between `low` and `high` (both above 0), each factor equally likely: many small values and a few large ones.
    pub fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_stream_again_and_another_seed_another() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..8).map(|_| random.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn percents_and_spreads_are_what_was_asked() {
        let mut random = Random::new(1);
        let hits = (0..100_000).filter(|_| random.percent(5.0)).count();
        assert!((4_700..5_300).contains(&hits), "{hits} of 100000 at 5 %");
        let (mut small, mut large) = (0, 0);
        for _ in 0..10_000 {
            let value = random.log_uniform(0.5, 110.0);
            assert!((0.5..=110.0).contains(&value));
            small += u32::from(value < 7.4);
            large += u32::from(value > 7.4);
        }
        // 7.4 is the geometric mean of the ends.
        assert!(small.abs_diff(large) < 400, "{small} below, {large} above the middle");
        assert_eq!(random.below(0), 0);
        assert!((0..1000).all(|_| (0..3).contains(&random.below(3))));
    }
}
