//! What may be typed of encryption by the client: `--file-crypt` of
//! `limosa send` and `limosa get`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::envelope::{EnvelopeCipher, PassphraseArguments, SUFFIX, StretchArguments};

/// How `limosa send` encrypts files.
#[derive(Debug, Args)]
pub struct SendCryptArguments {
    /// Encrypt files here, so that the server never has them in clear
    #[arg(long, value_enum, value_name = "WAY", help_heading = "Encrypted files")]
    pub file_crypt: Option<SendCrypt>,
    /// What the names of encrypted files end in
    #[arg(long, value_name = "SUFFIX", default_value = SUFFIX, env = "LIMOSA_ENVELOPE_SUFFIX", help_heading = "Encrypted files")]
    pub file_crypt_suffix: OsString,
    /// For whom.
    #[command(flatten)]
    pub passphrase: PassphraseArguments,
    /// Public key that may open the files, from `limosa envelope keygen`; may be given several times
    #[arg(long = "recipient", value_name = "FILE", requires = "file_crypt", help_heading = "Keys")]
    pub recipients: Vec<PathBuf>,
    /// How a new passphrase is stretched.
    #[command(flatten)]
    pub stretching: StretchArguments,
    /// Cipher of encrypted files
    #[arg(long, value_enum, default_value_t = EnvelopeCipher::Aes256, env = "LIMOSA_ENVELOPE_CIPHER", help_heading = "Encrypted files")]
    pub file_cipher: EnvelopeCipher,
}

/// How `limosa get` decrypts files.
#[derive(Debug, Args)]
pub struct GetCryptArguments {
    /// Decrypt encrypted files as they arrive
    #[arg(long, value_enum, value_name = "WAY", help_heading = "Encrypted files")]
    pub file_crypt: Option<GetCrypt>,
    /// What the names of encrypted files end in
    #[arg(long, value_name = "SUFFIX", default_value = SUFFIX, env = "LIMOSA_ENVELOPE_SUFFIX", help_heading = "Encrypted files")]
    pub file_crypt_suffix: OsString,
    /// A passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArguments,
    /// Private key that opens the files; may be given several times
    #[arg(long = "file-identity", value_name = "FILE", requires = "file_crypt", help_heading = "Keys")]
    pub file_identities: Vec<PathBuf>,
    /// Keep nothing of files that the passphrase does not open; else they stay encrypted
    #[arg(long, requires = "file_crypt", help_heading = "Encrypted files")]
    pub fail_bad_filepass: bool,
}

/// `--file-crypt` of `limosa send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SendCrypt {
    /// Encrypt them
    Encrypt,
}

/// `--file-crypt` of `limosa get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GetCrypt {
    /// Decrypt them
    Decrypt,
}
