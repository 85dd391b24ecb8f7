//! How good the estimate is beside the field's, and what it costs: the tables and pictures of docs/accuracy.md.
//!
//! `make bench` prints the tables, and on the error output each limit that is missed with its link and seed; `make bench
//! ONLY=roaming FIRST=17 SEEDS=1` takes that one; `make bench DOCS=docs` writes the docs' tables and pictures.
#![allow(missing_docs, clippy::disallowed_methods)] // A program that measures reads clocks.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ptpbmca::estimator::Estimator;
use ptpbmca_tools::bench::{self, contenders, Contender, Cost, Figure, Sweep};
use ptpbmca_tools::traces::{Class, Trace};

/// Seeds where none are asked for.
const SEEDS: u64 = 5;
/// Seed of the pictures and of the costs.
const SHOWN_SEED: u64 = 1;
/// From here on nothing may allocate, s.
const STEADY: f64 = 60.0;
/// Runs of which the fastest counts: others had to wait for the machine.
const RUNS: usize = 3;
/// Around the tables in the docs.
const BEGIN: &str = "<!-- tables: begin -->\n";
const END: &str = "<!-- tables: end -->";

/// Counts allocations.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Time and allocations of one estimator on one trace: ns per Sync, allocations after the first minute.
fn measure(mut contender: Contender, trace: &Trace, class: Class) -> (f64, u64) {
    let (frame, readings) = bench::readings(trace, class, SHOWN_SEED, contender.pairing());
    contender.begin(frame);
    let steady = readings.partition_point(|r| r.measurement.x < STEADY);
    let (young, old) = readings.split_at(steady);
    let start = Instant::now();
    for reading in young {
        contender.take(black_box(reading));
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for reading in old {
        contender.take(black_box(reading));
        black_box(contender.remote_at(reading.now.nanos()));
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    (start.elapsed().as_nanos() as f64 / readings.len() as f64, allocations)
}

fn costs(classes: &[Class]) -> Vec<Cost> {
    let traces: Vec<_> =
        classes.iter().map(|class| (*class, Trace::new(*class, SHOWN_SEED, class.duration()))).collect();
    let cost = |place: usize, name: &'static str| {
        let mut times = Vec::new();
        let mut allocations = 0;
        for (class, trace) in &traces {
            let mut fastest = f64::INFINITY;
            for _ in 0..RUNS {
                let contender = contenders().swap_remove(place);
                let (time, allocated) = measure(contender, trace, *class);
                fastest = fastest.min(time);
                allocations += allocated;
            }
            times.push(fastest);
        }
        times.sort_unstable_by(f64::total_cmp);
        let is_ours = name == bench::OURS;
        Cost {
            name,
            median: times[times.len() / 2],
            worst: times[times.len() - 1],
            allocations,
            state: is_ours.then_some(size_of::<Estimator>()),
        }
    };
    contenders().iter().enumerate().map(|(place, contender)| cost(place, contender.name())).collect()
}

struct Options {
    first: u64,
    seeds: u64,
    classes: Vec<Class>,
    docs: Option<PathBuf>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { first: 1, seeds: SEEDS, classes: Class::ALL.to_vec(), docs: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            // Cargo's own.
            "--bench" => {}
            "--seeds" => match value()?.parse() {
                Ok(seeds) if (1..=1_000).contains(&seeds) => options.seeds = seeds,
                _ => return Err("--seeds wants a number from 1 to 1000".into()),
            },
            "--first" => options.first = value()?.parse().map_err(|_| "--first wants a seed")?,
            "--link" => {
                let name = value()?;
                let class = Class::from_name(&name).ok_or_else(|| format!("no link is called {name}"))?;
                options.classes = vec![class];
            }
            "--docs" => options.docs = Some(value()?.into()),
            other => {
                return Err(format!("{other}? Known: --first SEED, --seeds N, --link NAME, --docs DIRECTORY"))
            }
        }
    }
    Ok(options)
}

/// Puts the tables where the docs have them.
fn write(docs: &Path, tables: &str) -> Result<(), String> {
    let page = docs.join("accuracy.md");
    let text = std::fs::read_to_string(&page).map_err(|e| format!("{}: {e}", page.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = parts.ok_or_else(|| format!("{} has no place for tables", page.display()))?;
    let images = docs.join("img");
    std::fs::create_dir_all(&images).map_err(|e| e.to_string())?;
    for figure in Figure::ALL {
        let file = images.join(format!("accuracy-{}.svg", figure.name));
        std::fs::write(file, bench::draw(&figure, SHOWN_SEED)?).map_err(|e| e.to_string())?;
    }
    std::fs::write(page, format!("{head}{BEGIN}\n{tables}{END}{tail}")).map_err(|e| e.to_string())
}

fn run() -> Result<(), String> {
    let options = options()?;
    let end = options.first.checked_add(options.seeds).ok_or("--first is too large")?;
    let sweep = Sweep::run(&options.classes, options.first..end, |class, seed, missed| {
        for missed in missed {
            eprintln!("{}, seed {seed}: {missed}", class.name());
        }
    });
    let (summary, details) = (bench::summary(&sweep), bench::details(&sweep));
    let costs = bench::costs(&costs(&options.classes));
    println!("{details}{summary}{costs}");
    let page =
        format!("{summary}{costs}<details><summary>All other scores</summary>\n\n{details}</details>\n");
    options.docs.map_or(Ok(()), |docs| write(&docs, &page))
}

fn main() {
    if let Err(why) = run() {
        eprintln!("{why}");
        std::process::exit(1);
    }
}
