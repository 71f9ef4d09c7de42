//! Names made of hashes: source identities, transfer ids, names of partial
//! files. Each in a domain of its own, so that none is ever taken for another.

use aws_lc_rs::digest;

use crate::content::sha256_bytes;

/// Which state of which source file something is: device, inode, size, times.
/// The same parts give the same identity, and nothing is learnt from it.
#[must_use]
pub fn source_identity(parts: &[&[u8]]) -> [u8; 16] {
    name("limosa source identity 1", parts)
}

/// Names a transfer: destination, source identity, direction.
#[must_use]
pub fn transfer_id(parts: &[&[u8]]) -> [u8; 16] {
    name("limosa transfer 1", parts)
}

/// The part of a partial file's name that tells it from other partials of the
/// same destination (name, user, source identity): 16 hexadecimal digits.
#[must_use]
pub fn partial_name(parts: &[&[u8]]) -> String {
    hex(&name::<8>("limosa partial file 1", parts))
}

/// SHA-256 over the domain and the parts, each behind its length, cut to `N`.
fn name<const N: usize>(domain: &str, parts: &[&[u8]]) -> [u8; N] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in std::iter::once(&domain.as_bytes()).chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    *sha256_bytes(&context.finish()).first_chunk().expect("N is at most 32")
}

/// `bytes` in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(u32::from(digit), 16).expect("a digit is below 16")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_depend_on_every_part_its_limits_and_the_domain() {
        let all = [
            source_identity(&[b"ab", b"c"]),
            source_identity(&[b"a", b"bc"]),
            source_identity(&[b"abc"]),
            source_identity(&[b"ab", b"c", b""]),
            transfer_id(&[b"ab", b"c"]),
        ];
        for (at, id) in all.iter().enumerate() {
            assert!(!all[..at].contains(id), "{at}");
        }
        assert_eq!(all[0], source_identity(&[b"ab", b"c"]));
    }

    #[test]
    fn partial_names_are_short_and_safe_in_any_file_system() {
        let name = partial_name(&[b"movie.mov", b"anna"]);
        assert_eq!(name.len(), 16);
        assert!(name.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
