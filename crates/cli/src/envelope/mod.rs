//! `limosa protect`, `limosa unprotect` and `limosa envelope`: files encrypted
//! at rest, on this machine and without any other. The format is
//! `limosa_seal::envelope`; here is where keys come from, which files are
//! meant, and how one takes another's place without ever being half there.
//!
//! Reading order: [`keys`] for the keys, [`walk`] for which files and where
//! their results go, [`sealing`], [`opening`] and [`mod@rewrap`] for one file,
//! [`batch`] for all of them, [`telling`] for what is said.

mod batch;
mod info;
mod keygen;
mod keys;
mod opening;
mod rewrap;
mod sealing;
mod staging;
mod stream;
mod telling;
mod walk;

use std::process::ExitCode;

use limosa_seal::envelope::EnvelopeError;
use limosa_seal::password::PasswordError;
use limosa_wire::Code;

use crate::arguments::{EnvelopeCommand, ProtectArguments, RewrapArguments, UnprotectArguments};
use crate::failure::CommandFailure;
use batch::Batch;
pub(crate) use keys::{TransferKeys, keys_to_open, keys_to_seal};
use opening::Opening;
use rewrap::Rewrapping;
use sealing::Sealing;
use telling::Telling;
use walk::Named;

impl From<EnvelopeError> for CommandFailure {
    fn from(error: EnvelopeError) -> Self {
        let code = match &error {
            EnvelopeError::NotAnEnvelope => Code::NOT_AN_ENVELOPE,
            EnvelopeError::Version(_) => Code::ENVELOPE_VERSION,
            EnvelopeError::WrongPassphrase => Code::FILE_PASSPHRASE,
            EnvelopeError::NoSlot | EnvelopeError::SlotNotAuthentic => Code::FILE_KEY_UNFIT,
            EnvelopeError::NotAllowed(_) => Code::NOT_ALLOWED,
            EnvelopeError::BegunOtherwise => Code::BEGUN_OTHERWISE,
            EnvelopeError::Passphrase(PasswordError::NoMemory) => Code::RESOURCES,
            EnvelopeError::Passphrase(_) | EnvelopeError::NoRoom | EnvelopeError::LastSlot => Code::USAGE,
            EnvelopeError::TooLong => Code::TOO_LARGE,
            EnvelopeError::NotAKey(_) => Code::KEY_UNREADABLE,
            EnvelopeError::Malformed(_)
            | EnvelopeError::HeaderDamaged
            | EnvelopeError::HeaderNotAuthentic
            | EnvelopeError::TooCostly
            | EnvelopeError::Truncated
            | EnvelopeError::SegmentNotAuthentic(_) => Code::ENVELOPE_DAMAGED,
        };
        Self::new(code, error)
    }
}

/// Runs `limosa protect` to an exit status.
pub async fn protect(arguments: ProtectArguments) -> ExitCode {
    let telling = Telling::new(arguments.telling);
    match Sealing::new(&arguments) {
        Ok(sealing) => {
            let named = Named::Plain(arguments.place.suffix);
            Batch { paths: arguments.paths, named }.run(telling, sealing).await
        }
        Err(failure) => telling.failed(&failure),
    }
}

/// Runs `limosa unprotect` to an exit status.
pub async fn unprotect(arguments: UnprotectArguments) -> ExitCode {
    let telling = Telling::new(arguments.telling);
    match Opening::new(&arguments) {
        Ok(opening) => {
            let named = Named::Sealed(arguments.place.suffix);
            Batch { paths: arguments.paths, named }.run(telling, opening).await
        }
        Err(failure) => telling.failed(&failure),
    }
}

/// Runs `limosa envelope` to an exit status.
pub async fn envelope(command: EnvelopeCommand) -> ExitCode {
    match command {
        EnvelopeCommand::Info(arguments) => info::run(&arguments),
        EnvelopeCommand::Keygen(arguments) => keygen::run(&arguments),
        EnvelopeCommand::Rewrap(arguments) => rewrap(*arguments).await,
    }
}

async fn rewrap(arguments: RewrapArguments) -> ExitCode {
    let telling = Telling::new(arguments.telling);
    match Rewrapping::new(&arguments) {
        Ok(rewrapping) => {
            let named = Named::Sealed(arguments.suffix);
            Batch { paths: arguments.paths, named }.run(telling, rewrapping).await
        }
        Err(failure) => telling.failed(&failure),
    }
}
