//! Where keys come from: files, descriptors, the environment, or a person;
//! never the command line, which every process of the machine can read.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use limosa_seal::envelope::{
    Envelope, EnvelopeError, Identity, Keyring, Layout, MasterKey, Recipient, SlotFor, StretchedPassphrase,
};
use limosa_seal::{AlgorithmSet, EnvelopeSuite, SecretBytes};
use limosa_wire::Code;
use limosa_wire::setup::ContentProtection;

use crate::arguments::{
    ChangeArguments, MasterKeyFile, OpeningArguments, PassphraseArguments, ProtectArguments, StretchArguments,
};
use crate::failure::CommandFailure;
use crate::terminal_prompt::whoever_is_there;

/// Longest key file or passphrase that is read, bytes.
const LIMIT: u64 = 16 * 1024;

/// For whom files are sealed.
#[derive(Debug)]
pub(super) struct SealingKeys {
    set: AlgorithmSet,
    passphrase: Option<StretchedPassphrase>,
    recipients: Vec<Recipient>,
    masters: Vec<MasterKey>,
}

impl SealingKeys {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        usize::from(self.passphrase.is_some()) + self.recipients.len() + self.masters.len()
    }

    /// The envelope of one new file.
    pub(super) fn envelope(&self, suite: EnvelopeSuite, layout: Layout) -> Result<Envelope, EnvelopeError> {
        let mut envelope = Envelope::create(suite, layout, [0; 16], self.set);
        self.add_to(&mut envelope)?;
        Ok(envelope)
    }

    /// Adds a slot for each.
    pub(super) fn add_to(&self, envelope: &mut Envelope) -> Result<(), EnvelopeError> {
        let passphrase = self.passphrase.iter().map(SlotFor::Passphrase);
        let recipients = self.recipients.iter().map(SlotFor::Recipient);
        let masters = self.masters.iter().map(SlotFor::Master);
        passphrase.chain(recipients).chain(masters).try_for_each(|slot| envelope.add(slot))
    }

    /// Whether there is a passphrase.
    pub(super) fn has_passphrase(&self) -> bool {
        self.passphrase.is_some()
    }
}

/// The keys that new files are sealed for.
pub(super) fn sealing_keys(arguments: &ProtectArguments, set: AlgorithmSet) -> Result<SealingKeys, CommandFailure> {
    let recipients = arguments.recipients.iter().map(|file| recipient(file)).collect::<Result<Vec<_>, _>>()?;
    let masters = arguments.masters.iter().map(master).collect::<Result<Vec<_>, _>>()?;
    let source = &arguments.passphrase;
    let given = source.passphrase_file.is_some() || source.passphrase_fd.is_some();
    let passphrase = if given || recipients.is_empty() && masters.is_empty() {
        Some(new_passphrase(from_source(source)?, "Passphrase")?)
    } else {
        None
    };
    let passphrase = passphrase.map(|text| stretched(&text, &arguments.stretching, set)).transpose()?;
    Ok(SealingKeys { set, passphrase, recipients, masters })
}

/// The keys of a transfer that encrypts what it sends.
#[derive(Debug)]
pub(crate) struct TransferKeys {
    pub(crate) passphrase: Option<StretchedPassphrase>,
    pub(crate) recipients: Vec<Recipient>,
    /// What opens files that an earlier transfer began to send.
    pub(crate) earlier: Keyring,
    /// What a server is told of them.
    pub(crate) protection: ContentProtection,
}

/// Whether a passphrase is what servers may ask for: eight characters or more,
/// with a letter, a digit and something else among them.
fn is_strong(text: &SecretBytes) -> bool {
    let bytes = text.expose();
    let has = |kind: fn(&u8) -> bool| bytes.iter().any(kind);
    let characters = bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    characters >= 8
        && has(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii())
        && has(u8::is_ascii_digit)
        && has(|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric())
}

