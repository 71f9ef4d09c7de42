//! What may be typed for files encrypted at rest: `limosa protect`,
//! `limosa unprotect` and `limosa envelope`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use limosa_seal::envelope::MasterKeyId;
use limosa_seal::{AlgorithmSet, Stretch};
use limosa_wire::setup::Suite;

use super::FipsArguments;

/// What an encrypted file's name ends in, unless told otherwise.
pub const SUFFIX: &str = ".aspera-env";

/// `limosa protect`.
#[derive(Debug, Args)]
pub struct ProtectArguments {
    /// Files and directories to encrypt. Links are left out, files that are encrypted already are left alone
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Where results go.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// For whom.
    #[command(flatten)]
    pub passphrase: PassphraseArguments,
    /// Public key that may open the files, from `limosa envelope keygen`; may be given several times
    #[arg(long = "recipient", value_name = "FILE", help_heading = "Keys")]
    pub recipients: Vec<PathBuf>,
    /// Master key that may open the files: its name, and a file with its 64 hexadecimal digits or 32 bytes
    #[arg(long = "master-key", value_name = "NAME=FILE", help_heading = "Keys")]
    pub masters: Vec<MasterKeyFile>,
    /// How a new passphrase is stretched.
    #[command(flatten)]
    pub stretching: StretchArguments,
    /// Cipher of the content
    #[arg(long, value_enum, default_value_t = EnvelopeCipher::Aes256, env = "LIMOSA_ENVELOPE_CIPHER", help_heading = "Safety")]
    pub cipher: EnvelopeCipher,
    /// What is told.
    #[command(flatten)]
    pub telling: TellingArguments,
    /// Which algorithms may be used.
    #[command(flatten)]
    pub fips: FipsArguments,
}

/// `limosa unprotect`.
#[derive(Debug, Args)]
pub struct UnprotectArguments {
    /// Encrypted files, and directories to search for them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Where results go.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// What opens the files.
    #[command(flatten)]
    pub keys: OpeningArguments,
    /// What is told.
    #[command(flatten)]
    pub telling: TellingArguments,
    /// Which algorithms may be used.
    #[command(flatten)]
    pub fips: FipsArguments,
}

/// `limosa envelope`.
#[derive(Debug, Subcommand)]
pub enum EnvelopeCommand {
    /// Show what an encrypted file says of itself, without any key
    Info(InfoArguments),
    /// Make a key pair: a private key in FILE, the public one in FILE.pub
    Keygen(KeygenArguments),
    /// Change who can open encrypted files, without rewriting their content
    Rewrap(Box<RewrapArguments>),
}

/// `limosa envelope info`.
#[derive(Debug, Args)]
pub struct InfoArguments {
    /// Encrypted files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write one JSON object a file
    #[arg(long)]
    pub json: bool,
}

