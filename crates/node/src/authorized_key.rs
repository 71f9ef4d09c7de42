//! Lines of authorized keys, as `ssh-keygen` writes them: type, key, comment.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use limosa_policy::PublicKey;
use limosa_seal::{AlgorithmSet, Checksum};

/// Types of keys that may log in.
const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];
/// Longest comment that is kept, characters.
const COMMENT: usize = 120;

/// A public key and what its owner calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedKey {
    /// The key.
    pub key: PublicKey,
    /// The rest of the line.
    pub comment: String,
}

/// Why a line is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// A private key.
    #[error("this is a private key, which never leaves its owner; give the file that ends in .pub")]
    Private,
    /// Options in front of the key.
    #[error("options in front of a key are not supported ({0}); give the key alone")]
    Options(String),
    /// Something else.
    #[error("not a public key; a line such as `ssh-ed25519 AAAA… name` is expected")]
    Malformed,
}

impl AuthorizedKey {
    /// The keys of a file in the format of `authorized_keys` or of a `.pub`.
    ///
    /// # Errors
    /// [`InvalidKey`] if a line is neither a key, nor empty, nor a comment.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, InvalidKey> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::parse).collect()
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let Ok(algorithm) = AlgorithmSet::Ordinary.checksum(Checksum::Sha256) else { return String::new() };
        let mut hasher = algorithm.hasher();
        hasher.update(&self.key.blob);
        let hex = hasher.finish();
        let digits = hex.as_bytes().chunks_exact(2).filter_map(|pair| std::str::from_utf8(pair).ok());
        let bytes: Vec<u8> = digits.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
        format!("SHA256:{}", STANDARD_NO_PAD.encode(bytes))
    }
}

impl std::str::FromStr for AuthorizedKey {
    type Err = InvalidKey;

    fn from_str(line: &str) -> Result<Self, InvalidKey> {
        if line.contains("PRIVATE KEY") {
            return Err(InvalidKey::Private);
        }
        let mut words = line.split_whitespace();
        let kind = words.next().ok_or(InvalidKey::Malformed)?;
        if !KINDS.contains(&kind) {
            let has_key = line.split_whitespace().any(|word| KINDS.contains(&word));
            let options = || InvalidKey::Options(kind.chars().take(40).collect());
            return Err(if has_key { options() } else { InvalidKey::Malformed });
        }
        let blob = words.next().and_then(|word| STANDARD.decode(word).ok()).ok_or(InvalidKey::Malformed)?;
        if first_field(&blob) != Some(kind.as_bytes()) {
            return Err(InvalidKey::Malformed);
        }
        let comment: String = words.collect::<Vec<_>>().join(" ");
        let comment = comment.chars().filter(|c| !c.is_control()).take(COMMENT).collect();
        Ok(Self { key: PublicKey { kind: kind.to_owned(), blob }, comment })
    }
}

impl std::fmt::Display for AuthorizedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key: PublicKey { kind, blob }, comment } = self;
        let separator = if comment.is_empty() { "" } else { " " };
        write!(f, "{kind} {}{separator}{comment}", STANDARD.encode(blob))
    }
}

/// The first length-prefixed field of an encoded key: its type once more.
fn first_field(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn a_line_returns_as_it_was() {
        for line in [ED25519.to_owned(), format!("{ED25519} ada@example.org")] {
            assert_eq!(line.parse::<AuthorizedKey>().unwrap().to_string(), line);
        }
    }

    #[test]
    fn the_fingerprint_is_the_one_that_ssh_keygen_prints() {
        let key: AuthorizedKey = ED25519.parse().unwrap();
        assert_eq!(key.fingerprint(), "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
    }

    #[test]
    fn files_hold_comments_and_several_keys() {
        let text = format!("# mine\n\n{ED25519} a\n  {ED25519} b\n");
        assert_eq!(AuthorizedKey::parse_all(&text).unwrap().len(), 2);
        assert_eq!(AuthorizedKey::parse_all("nonsense"), Err(InvalidKey::Malformed));
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_a_key_or_not(kind in 0..KINDS.len(), blob: Vec<u8>, line in "\\PC{0,60}") {
            let _ = line.parse::<AuthorizedKey>();
            let kind = KINDS[kind];
            let length = u32::try_from(kind.len()).unwrap().to_be_bytes();
            let blob = [&length[..], kind.as_bytes(), &blob].concat();
            let key = AuthorizedKey { key: PublicKey { kind: kind.into(), blob }, comment: String::new() };
            proptest::prop_assert_eq!(key.to_string().parse(), Ok(key));
        }
    }

    #[test]
    fn what_would_be_misunderstood_is_refused() {
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----".parse::<AuthorizedKey>();
        assert_eq!(private, Err(InvalidKey::Private));
        let restricted = format!("from=\"10.0.0.0/8\" {ED25519}").parse::<AuthorizedKey>();
        assert!(matches!(restricted, Err(InvalidKey::Options(_))));
        let mislabelled = ED25519.replace("ssh-ed25519 ", "ssh-rsa ").parse::<AuthorizedKey>();
        assert_eq!(mislabelled, Err(InvalidKey::Malformed));
    }
}
