//! The distribution of excess delays, learned: a histogram with logarithmic bins that forgets slowly.
#![forbid(unsafe_code)]

/// Bins per doubling of the delay.
const PER_OCTAVE: f64 = 4.0;
/// Delays up to this many nanoseconds share the first bin.
const LEAST: f64 = 100.0;
/// Number of bins: 100 ns times 2^(100/4) is 3.4 s.
const BINS: usize = 100;
/// Samples after which an entry weighs 1/e: about 4 minutes at 8 Hz.
const MEMORY: f64 = 2048.0;

/// Histogram of excess delays.
#[derive(Clone, Debug)]
pub(super) struct Delays {
    bins: [f64; BINS],
    total: f64,
    weight: f64,
}

impl Delays {
    /// An empty histogram.
    pub fn new() -> Self {
        Self { bins: [0.0; BINS], total: 0.0, weight: 1.0 }
    }

    /// Enters one excess delay in nanoseconds.
    pub fn add(&mut self, delay: f64) {
        if delay < 0.0 {
            return;
        }
        self.bins[bin_of(delay)] += self.weight;
        self.total += self.weight;
        // Newer entries weigh more instead of older ones less: one addition per sample.
        self.weight *= 1.0 + 1.0 / MEMORY;
        if self.weight > 1e12 {
            let scale = 1.0 / self.weight;
            self.bins.iter_mut().for_each(|b| *b *= scale);
            self.total *= scale;
            self.weight = 1.0;
        }
    }

    /// Entries in effect.
    pub fn count(&self) -> f64 {
        self.total / self.weight
    }

    /// The delay that the share `p` of the entries stays below, ns.
    pub fn quantile(&self, p: f64) -> f64 {
        let wanted = p * self.total;
        let mut below = 0.0;
        for (i, b) in self.bins.iter().enumerate() {
            if below + b >= wanted && *b > 0.0 {
                let part = (wanted - below) / b;
                return LEAST * ((i as f64 + part) / PER_OCTAVE).exp2();
            }
            below += b;
        }
        LEAST
    }

    /// The share of entries above `delay`, kept off 0 as far as the number of entries allows.
    pub fn share_above(&self, delay: f64) -> f64 {
        self.share_above_but(delay, 0)
    }

    /// Whether no entry but the latest `own` is above `delay`.
    pub fn none_above(&self, delay: f64, own: usize) -> bool {
        self.above(delay, own) <= 0.0
    }

    fn above(&self, delay: f64, own: usize) -> f64 {
        let above: f64 = self.bins[bin_of(delay) + 1..].iter().sum();
        // Older entries weigh less, so this is enough; by too little to hide another one.
        (above - own as f64 * self.weight).max(0.0)
    }

    /// The same without the latest `own` entries, which are known to lie above.
    pub fn share_above_but(&self, delay: f64, own: usize) -> f64 {
        let above = self.above(delay, own);
        ((above + 0.5 * self.weight) / (self.total + self.weight)).clamp(1e-6, 1.0)
    }
}

fn bin_of(delay: f64) -> usize {
    // The cast saturates: anything below the first bin, NaN too, lands in it.
    (((delay.max(LEAST) / LEAST).log2() * PER_OCTAVE) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_an_even_spread_are_even() {
        let mut delays = Delays::new();
        for i in 1..=1000 {
            delays.add(f64::from(i) * 1e3);
        }
        for p in [0.1, 0.5, 0.9] {
            // Bins are a fifth wide, and newer entries weigh more.
            assert!((delays.quantile(p) / (p * 1e6) - 1.0).abs() < 0.35, "{p}: {}", delays.quantile(p));
        }
        assert!((delays.share_above(500e3) - 0.5).abs() < 0.15, "{}", delays.share_above(500e3));
        assert!(delays.share_above(1e9) < 1e-3 && delays.share_above(0.0) > 0.99);
    }

    #[test]
    fn it_forgets() {
        let mut delays = Delays::new();
        (0..5000).for_each(|_| delays.add(1e6));
        (0..20_000).for_each(|_| delays.add(1e3));
        assert!(delays.share_above(100e3) < 1e-3, "{}", delays.share_above(100e3));
        assert!((delays.count() - MEMORY).abs() < 100.0, "{}", delays.count());
        // Long enough for the weights to be scaled back once.
        (0..100_000).for_each(|_| delays.add(1e3));
        assert!((delays.count() - MEMORY).abs() < 100.0, "{}", delays.count());
    }

    #[test]
    fn absurd_delays_find_a_bin() {
        let mut delays = Delays::new();
        for delay in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e300] {
            delays.add(delay);
            assert!(delays.share_above(delay).is_finite() && delays.quantile(0.5).is_finite());
        }
        assert_eq!(Delays::new().quantile(0.5), LEAST);
    }
}
