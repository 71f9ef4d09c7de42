//! The slots of a sealed file change; its content is not touched.

use std::ffi::OsStr;
use std::path::Path;

use limosa_seal::AlgorithmSet;
use limosa_seal::envelope::{Envelope, EnvelopeError, Keyring, MasterKeyId, Slot};
use limosa_storage::{Attributes, Store};

use crate::arguments::{ChangeArguments, RewrapArguments, StretchArguments};
use crate::failure::CommandFailure;

use super::batch::{Watch, Work};
use super::keys::{SealingKeys, added_keys, opening_keys, recipient};
use super::opening::header;
use super::walk::{Item, failure};

/// What is to become of slots.
#[derive(Debug)]
struct Change {
    add: SealingKeys,
    removes_passphrases: bool,
    /// Fingerprints as text.
    remove_recipients: Vec<String>,
    remove_masters: Vec<MasterKeyId>,
}

impl Change {
    /// The change that was asked for.
    fn new(
        arguments: &ChangeArguments,
        stretching: &StretchArguments,
        set: AlgorithmSet,
    ) -> Result<Self, CommandFailure> {
        let add = added_keys(arguments, stretching, set)?;
        let replaces = add.has_passphrase() && !arguments.keep_passphrases;
        let fingerprints = arguments.remove_recipients.iter().map(|named| fingerprint(named));
        Ok(Self {
            removes_passphrases: arguments.remove_passphrases || replaces,
            remove_recipients: fingerprints.collect::<Result<_, _>>()?,
            remove_masters: arguments.remove_masters.clone(),
            add,
        })
    }

    fn removes(&self, slot: &Slot) -> bool {
        slot.stretch().is_some() && self.removes_passphrases
            || slot.recipient().is_some_and(|recipient| self.remove_recipients.contains(&recipient.to_string()))
            || slot.master().is_some_and(|master| self.remove_masters.contains(master))
    }

    /// Takes slots away and adds others, in the order that leaves one at any
    /// time.
    fn apply(&self, envelope: &mut Envelope) -> Result<(), EnvelopeError> {
        let before = envelope.slots().to_vec();
        if before.iter().all(|slot| self.removes(slot)) {
            self.add.add_to(envelope)?;
            envelope.retain(|slot| !before.contains(slot))?;
        } else {
            // Those that go may be what makes room.
            envelope.retain(|slot| !self.removes(slot))?;
            self.add.add_to(envelope)?;
        }
        Ok(())
    }
}

/// A fingerprint as typed, or that of a key file.
fn fingerprint(named: &OsStr) -> Result<String, CommandFailure> {
    match named.to_str().filter(|text| text.starts_with("sha256:")) {
        Some(text) => Ok(text.to_ascii_lowercase()),
        None => Ok(recipient(Path::new(named))?.fingerprint().to_string()),
    }
}

/// What `limosa envelope rewrap` does.
#[derive(Debug)]
pub(super) struct Rewrapping {
    keyring: Keyring,
    change: Change,
}

impl Rewrapping {
    /// As the options say.
    pub(super) fn new(arguments: &RewrapArguments) -> Result<Self, CommandFailure> {
        let set = arguments.fips.algorithms()?;
        let keyring = opening_keys(&arguments.keys, set)?;
        Ok(Self { keyring, change: Change::new(&arguments.change, &arguments.stretching, set)? })
    }
}

impl Work for Rewrapping {
    fn file(&mut self, store: &dyn Store, item: &Item, _: &Watch) -> Result<u64, CommandFailure> {
        let _lock = store.lock(&item.path).map_err(|error| failure(&error))?;
        let file = store.reopen(&item.path).map_err(|error| failure(&error))?;
        let metadata = file.metadata().map_err(|error| failure(&error))?;
        let mut envelope = self.keyring.open(&header(&*file, self.keyring.set())?)?;
        self.change.apply(&mut envelope)?;
        for update in envelope.updates()? {
            file.write_at(update.offset, &update.bytes).map_err(|error| failure(&error))?;
            file.sync_data().map_err(|error| failure(&error))?;
        }
        let attributes = Attributes::default().with_modified(metadata.modified);
        file.set_attributes(&attributes).map_err(|error| failure(&error))?;
        Ok(0)
    }

    fn directory(&mut self, _: &dyn Store, _: &Item) -> Result<(), CommandFailure> {
        Ok(())
    }
}