/// The keys that files are sealed for as they are sent.
pub(crate) fn keys_to_seal(
    source: &PassphraseArguments,
    recipients: &[PathBuf],
    stretching: &StretchArguments,
    set: AlgorithmSet,
) -> Result<TransferKeys, CommandFailure> {
    let recipients = recipients.iter().map(|file| recipient(file)).collect::<Result<Vec<_>, _>>()?;
    let given = source.passphrase_file.is_some() || source.passphrase_fd.is_some();
    let text = match from_source(source)?.filter(|_| given || recipients.is_empty()) {
        None if !recipients.is_empty() => None,
        given => Some(new_passphrase(given, "Passphrase")?),
    };
    let passphrase = text.as_ref().map(|text| stretched(text, stretching, set)).transpose()?;
    let protection = match text.as_ref().is_none_or(is_strong) {
        true => ContentProtection::SealedStrongly,
        false => ContentProtection::Sealed,
    };
    let earlier = text.into_iter().fold(Keyring::new(set), Keyring::with_passphrase);
    Ok(TransferKeys { passphrase, recipients, earlier, protection })
}

/// The keys that open files as they are fetched.
pub(crate) fn keys_to_open(
    source: &PassphraseArguments,
    identities: &[PathBuf],
    set: AlgorithmSet,
) -> Result<Keyring, CommandFailure> {
    let arguments = OpeningArguments {
        passphrase: PassphraseArguments {
            passphrase_file: source.passphrase_file.clone(),
            passphrase_fd: source.passphrase_fd,
        },
        identities: identities.to_vec(),
        masters: Vec::new(),
    };
    opening_keys(&arguments, set)
}

/// The keys that rewrapping adds.
pub(super) fn added_keys(
    change: &ChangeArguments,
    stretching: &StretchArguments,
    set: AlgorithmSet,
) -> Result<SealingKeys, CommandFailure> {
    let recipients = change.add_recipients.iter().map(|file| recipient(file)).collect::<Result<Vec<_>, _>>()?;
    let masters = change.add_masters.iter().map(master).collect::<Result<Vec<_>, _>>()?;
    let source = match (&change.new_passphrase_file, change.new_passphrase_fd) {
        (Some(file), _) => Some(first_line(file)?),
        (_, Some(number)) => Some(first_line(&descriptor(number))?),
        _ => None,
    };
    let passphrase = match source {
        Some(text) => Some(text),
        None if change.new_passphrase => {
            let text = from_environment(&["LIMOSA_NEW_FILEPASS"]);
            Some(new_passphrase(text, "New passphrase")?)
        }
        None => None,
    };
    let passphrase = passphrase.map(|text| stretched(&text, stretching, set)).transpose()?;
    Ok(SealingKeys { set, passphrase, recipients, masters })
}

/// The keys that open files. A person is asked only where nothing else was
/// given.
pub(super) fn opening_keys(arguments: &OpeningArguments, set: AlgorithmSet) -> Result<Keyring, CommandFailure> {
    let mut keyring = Keyring::new(set);
    for file in &arguments.identities {
        keyring = keyring.with_identity(read_key(file, Identity::from_pem)?);
    }
    for file in &arguments.masters {
        keyring = keyring.with_master(master(file)?);
    }
    let others = !arguments.identities.is_empty() || !arguments.masters.is_empty();
    match from_source(&arguments.passphrase)? {
        Some(text) => Ok(keyring.with_passphrase(text)),
        None if others => Ok(keyring),
        None => Ok(keyring.with_passphrase(ask("Passphrase").ok_or_else(no_key)?)),
    }
}

fn no_key() -> CommandFailure {
    CommandFailure::new(Code::FILE_KEY_NEEDED, "")
}

