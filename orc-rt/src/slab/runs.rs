//! Free runs of pages within one stripe: best fit, neighbours merged, O(log n).
//!
//! You give a number of pages and an alignment in pages; you get the first page of a run. Nothing here knows addresses,
//! protections or the system.

use std::collections::{BTreeMap, BTreeSet};

/// How many runs an aligned request looks at before it takes one that fits whatever its alignment.
const ALIGNED_TRIES: usize = 16;

/// The free runs of `0..total` pages.
#[derive(Debug)]
pub(crate) struct FreeRuns {
    by_start: BTreeMap<u32, u32>,
    by_len: BTreeSet<(u32, u32)>,
}

impl FreeRuns {
    /// All `total` pages are free.
    pub(crate) fn new(total: u32) -> Self {
        let mut runs = Self { by_start: BTreeMap::new(), by_len: BTreeSet::new() };
        if total > 0 {
            runs.insert(0, total);
        }
        runs
    }

    /// Takes the shortest run (the lowest of these) that holds `pages` pages starting at a multiple of `align` pages, where page 0
    /// itself is `skew` pages above such a multiple.
    pub(crate) fn take(&mut self, pages: u32, align: u32, skew: u32) -> Option<u32> {
        debug_assert!(pages > 0 && align.is_power_of_two());
        let aligned_start = |start: u32| {
            let position = u64::from(start) + u64::from(skew);
            u32::try_from(position.next_multiple_of(u64::from(align)) - u64::from(skew)).ok()
        };
        let fits = |&(len, start): &(u32, u32)| {
            let first = aligned_start(start)?;
            (u64::from(first) + u64::from(pages) <= u64::from(start) + u64::from(len)).then_some((start, len, first))
        };
        let found = self
            .by_len
            .range((pages, 0)..)
            .take(ALIGNED_TRIES)
            .find_map(fits)
            .or_else(|| self.by_len.range((pages.checked_add(align)?, 0)..).next().and_then(fits));
        let (start, len, first) = found?;
        self.remove(start, len);
        if first > start {
            self.insert(start, first - start);
        }
        let (end, taken_end) = (start + len, first + pages);
        if end > taken_end {
            self.insert(taken_end, end - taken_end);
        }
        Some(first)
    }

    /// Gives a run back and merges it with its free neighbours.
    pub(crate) fn give(&mut self, start: u32, pages: u32) {
        let (mut start, mut len) = (start, pages);
        if let Some((&before, &before_len)) = self.by_start.range(..start).next_back() {
            debug_assert!(before + before_len <= start, "page {start} given back twice");
            if before + before_len == start {
                self.remove(before, before_len);
                start = before;
                len += before_len;
            }
        }
        if let Some(&after_len) = self.by_start.get(&(start + len)) {
            self.remove(start + len, after_len);
            len += after_len;
        }
        self.insert(start, len);
    }

    fn insert(&mut self, start: u32, len: u32) {
        self.by_start.insert(start, len);
        self.by_len.insert((len, start));
    }

    fn remove(&mut self, start: u32, len: u32) {
        self.by_start.remove(&start);
        self.by_len.remove(&(len, start));
    }

    #[cfg(test)]
    fn runs(&self) -> Vec<(u32, u32)> {
        self.by_start.iter().map(|(&start, &len)| (start, len)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::FreeRuns;
    use proptest::prelude::*;

    #[test]
    fn neighbours_merge() {
        let mut runs = FreeRuns::new(10);
        assert_eq!(runs.take(3, 1, 0), Some(0));
        assert_eq!(runs.take(3, 1, 0), Some(3));
        runs.give(0, 3);
        assert_eq!(runs.runs(), [(0, 3), (6, 4)]);
        runs.give(3, 3);
        assert_eq!(runs.runs(), [(0, 10)]);
    }

    #[test]
    fn the_shortest_run_that_fits_is_taken() {
        let mut runs = FreeRuns::new(20);
        assert_eq!(runs.take(5, 1, 0), Some(0));
        assert_eq!(runs.take(1, 1, 0), Some(5));
        runs.give(0, 5);
        assert_eq!(runs.take(4, 1, 0), Some(0));
        assert_eq!(runs.take(2, 1, 0), Some(6));
    }

    #[test]
    fn alignment_counts_from_the_skew() {
        let mut runs = FreeRuns::new(64);
        assert_eq!(runs.take(1, 16, 5), Some(11));
        assert_eq!(runs.runs(), [(0, 11), (12, 52)]);
        assert_eq!(runs.take(60, 1, 0), None);
    }

    proptest! {
        #[test]
        fn taken_runs_never_overlap_and_all_comes_back(steps in prop::collection::vec((1u32..20, 0u32..5, any::<bool>()), 1..200), skew in 0u32..40) {
            let total = 300;
            let mut runs = FreeRuns::new(total);
            let mut owner = vec![false; total as usize];
            let mut taken = Vec::new();
            for (pages, align, give) in steps {
                if give && !taken.is_empty() {
                    let (start, pages): (u32, u32) = taken.swap_remove(pages as usize % taken.len());
                    owner[start as usize..(start + pages) as usize].fill(false);
                    runs.give(start, pages);
                } else if let Some(start) = runs.take(pages, 1 << align, skew) {
                    prop_assert_eq!((start + skew) % (1 << align), 0);
                    let pages_of_run = &mut owner[start as usize..(start + pages) as usize];
                    prop_assert!(pages_of_run.iter().all(|taken| !taken));
                    pages_of_run.fill(true);
                    taken.push((start, pages));
                }
            }
            for (start, pages) in taken {
                runs.give(start, pages);
            }
            prop_assert_eq!(runs.runs(), [(0, total)]);
        }
    }
}
