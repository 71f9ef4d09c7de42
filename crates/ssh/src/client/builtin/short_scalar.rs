//! Private keys in files as the SSH library reads them, and ECDSA keys whose
//! secret number is small as well.
//!
//! OpenSSH writes that number without leading zeros, and the library refuses
//! it below 32 bytes: one P-256 key in 512. Of a file that the library
//! refuses for a wrong length, the container is read here, and the zeros are
//! put back. The format is OpenSSH's `PROTOCOL.key`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use russh::keys::ssh_encoding::{self, Decode, Reader};
use russh::keys::ssh_key::cipher::Tag;
use russh::keys::ssh_key::private::{EcdsaKeypair, EcdsaPrivateKey, KeypairData};
use russh::keys::ssh_key::public::{EcdsaPublicKey, KeyData};
use russh::keys::ssh_key::{Algorithm, Cipher, Comment, Error, Kdf, Result};
use russh::keys::{self, PrivateKey, PublicKey, decode_secret_key};
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END ";
const MAGIC: &[u8; 15] = b"openssh-key-v1\0";

/// What fills a private half up to a whole block, as much of it as is needed.
const PADDING: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// Decodes what [`decode_secret_key`] does, and ECDSA keys of any number.
pub(super) fn decode(text: &str, passphrase: Option<&str>) -> std::result::Result<PrivateKey, keys::Error> {
    decode_secret_key(text, passphrase).or_else(|error| match error {
        // A wrong passphrase is another error: its key is not derived twice.
        keys::Error::SshKey(Error::Encoding(ssh_encoding::Error::Length)) => {
            Container::of_text(text).and_then(|container| container.open(passphrase)).map_err(|_| error)
        }
        error => Err(error),
    })
}

/// The public half of a key in OpenSSH's format, which is never encrypted.
pub(super) fn public_half(text: &str) -> Option<PublicKey> {
    Container::of_text(text).ok().map(|container| container.public.into())
}

/// A file's content: one key.
struct Container {
    cipher: Cipher,
    kdf: Kdf,
    public: KeyData,
    /// The private half and the comment, encrypted unless the cipher is none.
    private: Zeroizing<Vec<u8>>,
    /// What authenticates `private`, for ciphers that do.
    tag: Option<Tag>,
}

impl Container {
    fn of_text(text: &str) -> Result<Self> {
        // Of full size at once: growing would leave copies of secrets behind.
        let mut base64 = Zeroizing::new(String::with_capacity(text.len()));
        let body = text.lines().skip_while(|line| *line != BEGIN).skip(1);
        for line in body.take_while(|line| !line.starts_with(END)) {
            base64.push_str(line.trim_end());
        }
        let bytes = STANDARD.decode(base64.as_bytes()).map_err(|_| Error::FormatEncoding)?;
        Self::of_bytes(&Zeroizing::new(bytes))
    }

    fn of_bytes(mut bytes: &[u8]) -> Result<Self> {
        let reader = &mut bytes;
        let magic = <[u8; MAGIC.len()]>::decode(reader)?;
        let cipher = Cipher::decode(reader)?;
        let kdf = Kdf::decode(reader)?;
        let keys = u32::decode(reader)?;
        if &magic != MAGIC || keys != 1 || cipher.is_none() != kdf.is_none() {
            return Err(Error::FormatEncoding);
        }
        let public = reader.read_prefixed(KeyData::decode)?;
        let private = Zeroizing::new(Vec::decode(reader)?);
        let tag = if cipher.has_tag() { Some(tag(reader)?) } else { None };
        reader.ensure_finished()?;
        Ok(Self { cipher, kdf, public, private, tag })
    }

