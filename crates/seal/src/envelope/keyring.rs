//! What opens envelopes: passphrases, private keys, master keys.

use std::fmt;
use std::str::FromStr;

use super::error::EnvelopeError;
use super::header::Header;
use super::key::{FileKey, key_for_file, tell_apart, unwrap, wrapping_suite};
use super::opened::Envelope;
use super::preamble::{PREAMBLE, Preamble};
use super::recipient::Identity;
use super::slot::{CHECK, SALT, Slot, SlotKind};
use crate::allow::PassphraseScheme;
use crate::identity::hex;
use crate::password::{self, PasswordError};
use crate::stretch::{Stretch, StretchError};
use crate::{AlgorithmSet, Secret, SecretBytes, random};

const WRAP: &[u8] = b"limosa envelope passphrase";
const TELL: &[u8] = b"limosa envelope passphrase check";
const MASTER: &[u8] = b"limosa envelope master";
const MASTER_TELL: &[u8] = b"limosa envelope master check";
const RECIPIENT: &[u8] = b"limosa envelope recipient";

/// Stretched passphrases kept: a tree sealed in one go has one for all its
/// files, and stretching costs more than a small file.
const KEPT: usize = 64;

/// A passphrase after the expensive part, for any number of files.
#[derive(Clone, Debug)]
pub struct StretchedPassphrase {
    pub(super) stretch: Stretch,
    pub(super) salt: [u8; SALT],
    key: Secret<32>,
}

impl StretchedPassphrase {
    /// Stretches `passphrase` with a salt of its own. Takes as long as the
    /// scheme says, by design.
    ///
    /// # Errors
    /// If the passphrase is empty or too long, or memory is short.
    pub fn new(scheme: PassphraseScheme, passphrase: &SecretBytes) -> Result<Self, EnvelopeError> {
        Self::with_salt(scheme.stretch(), random(), passphrase)
    }

    fn with_salt(stretch: Stretch, salt: [u8; SALT], passphrase: &SecretBytes) -> Result<Self, EnvelopeError> {
        password::check(passphrase)?;
        let mut derived = Ok(());
        let key = Secret::fill(|out| derived = stretch.derive(passphrase, &salt, out));
        derived.map_err(|error| match error {
            StretchError::Refused => EnvelopeError::TooCostly,
            StretchError::NoMemory => PasswordError::NoMemory.into(),
        })?;
        Ok(Self { stretch, salt, key })
    }

    /// What wraps the key of one file.
    pub(super) fn wrapping_key(&self, preamble: &Preamble) -> Secret<32> {
        key_for_file(&self.key, preamble, WRAP)
    }

    /// What tells a wrong passphrase.
    pub(super) fn check(&self, preamble: &Preamble) -> Secret<CHECK> {
        key_for_file(&self.key, preamble, TELL)
    }
}

/// A passphrase that opens files. Remembers what it was stretched to.
#[derive(Debug)]
pub struct Passphrase {
    passphrase: SecretBytes,
    stretched: Vec<StretchedPassphrase>,
}

impl Passphrase {
    /// A passphrase as it was given.
    #[must_use]
    pub const fn new(passphrase: SecretBytes) -> Self {
        Self { passphrase, stretched: Vec::new() }
    }

    fn stretched(&mut self, stretch: Stretch, salt: [u8; SALT]) -> Result<&StretchedPassphrase, EnvelopeError> {
        let known = self.stretched.iter().position(|known| known.stretch == stretch && known.salt == salt);
        let at = match known {
            Some(at) => at,
            None => {
                let fresh = StretchedPassphrase::with_salt(stretch, salt, &self.passphrase)?;
                if self.stretched.len() == KEPT {
                    self.stretched.remove(0);
                }
                self.stretched.push(fresh);
                self.stretched.len() - 1
            }
        };
        Ok(&self.stretched[at])
    }
}

