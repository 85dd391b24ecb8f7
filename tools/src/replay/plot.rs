//! A replay as a picture: what the receiver sent, what was made of it, and how sure that is.
#![forbid(unsafe_code)]

use plotters::coord::types::RangedCoordf64;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::record::{marks, Mark, Record};
use super::thin;

/// Size of the picture, pixels.
const SIZE: (u32, u32) = (1_200, 1_080);
/// Height of its title.
const TITLE: u32 = 64;
/// Where its three parts end, as shares of the rest.
const PARTS: [f64; 2] = [0.3, 0.63];
/// Columns it is thinned out to: about two pixels each.
const COLUMNS: usize = 540;
/// Epochs marked; more are only counted.
const MAX_EPOCHS: usize = 40;
/// Share of the samples that may lie outside a part's range, each shown at its edge.
const OUTSIDE: f64 = 0.002;

const SAMPLE: RGBColor = RGBColor(0x52, 0x62, 0x7a);
const EDGE: RGBColor = RGBColor(0xb8, 0x4a, 0x3c);
const LINE: RGBColor = RGBColor(0x0b, 0x57, 0xd0);
const BAND: RGBColor = RGBColor(0x8a, 0xb4, 0xf8);
/// How much of the band's colour hides what is behind.
const BAND_DEPTH: f64 = 0.45;
const EPOCH: RGBColor = RGBColor(0xd9, 0x7b, 0x06);
const TEXT: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GRID: RGBColor = RGBColor(0xe4, 0xe6, 0xea);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Nanoseconds in the unit of an axis, and the unit's name.
#[derive(Clone, Copy)]
struct Unit(f64, &'static str);

impl Unit {
    /// The unit in which a range of so many nanoseconds has readable numbers.
    fn of(range: f64) -> Self {
        match range {
            r if r < 20e6 => Self(1e3, "us"),
            r if r < 20e9 => Self(1e6, "ms"),
            _ => Self(1e9, "s"),
        }
    }
}

/// One of the parts of the picture; values in ns.
struct Part {
    caption: &'static str,
    y: &'static str,
    samples: Vec<(f64, f64)>,
    /// The published line with its bound, cut where it broke off: time, value, bound.
    lines: Vec<Vec<(f64, f64, f64)>>,
    range: (f64, f64),
}

/// Draws what was recorded, as SVG. `name` says of what.
pub fn draw(record: &Record, name: &str) -> Result<String, String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        picture(&root, record, name).and_then(|()| Ok(root.present()?)).map_err(|e| e.to_string())?;
    }
    Ok(svg)
}

fn picture(root: &Area, record: &Record, name: &str) -> Outcome {
    root.fill(&WHITE)?;
    let (marks, trend) = marks(&record.rows);
    let (head, body) = root.split_vertically(TITLE);
    let heading = ("sans-serif", 22).into_font().color(&TEXT);
    let small = ("sans-serif", 15).into_font().color(&TEXT);
    head.draw_text(name, &heading, (16, 10))?;
    let rate = trend.map_or(0.0, |trend| trend.rate * 1e6);
    head.draw_text(&summary(&marks, record.beyond, rate), &small, (16, 40))?;
    legend(&head)?;
    let (Some(first), Some(last)) = (
        marks.iter().map(|mark| mark.time).reduce(f64::min),
        marks.iter().map(|mark| mark.time).reduce(f64::max),
    ) else {
        return Ok(());
    };
    // A single row has a second to itself.
    let span = (first, if last > first { last } else { first + 1.0 });
    let height = f64::from(SIZE.1 - TITLE);
    let (upper, rest) = body.split_vertically((height * PARTS[0]) as u32);
    let (middle, lower) = rest.split_vertically((height * (PARTS[1] - PARTS[0])) as u32);
    part(&upper, &whole(&marks, span), &marks, span)?;
    part(&middle, &course(&marks, span), &marks, span)?;
    part(&lower, &close(&marks, span), &marks, span)
}

