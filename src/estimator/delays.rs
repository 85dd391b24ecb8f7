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
        let bin = bin_of(delay);
        let above: f64 = self.bins[bin + 1..].iter().sum();
        ((above + 0.5 * self.weight) / (self.total + self.weight)).clamp(1e-6, 1.0)
    }
}

fn bin_of(delay: f64) -> usize {
    // The cast saturates: anything below the first bin, NaN too, lands in it.
    (((delay.max(LEAST) / LEAST).log2() * PER_OCTAVE) as usize).min(BINS - 1)
}