/// What a master key is called: 1 to 64 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MasterKeyId(String);

impl MasterKeyId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MasterKeyId {
    type Err = EnvelopeError;

    fn from_str(text: &str) -> Result<Self, EnvelopeError> {
        if (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(EnvelopeError::NotAKey("name of a master key: 1 to 64 visible ASCII characters"))
        }
    }
}

/// A key of 256 bits that wraps the keys of any number of files, known by name.
#[derive(Clone, Debug)]
pub struct MasterKey {
    pub(super) id: MasterKeyId,
    key: Secret<32>,
}

impl MasterKey {
    /// The key of this name.
    #[must_use]
    pub const fn new(id: MasterKeyId, key: Secret<32>) -> Self {
        Self { id, key }
    }

    /// The key of this name that `text` holds, as key files have it: 32 bytes,
    /// or as many in hexadecimal with white space around them.
    ///
    /// # Errors
    /// If it is neither. 32 letters and digits are no 32 random bytes, but half
    /// a key in hexadecimal, or a password.
    ///
    /// # Panics
    /// Never: digits were checked before they are read.
    pub fn parse(id: MasterKeyId, text: &[u8]) -> Result<Self, EnvelopeError> {
        const WRONG: EnvelopeError = EnvelopeError::NotAKey("master key: 32 bytes, or 64 hexadecimal digits");
        if text.len() == 32 && !text.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
            return Ok(Self::new(id, Secret::fill(|key| key.copy_from_slice(text))));
        }
        let digits = std::str::from_utf8(text.trim_ascii()).map_err(|_| WRONG)?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(WRONG);
        }
        let key = Secret::fill(|key| {
            for (at, byte) in key.iter_mut().enumerate() {
                *byte = u8::from_str_radix(&digits[2 * at..][..2], 16).expect("all are hexadecimal digits");
            }
        });
        Ok(Self::new(id, key))
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> &MasterKeyId {
        &self.id
    }

    /// What tells it from other keys, and nothing else of it: the first 16 bytes
    /// of HKDF-SHA256 without salt, for `limosa envelope master check`. In
    /// hexadecimal.
    #[must_use]
    pub fn check(&self) -> String {
        hex(&tell_apart::<CHECK>(&self.key, MASTER_TELL))
    }

    /// What wraps the key of one file.
    pub(super) fn wrapping_key(&self, preamble: &Preamble) -> Secret<32> {
        key_for_file(&self.key, preamble, MASTER)
    }
}

/// What binds a recipient's slot to its file.
pub(super) fn recipient_info(preamble: &Preamble) -> Vec<u8> {
    let preamble: [u8; PREAMBLE] = preamble.encode();
    [RECIPIENT, &preamble].concat()
}

/// All keys at hand.
#[derive(Debug)]
pub struct Keyring {
    set: AlgorithmSet,
    passphrases: Vec<Passphrase>,
    identities: Vec<Identity>,
    masters: Vec<MasterKey>,
}

impl Keyring {
    /// What may be used.
    #[must_use]
    pub const fn set(&self) -> AlgorithmSet {
        self.set
    }

    /// No keys; what opens with those to come is limited to `set`.
    #[must_use]
    pub const fn new(set: AlgorithmSet) -> Self {
        Self { set, passphrases: Vec::new(), identities: Vec::new(), masters: Vec::new() }
    }

    /// With a passphrase more.
    #[must_use]
    pub fn with_passphrase(mut self, passphrase: SecretBytes) -> Self {
        self.passphrases.push(Passphrase::new(passphrase));
        self
    }