/// `limosa envelope keygen`.
#[derive(Debug, Args)]
pub struct KeygenArguments {
    /// File of the private key; it and FILE.pub must not be there
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `limosa envelope rewrap`.
#[derive(Debug, Args)]
pub struct RewrapArguments {
    /// Encrypted files, and directories to search for them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// What encrypted files are called in directories: their names end in this
    #[arg(long, value_name = "SUFFIX", default_value = SUFFIX, env = "LIMOSA_ENVELOPE_SUFFIX", help_heading = "Files")]
    pub suffix: OsString,
    /// What opens the files.
    #[command(flatten)]
    pub keys: OpeningArguments,
    /// What is to change.
    #[command(flatten)]
    pub change: ChangeArguments,
    /// How a new passphrase is stretched.
    #[command(flatten)]
    pub stretching: StretchArguments,
    /// What is told.
    #[command(flatten)]
    pub telling: TellingArguments,
    /// Which algorithms may be used.
    #[command(flatten)]
    pub fips: FipsArguments,
}

/// What rewrapping changes; nothing repairs damaged copies of the header.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("new passphrase").args(["new_passphrase", "new_passphrase_file", "new_passphrase_fd"]))]
pub struct ChangeArguments {
    /// Ask for a new passphrase, or take it from LIMOSA_NEW_FILEPASS; it replaces all present ones
    #[arg(long, help_heading = "Changes")]
    pub new_passphrase: bool,
    /// File whose first line is the new passphrase
    #[arg(long, value_name = "FILE", help_heading = "Changes")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Open file descriptor to read the new passphrase from
    #[arg(long, value_name = "N", help_heading = "Changes")]
    pub new_passphrase_fd: Option<u32>,
    /// Keep present passphrases beside the new one
    #[arg(long, requires = "new passphrase", help_heading = "Changes")]
    pub keep_passphrases: bool,
    /// Take all present passphrases away
    #[arg(long, conflicts_with = "keep_passphrases", help_heading = "Changes")]
    pub remove_passphrases: bool,
    /// Public key that may open the files from now on
    #[arg(long = "add-recipient", value_name = "FILE", help_heading = "Changes")]
    pub add_recipients: Vec<PathBuf>,
    /// Public key, or its fingerprint as `limosa envelope info` shows it, that may no longer
    #[arg(long = "remove-recipient", value_name = "FILE|FINGERPRINT", help_heading = "Changes")]
    pub remove_recipients: Vec<OsString>,
    /// Master key that may open the files from now on
    #[arg(long = "add-master-key", value_name = "NAME=FILE", help_heading = "Changes")]
    pub add_masters: Vec<MasterKeyFile>,
    /// Name of a master key that may no longer
    #[arg(long = "remove-master-key", value_name = "NAME", help_heading = "Changes")]
    pub remove_masters: Vec<MasterKeyId>,
}

/// Where results go.
#[derive(Debug, Args)]
pub struct PlaceArguments {
    /// File or directory for the results, links followed; without it they take the place of their sources
    #[arg(short, long, value_name = "DEST", help_heading = "Files")]
    pub output: Option<PathBuf>,
    /// What the names of encrypted files end in
    #[arg(long, value_name = "SUFFIX", default_value = SUFFIX, env = "LIMOSA_ENVELOPE_SUFFIX", help_heading = "Files")]
    pub suffix: OsString,
    /// Keep sources whose results stand beside them
    #[arg(long, help_heading = "Files")]
    pub keep: bool,
    /// What becomes of files that have a result's name
    #[arg(long, value_enum, default_value_t = ReplaceChoice::Never, help_heading = "Files")]
    pub overwrite: ReplaceChoice,
}

/// `--overwrite` of commands that work on this machine alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReplaceChoice {
    /// Replace them
    Always,
    /// Keep them; the entry fails
    Never,
}

/// Where a passphrase comes from.
#[derive(Debug, Args)]
pub struct PassphraseArguments {
    /// File whose first line is the passphrase; without it LIMOSA_FILEPASS, ASPERA_SCP_FILEPASS or a question, unless
    /// another key is given
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_fd", help_heading = "Keys")]
    pub passphrase_file: Option<PathBuf>,
    /// Open file descriptor to read the passphrase from
    #[arg(long, value_name = "N", help_heading = "Keys")]
    pub passphrase_fd: Option<u32>,
}

/// What opens encrypted files.
#[derive(Debug, Args)]
pub struct OpeningArguments {
    /// A passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArguments,
    /// Private key; may be given several times
    #[arg(short = 'i', long = "identity", value_name = "FILE", help_heading = "Keys")]
    pub identities: Vec<PathBuf>,
    /// Master key: its name, and a file with its 64 hexadecimal digits or 32 bytes
    #[arg(long = "master-key", value_name = "NAME=FILE", help_heading = "Keys")]
    pub masters: Vec<MasterKeyFile>,
}

/// How a new passphrase is stretched.
#[derive(Debug, Args)]
pub struct StretchArguments {
    /// How the passphrase is stretched, which is what a guess at it costs: argon2id, or in FIPS mode pbkdf2,
    /// which alone is approved
    #[arg(long, value_enum, env = "LIMOSA_KDF", help_heading = "Safety")]
    pub kdf: Option<Kdf>,
    /// Cost of it. argon2id: memory in KiB, passes, lanes (65536,3,4); pbkdf2: rounds (600000). Less is for
    /// passphrases that nobody can guess, such as 128 random bits
    #[arg(long, value_name = "COST", value_parser = kdf_cost, env = "LIMOSA_KDF_COST", help_heading = "Safety")]
    pub kdf_cost: Option<Stretch>,
}

impl StretchArguments {
    /// The way and its cost, where `set` may be used; `None` if they do not fit
    /// each other, or a machine cannot be asked for it.
    #[must_use]
    pub fn stretch(&self, set: AlgorithmSet) -> Option<Stretch> {
        let usual = if set == AlgorithmSet::Approved { Kdf::Pbkdf2 } else { Kdf::Argon2id };
        let stretch = match (self.kdf.unwrap_or(usual), self.kdf_cost) {
            (Kdf::Argon2id, None) => Stretch::Argon2id { memory_kib: 64 * 1024, passes: 3, lanes: 4 },
            (Kdf::Pbkdf2, None) => Stretch::Pbkdf2 { rounds: 600_000 },
            (Kdf::Argon2id, Some(cost @ Stretch::Argon2id { .. }))
            | (Kdf::Pbkdf2, Some(cost @ Stretch::Pbkdf2 { .. })) => cost,
            _ => return None,
        };
        stretch.is_bearable().then_some(stretch)
    }
}

