//! The error over time, of ours and of three peers, as SVG.
#![forbid(unsafe_code)]

use plotters::coord::Shift;
use plotters::prelude::*;

use super::contender::{contenders, run, AHEAD, OURS};
use super::pairing::readings;
use crate::traces::{Class, Trace};

/// Size of a picture, pixels.
const SIZE: (u32, u32) = (960, 400);
/// Height of the title, and where in it the curves' names stand.
const HEAD: u32 = 36;
const LEGEND: [i32; 4] = [496, 592, 702, 856];
/// Columns that the trace is thinned out to, each with its largest error.
const COLUMNS: usize = 300;
/// Range of the errors shown, us; what is beyond lies on the edge.
const RANGE: (f64, f64) = (0.3, 200e3);
/// Columns without a sample that break a curve.
const BREAK: f64 = 3.0;
const SHOWN: [(&str, RGBColor); 4] = [
    ("EMA 1/8", RGBColor(0xc9, 0xb0, 0x8a)),
    ("asymmetric", RGBColor(0x6a, 0x9c, 0x5c)),
    ("Kalman, best of 8", RGBColor(0xb8, 0x4a, 0x3c)),
    (OURS, RGBColor(0x0b, 0x57, 0xd0)),
];
const TEXT: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GRID: RGBColor = RGBColor(0xe4, 0xe6, 0xea);

/// A picture of the docs.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Name of the file, without its ending.
    pub name: &'static str,
    /// What is seen.
    pub title: &'static str,
    /// The link.
    pub class: Class,
    /// Part of the trace, s.
    pub span: (f64, f64),
}

impl Figure {
    /// Those in docs/accuracy.md.
    pub const ALL: [Self; 5] = [
        Self { name: "wifi", title: "Good Wi-Fi", class: Class::Wifi, span: (0.0, 600.0) },
        Self {
            name: "congestion",
            title: "A queue of 5 to 40 ms from 120 s to 180 s",
            class: Class::Congestion,
            span: (90.0, 240.0),
        },
        Self {
            name: "restart",
            title: "The receiver restarts at 150 s: its clock begins anew",
            class: Class::Restart,
            span: (140.0, 200.0),
        },
        Self {
            name: "handover",
            title: "Another master at 150 s: 250 ms ahead, another crystal",
            class: Class::Handover,
            span: (140.0, 200.0),
        },
        Self {
            name: "rate-step",
            title: "The rate changes by 20 ppm at 150 s",
            class: Class::RateStep,
            span: (120.0, 240.0),
        },
    ];
}

type Curve = Vec<(f64, f64)>;

/// Draws a figure of one seed.
pub fn draw(figure: &Figure, seed: u64) -> Result<String, String> {
    let trace = Trace::new(figure.class, seed, figure.class.duration());
    let mut curves = Vec::new();
    for (name, color) in SHOWN {
        let contender = contenders().into_iter().find(|c| c.name() == name);
        let Some(mut contender) = contender else { return Err(format!("no estimator is called {name}")) };
        let (frame, readings) = readings(&trace, figure.class, seed, contender.pairing());
        let estimates = run(&mut contender, frame, &readings);
        let errors = estimates.iter().filter_map(|e| {
            let later = e.local + AHEAD;
            let (_, ahead) = e.remote.filter(|_| trace.epoch(later) == trace.epoch(e.local))?;
            let blind = if figure.class.two_way() { 0 } else { trace.least_delay };
            let error = i128::from(ahead) - i128::from(trace.remote_at(later)) + i128::from(blind);
            Some(((e.local - trace.start) as f64 * 1e-9, error.unsigned_abs() as f64 * 1e-3))
        });
        curves.push((name, color, thinned(errors, figure.span)));
    }
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        picture(&root, figure, &curves).and_then(|()| Ok(root.present()?)).map_err(|e| e.to_string())?;
    }
    Ok(svg)
}

/// The largest error of each column, in pieces without a break.
fn thinned(errors: impl Iterator<Item = (f64, f64)>, span: (f64, f64)) -> Vec<Curve> {
    let width = (span.1 - span.0) / COLUMNS as f64;
    let mut columns = [None::<f64>; COLUMNS];
    for (t, error) in errors.filter(|(t, _)| (span.0..span.1).contains(t)) {
        if let Some(column) = columns.get_mut(((t - span.0) / width) as usize) {
            *column = Some(column.map_or(error, |most| most.max(error)));
        }
    }
    let mut pieces: Vec<Curve> = Vec::new();
    for (place, error) in columns.iter().enumerate() {
        let Some(error) = error else { continue };
        let t = span.0 + (place as f64 + 0.5) * width;
        let point = (t, error.clamp(RANGE.0, RANGE.1));
        match pieces.last_mut() {
            Some(piece) if piece.last().is_some_and(|last| t - last.0 <= BREAK * width) => piece.push(point),
            _ => pieces.push(vec![point]),
        }
    }
    pieces
}

fn picture(
    root: &DrawingArea<SVGBackend, Shift>,
    figure: &Figure,
    curves: &[(&'static str, RGBColor, Vec<Curve>)],
) -> Result<(), Box<dyn std::error::Error>> {
    root.fill(&WHITE)?;
    let font = |size| ("sans-serif", size).into_font().color(&TEXT);
    let (head, body) = root.split_vertically(HEAD);
    head.draw_text(figure.title, &font(18), (16, 12))?;
    for ((name, color, _), x) in curves.iter().zip(LEGEND) {
        head.draw(&PathElement::new(vec![(x, 22), (x + 18, 22)], style(name, *color)))?;
        head.draw_text(name, &font(14), (x + 24, 14))?;
    }
    let mut chart = ChartBuilder::on(&body)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(40)
        .y_label_area_size(72)
        .build_cartesian_2d(figure.span.0..figure.span.1, (RANGE.0..RANGE.1).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("time, s")
        .y_desc("error one second ahead")
        .x_labels(13)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| axis(*y))
        .label_style(font(14))
        .axis_style(TEXT.mix(0.6))
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (name, color, pieces) in curves {
        for piece in pieces {
            chart.draw_series(LineSeries::new(piece.iter().copied(), style(name, *color)))?;
        }
    }
    Ok(())
}

/// Ours stands out.
fn style(name: &str, color: RGBColor) -> ShapeStyle {
    color.stroke_width(if name == OURS { 2 } else { 1 })
}

/// A power of ten in us, with its unit.
fn axis(us: f64) -> String {
    if us < 999.0 {
        format!("{us:.0} us")
    } else {
        format!("{:.0} ms", us * 1e-3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_shows_its_largest_error_and_silence_breaks_the_curve() {
        let errors = [(0.2, 5.0), (0.7, 9.0), (1.5, 7.0), (120.0, 1e12), (400.0, 3.0)];
        let pieces = thinned(errors.into_iter(), (0.0, 300.0));
        assert_eq!(pieces, [vec![(0.5, 9.0), (1.5, 7.0)], vec![(120.5, RANGE.1)]]);
    }

    #[test]
    fn a_figure_names_who_is_in_it() {
        let figure = Figure { name: "x", title: "Wire", class: Class::Wired, span: (0.0, 30.0) };
        let svg = draw(&figure, 1).unwrap();
        for (name, _) in SHOWN {
            assert!(svg.contains(name), "{name}");
        }
        assert!(svg.len() < 150_000, "{}", svg.len());
    }
}