    /// The key, decrypted with `passphrase` if it is encrypted.
    fn open(mut self, passphrase: Option<&str>) -> Result<PrivateKey> {
        if self.cipher.is_some() {
            let passphrase = passphrase.ok_or(Error::Encrypted)?;
            let (key, iv) = self.kdf.derive_key_and_iv(self.cipher, passphrase)?;
            let iv = Zeroizing::new(iv);
            self.cipher.decrypt(&key, &iv, &mut self.private, self.tag)?;
        }
        if !self.private.len().is_multiple_of(self.cipher.block_size()) {
            return Err(Error::FormatEncoding);
        }
        private_half(&self.private, &self.public)
    }
}

fn tag(reader: &mut impl Reader) -> Result<Tag> {
    let mut tag = Tag::default();
    reader.read(&mut tag)?;
    Ok(tag)
}

/// Decodes a decrypted private half, which has to be that of `public`.
fn private_half(mut bytes: &[u8], public: &KeyData) -> Result<PrivateKey> {
    let reader = &mut bytes;
    // Two equal numbers show that the passphrase was right.
    if u32::decode(reader)? != u32::decode(reader)? {
        return Err(Error::Crypto);
    }
    let pair = key_pair(reader)?;
    if KeyData::from(EcdsaPublicKey::from(&pair)) != *public {
        return Err(Error::PublicKey);
    }
    let comment = Comment::decode(reader)?;
    if !PADDING.starts_with(reader) {
        return Err(Error::FormatEncoding);
    }
    PrivateKey::new(KeypairData::from(pair), comment)
}

fn key_pair(reader: &mut impl Reader) -> Result<EcdsaKeypair> {
    if !matches!(Algorithm::decode(reader)?, Algorithm::Ecdsa { .. }) {
        return Err(Error::AlgorithmUnknown);
    }
    Ok(match EcdsaPublicKey::decode(reader)? {
        EcdsaPublicKey::NistP256(public) => EcdsaKeypair::NistP256 { public, private: scalar(reader)? },
        EcdsaPublicKey::NistP384(public) => EcdsaKeypair::NistP384 { public, private: scalar(reader)? },
        EcdsaPublicKey::NistP521(public) => EcdsaKeypair::NistP521 { public, private: scalar(reader)? },
    })
}

