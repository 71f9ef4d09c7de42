//! A new key pair.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use limosa_seal::envelope::{Fingerprint, Identity};
use limosa_wire::Code;
use serde_json::json;

use crate::arguments::{KeygenArguments, TellingArguments};
use crate::failure::CommandFailure;
use crate::report::SCHEMA;

use super::telling::Telling;

/// Runs to an exit status.
pub(super) fn run(arguments: &KeygenArguments) -> ExitCode {
    let telling = Telling::new(TellingArguments { quiet: false, verbose: false, json: arguments.json });
    let public = public_file(&arguments.file);
    match generate(&arguments.file, &public) {
        Ok(fingerprint) if arguments.json => {
            let fields = json!({
                "schema": SCHEMA,
                "private": arguments.file.display().to_string(),
                "public": public.display().to_string(),
                "fingerprint": fingerprint.to_string(),
            });
            println!("{fields}");
            ExitCode::SUCCESS
        }
        Ok(fingerprint) => {
            println!("{}\n{}\n{fingerprint}", arguments.file.display(), public.display());
            ExitCode::SUCCESS
        }
        Err(failure) => telling.failed(&failure),
    }
}

fn public_file(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn generate(private: &Path, public: &Path) -> Result<Fingerprint, CommandFailure> {
    let identity = Identity::generate();
    // The public file first: a private key alone would be a key to nothing.
    write_new(public, identity.recipient().to_pem().as_bytes(), 0o644)?;
    if let Err(failure) = write_new(private, identity.to_pem().as_bytes(), 0o600) {
        let _ = std::fs::remove_file(public);
        return Err(failure);
    }
    Ok(identity.recipient().fingerprint())
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CommandFailure> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::AlreadyExists => Code::ALREADY_EXISTS,
            io::ErrorKind::NotFound => Code::DIRECTORY_NOT_FOUND,
            io::ErrorKind::PermissionDenied => Code::PERMISSION_DENIED,
            io::ErrorKind::StorageFull => Code::NO_SPACE,
            _ => Code::WRITE_FAILED,
        };
        CommandFailure::new(code, format_args!("{}: {error}", path.display()))
    })
}
