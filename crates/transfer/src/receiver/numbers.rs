//! Hashes the numbers of entries.

use std::hash::Hasher;

/// An odd number whose bits look random.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads numbers that are given one after the other. The other end cannot
/// choose any that collide: an entry out of its turn ends the session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(SPREAD);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_in_a_row_differ_in_the_bits_that_tables_use() {
        let hash = |number: u64| {
            let mut hasher = NumberHasher::default();
            hasher.write_u64(number);
            hasher.finish()
        };
        let low: HashSet<u64> = (0..1024).map(|number| hash(number) % 1024).collect();
        assert_eq!(low.len(), 1024);
        let high: HashSet<u64> = (0..1024).map(|number| hash(number) >> 57).collect();
        assert!(high.len() > 100, "{}", high.len());
    }
}