    /// With a private key more.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identities.push(identity);
        self
    }

    /// With a master key more.
    #[must_use]
    pub fn with_master(mut self, master: MasterKey) -> Self {
        self.masters.push(master);
        self
    }

    /// Opens a header by the first slot that one of the keys fits, those tried
    /// first that cost nothing.
    ///
    /// # Errors
    /// If no slot is for any key, a passphrase is wrong, or the header is not
    /// authentic.
    pub fn open(&mut self, header: &Header) -> Result<Envelope, EnvelopeError> {
        let secret = match self.by_key(header)? {
            Some(secret) => secret,
            None => self.by_passphrase(header)?,
        };
        let key = FileKey::new(secret, header.preamble());
        if !header.is_authentic(&key) {
            return Err(EnvelopeError::HeaderNotAuthentic);
        }
        Ok(Envelope::authentic(header, key, self.set))
    }

    fn by_key(&self, header: &Header) -> Result<Option<Secret<32>>, EnvelopeError> {
        let preamble = header.preamble();
        let mut is_unfit = false;
        for slot in &header.table().slots {
            let opened = match &slot.0 {
                SlotKind::Master { id, wrapped } => {
                    let Some(master) = self.masters.iter().find(|master| master.id == *id) else { continue };
                    unwrap(wrapped, &master.wrapping_key(preamble), &slot.bound(), wrapping_suite(self.set))
                }
                SlotKind::Recipient { recipient, encapsulated, key } => {
                    let ours = |identity: &&Identity| identity.recipient().fingerprint() == *recipient;
                    let Some(identity) = self.identities.iter().find(ours) else { continue };
                    let info = recipient_info(preamble);
                    identity.unwrap((encapsulated, key), &info, &slot.bound(), wrapping_suite(self.set))
                }
                SlotKind::Passphrase { .. } | SlotKind::Unknown { .. } => continue,
            };
            if opened.is_some() {
                return Ok(opened);
            }
            // Another slot may be for another of the keys.
            is_unfit = true;
        }
        if is_unfit { Err(EnvelopeError::SlotNotAuthentic) } else { Ok(None) }
    }

    fn by_passphrase(&mut self, header: &Header) -> Result<Secret<32>, EnvelopeError> {
        let mut wrong = None;
        for passphrase in &mut self.passphrases {
            for slot in &header.table().slots {
                match open_slot(passphrase, slot, header.preamble(), self.set) {
                    Ok(Some(secret)) => return Ok(secret),
                    Ok(None) => {}
                    Err(error) => wrong = Some(error),
                }
            }
        }
        Err(wrong.unwrap_or(EnvelopeError::NoSlot))
    }
}

/// The file key by a passphrase's slot; `None` for other slots.
fn open_slot(
    passphrase: &mut Passphrase,
    slot: &Slot,
    preamble: &Preamble,
    set: AlgorithmSet,
) -> Result<Option<Secret<32>>, EnvelopeError> {
    let SlotKind::Passphrase { stretch, salt, check, wrapped } = &slot.0 else { return Ok(None) };
    let stretch = set.passphrase(*stretch)?.stretch();
    let stretched = passphrase.stretched(stretch, *salt)?;
    if !stretched.check(preamble).matches(&Secret::fill(|bytes| bytes.copy_from_slice(check))) {
        return Err(EnvelopeError::WrongPassphrase);
    }
    let opened = unwrap(wrapped, &stretched.wrapping_key(preamble), &slot.bound(), wrapping_suite(set));
    opened.map(Some).ok_or(EnvelopeError::SlotNotAuthentic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn master_keys_are_bytes_or_digits() {
        let key = |text: &[u8]| MasterKey::parse("main".parse().unwrap(), text).map(|master| master.key);
        assert!(key(&[7; 32]).unwrap().matches(&Secret::take(&mut [7; 32])));
        assert!(key("07".repeat(32).as_bytes()).unwrap().matches(&Secret::take(&mut [7; 32])));
        assert!(key(format!("{}\n", "0a".repeat(32)).as_bytes()).is_ok());
        for text in [&b""[..], &[7; 31], &[b'g'; 64], &[b'7'; 63]] {
            assert!(key(text).is_err(), "{text:?}");
        }
    }
}
