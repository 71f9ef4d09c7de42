//! An envelope whose key is known: made new, or opened by one of its slots.

use aws_lc_rs::hkdf;

use super::error::EnvelopeError;
use super::header::{Copies, Header, copy_offsets, encode_copy, header_for};
use super::key::{FileKey, wrap, wrapping_suite};
use super::keyring::{MasterKey, StretchedPassphrase, recipient_info};
use super::layout::Layout;
use super::preamble::{FileId, Preamble};
use super::recipient::Recipient;
use super::segment::{SegmentOpener, SegmentSealer};
use super::slot::{
    LONGEST, MAX_PASSPHRASE_SLOTS, MAX_SLOTS, Slot, SlotKind, bind_master, bind_passphrase, bind_recipient,
};
use super::table::SlotTable;
use crate::schedule::expand;
use crate::{AlgorithmSet, EnvelopeSuite, Secret};

/// Whom a slot is for.
#[derive(Clone, Copy, Debug)]
pub enum SlotFor<'a> {
    /// Whoever knows a passphrase.
    Passphrase(&'a StretchedPassphrase),
    /// Whoever has the private key.
    Recipient(&'a Recipient),
    /// Whoever has the master key.
    Master(&'a MasterKey),
}

/// A write that changes the slots of a file. See [`Envelope::updates`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderUpdate {
    /// Where in the file.
    pub offset: u64,
    /// What is written there.
    pub bytes: Vec<u8>,
}

/// What the file keys of one transfer are made of, so that a source which is
/// opened again meanwhile goes on with the key that it had.
///
/// ```text
/// root     = HKDF-Extract(salt: "limosa envelope session", 32 random bytes)
/// file key = HKDF-Expand(root, "key" · name of the source), 32 bytes
/// file id  = HKDF-Expand(root, "id" · name of the source), 16 bytes
/// name     = HKDF-Expand(root, "name"), 16 bytes
/// ```
#[derive(Clone, Debug)]
pub struct FileKeySeed(Secret<32>);

impl FileKeySeed {
    /// A new one, for a transfer of its own.
    #[must_use]
    pub fn random() -> Self {
        Self(Secret::random())
    }

    /// The one that somebody kept.
    #[must_use]
    pub const fn kept(seed: Secret<32>) -> Self {
        Self(seed)
    }

    /// To be kept by who wants to go on with the same file keys later. Whoever
    /// gets it can open every file sealed by it whose source's name is known.
    #[must_use]
    pub const fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// What tells it from every other, and says nothing of the keys.
    #[must_use]
    pub fn name(&self) -> [u8; 16] {
        let mut name = [0; 16];
        expand(&self.root(), &[b"name"], &mut name);
        name
    }

    fn root(&self) -> hkdf::Prk {
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"limosa envelope session").extract(self.0.expose())
    }

    fn file_id(&self, source: &[u8; 16]) -> FileId {
        FileId(*self.derive::<16>(b"id", source).expose())
    }

    fn derive<const N: usize>(&self, what: &[u8], source: &[u8; 16]) -> Secret<N> {
        Secret::fill(|out| expand(&self.root(), &[what, source], out))
    }
}

/// An envelope whose file key is known and whose header is authentic. Nobody
/// has one without having opened a slot, or having made the file.
#[derive(Debug)]
pub struct Envelope {
    preamble: Preamble,
    key: FileKey,
    table: SlotTable,
    copies: Copies,
    set: AlgorithmSet,
}

impl Envelope {
    /// A new envelope: a fresh file key and no slots yet.
    #[must_use]
    pub fn create(suite: EnvelopeSuite, layout: Layout, context: [u8; 16], set: AlgorithmSet) -> Self {
        let preamble = Preamble::new(suite, layout, context);
        let key = FileKey::new(Secret::random(), &preamble);
        Self { preamble, key, table: SlotTable { generation: 1, slots: Vec::new() }, copies: Copies::Both, set }
    }

    /// As [`Self::create`], with the file key and the file id that `seed` gives
    /// for the source of this name: the same each time.
    #[must_use]
    pub fn create_for(
        seed: &FileKeySeed,
        source: &[u8; 16],
        suite: EnvelopeSuite,
        (layout, context): (Layout, [u8; 16]),
        set: AlgorithmSet,
    ) -> Self {
        let file = seed.file_id(source);
        let preamble = Preamble { suite, layout, file, context };
        let key = FileKey::new(seed.derive(b"key", source), &preamble);
        Self { preamble, key, table: SlotTable { generation: 1, slots: Vec::new() }, copies: Copies::Both, set }
    }

    /// What [`Self::create_for`] made by the same seed for the source of this
    /// name, by the header that it had.
    ///
    /// # Errors
    /// [`EnvelopeError::NoSlot`] if that made another file,
    /// [`EnvelopeError::HeaderNotAuthentic`] if somebody changed the header.
    pub fn resume_for(
        seed: &FileKeySeed,
        source: &[u8; 16],
        header: &Header,
        set: AlgorithmSet,
    ) -> Result<Self, EnvelopeError> {
        if header.preamble().file != seed.file_id(source) {
            return Err(EnvelopeError::NoSlot);
        }
        let key = FileKey::new(seed.derive(b"key", source), header.preamble());
        if !header.is_authentic(&key) {
            return Err(EnvelopeError::HeaderNotAuthentic);
        }
        Ok(Self::authentic(header, key, set))
    }