/// What the colours mean, in the title's right corner.
fn legend(head: &Area) -> Outcome {
    /// Left edge, and width of an entry.
    const LEFT: i32 = 700;
    const WIDTH: i32 = 122;
    const MIDDLE: i32 = 49;
    let names = ["sample", "published", "its bound", "new epoch"];
    for (x, name) in (LEFT..).step_by(WIDTH as usize).zip(names) {
        let bar = |from, to, color: RGBAColor| {
            Rectangle::new([(x + from, MIDDLE - to), (x + 22, MIDDLE + to)], color.filled())
        };
        match name {
            "sample" => head.draw(&Circle::new((x + 14, MIDDLE), 2, SAMPLE.filled()))?,
            "published" => head.draw(&bar(0, 1, LINE.to_rgba()))?,
            "its bound" => head.draw(&bar(0, 6, BAND.mix(BAND_DEPTH)))?,
            _ => head.draw(&bar(20, 8, EPOCH.to_rgba()))?,
        }
        head.draw_text(name, &("sans-serif", 14).into_font().color(&TEXT), (x + 28, MIDDLE - 8))?;
    }
    Ok(())
}

/// A line of figures under the title.
fn summary(marks: &[Mark], beyond: u64, rate: f64) -> String {
    let pairs = marks.iter().filter(|mark| mark.sample.is_some()).count();
    let time = marks.last().map_or(0.0, |mark| mark.time);
    let epochs = marks.chunk_by(|a, b| a.epoch == b.epoch).count();
    let mut errors: Vec<f64> = marks.iter().filter_map(|mark| mark.error).collect();
    let bound = match quantile(&mut errors, 0.5) {
        Some(error) => format!("median bound {:.0} us", error * 1e-3),
        None => "never synchronised".to_string(),
    };
    let more = if beyond > 0 { format!(", {beyond} more pairs not drawn") } else { String::new() };
    let plural = if epochs == 1 { "" } else { "s" };
    format!("{pairs} pairs in {time:.0} s, {epochs} epoch{plural}, rate {rate:+.2} ppm, {bound}{more}")
}

/// Samples against the trends.
fn detrended(marks: &[Mark]) -> Vec<(f64, f64)> {
    marks.iter().filter_map(|mark| Some((mark.time, mark.sample?))).collect()
}

/// Everything: spikes, queues.
fn whole(marks: &[Mark], span: (f64, f64)) -> Part {
    let samples = detrended(marks);
    let lines = lines(marks, |mark| mark.line, span);
    let mut values: Vec<f64> = samples.iter().map(|point| point.1).collect();
    let (low, high) = extent(marks);
    let low = quantile(&mut values, OUTSIDE).unwrap_or(0.0).min(low);
    let high = quantile(&mut values, 1.0 - OUTSIDE).unwrap_or(0.0).max(high);
    Part {
        caption: "all samples, less a straight line per epoch",
        y: "receiver - local",
        samples,
        lines,
        range: padded(low, high),
    }
}

/// The published line's course: how the clocks drift, and how the line is led after them.
fn course(marks: &[Mark], span: (f64, f64)) -> Part {
    let lines = lines(marks, |mark| mark.line, span);
    let ((low, high), error) = (extent(marks), usual_bound(marks));
    Part {
        caption: "the published line, less the same straight line",
        y: "receiver - local",
        samples: detrended(marks),
        lines,
        range: padded(low - error, high + error),
    }
}

/// Close to the published line: what the estimate rests on, within which bound.
fn close(marks: &[Mark], span: (f64, f64)) -> Part {
    /// Of the samples only those that came fast matter: this share of them is shown, and a little room.
    const FAST: f64 = 0.35;
    const ROOM: f64 = 1.2;
    let samples: Vec<_> = marks.iter().filter_map(|mark| Some((mark.time, mark.residual?))).collect();
    let lines = lines(marks, |mark| mark.line.map(|_| 0.0), span);
    let mut values: Vec<f64> = samples.iter().map(|point| point.1).collect();
    let error = usual_bound(marks);
    let low = quantile(&mut values, 1.0 - FAST).unwrap_or(0.0) * ROOM;
    let high = quantile(&mut values, 1.0 - OUTSIDE).unwrap_or(0.0);
    Part {
        caption: "close up, less the published line",
        y: "sample - published",
        samples,
        lines,
        range: padded(low.min(-error), high.max(error)),
    }
}