fn stretched(
    text: &SecretBytes,
    stretching: &StretchArguments,
    set: AlgorithmSet,
) -> Result<StretchedPassphrase, CommandFailure> {
    let stretch = stretching.stretch(set);
    let stretch = stretch.ok_or_else(|| CommandFailure::usage("--kdf-cost does not fit --kdf, or is out of bounds"))?;
    let scheme = set.passphrase(stretch).map_err(EnvelopeError::from)?;
    Ok(StretchedPassphrase::new(scheme, text)?)
}

/// The passphrase that was given, or one that a person types twice.
fn new_passphrase(given: Option<SecretBytes>, question: &str) -> Result<SecretBytes, CommandFailure> {
    if let Some(text) = given {
        return Ok(text);
    }
    let text = ask(question).ok_or_else(no_key)?;
    let again = ask(&format!("{question} again")).ok_or_else(no_key)?;
    if text.matches(&again) { Ok(text) } else { Err(CommandFailure::usage("the two passphrases differ")) }
}

fn ask(question: &str) -> Option<SecretBytes> {
    whoever_is_there().secret(question).map(|text| text.expose().to_owned().into())
}

/// The passphrase of a file, of a descriptor, or of the environment.
fn from_source(source: &PassphraseArguments) -> Result<Option<SecretBytes>, CommandFailure> {
    match (&source.passphrase_file, source.passphrase_fd) {
        (Some(file), _) => first_line(file).map(Some),
        (None, Some(number)) => first_line(&descriptor(number)).map(Some),
        (None, None) => Ok(from_environment(&["LIMOSA_FILEPASS", "ASPERA_SCP_FILEPASS"])),
    }
}

fn from_environment(names: &[&str]) -> Option<SecretBytes> {
    use std::os::unix::ffi::OsStringExt;
    let values = names.iter().filter_map(std::env::var_os).map(OsStringExt::into_vec);
    values.map(SecretBytes::from).find(|text| !text.is_empty())
}

fn descriptor(number: u32) -> PathBuf {
    PathBuf::from(format!("/dev/fd/{number}"))
}

fn first_line(path: &Path) -> Result<SecretBytes, CommandFailure> {
    let text = read(path)?;
    let line = text.expose().split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(CommandFailure::new(Code::FILE_KEY_NEEDED, format_args!("{} is empty", path.display())));
    }
    Ok(line.to_vec().into())
}

/// A recipient's public key.
pub(super) fn recipient(path: &Path) -> Result<Recipient, CommandFailure> {
    read_key(path, Recipient::from_pem)
}

fn master(key: &MasterKeyFile) -> Result<MasterKey, CommandFailure> {
    read_key(&key.file, |text| MasterKey::parse(key.id.clone(), text))
}

fn read_key<T>(path: &Path, parse: impl Fn(&[u8]) -> Result<T, EnvelopeError>) -> Result<T, CommandFailure> {
    let named = |error| CommandFailure::new(Code::KEY_UNREADABLE, format_args!("{}: {error}", path.display()));
    parse(read(path)?.expose()).map_err(named)
}

fn read(path: &Path) -> Result<SecretBytes, CommandFailure> {
    let read = || -> io::Result<Vec<u8>> {
        // Read into one place, so that no copy is left behind in a smaller one.
        let mut bytes = Vec::with_capacity(LIMIT as usize + 1);
        File::open(path)?.take(LIMIT).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let named = |error| CommandFailure::new(Code::KEY_UNREADABLE, format_args!("{}: {error}", path.display()));
    read().map(SecretBytes::from).map_err(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_the_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pass");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            first_line(&path).map(|line| line.expose().to_vec()).map_err(|failure| failure.code)
        };
        for text in ["a b", "a b\n", "a b\r\n", "a b\nsecond\n"] {
            assert_eq!(of(text), Ok(b"a b".to_vec()));
        }
        assert_eq!(of(" a\n"), Ok(b" a".to_vec()));
        assert_eq!([of(""), of("\n")], [Err(Code::FILE_KEY_NEEDED), Err(Code::FILE_KEY_NEEDED)]);
    }
}
