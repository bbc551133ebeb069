//! "Did you mean": the known name with the smallest number of typing errors between it and the wanted one.
//!
//! Bounded: a name of another length or with other letters is passed over after a few instructions, and the distance of the rest is
//! computed only inside the band of errors that would still win. 100,000 names cost a few milliseconds.

/// The candidate that is nearest to `wanted`, if one is near enough to be meant: at most one error for each three characters.
/// Of several equally near ones, the first.
///
/// ```
/// use orc_jit::diagnose::nearest;
///
/// assert_eq!(nearest("compute_totl", ["commute", "compute_total", "total"]), Some("compute_total"));
/// assert_eq!(nearest("compute_totl", ["main", "puts"]), None);
/// ```
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut search = Nearest::new(wanted);
    let mut best = None;
    for candidate in candidates {
        if search.offer(candidate) {
            best = Some(candidate);
        }
    }
    best
}

/// A search for the name nearest to one wanted name, over candidates offered one by one.
#[derive(Debug)]
pub struct Nearest<'w> {
    wanted: &'w [u8],
    letters: u32,
    /// The smallest distance that would not be taken any more.
    limit: usize,
    rows: [Vec<usize>; 3],
}

impl<'w> Nearest<'w> {
    /// A search for what `wanted` was meant to be.
    #[must_use]
    pub fn new(wanted: &'w str) -> Self {
        // Names shorter than three characters are too near to everything.
        let limit = if wanted.len() < 3 { 0 } else { wanted.len() / 3 + 1 };
        Self {
            wanted: wanted.as_bytes(),
            letters: letters(wanted.as_bytes()),
            limit: limit.min(17),
            rows: Default::default(),
        }
    }

    /// Whether `candidate` is nearer than all that were offered before, and near enough.
    pub fn offer(&mut self, candidate: &str) -> bool {
        let candidate = candidate.as_bytes();
        if self.wanted.len().abs_diff(candidate.len()) >= self.limit {
            return false;
        }
        // Each error takes away at most one letter and brings at most one.
        let differing = letters(candidate) ^ self.letters;
        if differing.count_ones() as usize > 2 * (self.limit - 1) {
            return false;
        }
        // The same in other case is what was meant, however many letters differ; the same itself is not an answer.
        let distance = if candidate == self.wanted {
            return false;
        } else if candidate.eq_ignore_ascii_case(self.wanted) {
            1
        } else {
            distance(self.wanted, candidate, self.limit, &mut self.rows)
        };
        let nearer = distance < self.limit;
        if nearer {
            self.limit = distance;
        }
        nearer
    }
}

/// Which letters occur, folded to 32 bits without regard to case.
fn letters(name: &[u8]) -> u32 {
    name.iter().fold(0, |set, byte| set | 1 << (byte & 31))
}

/// Insertions, deletions, changes, and swaps of neighbours (optimal string alignment), or `limit` when that many or more.
fn distance(a: &[u8], b: &[u8], limit: usize, rows: &mut [Vec<usize>; 3]) -> usize {
    let [before, last, this] = rows;
    for row in [&mut *before, &mut *last, &mut *this] {
        row.clear();
        row.resize(b.len() + 1, limit);
    }
    for (j, cell) in last.iter_mut().enumerate().take(limit) {
        *cell = j;
    }
    for i in 1..=a.len() {
        // Only cells within `limit` of the diagonal can be below it.
        let (from, to) = (i.saturating_sub(limit).max(1), b.len().min(i + limit));
        this[from - 1] = if from == 1 { i.min(limit) } else { limit };
        let mut smallest = this[from - 1];
        for j in from..=to {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut cell = (last[j - 1] + change).min(this[j - 1] + 1).min(last[j] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cell = cell.min(before[j - 2] + 1);
            }
            this[j] = cell.min(limit);
            smallest = smallest.min(this[j]);
        }
        if to < b.len() {
            this[to + 1] = limit;
        }
        if smallest >= limit {
            return limit;
        }
        std::mem::swap(before, last);
        std::mem::swap(last, this);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn typing_errors_are_mended() {
        let known = ["compute_total", "compute_mean", "Compute", "print", "sprintf", "_Z13compute_totalv", "main"];
        let check = |wanted, expected| assert_eq!(nearest(wanted, known), expected, "{wanted}");
        check("compute_totl", Some("compute_total"));
        check("comptue_mean", Some("compute_mean"));
        check("COMPUTE", Some("Compute"));
        check("pritn", Some("print"));
        check("_Z12compute_totlv", Some("_Z13compute_totalv"));
        check("main", None);
        check("unrelated_name", None);
        check("ma", None);
        check("", None);
    }

    /// The textbook, unbounded.
    fn reference(a: &[u8], b: &[u8]) -> usize {
        let mut d = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                d[i][j] = if i == 0 || j == 0 {
                    i + j
                } else {
                    let change = d[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let mut cell = change.min(d[i - 1][j] + 1).min(d[i][j - 1] + 1);
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        cell = cell.min(d[i - 2][j - 2] + 1);
                    }
                    cell
                };
            }
        }
        d[a.len()][b.len()]
    }

    proptest! {
        #[test]
        fn the_band_changes_nothing(a in "[abc_]{0,12}", b in "[abc_]{0,12}", limit in 1usize..14) {
            let exact = reference(a.as_bytes(), b.as_bytes());
            prop_assert_eq!(distance(a.as_bytes(), b.as_bytes(), limit, &mut Default::default()), exact.min(limit));
        }
    }
}
