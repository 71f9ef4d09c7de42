//! Slots: the file key, wrapped for one passphrase, one recipient or one
//! master key each.
//!
//! A slot is bytes until somebody opens it. Those of kinds that are to come
//! are kept as they are.

use limosa_wire::codec::{DecodeError, Reader, Sink};

use super::hpke::ENCAPSULATED;
use super::keyring::MasterKeyId;
use super::recipient::Fingerprint;
use crate::Stretch;

/// Most slots of one file.
pub const MAX_SLOTS: usize = 255;
/// Most passphrase slots of one file, each of which costs a guess.
pub const MAX_PASSPHRASE_SLOTS: usize = 8;

/// Longest slot of a kind that is to come, without its frame.
const MAX_UNKNOWN: usize = 2048;
/// Kind, a byte of zero and the length.
const FRAME: usize = 4;

const PASSPHRASE: u8 = 1;
const RECIPIENT: u8 = 2;
const MASTER: u8 = 3;

const ARGON2ID: u8 = 1;
const PBKDF2: u8 = 2;

/// DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM: RFC 9180, section 7.
const HPKE_SUITE: [u8; 8] = [0x00, 0x10, 0x00, 0x01, 0x00, 0x02, 0, 0];

/// Bytes of salt of a passphrase.
pub(super) const SALT: usize = 16;
/// Bytes that tell a wrong passphrase.
pub(super) const CHECK: usize = 16;
/// A wrapped file key: the key and a tag.
pub(super) const WRAPPED: usize = 32 + 16;

/// A file key wrapped by AES-256-GCM under a random nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrapped {
    pub(super) nonce: [u8; 12],
    pub(super) key: [u8; WRAPPED],
}

/// One slot. What is shown is not yet authentic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot(pub(super) SlotKind);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SlotKind {
    Passphrase { stretch: Stretch, salt: [u8; SALT], check: [u8; CHECK], wrapped: Wrapped },
    Recipient { recipient: Fingerprint, encapsulated: Box<[u8; ENCAPSULATED]>, key: [u8; WRAPPED] },
    Master { id: MasterKeyId, wrapped: Wrapped },
    Unknown { kind: u8, body: Vec<u8> },
}

impl Slot {
    /// How the passphrase is stretched, if it is a passphrase's.
    #[must_use]
    pub const fn stretch(&self) -> Option<Stretch> {
        match self.0 {
            SlotKind::Passphrase { stretch, .. } => Some(stretch),
            _ => None,
        }
    }

    /// Whose it is, if it is a recipient's.
    #[must_use]
    pub const fn recipient(&self) -> Option<&Fingerprint> {
        match &self.0 {
            SlotKind::Recipient { recipient, .. } => Some(recipient),
            _ => None,
        }
    }

