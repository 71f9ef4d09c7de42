//! The host field of a `known_hosts` line: a comma-separated list of names,
//! wildcards, negations, or one hashed name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// What the host field of a line matches.
#[derive(Clone, Debug)]
pub(super) enum HostPatterns {
    /// `|1|salt|hash`: the HMAC-SHA1 of one name under the salt, which hides
    /// the name from a casual reader and protects nothing else.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
    /// Patterns with `*`, `?` and a leading `!`, in lower case.
    Plain(Vec<String>),
}

impl HostPatterns {
    /// The patterns of `field`. A hashed name of no known form matches nothing.
    pub(super) fn parse(field: &str) -> Self {
        if field.starts_with('|') {
            return Self::parse_hashed(field).unwrap_or(Self::Plain(Vec::new()));
        }
        Self::Plain(field.split(',').map(str::to_lowercase).collect())
    }

    fn parse_hashed(field: &str) -> Option<Self> {
        let (salt, hash) = field.strip_prefix("|1|")?.split_once('|')?;
        Some(Self::Hashed { salt: STANDARD.decode(salt).ok()?, hash: STANDARD.decode(hash).ok()? })
    }

    /// Whether the field names `name`, given in lower case. A negation that
    /// matches outweighs everything else on the line.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Hashed { salt, hash } => {
                Hmac::<Sha1>::new_from_slice(salt).is_ok_and(|mac| mac.chain_update(name).verify_slice(hash).is_ok())
            }
            Self::Plain(patterns) => {
                let mut found = false;
                for pattern in patterns {
                    match pattern.strip_prefix('!') {
                        Some(pattern) if glob(pattern, name) => return false,
                        Some(_) => {}
                        None => found |= glob(pattern, name),
                    }
                }
                found
            }
        }
    }
}

/// Whether `text` is of the form `pattern`, where `*` stands for any run of
/// characters and `?` for one. Takes at most length times length steps.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to resume after a mismatch: past the last `*`, one more byte taken.
    let mut resume: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                resume = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || text.get(t) == Some(&byte) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after_star, taken)) = resume else {
                    return false;
                };
                resume = Some((after_star, taken + 1));
                (p, t) = (after_star, taken + 1);
            }
        }
    }
    pattern.iter().skip(p).all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition of a wildcard match, at any price.
    fn glob_by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=text.len()).any(|n| glob_by_definition(rest, &text[n..])),
            (Some((p, rest)), Some((t, text))) => (*p == b'?' || p == t) && glob_by_definition(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn glob_is_its_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(
                glob(&pattern, &text),
                glob_by_definition(pattern.as_bytes(), text.as_bytes())
            );
        }
    }

    #[test]
    fn a_hostile_pattern_costs_little() {
        let pattern = "*a".repeat(2_000) + "b";
        assert!(!glob(&pattern, &"a".repeat(4_000)));
    }
}