/// The secret number with the leading zeros that a curve of `SIZE` bytes wants.
fn scalar<const SIZE: usize>(reader: &mut impl Reader) -> Result<EcdsaPrivateKey<SIZE>> {
    reader.read_prefixed(|reader| {
        // A zero in front shows that a set first bit is no sign.
        if reader.remaining_len() == SIZE + 1 && u8::decode(reader)? != 0 {
            return Err(Error::FormatEncoding);
        }
        let zeros = SIZE.checked_sub(reader.remaining_len()).ok_or(Error::FormatEncoding)?;
        let mut bytes = Zeroizing::new([0; SIZE]);
        reader.read(&mut bytes[zeros..])?;
        Ok(EcdsaPrivateKey::from(*bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::super::key_file::{KeyFile, Opened};
    use super::*;
    use crate::Secret;
    use russh::keys::HashAlg;

    // One key of OpenSSH's that opens nothing, whose number has 31 bytes.
    const PUBLIC: &str = "ecdsa-sha2-nistp256 \
        AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFh/q00QGeiSpu+xY708gUtlKuloK47FNIW4MWpXDxnTIlEIiIKc4ddnb4gIYxwsy4EVr1zVJkSsloivT/FvPhQ= \
        user@example.org";

    const PLAIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNlY2RzYS
1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQRYf6tNEBnokqbvsWO9PIFLZSrpaCuO
xTSFuDFqVw8Z0yJRCIiCnOHXZ2+ICGMcLMuBFa9c1SZErJaIr0/xbz4UAAAAqBGTztwRk8
7cAAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFh/q00QGeiSpu+x
Y708gUtlKuloK47FNIW4MWpXDxnTIlEIiIKc4ddnb4gIYxwsy4EVr1zVJkSsloivT/FvPh
QAAAAfDy1FdnXs//x1PKH4fu4fn+aNRjv4K7E2eSfBf/dr4AAAABB1c2VyQGV4YW1wbGUu
b3JnAQ==
-----END OPENSSH PRIVATE KEY-----
";

    // The same key, encrypted with the passphrase `secret`.
    const AES_CTR: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABDyEddvXb
hgOD6tDsy3h/v2AAAAEAAAAAEAAABoAAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlz
dHAyNTYAAABBBFh/q00QGeiSpu+xY708gUtlKuloK47FNIW4MWpXDxnTIlEIiIKc4ddnb4
gIYxwsy4EVr1zVJkSsloivT/FvPhQAAACwFarZ8rLwvFEPjZAFm+h69f9sez3qTVz1kEjt
er5XUorJl97JL2bmJwZG0rmnPYtkGQFxoMgf4DhJqqFVulc8i3iGApRQ02vSkGlhJomUJ8
VwfxTQxEFwegzhFtJKrG1zJ6kbocLSlFvxSeeU2oGKi/8NEKXT1vWiTnyAng0zBu4e4pIK
zX0L125toWPkFPcIRhIVq+NLxlq6SDjqVqE7NDG7/4j9WLbVcTS3wZOBh20=
-----END OPENSSH PRIVATE KEY-----
";
    const AES_GCM: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAAFmFlczI1Ni1nY21Ab3BlbnNzaC5jb20AAAAGYmNyeXB0AA
AAGAAAABBDzdPqiLDg85N4lKsLE5IfAAAAEAAAAAEAAABoAAAAE2VjZHNhLXNoYTItbmlz
dHAyNTYAAAAIbmlzdHAyNTYAAABBBFh/q00QGeiSpu+xY708gUtlKuloK47FNIW4MWpXDx
nTIlEIiIKc4ddnb4gIYxwsy4EVr1zVJkSsloivT/FvPhQAAACw/fSFqsCO3JKLrHRQu8yV
JeIYl8g2+4Zx5BfkrT7LO8dZfUsmC7jJXvo9YL3N46euPXMWG0QaTUztdExGt7xhZZuG8n
QZS6rTBWZF11C43vlM+kjYpvIGYxa+sIXZw90aVHRrniElJDaDCm5FzH+mNVe37gZlaGKI
1uB8gwHdspnHDn+IzhT09FQs+SK8qasfDjIMa63tqfa/DHTyKU8T5COSli08YIawuA5tMM
tZJLCWPlwdyc4a7mqfoWNiSnB5
-----END OPENSSH PRIVATE KEY-----
";

    fn opened(text: &str, passphrase: Option<&str>) -> Opened {
        let passphrase = passphrase.map(|text| Secret::new(text.into()));
        with_file(text, |file| file.open(passphrase.as_ref())).unwrap()
    }

    fn with_file<T>(text: &str, look: impl FnOnce(&KeyFile) -> T) -> T {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("id_ecdsa");
        std::fs::write(&path, text).unwrap();
        look(&KeyFile::read(&path).unwrap().unwrap())
    }

    fn is_locked(text: &str, passphrase: Option<&str>) -> bool {
        matches!(opened(text, passphrase), Opened::Locked)
    }

    #[test]
    fn a_short_number_is_read_plain_and_encrypted() {
        for (text, passphrase) in [(PLAIN, None), (AES_CTR, Some("secret")), (AES_GCM, Some("secret"))] {
            let Opened::Key(key) = opened(text, passphrase) else {
                panic!("locked: {text}");
            };
            let public: PublicKey = PUBLIC.parse().unwrap();
            assert_eq!(key.public_key(), &public, "the comment is part of it");
            let signature = key.sign("limosa", HashAlg::Sha256, b"text").unwrap();
            public.verify("limosa", b"text", &signature).unwrap();
        }
    }

    #[test]
    fn the_public_half_is_had_without_a_passphrase() {
        let public: PublicKey = PUBLIC.parse().unwrap();
        for text in [PLAIN, AES_CTR, AES_GCM] {
            let had = with_file(text, |file| file.public.clone());
            assert_eq!(had.unwrap().key_data(), public.key_data());
        }
    }

    #[test]
    fn missing_and_wrong_passphrases_leave_it_locked() {
        for text in [AES_CTR, AES_GCM] {
            for passphrase in [None, Some("wrong"), Some("")] {
                assert!(is_locked(text, passphrase), "{passphrase:?}: {text}");
                let read = Container::of_text(text).unwrap().open(passphrase);
                assert!(read.is_err(), "{passphrase:?}: {text}");
            }
        }
        assert!(!is_locked(PLAIN, Some("of another key")));
    }

    fn bytes(text: &str) -> Vec<u8> {
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(lines.concat()).unwrap()
    }

    #[test]
    fn no_prefix_is_a_key() {
        for text in [PLAIN, AES_CTR, AES_GCM] {
            let whole = bytes(text);
            assert!(Container::of_bytes(&whole).is_ok());
            for length in 0..whole.len() {
                assert!(Container::of_bytes(&whole[..length]).is_err(), "{length}: {text}");
                let cut = format!("{BEGIN}\n{}\n{END}", STANDARD.encode(&whole[..length]));
                assert!(decode(&cut, Some("secret")).is_err(), "{length}: {text}");
            }
        }
        let Container { private, public, .. } = Container::of_text(PLAIN).unwrap();
        let without_padding = private.len() - 1;
        for length in 0..without_padding {
            assert!(private_half(&private[..length], &public).is_err(), "{length}");
        }
    }

    #[test]
    fn changed_bytes_never_panic() {
        let whole = bytes(PLAIN);
        for place in 0..whole.len() {
            for value in 0..=u8::MAX {
                let mut changed = whole.clone();
                changed[place] = value;
                let read = Container::of_bytes(&changed).and_then(|container| container.open(None));
                drop(read);
            }
        }
    }

    #[test]
    fn equal_numbers_and_the_public_half_are_checked() {
        let opens = |change: fn(&mut Container)| {
            let mut container = Container::of_text(PLAIN).unwrap();
            change(&mut container);
            container.open(None).is_ok()
        };
        assert!(opens(|_| ()));
        assert!(!opens(|container| container.private[0] ^= 1));
        assert!(!opens(|container| container.private[7] ^= 1));
        assert!(!opens(|container| *container.private.last_mut().unwrap() += 1));
        assert!(!opens(|container| container.private.extend([2; 8])));
        assert!(!opens(|container| container.private.push(2)));
        let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
        let other: PublicKey = other.parse().unwrap();
        let private = Container::of_text(PLAIN).unwrap().private;
        assert!(private_half(&private, other.key_data()).is_err());
    }

    fn padded<const SIZE: usize>(number: &[u8]) -> Result<Vec<u8>> {
        let length = u32::try_from(number.len()).unwrap();
        let prefixed = [&length.to_be_bytes(), number].concat();
        scalar::<SIZE>(&mut prefixed.as_slice()).map(|scalar| scalar.as_slice().to_vec())
    }

    #[test]
    fn zeros_go_in_front_on_every_curve() {
        let with_zeros = |zeros| [vec![0; zeros], vec![7; 30]].concat();
        assert_eq!(padded::<32>(&[7; 30]).unwrap(), with_zeros(2));
        assert_eq!(padded::<48>(&[7; 30]).unwrap(), with_zeros(18));
        assert_eq!(padded::<66>(&[7; 30]).unwrap(), with_zeros(36));
        assert_eq!(padded::<32>(&[&[0][..], &[0xff; 32]].concat()).unwrap(), [0xff; 32]);
        assert!(padded::<32>(&[7; 33]).is_err());
        assert!(padded::<32>(&[0; 34]).is_err());
    }
}
