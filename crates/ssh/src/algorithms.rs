//! The algorithms offered and accepted, as the names of the SSH protocol.
//!
//! Explicit lists: the library's defaults hold SHA-1 host key signatures and
//! lack the NIST curves and AES-128-GCM. Nothing here uses SHA-1, CBC or a
//! Diffie-Hellman group below 2,048 bits. The two `kex-strict-*` names are no
//! algorithms: they switch on the protection against removal of messages
//! during the handshake (Terrapin), and must stay in the list.

/// Key exchange, best first.
pub const KEY_EXCHANGE: &[&str] = &[
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
    "ext-info-c",
    "ext-info-s",
    "kex-strict-c-v00@openssh.com",
    "kex-strict-s-v00@openssh.com",
];

/// Host and user key signatures, best first.
pub const SIGNATURE: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// Ciphers, best first: authenticated ones, then counter mode.
pub const CIPHER: &[&str] = &[
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
];

/// Message authentication for the counter modes, best first.
pub const MAC: &[&str] =
    &["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"];

/// The signature algorithms above, those first that a key of one of the types
/// `known` can make.
#[must_use]
pub fn signatures_preferring(known: &[String]) -> Vec<&'static str> {
    preferring(SIGNATURE, known)
}

/// The algorithms `signatures`, those first that a key of one of the types
/// `known` can make; so a server with several keys shows the one on record
/// and is not taken for a changed one.
#[must_use]
pub(crate) fn preferring(signatures: &[&'static str], known: &[String]) -> Vec<&'static str> {
    let (mut first, rest): (Vec<_>, Vec<_>) = signatures.iter().copied().partition(|name| is_made_by(name, known));
    first.extend(rest);
    first
}

/// Whether a key of one of the types `known` makes one of `signatures`.
#[must_use]
pub(crate) fn any_made_by(signatures: &[&str], known: &[String]) -> bool {
    signatures.iter().any(|name| is_made_by(name, known))
}

fn is_made_by(signature: &str, known: &[String]) -> bool {
    let key_type = if signature.starts_with("rsa-") { "ssh-rsa" } else { signature };
    known.iter().any(|known| known == key_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_weak_and_strict_key_exchange_kept() {
        let all = [KEY_EXCHANGE, SIGNATURE, CIPHER, MAC].concat();
        for weak in ["ssh-rsa", "ssh-dss", "-cbc", "sha1", "arcfour", "3des", "none"] {
            assert!(!all.iter().any(|name| name.contains(weak)), "{weak}");
        }
        assert!(KEY_EXCHANGE.contains(&"kex-strict-c-v00@openssh.com"));
        assert!(KEY_EXCHANGE.contains(&"kex-strict-s-v00@openssh.com"));
    }

    #[test]
    fn known_key_types_come_first_and_none_is_lost() {
        let order = signatures_preferring(&["ssh-rsa".into()]);
        assert_eq!(&order[..2], ["rsa-sha2-512", "rsa-sha2-256"]);
        assert_eq!(order.len(), SIGNATURE.len());
        assert_eq!(signatures_preferring(&[]), SIGNATURE);
    }
}
