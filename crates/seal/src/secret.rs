//! Secrets in memory: wiped when dropped, never printed, compared in constant
//! time, kept out of core dumps; and the one source of randomness.

use std::fmt;

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// `N` secret bytes.
///
/// Not `Copy`, and not compared by `==` on its content: [`Self::matches`] takes
/// the same time wherever the difference lies.
#[derive(Clone)]
pub struct Secret<const N: usize>(Box<Zeroizing<[u8; N]>>);

impl<const N: usize> Secret<N> {
    /// Fresh bytes from the system's generator.
    #[must_use]
    pub fn random() -> Self {
        Self::fill(|bytes| fill_random(bytes))
    }

    /// Takes over `bytes`; the caller's copy is wiped.
    #[must_use]
    pub fn take(bytes: &mut [u8; N]) -> Self {
        let secret = Self::fill(|own| own.copy_from_slice(bytes));
        bytes.zeroize();
        secret
    }

    /// A secret written in place by `write`, so that no other copy exists.
    #[must_use]
    pub fn fill(write: impl FnOnce(&mut [u8; N])) -> Self {
        let mut bytes = Box::new(Zeroizing::new([0; N]));
        write(&mut bytes);
        Self(bytes)
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// Whether both hold the same bytes, in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

/// Secret bytes of any length: passwords, passphrases, tokens.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both hold the same bytes, in time that depends on their lengths
    /// alone.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl From<String> for SecretBytes {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// `N` bytes from the system's generator, for values that are not secret
/// (session ids, salts, the random parts of the opening messages).
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

/// Fills `bytes` from the system's generator.
///
/// # Panics
/// If the system has no randomness to give: then nothing safe is left to do.
pub fn fill_random(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the system's random generator works");
}

/// Lets no core dump show what this process holds, nor another process of the
/// same user look into it. Programs call it first of all. What they start is not
/// bound by it, since a new program has a memory of its own, but for the limit
/// on the size of dumps.
///
/// # Errors
/// What the system answers; then a crash may leave secrets behind.
pub fn keep_from_core_dumps() -> std::io::Result<()> {
    // The limit alone would not do: a kernel that hands dumps to a program does
    // not heed it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_compare_and_never_print() {
        let a = Secret::take(&mut *b"0123456789abcdef".to_vec().first_chunk_mut::<16>().unwrap());
        let b = Secret::fill(|bytes| bytes.copy_from_slice(b"0123456789abcdef"));
        assert!(a.matches(&b));
        assert!(!a.matches(&Secret::fill(|bytes| bytes.copy_from_slice(b"0123456789abcdeg"))));
        let (one, two) = (SecretBytes::from(b"pass".to_vec()), SecretBytes::from("word".to_owned()));
        assert!(!one.matches(&two) && one.matches(&one.clone()));
        assert_eq!(format!("{a:?} {one:?}"), "Secret<16>(..) SecretBytes(..)");
    }

    #[test]
    fn a_taken_secret_leaves_nothing_behind() {
        let mut bytes = [7; 32];
        let secret = Secret::take(&mut bytes);
        assert_eq!((bytes, secret.expose()), ([0; 32], &[7; 32]));
    }

    #[test]
    fn randomness_differs_each_time() {
        assert_ne!(random::<32>(), random::<32>());
        assert!(!Secret::<32>::random().matches(&Secret::random()));
    }
}
