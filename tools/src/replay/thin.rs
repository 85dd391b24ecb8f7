//! Fewer points that look the same: per column of a picture, its extremes.
#![forbid(unsafe_code)]

/// Points of one column that are drawn: the lowest, the highest, and some between.
pub const PER_COLUMN: usize = 4;

/// Thins `points` (time, value) out to at most [`PER_COLUMN`] in each of `columns` equal parts of `span`; a set that
/// is small enough stays as it is.
pub fn samples(points: &[(f64, f64)], span: (f64, f64), columns: usize) -> Vec<(f64, f64)> {
    if points.len() <= columns * PER_COLUMN {
        return points.to_vec();
    }
    let mut thinned = Vec::with_capacity(columns * PER_COLUMN);
    for column in by_column(points, span, columns) {
        if column.len() <= PER_COLUMN {
            thinned.extend(column);
            continue;
        }
        let mut order = column;
        order.sort_by(|a, b| a.1.total_cmp(&b.1));
        let last = order.len() - 1;
        // The upper ones are nearest to the truth, so the points between are taken from there.
        thinned.extend([0, last / 2, last - 1, last].into_iter().filter_map(|place| order.get(place)));
    }
    thinned
}

/// Thins a line out to its first, lowest, highest and last point in each column, in order of time.
pub fn line(points: &[(f64, f64)], span: (f64, f64), columns: usize) -> Vec<(f64, f64)> {
    if points.len() <= columns {
        return points.to_vec();
    }
    let mut thinned = Vec::new();
    for column in by_column(points, span, columns) {
        let (mut low, mut high) = (0, 0);
        for (place, point) in column.iter().enumerate() {
            if column.get(low).is_some_and(|lowest| point.1 < lowest.1) {
                low = place;
            }
            if column.get(high).is_some_and(|highest| point.1 > highest.1) {
                high = place;
            }
        }
        let mut places = [0, low.min(high), low.max(high), column.len().saturating_sub(1)];
        places.sort_unstable();
        let mut before = None;
        for place in places {
            if before.replace(place) != Some(place) {
                thinned.extend(column.get(place));
            }
        }
    }
    thinned
}

fn by_column(points: &[(f64, f64)], span: (f64, f64), columns: usize) -> Vec<Vec<(f64, f64)>> {
    let mut parts = vec![Vec::new(); columns.max(1)];
    let width = (span.1 - span.0).max(f64::MIN_POSITIVE);
    for point in points {
        // A float's cast holds at the ends of the range.
        let place = ((point.0 - span.0) / width * columns as f64) as usize;
        if let Some(part) = parts.get_mut(place.min(columns.saturating_sub(1))) {
            part.push(*point);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_stay_and_the_number_is_bounded() {
        let mut points: Vec<_> = (0..10_000).map(|i| (f64::from(i), f64::from(i % 97))).collect();
        points[4_321].1 = -1e6;
        points[8_765].1 = 1e6;
        for thinned in [samples(&points, (0.0, 1e4), 50), line(&points, (0.0, 1e4), 50)] {
            assert!(thinned.len() <= 50 * PER_COLUMN, "{}", thinned.len());
            assert!(thinned.contains(&(4_321.0, -1e6)) && thinned.contains(&(8_765.0, 1e6)));
        }
        let line = line(&points, (0.0, 1e4), 50);
        assert!(line.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!((line.first(), line.last()), (points.first(), points.last()));
    }

    #[test]
    fn few_points_stay_as_they_are() {
        let points = [(0.0, 1.0), (5.0, 2.0)];
        assert_eq!(samples(&points, (0.0, 5.0), 10), points);
        assert_eq!(line(&points, (0.0, 5.0), 10), points);
        let same = vec![(3.0, 1.0); 100];
        assert!(samples(&same, (3.0, 3.0), 4).len() <= 4);
        assert!(line(&[], (0.0, 0.0), 4).is_empty());
    }
}