/// A bound that most of the bounds stay below, with room: those of a line that settles may reach beyond.
fn usual_bound(marks: &[Mark]) -> f64 {
    const USUAL: f64 = 0.75;
    const ROOM: f64 = 1.6;
    let mut errors: Vec<f64> = marks.iter().filter_map(|mark| mark.error).collect();
    quantile(&mut errors, USUAL).unwrap_or(0.0) * ROOM
}

/// How far the published line reaches but for its outermost hundredths, which are of its beginning.
fn extent(marks: &[Mark]) -> (f64, f64) {
    const OUTERMOST: f64 = 0.01;
    let mut values: Vec<f64> = marks.iter().filter_map(|mark| mark.line).collect();
    let mut at = |p| quantile(&mut values, p).unwrap_or(0.0);
    (at(OUTERMOST), at(1.0 - OUTERMOST))
}

/// A little more than a range, and never none at all.
fn padded(low: f64, high: f64) -> (f64, f64) {
    /// Ten nanoseconds: less than any stamp's noise.
    const LEAST: f64 = 10.0;
    let pad = ((high - low) * 0.06).max(LEAST);
    (low - pad, high + pad)
}

/// The least value that a share `p` of `values` does not exceed.
fn quantile(values: &mut [f64], p: f64) -> Option<f64> {
    let place = ((values.len().checked_sub(1)?) as f64 * p).round() as usize;
    values.sort_unstable_by(f64::total_cmp);
    values.get(place).copied()
}

/// The published line in pieces without a break, thinned out.
fn lines(
    marks: &[Mark],
    value: impl Fn(&Mark) -> Option<f64>,
    span: (f64, f64),
) -> Vec<Vec<(f64, f64, f64)>> {
    let unbroken = |a: &Mark, b: &Mark| a.epoch == b.epoch && a.line.is_some() && b.line.is_some();
    let mut pieces = Vec::new();
    for piece in marks.chunk_by(unbroken) {
        let share = |mark: &Mark| Some((mark.time, value(mark)?));
        let points: Vec<_> = piece.iter().filter_map(share).collect();
        let bounds: Vec<_> = piece.iter().filter_map(|mark| Some((mark.time, mark.error?))).collect();
        if points.is_empty() {
            continue;
        }
        let mut bounds = thin::line(&bounds, span, COLUMNS).into_iter().peekable();
        let mut bound = 0.0;
        // Each point with the latest bound; bounds between two points are points of their own.
        let mut joined = Vec::new();
        let mut before = 0.0;
        for (time, y) in thin::line(&points, span, COLUMNS) {
            while let Some((at, error)) = bounds.next_if(|(at, _)| *at <= time) {
                bound = error;
                if at < time && !joined.is_empty() {
                    joined.push((at, before, error));
                }
            }
            joined.push((time, y, bound));
            before = y;
        }
        pieces.push(joined);
    }
    pieces
}

