//! Random numbers that are the same on every machine: xoshiro256++ (Blackman
//! and Vigna, 2019), seeded through SplitMix64.
//!
//! A [`Seed`] hands out one stream per purpose. Streams do not share draws, so
//! turning one knob of a scenario (say, jitter) leaves the fate that another
//! one (say, loss) has in store for the n-th packet as it was.

/// The one number a whole scenario is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream for `purpose`, independent of those for all others.
    #[must_use]
    pub fn stream(self, purpose: &str) -> Random {
        // FNV-1a of the name, then mixed with the seed by SplitMix64.
        let name = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut mix = SplitMix(self.0 ^ name.rotate_left(32));
        Random([mix.next(), mix.next(), mix.next(), mix.next()])
    }

    /// A seed for a part of the scenario that draws streams of its own.
    #[must_use]
    pub fn part(self, name: &str) -> Self {
        Self(self.stream(name).next_u64())
    }
}

struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random([u64; 4]);

impl Random {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in `0.0 <= x < 1.0`.
    pub fn unit(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let mantissa = (self.next_u64() >> 11) as f64;
        mantissa * (1.0 / (1_u64 << 53) as f64)
    }

    /// True with `probability`. Always one draw, so that raising a probability
    /// only adds hits to those there were.
    pub fn hits(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in `0..bound`; zero if `bound` is zero. The bias of at most
    /// `bound / 2^64` does not matter here.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_xoshiro256_plus_plus() {
        // First outputs for the state 1, 2, 3, 4, from the authors' C code.
        let mut random = Random([1, 2, 3, 4]);
        let first: Vec<u64> = (0..4).map(|_| random.next_u64()).collect();
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn streams_repeat_and_differ_by_purpose() {
        let draw = |seed, name: &str| Seed(seed).stream(name).next_u64();
        assert_eq!(draw(1, "loss"), draw(1, "loss"));
        assert_ne!(draw(1, "loss"), draw(1, "jitter"));
        assert_ne!(draw(1, "loss"), draw(2, "loss"));
        assert_ne!(Seed(1).part("a").0, Seed(1).part("b").0);
    }

    #[test]
    fn means_are_what_they_should_be() {
        let mut random = Seed(7).stream("means");
        let n = 100_000;
        let units: f64 = (0..n).map(|_| random.unit()).sum::<f64>() / f64::from(n);
        let exponentials: f64 = (0..n).map(|_| random.exponential()).sum::<f64>() / f64::from(n);
        assert!((units - 0.5).abs() < 0.01, "{units}");
        assert!((exponentials - 1.0).abs() < 0.02, "{exponentials}");
        assert!((0..1000).all(|_| random.below(10) < 10));
    }
}
