//! Checksums of whole files, as `sha256sum` and its like print them: asked for
//! by people who compare with other tools. The content tree is another thing.

use std::fmt;

use aws_lc_rs::digest;

/// A checksum of a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// SHA-1: broken against forgers, kept for comparison with old lists.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Checksum {
    /// Every checksum this software knows.
    pub const ALL: &'static [Self] = &[Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its usual name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Text that names no checksum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a checksum: use sha-256, sha-384, sha-512 or sha-1")]
pub struct UnknownChecksum(String);

impl std::str::FromStr for Checksum {
    type Err = UnknownChecksum;

    /// Reads `sha-256` and `sha256`, in either case.
    fn from_str(text: &str) -> Result<Self, UnknownChecksum> {
        let plain = |name: &str| name.to_ascii_lowercase().replace('-', "");
        let wanted = plain(text);
        let found = Self::ALL.iter().find(|checksum| plain(checksum.name()) == wanted);
        found.copied().ok_or_else(|| UnknownChecksum(text.to_owned()))
    }
}

/// A checksum that the allow-list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumAlgorithm(Checksum);

impl ChecksumAlgorithm {
    pub(crate) const fn allowed(checksum: Checksum) -> Self {
        Self(checksum)
    }

    /// Which one it is.
    #[must_use]
    pub const fn checksum(self) -> Checksum {
        self.0
    }

    /// Starts the checksum of one file.
    #[must_use]
    pub fn hasher(self) -> ChecksumHasher {
        ChecksumHasher(digest::Context::new(match self.0 {
            Checksum::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Checksum::Sha256 => &digest::SHA256,
            Checksum::Sha384 => &digest::SHA384,
            Checksum::Sha512 => &digest::SHA512,
        }))
    }
}

/// The checksum of one file under way.
#[derive(Clone)]
pub struct ChecksumHasher(digest::Context);

impl ChecksumHasher {
    /// Takes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum in lower-case hexadecimal.
    #[must_use]
    pub fn finish(self) -> String {
        crate::identity::hex(self.0.finish().as_ref())
    }
}

impl fmt::Debug for ChecksumHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChecksumHasher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AlgorithmSet;

    /// "abc" in FIPS 180-4's examples.
    const VECTORS: [(Checksum, &str); 4] = [
        (Checksum::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (Checksum::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            Checksum::Sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            Checksum::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ];

    #[test]
    fn checksums_are_what_other_tools_print() {
        for (checksum, expected) in VECTORS {
            let mut hasher = AlgorithmSet::Ordinary.checksum(checksum).unwrap().hasher();
            hasher.update(b"a");
            hasher.update(b"bc");
            assert_eq!(hasher.finish(), expected, "{checksum}");
        }
    }

    #[test]
    fn names_read_with_and_without_hyphen() {
        assert_eq!("SHA256".parse(), Ok(Checksum::Sha256));
        assert_eq!("sha-512".parse(), Ok(Checksum::Sha512));
        assert!("md5".parse::<Checksum>().is_err());
    }
}