/// `--kdf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kdf {
    /// Argon2id
    Argon2id,
    /// PBKDF2 with HMAC-SHA-256
    Pbkdf2,
}

/// Reads `--kdf-cost`: three numbers for Argon2id, one for PBKDF2.
fn kdf_cost(text: &str) -> Result<Stretch, String> {
    let numbers: Result<Vec<u32>, _> = text.split(',').map(str::parse).collect();
    match numbers.as_deref() {
        Ok(&[memory_kib, passes, lanes]) => Ok(Stretch::Argon2id { memory_kib, passes, lanes }),
        Ok(&[rounds]) => Ok(Stretch::Pbkdf2 { rounds }),
        _ => Err(format!("`{text}` is neither MEMORY,PASSES,LANES nor ROUNDS")),
    }
}

/// `--cipher` of encrypted files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EnvelopeCipher {
    /// AES-256 in GCM
    #[value(name = "aes-256")]
    Aes256,
    /// AES-128 in GCM
    #[value(name = "aes-128")]
    Aes128,
}

impl From<EnvelopeCipher> for Suite {
    fn from(cipher: EnvelopeCipher) -> Self {
        match cipher {
            EnvelopeCipher::Aes256 => Self::Aes256Gcm,
            EnvelopeCipher::Aes128 => Self::Aes128Gcm,
        }
    }
}

/// A master key's name and the file that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeyFile {
    /// Its name.
    pub id: MasterKeyId,
    /// Where it is.
    pub file: PathBuf,
}

impl FromStr for MasterKeyFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, file) = text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=FILE"))?;
        let id = id.parse().map_err(|error| format!("`{id}`: {error}"))?;
        Ok(Self { id, file: file.into() })
    }
}

/// What is told.
#[derive(Clone, Copy, Debug, Args)]
pub struct TellingArguments {
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
    /// Name each file
    #[arg(short, long, help_heading = "Output")]
    pub verbose: bool,
    /// Write events as JSON, one a line, to standard output; the last line is the summary
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_fit_their_way_of_stretching() {
        let stretch = |kdf, cost: &str| {
            let kdf_cost = (!cost.is_empty()).then(|| kdf_cost(cost).unwrap());
            StretchArguments { kdf: Some(kdf), kdf_cost }.stretch(AlgorithmSet::Ordinary)
        };
        let argon2 = |memory_kib, passes, lanes| Some(Stretch::Argon2id { memory_kib, passes, lanes });
        assert_eq!(stretch(Kdf::Argon2id, ""), argon2(65536, 3, 4));
        assert_eq!(stretch(Kdf::Argon2id, "64,1,1"), argon2(64, 1, 1));
        assert_eq!(stretch(Kdf::Pbkdf2, ""), Some(Stretch::Pbkdf2 { rounds: 600_000 }));
        assert_eq!(stretch(Kdf::Pbkdf2, "1000"), Some(Stretch::Pbkdf2 { rounds: 1000 }));
        for (kdf, cost) in [(Kdf::Argon2id, "1000"), (Kdf::Pbkdf2, "64,1,1"), (Kdf::Argon2id, "4294967295,1,1")] {
            assert_eq!(stretch(kdf, cost), None, "{cost}");
        }
        let usual = |set| StretchArguments { kdf: None, kdf_cost: None }.stretch(set);
        assert_eq!(usual(AlgorithmSet::Ordinary), argon2(65536, 3, 4));
        assert_eq!(usual(AlgorithmSet::Approved), Some(Stretch::Pbkdf2 { rounds: 600_000 }));
        for text in ["", "1,2", "a", "1,2,3,4", "-1"] {
            assert!(kdf_cost(text).is_err(), "{text}");
        }
    }

    #[test]
    fn master_keys_have_a_name_and_a_file() {
        let key: MasterKeyFile = "site-1=/etc/keys/a=b".parse().unwrap();
        assert_eq!((key.id.as_str(), key.file), ("site-1", PathBuf::from("/etc/keys/a=b")));
        for text in ["site", "=file", "with space=file"] {
            assert!(text.parse::<MasterKeyFile>().is_err(), "{text}");
        }
    }
}
