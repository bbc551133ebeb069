//! Choices that a seed repeats.

/// Xorshift (Marsaglia, "Xorshift RNGs"): enough to be everywhere.
#[derive(Debug)]
pub(crate) struct Choice(u64);

impl Choice {
    pub(crate) fn new(seed: u64, thread: usize) -> Self {
        // Not zero, and far apart.
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((thread as u64 + 1) << 32) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }

    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}
