//! AES in CFB with a MAC over header and ciphertext: encrypt, then
//! authenticate; look at the tag before anything is decrypted.
//!
//! Three keys that have nothing in common: one encrypts, one makes IVs, one
//! authenticates. CFB needs an IV that nobody can foretell and that never comes
//! twice under a key (NIST SP 800-38A, appendix C); a block cipher makes one out
//! of a number that never comes twice.

use aws_lc_rs::cipher::{
    Algorithm, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use limosa_wire::PacketNumber;

use super::mac::MacKey;

/// Length of an AES block, and so of an IV.
const BLOCK: usize = 16;

/// One way through CFB: to encrypt or to decrypt.
pub(crate) trait CfbWay {
    /// The library's key for this way.
    fn cfb(key: UnboundCipherKey) -> Self;
}

impl CfbWay for EncryptingKey {
    fn cfb(key: UnboundCipherKey) -> Self {
        Self::cfb128(key).expect("AES has this mode")
    }
}

impl CfbWay for DecryptingKey {
    fn cfb(key: UnboundCipherKey) -> Self {
        Self::cfb128(key).expect("AES has this mode")
    }
}

/// The three keys of an epoch.
pub(crate) struct CfbKey<Way> {
    cipher: Way,
    /// Used on single blocks, so that the mode has no meaning.
    iv: EncryptingKey,
    mac: MacKey,
}

impl<Way: CfbWay> CfbKey<Way> {
    /// From keys of the algorithm's length.
    pub(super) fn new(algorithm: &'static Algorithm, key: &[u8], iv_key: &[u8], mac: MacKey) -> Self {
        let unbound = |key| UnboundCipherKey::new(algorithm, key).expect("the key has the suite's length");
        let iv = EncryptingKey::ecb(unbound(iv_key)).expect("AES encrypts single blocks");
        Self { cipher: Way::cfb(unbound(key)), iv, mac }
    }

    /// The packet number as a block, highest byte first, encrypted.
    fn iv(&self, number: PacketNumber) -> FixedLength<BLOCK> {
        let mut block = u128::from(number.get()).to_be_bytes();
        self.iv.less_safe_encrypt(&mut block, EncryptionContext::None).expect("it is one whole block");
        block.into()
    }
}

impl CfbKey<EncryptingKey> {
    pub(super) fn seal(&self, number: PacketNumber, header: &[u8], frames: &mut [u8], room: &mut [u8]) {
        self.encrypt(self.iv(number), frames);
        room.copy_from_slice(&self.mac.tag(header, frames));
    }

    fn encrypt(&self, iv: FixedLength<BLOCK>, bytes: &mut [u8]) {
        let done = self.cipher.less_safe_encrypt(bytes, EncryptionContext::Iv128(iv));
        done.expect("CFB takes any number of bytes");
    }
}

impl CfbKey<DecryptingKey> {
    pub(super) fn open<'b>(&self, number: PacketNumber, header: &[u8], body: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let bytes = self.mac.authentic(header, body)?;
        self.decrypt(self.iv(number), bytes);
        Some(bytes)
    }

    fn decrypt(&self, iv: FixedLength<BLOCK>, bytes: &mut [u8]) {
        let done = self.cipher.decrypt(bytes, DecryptionContext::Iv128(iv));
        done.expect("CFB takes any number of bytes");
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::cipher::{AES_128, AES_192, AES_256};

    use super::*;
    use crate::Secret;
    use crate::datagram::tests::unhex;
    use crate::identity::hex;

    /// NIST SP 800-38A, F.3.13 to F.3.18 (CFB128): key and ciphertext; IV and
    /// plaintext are common.
    const SP_800_38A: [(&Algorithm, &str, &str); 3] = [
        (
            &AES_128,
            "2b7e151628aed2a6abf7158809cf4f3c",
            "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b\
             26751f67a3cbb140b1808cf187a4f4dfc04b05357c5d1c0eeac4c66f9ff7f2e6",
        ),
        (
            &AES_192,
            "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
            "cdc80d6fddf18cab34c25909c99a417467ce7f7f81173621961a2b70171d3d7a\
             2e1e8a1dd59b88b1c8e60fed1efac4c9c05f9f9ca9834fa042ae8fba584b09ff",
        ),
        (
            &AES_256,
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "dc7e84bfda79164b7ecd8486985d386039ffed143b28b1c832113c6331e5407b\
             df10132415e54b92a13ed0a8267ae2f975a385741ab9cef82031623d55b1e471",
        ),
    ];
    const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
                         30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

    fn key<Way: CfbWay>(algorithm: &'static Algorithm, key: &str) -> CfbKey<Way> {
        let key = unhex(key);
        CfbKey::new(algorithm, &key, &key, MacKey::new(&Secret::fill(|bytes| bytes.fill(0))))
    }

    #[test]
    fn cfb_matches_sp_800_38a() {
        let iv = || FixedLength::from(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f_u128.to_be_bytes());
        for (algorithm, secret, cipher) in SP_800_38A {
            let mut bytes = unhex(PLAIN);
            key::<EncryptingKey>(algorithm, secret).encrypt(iv(), &mut bytes);
            assert_eq!(hex(&bytes), cipher);
            key::<DecryptingKey>(algorithm, secret).decrypt(iv(), &mut bytes);
            assert_eq!(hex(&bytes), PLAIN);
        }
    }

    /// The IV of number 0 is a block of zeros encrypted; by another
    /// implementation of AES.
    #[test]
    fn ivs_are_numbers_encrypted() {
        let key = key::<EncryptingKey>(&AES_128, "000102030405060708090a0b0c0d0e0f");
        let of = |number| hex(key.iv(PacketNumber::new(number).unwrap()).as_ref());
        assert_eq!(of(0), "c6a13b37878f5b826f4f8162a1c8d879");
        assert_ne!(of(0), of(1));
    }
}