fn part(area: &Area, part: &Part, marks: &[Mark], span: (f64, f64)) -> Outcome {
    let Part { samples, lines, range: (low, high), .. } = part;
    let unit = Unit::of(high - low);
    let (low, high) = (low / unit.0, high / unit.0);
    let beyond = samples.iter().filter(|(_, y)| !(low..=high).contains(&(y / unit.0))).count();
    let caption = match beyond {
        0 => part.caption.to_string(),
        _ => format!("{}; {beyond} samples lie beyond", part.caption),
    };
    let mut chart = ChartBuilder::on(area)
        .margin_right(24)
        .margin_left(10)
        .margin_top(4)
        .caption(caption, ("sans-serif", 17).into_font().color(&TEXT))
        .x_label_area_size(42)
        .y_label_area_size(84)
        .build_cartesian_2d(span.0..span.1, low..high)?;
    let seconds = if span.1 - span.0 < 20.0 { 1 } else { 0 };
    let digits = if high - low < 10.0 { 1 } else { 0 };
    chart
        .configure_mesh()
        .x_desc("local time since the first pair, s")
        .y_desc(format!("{}, {}", part.y, unit.1))
        .x_labels(12)
        .y_labels(9)
        .x_label_formatter(&|x| format!("{x:.seconds$}"))
        .y_label_formatter(&|y| format!("{y:.digits$}"))
        .label_style(("sans-serif", 14).into_font().color(&TEXT))
        .axis_style(TEXT.mix(0.6))
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    let inside = |y: f64| (y / unit.0).clamp(low, high);
    for line in lines {
        let upper = line.iter().map(|(x, y, error)| (*x, inside(y + error)));
        let lower = line.iter().rev().map(|(x, y, error)| (*x, inside(y - error)));
        let band: Vec<_> = upper.chain(lower).collect();
        chart.draw_series(std::iter::once(Polygon::new(band, BAND.mix(BAND_DEPTH))))?;
    }
    let shown = thin::samples(samples, span, COLUMNS);
    let within = |y: f64| (low..=high).contains(&(y / unit.0));
    let dots = shown.iter().filter(|(_, y)| within(*y));
    chart.draw_series(dots.map(|(x, y)| Circle::new((*x, y / unit.0), 1, SAMPLE.mix(0.7).filled())))?;
    for line in lines {
        let points = line.iter().map(|(x, y, _)| (*x, inside(*y)));
        chart.draw_series(LineSeries::new(points, LINE.stroke_width(2)))?;
    }
    outside(&mut chart, samples, span, within, (low, high))?;
    epochs(&mut chart, marks, (low, high))
}

/// Samples beyond the range, as short strokes at its edge, one per column; none where most of them are there.
fn outside(
    chart: &mut Chart,
    samples: &[(f64, f64)],
    span: (f64, f64),
    within: impl Fn(f64) -> bool,
    (low, high): (f64, f64),
) -> Outcome {
    /// Of all samples, at most this share.
    const FEW: f64 = 0.05;
    let stroke = (high - low) * 0.025;
    for (side, edge) in [(1.0, high), (-1.0, low)] {
        let beyond = samples.iter().filter(|(_, y)| !within(*y) && y * side > 0.0);
        let places: Vec<_> = beyond.map(|(x, _)| (*x, 0.0)).collect();
        if places.len() as f64 > FEW * samples.len() as f64 {
            continue;
        }
        let path = |x| PathElement::new(vec![(x, edge), (x, edge - side * stroke)], EDGE.stroke_width(2));
        chart.draw_series(thin::line(&places, span, COLUMNS).iter().map(|(x, _)| path(*x)))?;
    }
    Ok(())
}

/// Epochs begin at vertical lines.
fn epochs(chart: &mut Chart, marks: &[Mark], (low, high): (f64, f64)) -> Outcome {
    let starts = marks.chunk_by(|a, b| a.epoch == b.epoch).skip(1).filter_map(|epoch| epoch.first());
    let times = chart.x_range();
    let aside = (times.end - times.start) * 0.003;
    for mark in starts.take(MAX_EPOCHS) {
        let foot = vec![(mark.time, low), (mark.time, high)];
        chart.draw_series([PathElement::new(foot, EPOCH.stroke_width(2))])?;
        let text = format!("epoch {}", mark.epoch);
        let place = (mark.time + aside, high - (high - low) * 0.02);
        chart.draw_series([Text::new(text, place, ("sans-serif", 14).into_font().color(&EPOCH))])?;
    }
    Ok(())
}