    /// A layout whose header has room for so many slots, and for some more:
    /// at least as much again as three of them.
    #[must_use]
    pub fn layout_for(layout: Layout, slots: usize) -> Option<Layout> {
        layout.with_header_of(header_for((slots + 3) * LONGEST))
    }

    pub(super) fn authentic(header: &Header, key: FileKey, set: AlgorithmSet) -> Self {
        let (preamble, table) = (header.preamble().clone(), header.table().clone());
        Self { preamble, key, table, copies: header.copies(), set }
    }

    /// What never changes.
    #[must_use]
    pub const fn preamble(&self) -> &Preamble {
        &self.preamble
    }

    /// The slots.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.table.slots
    }

    /// Adds a slot.
    ///
    /// # Errors
    /// [`EnvelopeError::NoRoom`] if there are too many of its kind, or they
    /// do not fit the header.
    pub fn add(&mut self, slot_for: SlotFor<'_>) -> Result<(), EnvelopeError> {
        let slot = self.slot(slot_for);
        let passphrases = self.table.slots.iter().filter(|slot| slot.is_passphrase()).count();
        if self.table.slots.len() == MAX_SLOTS || slot.is_passphrase() && passphrases == MAX_PASSPHRASE_SLOTS {
            return Err(EnvelopeError::NoRoom);
        }
        self.table.slots.push(slot);
        if let Err(error) = self.copy() {
            self.table.slots.pop();
            return Err(error);
        }
        Ok(())
    }

    fn slot(&self, slot_for: SlotFor<'_>) -> Slot {
        let (preamble, cipher, secret) = (&self.preamble, wrapping_suite(self.set), self.key.secret());
        let mut bound = Vec::new();
        Slot(match slot_for {
            SlotFor::Passphrase(passphrase) => {
                let (stretch, salt, check) = (passphrase.stretch, passphrase.salt, passphrase.check(preamble));
                bind_passphrase(&mut bound, stretch, &salt, check.expose());
                let wrapped = wrap(secret, &passphrase.wrapping_key(preamble), &bound, cipher);
                SlotKind::Passphrase { stretch, salt, check: *check.expose(), wrapped }
            }
            SlotFor::Recipient(recipient) => {
                let fingerprint = recipient.fingerprint();
                bind_recipient(&mut bound, &fingerprint);
                let (encapsulated, key) = recipient.wrap(secret, &recipient_info(preamble), &bound, cipher);
                SlotKind::Recipient { recipient: fingerprint, encapsulated: Box::new(encapsulated), key }
            }
            SlotFor::Master(master) => {
                bind_master(&mut bound, &master.id);
                let wrapped = wrap(secret, &master.wrapping_key(preamble), &bound, cipher);
                SlotKind::Master { id: master.id.clone(), wrapped }
            }
        })
    }

    /// Takes away the slots that do not fit, and says how many those were.
    ///
    /// # Errors
    /// [`EnvelopeError::LastSlot`] if none would be left; then all stay.
    pub fn retain(&mut self, fits: impl FnMut(&Slot) -> bool) -> Result<usize, EnvelopeError> {
        let mut kept = self.table.slots.clone();
        kept.retain(fits);
        if kept.is_empty() {
            return Err(EnvelopeError::LastSlot);
        }
        let gone = self.table.slots.len() - kept.len();
        self.table.slots = kept;
        Ok(gone)
    }

    #[cfg(test)]
    pub(super) const fn key(&self) -> &FileKey {
        &self.key
    }

    /// Adds a slot as it is.
    #[cfg(test)]
    pub(super) fn push_for_test(&mut self, slot: Slot) {
        self.table.slots.push(slot);
    }

    fn copy(&self) -> Result<Vec<u8>, EnvelopeError> {
        encode_copy(&self.preamble, &self.table, &self.key)
    }

    /// The whole header of a new file.
    ///
    /// # Errors
    /// [`EnvelopeError::LastSlot`] without any slot.
    pub fn header(&self) -> Result<Vec<u8>, EnvelopeError> {
        if self.table.slots.is_empty() {
            return Err(EnvelopeError::LastSlot);
        }
        let copy = self.copy()?;
        Ok([self.preamble.encode().as_slice(), &copy, &copy].concat())
    }

    /// The writes that bring the slots of an existing file to what they are
    /// here. The first must be on stable storage before the second begins:
    /// each leaves one good copy alone.
    ///
    /// # Errors
    /// [`EnvelopeError::NoRoom`] if the slots do not fit.
    pub fn updates(&mut self) -> Result<[HeaderUpdate; 2], EnvelopeError> {
        self.table.generation += 1;
        let copy = self.copy()?;
        let [first, second] = copy_offsets(self.preamble.layout);
        let order = match self.copies {
            Copies::OnlySecond => [first, second],
            Copies::Both | Copies::OnlyFirst => [second, first],
        };
        self.copies = Copies::Both;
        Ok(order.map(|offset| HeaderUpdate { offset: offset as u64, bytes: copy.clone() }))
    }

    /// Seals segments. As many as there are threads may be at work.
    #[must_use]
    pub fn sealer(&self) -> SegmentSealer {
        SegmentSealer::new(self.key.segments(), self.preamble.layout)
    }

    /// Opens segments. As many as there are threads may be at work.
    #[must_use]
    pub fn opener(&self) -> SegmentOpener {
        SegmentOpener::new(self.key.segments(), self.preamble.layout)
    }
}
