//! A crystal: what a clock without steps reads at each moment of the world, and when it will read what.

use crate::random::Random;

/// Its rate is constant for so long, in nanoseconds of the world.
const CELL: i64 = 500_000_000;

/// How a crystal runs against true time.
#[derive(Clone, Debug, Default)]
pub struct Crystal {
    /// Rate, in parts per million.
    pub skew_ppm: f64,
    /// Random walk of the rate, ppm per root second.
    pub walk_ppm: f64,
    /// A temperature that comes and goes: amplitude in ppm, period in seconds.
    pub cycle: (f64, f64),
    /// The temperature, or a daemon that steers the clock, changes the rate: when (s), by how much (ppm), and within
    /// which time (s; 0: at once).
    pub changes: Vec<(f64, f64, f64)>,
}

/// A change of rate is not known in a silence, which lasts up to a minute, that it falls into or comes ten seconds before, s.
const SETTLES: f64 = 70.0;

impl Crystal {
    /// By how much the rate has changed, at `t` (s), with changes that were not long ago, ns/s.
    pub fn warmed(&self, t: f64) -> f64 {
        let recent = self.changes.iter().filter(|(at, _, within)| (*at..*at + within + SETTLES).contains(&t));
        recent.map(|(_, by, _)| by.abs() * 1e3).sum()
    }
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    reading: i64,
    /// Rate less one.
    rate: f64,
}

/// A running crystal.
#[derive(Clone, Debug)]
pub struct Oscillator(Vec<Cell>);

impl Oscillator {
    /// One that reads `reading` at the world's start, and is good for `seconds` from there.
    pub fn new(crystal: &Crystal, reading: i64, seconds: f64, random: &mut Random) -> Self {
        let count = (seconds * 1e9 / CELL as f64).ceil() as usize + 2;
        let (mut cells, mut reading, mut walk) = (Vec::with_capacity(count), reading, 0.0);
        let phase = random.between(0.0, std::f64::consts::TAU);
        let (amplitude, period) = crystal.cycle;
        for i in 0..count {
            let t = i as f64 * CELL as f64 * 1e-9;
            walk += crystal.walk_ppm * (CELL as f64 * 1e-9).sqrt() * random.normal();
            let cycle = amplitude * (std::f64::consts::TAU * t / period.max(1.0) + phase).sin();
            let changed: f64 = crystal.changes.iter().map(|change| part(*change, t)).sum();
            let cell = Cell { reading, rate: (crystal.skew_ppm + walk + cycle + changed) * 1e-6 };
            cells.push(cell);
            reading = cell.after(CELL);
        }
        Self(cells)
    }

    /// What it reads at a moment of the world.
    pub fn read(&self, world: i64) -> i64 {
        let index = (world.max(0) / CELL) as usize;
        let index = index.min(self.0.len() - 1);
        self.0[index].after(world - index as i64 * CELL)
    }

    /// The first moment at which it reads `reading` or more; not before the world's start.
    pub fn when(&self, reading: i64) -> i64 {
        let first = self.0[0].reading;
        if reading <= first {
            return 0;
        }
        let mut index = (((reading - first) / CELL) as usize).min(self.0.len() - 1);
        while index > 0 && self.0[index].reading > reading {
            index -= 1;
        }
        while index + 1 < self.0.len() && self.0[index + 1].reading <= reading {
            index += 1;
        }
        let cell = self.0[index];
        let ahead = reading - cell.reading;
        let mut world = index as i64 * CELL + (ahead as f64 / (1.0 + cell.rate)) as i64;
        while self.read(world) >= reading && world > 0 {
            world -= 1;
        }
        while self.read(world) < reading {
            world += 1;
        }
        world
    }
}

impl Cell {
    fn after(&self, elapsed: i64) -> i64 {
        self.reading + elapsed + (elapsed as f64 * self.rate).round() as i64
    }
}

/// What a change of rate amounts to at `t`.
fn part((at, by, within): (f64, f64, f64), t: f64) -> f64 {
    if t < at {
        0.0
    } else if within > 0.0 {
        // Warmth spreads as warmth does.
        by * (1.0 - (-(t - at) / within).exp())
    } else {
        by
    }
}

#[test]
fn an_oscillator_is_read_both_ways() {
    let crystal =
        Crystal { skew_ppm: -73.0, walk_ppm: 0.01, cycle: (0.3, 600.0), changes: vec![(5.0, 20.0, 3.0)] };
    let start = 127_677_463_415_875;
    let mut random = Random::new(1, 1);
    let clock = Oscillator::new(&crystal, start, 60.0, &mut random);
    assert_eq!(clock.read(0), start);
    for _ in 0..2_000 {
        let world = random.below(60_000_000_000) as i64;
        let reading = clock.read(world);
        let back = clock.when(reading);
        assert!(back <= world && clock.read(back) >= reading && world - back <= 2, "{world} {back}");
        assert!(clock.read(world + 1_000) > reading);
    }
    let gained = clock.read(50_000_000_000) - start - 50_000_000_000;
    assert!((-3_200_000..-2_700_000).contains(&gained), "{gained}");
}
