//! How cost grows: the exponent of CPU time in the number of things, of every family and rival.

use super::board::{Board, Table};
use super::measure::Usage;

/// What starting costs is a family of its own, of one row.
pub(crate) const START: &str = "start";
/// Below this much above the start, in milliseconds, a point says more about the machine than about the linker.
const LEAST: f64 = 1.0;

/// Family, rival and exponent, for all that have two points or more.
pub(crate) fn exponents(board: &Board) -> Vec<(String, String, f64)> {
    let mut found = Vec::new();
    for family in families(board) {
        for rival in &board.rivals {
            if let Some(exponent) = exponent(&points(board, &family, &rival.name)) {
                found.push((family.clone(), rival.name.clone(), exponent));
            }
        }
    }
    found
}

/// What grows, in the order of the rows.
pub(crate) fn families(board: &Board) -> Vec<String> {
    let mut names: Vec<String> = board.rows_of(Table::Growth).map(|row| row.name.clone()).collect();
    names.dedup();
    names.retain(|name| name != START);
    names
}

/// Size, and milliseconds of CPU time above the rival's start; small ones are left out.
pub(crate) fn points(board: &Board, family: &str, rival: &str) -> Vec<(f64, f64)> {
    let Some(column) = board.column(rival) else { return Vec::new() };
    let of = |name: &str| {
        let rows = board.rows_of(Table::Growth).filter(move |row| row.name == name);
        let points = rows.filter_map(|row| Some((row.size? as f64, row.cells[column].median(Usage::cpu_ms)?)));
        points.collect::<Vec<_>>()
    };
    let Some(&(_, start)) = of(START).first() else { return Vec::new() };
    of(family).into_iter().map(|(size, cpu)| (size, cpu - start)).filter(|(_, cost)| *cost >= LEAST).collect()
}

/// The slope of log cost on log size, by least squares; two points are the least.
pub(crate) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<_> = points.iter().map(|(size, cost)| (size.ln(), cost.ln())).collect();
    let count = logs.len() as f64;
    let (x, y) = logs.iter().fold((0.0, 0.0), |(x, y), log| (x + log.0 / count, y + log.1 / count));
    let across: f64 = logs.iter().map(|log| (log.0 - x) * (log.1 - y)).sum();
    let spread: f64 = logs.iter().map(|log| (log.0 - x).powi(2)).sum();
    (logs.len() >= 2 && spread > 0.0).then(|| across / spread)
}

#[cfg(test)]
mod tests {
    use super::exponent;

    #[test]
    fn a_power_law_gives_its_exponent() {
        for power in [0.5, 1.0, 1.1, 2.0] {
            let points = [1e3, 1e4, 1e5].map(|size: f64| (size, 0.003 * size.powf(power)));
            let found = exponent(&points).expect("three points");
            assert!((found - power).abs() < 1e-9, "{power}: {found}");
        }
        assert_eq!(exponent(&[(1e3, 5.0)]), None);
        assert_eq!(exponent(&[(1e3, 5.0), (1e3, 6.0)]), None);
    }
}