    /// The master key, if it is for one.
    #[must_use]
    pub const fn master(&self) -> Option<&MasterKeyId> {
        match &self.0 {
            SlotKind::Master { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Its number, if it is of a kind that is to come.
    #[must_use]
    pub const fn unknown(&self) -> Option<u8> {
        match self.0 {
            SlotKind::Unknown { kind, .. } => Some(kind),
            _ => None,
        }
    }

    /// Whether it is for whoever knows a passphrase.
    #[must_use]
    pub const fn is_passphrase(&self) -> bool {
        matches!(self.0, SlotKind::Passphrase { .. })
    }

    /// Appends the slot.
    pub(super) fn encode(&self, sink: &mut Vec<u8>) {
        sink.put(&self.bound());
        match &self.0 {
            SlotKind::Passphrase { wrapped, .. } | SlotKind::Master { wrapped, .. } => {
                sink.put(&wrapped.nonce);
                sink.put(&wrapped.key);
            }
            SlotKind::Recipient { encapsulated, key, .. } => {
                sink.put(encapsulated.as_slice());
                sink.put(key);
            }
            SlotKind::Unknown { .. } => {}
        }
    }

    /// The part before nonce or encapsulated key, which the wrapping
    /// authenticates.
    pub(super) fn bound(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match &self.0 {
            SlotKind::Passphrase { stretch, salt, check, .. } => bind_passphrase(&mut bytes, *stretch, salt, check),
            SlotKind::Recipient { recipient, .. } => bind_recipient(&mut bytes, recipient),
            SlotKind::Master { id, .. } => bind_master(&mut bytes, id),
            SlotKind::Unknown { kind, body } => {
                frame(&mut bytes, *kind, body.len());
                bytes.put(body);
            }
        }
        bytes
    }

    /// Reads the next slot.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.u8()?;
        if reader.u8()? != 0 {
            return Err(reader.range());
        }
        let length = usize::from(reader.u16()?);
        let mut body = Reader::new("envelope slot", reader.take(length)?);
        let slot = match kind {
            PASSPHRASE => passphrase(&mut body)?,
            RECIPIENT => recipient(&mut body)?,
            MASTER => master(&mut body)?,
            0 => return Err(reader.range()),
            _ if length > MAX_UNKNOWN => return Err(reader.range()),
            _ => SlotKind::Unknown { kind, body: body.take(length)?.to_vec() },
        };
        body.end()?;
        Ok(Self(slot))
    }
}

#[allow(clippy::cast_possible_truncation)]
fn frame(sink: &mut Vec<u8>, kind: u8, body: usize) {
    sink.put_u8(kind);
    sink.put_u8(0);
    sink.put_u16(body as u16);
}

/// What the wrapping of a passphrase's slot authenticates.
pub(super) fn bind_passphrase(sink: &mut Vec<u8>, stretch: Stretch, salt: &[u8; SALT], check: &[u8; CHECK]) {
    let (scheme, numbers) = match stretch {
        Stretch::Argon2id { memory_kib, passes, lanes } => (ARGON2ID, [memory_kib, passes, lanes]),
        Stretch::Pbkdf2 { rounds } => (PBKDF2, [rounds, 0, 0]),
    };
    frame(sink, PASSPHRASE, 4 + 12 + SALT + CHECK + 12 + WRAPPED);
    sink.put(&[scheme, 0, 0, 0]);
    numbers.into_iter().for_each(|number| sink.put_u32(number));
    sink.put(salt);
    sink.put(check);
}

/// What the wrapping of a recipient's slot authenticates.
pub(super) fn bind_recipient(sink: &mut Vec<u8>, recipient: &Fingerprint) {
    frame(sink, RECIPIENT, HPKE_SUITE.len() + 32 + ENCAPSULATED + WRAPPED);
    sink.put(&HPKE_SUITE);
    sink.put(&recipient.0);
}

/// What the wrapping of a master key's slot authenticates.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn bind_master(sink: &mut Vec<u8>, id: &MasterKeyId) {
    let id = id.as_str().as_bytes();
    frame(sink, MASTER, 1 + id.len() + 12 + WRAPPED);
    sink.put_u8(id.len() as u8);
    sink.put(id);
}

fn wrapped(body: &mut Reader<'_>) -> Result<Wrapped, DecodeError> {
    Ok(Wrapped { nonce: body.array()?, key: body.array()? })
}

fn passphrase(body: &mut Reader<'_>) -> Result<SlotKind, DecodeError> {
    let (scheme, reserved): (u8, [u8; 3]) = (body.u8()?, body.array()?);
    let numbers = [body.u32()?, body.u32()?, body.u32()?];
    let stretch = match (scheme, numbers) {
        _ if reserved != [0; 3] => return Err(body.range()),
        (ARGON2ID, [memory_kib, passes, lanes]) => Stretch::Argon2id { memory_kib, passes, lanes },
        (PBKDF2, [rounds, 0, 0]) => Stretch::Pbkdf2 { rounds },
        (PBKDF2, _) => return Err(body.range()),
        _ => return Err(body.unknown()),
    };
    Ok(SlotKind::Passphrase { stretch, salt: body.array()?, check: body.array()?, wrapped: wrapped(body)? })
}

fn recipient(body: &mut Reader<'_>) -> Result<SlotKind, DecodeError> {
    if body.array()? != HPKE_SUITE {
        return Err(body.unknown());
    }
    let recipient = Fingerprint(body.array()?);
    Ok(SlotKind::Recipient { recipient, encapsulated: Box::new(body.array()?), key: body.array()? })
}

fn master(body: &mut Reader<'_>) -> Result<SlotKind, DecodeError> {
    let length = usize::from(body.u8()?);
    let id = std::str::from_utf8(body.take(length)?).ok().and_then(|id| id.parse().ok());
    Ok(SlotKind::Master { id: id.ok_or(body.range())?, wrapped: wrapped(body)? })
}

/// Longest slot that this version writes, frame included.
pub(super) const LONGEST: usize = FRAME + HPKE_SUITE.len() + 32 + ENCAPSULATED + WRAPPED;
