//! The master keys of a store: one that seals, any number that open.

use limosa_seal::envelope::{Envelope, EnvelopeError, Header, Keyring, Layout, MasterKey, SlotFor};
use limosa_seal::{AlgorithmSet, EnvelopeSuite};

use super::recognize::CONTEXT;

/// What seals new files, and what opens those that are there.
#[derive(Clone, Debug)]
pub struct MasterKeys {
    set: AlgorithmSet,
    suite: EnvelopeSuite,
    sealing: Option<MasterKey>,
    opening: Vec<MasterKey>,
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
        Self { set, suite: best.expect("each set holds one"), sealing: None, opening: keys }
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

    /// The envelope behind a header.
    pub(super) fn open(&self, header: &Header) -> Result<Envelope, EnvelopeError> {
        let keyring = self.opening.iter().cloned().fold(Keyring::new(self.set), Keyring::with_master);
        { keyring }.open(header)
    }
}
