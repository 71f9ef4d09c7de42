//! The master keys of a store: one that seals, any number that open.

use std::fmt;
use std::sync::Arc;

use limosa_seal::envelope::{Envelope, EnvelopeError, Header, Keyring, Layout, MasterKey, MasterKeyId, SlotFor};
use limosa_seal::{AlgorithmSet, EnvelopeSuite};

use super::recognize::CONTEXT;

/// Where keys come from that are asked for when a file needs them, and not
/// before: a key server that does not answer is no matter of those who need
/// nothing of it.
pub trait MasterKeySource: fmt::Debug + Send + Sync {
    /// The key of this name, if it can be had. May block.
    fn master_key(&self, id: &MasterKeyId) -> Option<MasterKey>;
}

/// What seals new files, and what opens those that are there.
#[derive(Clone, Debug)]
pub struct MasterKeys {
    set: AlgorithmSet,
    suite: EnvelopeSuite,
    sealing: Option<MasterKey>,
    opening: Vec<MasterKey>,
    source: Option<Arc<dyn MasterKeySource>>,
}

impl MasterKeys {
    /// Keys that open files, and none that seals: new files are stored as they
    /// are.
    ///
    /// # Panics
    /// Never: each set holds a suite for files at rest.
    #[must_use]
    pub fn opening(set: AlgorithmSet, keys: Vec<MasterKey>) -> Self {
        let best = set.envelope_suites().first().and_then(|suite| set.envelope_suite(*suite).ok());
        Self { set, suite: best.expect("each set holds one"), sealing: None, opening: keys, source: None }
    }

    /// Files that these do not open are opened by keys of `source`.
    #[must_use]
    pub fn or_from(mut self, source: Arc<dyn MasterKeySource>) -> Self {
        self.source = Some(source);
        self
    }

    /// New files are sealed for `key`, which opens them again.
    #[must_use]
    pub fn sealing_for(mut self, key: MasterKey) -> Self {
        self.opening.retain(|other| other.id() != key.id());
        self.opening.push(key.clone());
        self.sealing = Some(key);
        self
    }

    /// What headers may ask for.
    pub(super) const fn set(&self) -> AlgorithmSet {
        self.set
    }

    /// The envelope of a new file, if new files are sealed.
    pub(super) fn envelope(&self) -> Option<Result<Envelope, EnvelopeError>> {
        let key = self.sealing.as_ref()?;
        let mut envelope = Envelope::create(self.suite, Layout::PLAIN_ALIGNED, CONTEXT, self.set);
        Some(envelope.add(SlotFor::Master(key)).map(|()| envelope))
    }

    /// The envelope behind a header. May ask for a key.
    pub(super) fn open(&self, header: &Header) -> Result<Envelope, EnvelopeError> {
        let keyring = || self.opening.iter().cloned().fold(Keyring::new(self.set), Keyring::with_master);
        let mut opened = keyring().open(header);
        let (Err(EnvelopeError::NoSlot | EnvelopeError::SlotNotAuthentic), Some(source)) = (&opened, &self.source)
        else {
            return opened;
        };
        let is_at_hand = |id: &&MasterKeyId| self.opening.iter().any(|key| key.id() == *id);
        let named = header.table().slots.iter().filter_map(|slot| slot.master());
        let others = named.filter(|id| !is_at_hand(id)).filter_map(|id| source.master_key(id));
        // One at a time: a key that opens the file spares asking for the rest.
        for key in others {
            opened = keyring().with_master(key).open(header);
            if opened.is_ok() {
                break;
            }
        }
        opened
    }
}
