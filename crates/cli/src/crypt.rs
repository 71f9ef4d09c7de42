//! Encryption by the client of a transfer: `--file-crypt`. What the engines
//! see of the client's files is made by `limosa_storage::protecting`; here is
//! what the options mean.

mod unfinished;

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use limosa_seal::AlgorithmSet;
use limosa_seal::envelope::{EnvelopeError, FileKeySeed, Keyring};
use limosa_storage::protecting::{Misfit, ProtectingStore, ProtectionKeys, Suffix, UnprotectingStore};
use limosa_storage::{Durability, FollowLinks, Store};
use limosa_transfer::sender::{Continuing, Nature, Source, SourceExtent};
use limosa_wire::setup::{self, ContentProtection, Request, ResumeLevel, Suite, Symlinks};

use crate::arguments::{GetCryptArguments, PassphraseArguments, SendCryptArguments};
use crate::envelope::{TransferKeys, keys_to_open, keys_to_seal};
use crate::failure::CommandFailure;
pub use unfinished::Unfinished;

/// What a transfer does to the client's files on their way.
#[derive(Debug)]
pub enum Crypt {
    /// Nothing.
    Plain,
    /// It encrypts them.
    Encrypt {
        /// For whom.
        keys: Arc<ProtectionKeys>,
        /// What names end in.
        suffix: Suffix,
        /// What the server is told of it.
        protection: ContentProtection,
        /// Who can go on with it if it is stopped.
        continuing: Continuing,
        /// What lets this machine do so.
        unfinished: Option<Unfinished>,
    },
    /// It decrypts them.
    Decrypt {
        /// By these.
        keys: Box<Keyring>,
        /// What names end in.
        suffix: Suffix,
        /// What becomes of those that these do not open.
        misfit: Misfit,
    },
}

fn suffix(typed: &std::ffi::OsStr) -> Result<Suffix, CommandFailure> {
    Suffix::new(typed.as_bytes()).map_err(|error| CommandFailure::usage(format!("--file-crypt-suffix: {error}")))
}

/// What the file keys of a transfer follow from, where that can be kept.
fn kept_seed(transfer: &[u8; 16]) -> Option<(Unfinished, FileKeySeed)> {
    let unfinished = Unfinished::of_user(transfer)?;
    match unfinished.seed() {
        Ok(seed) => Some((unfinished, seed)),
        Err(error) => {
            tracing::info!(%error, "nothing can be kept to go on with; a stopped upload will begin anew");
            None
        }
    }
}

/// Refuses keys that nothing would be done with.
fn no_passphrase(source: &PassphraseArguments) -> Result<(), CommandFailure> {
    if source.passphrase_file.is_some() || source.passphrase_fd.is_some() {
        return Err(CommandFailure::usage("a passphrase is given, and no --file-crypt"));
    }
    Ok(())
}

impl Crypt {
    /// What `limosa send` was told of `transfer`.
    ///
    /// # Errors
    /// What is wrong with the keys, or that there are none.
    pub fn of_send(
        arguments: &SendCryptArguments,
        transfer: &[u8; 16],
        resume: ResumeLevel,
        set: AlgorithmSet,
    ) -> Result<Self, CommandFailure> {
        if arguments.file_crypt.is_none() {
            return no_passphrase(&arguments.passphrase).map(|()| Self::Plain);
        }
        let suite = set.envelope_suite(Suite::from(arguments.file_cipher)).map_err(EnvelopeError::from)?;
        let TransferKeys { passphrase, recipients, earlier, protection } =
            keys_to_seal(&arguments.passphrase, &arguments.recipients, &arguments.stretching, set)?;
        let kept = match passphrase {
            None if resume != ResumeLevel::None => kept_seed(transfer),
            _ => None,
        };
        let continuing = match (&passphrase, &kept) {
            (Some(_), _) => Continuing::ByFront,
            (None, Some((_, seed))) => Continuing::ByFrontHere(seed.name()),
            (None, None) => Continuing::Nothing(limosa_seal::random()),
        };
        let keys = ProtectionKeys::new(passphrase, recipients, suite, set, earlier)?;
        let (keys, unfinished) = match kept {
            Some((unfinished, seed)) => (keys.with_seed(seed), Some(unfinished)),
            None => (keys, None),
        };
        let (keys, suffix) = (Arc::new(keys), suffix(&arguments.file_crypt_suffix)?);
        Ok(Self::Encrypt { keys, suffix, protection, continuing, unfinished })
    }

    /// What `limosa get` was told.
    ///
    /// # Errors
    /// What is wrong with the keys, or that there are none.
    pub fn of_get(arguments: &GetCryptArguments, set: AlgorithmSet) -> Result<Self, CommandFailure> {
        if arguments.file_crypt.is_none() {
            return no_passphrase(&arguments.passphrase).map(|()| Self::Plain);
        }
        let keys = Box::new(keys_to_open(&arguments.passphrase, &arguments.file_identities, set)?);
        let misfit = if arguments.fail_bad_filepass { Misfit::Discard } else { Misfit::Keep };
        Ok(Self::Decrypt { keys, suffix: suffix(&arguments.file_crypt_suffix)?, misfit })
    }

    /// What the server is told of the content that is sent.
    #[must_use]
    pub const fn protection(&self) -> ContentProtection {
        match self {
            Self::Encrypt { protection, .. } => *protection,
            Self::Plain | Self::Decrypt { .. } => ContentProtection::None,
        }
    }

    /// What is to be forgotten once all is done.
    pub(crate) const fn take_unfinished(&mut self) -> Option<Unfinished> {
        match self {
            Self::Encrypt { unfinished, .. } => unfinished.take(),
            Self::Plain | Self::Decrypt { .. } => None,
        }
    }

    /// The store that the engines are given for `files`, and what that means to
    /// who sends from it. Sources get the names that they have there.
    #[must_use]
    pub fn over(self, files: Arc<dyn Store>, request: &Request, sources: &mut [Source]) -> (Arc<dyn Store>, Nature) {
        match self {
            Self::Plain => (files, Nature::Stored),
            Self::Encrypt { keys, suffix, continuing, .. } => {
                let links = if request.symlinks == Symlinks::Follow { FollowLinks::Yes } else { FollowLinks::No };
                let store = ProtectingStore::new(files, keys, suffix, links);
                let named = sources.iter_mut().filter(|source| source.extent == SourceExtent::Itself);
                named.for_each(|source| source.path = store.shown(&source.path));
                (Arc::new(store), Nature::Sealed(continuing))
            }
            Self::Decrypt { keys, suffix, misfit } => {
                let durability = match request.durability {
                    setup::Durability::None => Durability::None,
                    setup::Durability::File => Durability::File,
                    setup::Durability::Strict => Durability::Strict,
                };
                let store = UnprotectingStore::new(files, *keys, suffix, misfit, durability);
                (Arc::new(store), Nature::Stored)
            }
        }
    }
}
