//! For whom files are sealed, and what of a source goes into its envelope.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use limosa_seal::envelope::{
    Envelope, EnvelopeError, FileKeySeed, Header, Keyring, Layout, Plain, Recipient, SlotFor, StretchedPassphrase,
};
use limosa_seal::identity::source_identity;
use limosa_seal::{AlgorithmSet, EnvelopeSuite};

use super::CHUNK;
use crate::metadata::Metadata;

/// For whom the files of one transfer are sealed.
pub struct ProtectionKeys {
    passphrase: Option<StretchedPassphrase>,
    recipients: Vec<Recipient>,
    suite: EnvelopeSuite,
    set: AlgorithmSet,
    seed: FileKeySeed,
    /// For files that are sent whole, and for those that are sent in parts.
    layouts: [Layout; 2],
    /// Opens the header of what was sent of a file before.
    earlier: Mutex<Keyring>,
}

impl ProtectionKeys {
    /// Seals for who knows the passphrase and for the recipients, of whom one
    /// at least must be given. What was sent before is opened by `earlier`.
    ///
    /// # Errors
    /// [`EnvelopeError::LastSlot`] for nobody, [`EnvelopeError::NoRoom`] for
    /// more recipients than a header holds.
    pub fn new(
        passphrase: Option<StretchedPassphrase>,
        recipients: Vec<Recipient>,
        suite: EnvelopeSuite,
        set: AlgorithmSet,
        earlier: Keyring,
    ) -> Result<Self, EnvelopeError> {
        let slots = usize::from(passphrase.is_some()) + recipients.len();
        if slots == 0 {
            return Err(EnvelopeError::LastSlot);
        }
        let layout = |layout| Envelope::layout_for(layout, slots).ok_or(EnvelopeError::NoRoom);
        let layouts = [layout(Layout::PLAIN_ALIGNED)?, layout(Layout::SEALED_ALIGNED)?];
        let (seed, earlier) = (FileKeySeed::random(), Mutex::new(earlier));
        Ok(Self { passphrase, recipients, suite, set, seed, layouts, earlier })
    }

    /// Which algorithms may be used.
    pub(super) const fn set(&self) -> AlgorithmSet {
        self.set
    }

    /// The same with file keys that follow from a seed which is kept: a later
    /// session that has it goes on with what was sent in this one, where
    /// nobody could by the recipients' public keys alone.
    #[must_use]
    pub fn with_seed(self, seed: FileKeySeed) -> Self {
        Self { seed, ..self }
    }

    /// How a file with so much content is laid out.
    pub(super) fn layout(&self, content: Plain) -> Layout {
        let [whole, parts] = self.layouts;
        let is_small = whole.sealed_len(content).is_some_and(|sealed| sealed.0 <= CHUNK);
        if is_small { whole } else { parts }
    }

    /// The envelope of a source: as long as the seed is the same, one of the
    /// same file key for the same state of the same file.
    pub(super) fn envelope(&self, source: &Metadata) -> Result<Envelope, EnvelopeError> {
        let layout = self.layout(Plain(source.size));
        let (seed, set) = (&self.seed, self.set);
        let mut envelope = Envelope::create_for(seed, &state_of(source), self.suite, (layout, context_of(source)), set);
        let passphrase = self.passphrase.iter().map(SlotFor::Passphrase);
        let recipients = self.recipients.iter().map(SlotFor::Recipient);
        passphrase.chain(recipients).try_for_each(|slot| envelope.add(slot))?;
        Ok(envelope)
    }

    /// The envelope that an earlier session began to send of this source.
    ///
    /// # Errors
    /// If no key at hand opens it, it was made of something else, or for others
    /// than this session's, or with another cipher.
    pub(super) fn earlier(&self, source: &Metadata, header: &Header) -> Result<Envelope, EnvelopeError> {
        let envelope = match Envelope::resume_for(&self.seed, &state_of(source), header, self.set) {
            Err(EnvelopeError::NoSlot) => self.earlier.lock().unwrap_or_else(PoisonError::into_inner).open(header),
            known => known,
        }?;
        let preamble = envelope.preamble();
        let fits = preamble.context == context_of(source) && preamble.layout == self.layout(Plain(source.size));
        if fits && preamble.suite == self.suite && self.is_for_the_same(&envelope) {
            Ok(envelope)
        } else {
            Err(EnvelopeError::BegunOtherwise)
        }
    }

    /// Whether those can open an envelope who are to open what is sent now.
    fn is_for_the_same(&self, envelope: &Envelope) -> bool {
        let slots = envelope.slots();
        let passphrases = slots.iter().filter(|slot| slot.is_passphrase()).count();
        let recipients: HashSet<_> = slots.iter().filter_map(|slot| slot.recipient()).copied().collect();
        let wanted: HashSet<_> = self.recipients.iter().map(Recipient::fingerprint).collect();
        let nobody_else = slots.len() == passphrases + recipients.len();
        passphrases == usize::from(self.passphrase.is_some()) && recipients == wanted && nobody_else
    }
}

impl fmt::Debug for ProtectionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtectionKeys").field("recipients", &self.recipients.len()).finish_non_exhaustive()
    }
}

/// What tells this state of this file from every other on this machine.
fn state_of(source: &Metadata) -> [u8; 16] {
    let file = [source.device, source.inode, source.size];
    let time = [source.modified, source.changed].map(|time| (time.seconds(), time.nanoseconds()));
    source_identity(&[
        b"file key",
        &file.map(u64::to_be_bytes).concat(),
        &time.map(|(seconds, _)| seconds.to_be_bytes()).concat(),
        &time.map(|(_, nanoseconds)| nanoseconds.to_be_bytes()).concat(),
    ])
}

/// What binds an envelope to its source, on whichever machine that is.
pub(super) fn context_of(source: &Metadata) -> [u8; 16] {
    let (seconds, nanoseconds) = (source.modified.seconds(), source.modified.nanoseconds());
    source_identity(&[
        b"envelope context",
        &source.size.to_be_bytes(),
        &seconds.to_be_bytes(),
        &nanoseconds.to_be_bytes(),
    ])
}
