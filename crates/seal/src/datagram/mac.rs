//! The tag of suites whose cipher makes none: HMAC-SHA-256 over the header and
//! what follows it, cut to its first 128 bits (HMAC-SHA-256-128, RFC 4868).
//!
//! A header has one length, so that no mark is needed where it ends, and holds
//! the packet number, so that a tag is of one place in one direction.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use limosa_wire::datagram::TAG_LEN;

use crate::Secret;

/// A key for tags.
pub(crate) struct MacKey(hmac::Key);

impl MacKey {
    pub(super) fn new(key: &Secret<32>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// The tag of a datagram.
    pub(super) fn tag(&self, header: &[u8], bytes: &[u8]) -> [u8; TAG_LEN] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(header);
        context.update(bytes);
        let whole = context.sign();
        *whole.as_ref().first_chunk().expect("a digest is longer than a tag")
    }

    /// What stands in front of the tag in `body`, if the tag is right. It is
    /// compared in the same time, however much of it is right.
    pub(super) fn authentic<'b>(&self, header: &[u8], body: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (bytes, tag) = body.split_last_chunk_mut::<TAG_LEN>()?;
        verify_slices_are_equal(&self.tag(header, bytes), tag).ok()?;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::hex;

    /// RFC 4231, test case 5: "test with truncation to 128 bits".
    #[test]
    fn tags_match_rfc_4231() {
        let key = MacKey(hmac::Key::new(hmac::HMAC_SHA256, &[0x0c; 20]));
        assert_eq!(hex(&key.tag(b"Test With ", b"Truncation")), "a3b6167473100ee06e0c796c2955552b");
    }
}
