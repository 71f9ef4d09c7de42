//! What may be typed, and its help: one item per option, from which usage,
//! help, man page and completions are made.

// The help of an option is its documentation, and `[user@]host` is no link.
#![allow(rustdoc::broken_intra_doc_links)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use limosa_policy::FipsMode;
use limosa_seal::AlgorithmSet;
use limosa_seal::module::Module;
use limosa_seal::negotiation::CipherWish;
use limosa_wire::Code;
use limosa_wire::Rate;
use limosa_wire::setup;

use crate::failure::CommandFailure;

mod crypt;
mod envelope;

pub use crypt::*;
pub use envelope::*;

/// Moves files of any size over any distance, fast and safely.
#[derive(Debug, Parser)]
#[command(name = "limosa", version, propagate_version = true, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit status: 0 done, 2 usage, 3 no such directory, 4 no such file, 5 try again later, \
6 some files failed, 7 fatal, 9 nothing to do, 11 verification, 12 authentication, 13 not permitted, 130 stopped.\n\
Secrets come from prompts or the environment (LIMOSA_PASS, LIMOSA_FILEPASS), never from arguments.")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send files and directories to a host
    Send(Box<SendArguments>),
    /// Fetch files and directories from a host
    Get(Box<GetArguments>),
    /// Find out whether and how a host can be reached, with advice
    Doctor(DoctorArguments),
    /// Encrypt files on this machine, in place or elsewhere
    Protect(ProtectArguments),
    /// Decrypt such files
    Unprotect(UnprotectArguments),
    /// Show, make keys for, and change who can open encrypted files
    #[command(subcommand)]
    Envelope(EnvelopeCommand),
    /// Say which version this is, and which cryptographic module it has
    Version(VersionArguments),
    /// Be the remote end of a transfer (started over SSH)
    #[command(hide = true)]
    Session(SessionArguments),
}

/// `limosa send`.
#[derive(Debug, Args)]
pub struct SendArguments {
    /// Files and directories here, then [user@]host:DEST. A source ending in / stands for its content,
    /// a destination ending in / for a directory; missing directories are made
    #[arg(required = true, num_args = 2.., value_names = ["SRC", "[USER@]HOST:DEST"])]
    pub paths: Vec<OsString>,
    /// Encryption here.
    #[command(flatten)]
    pub crypt: SendCryptArguments,
    /// Options of every transfer.
    #[command(flatten)]
    pub transfer: TransferArguments,
}

/// `limosa get`.
#[derive(Debug, Args)]
pub struct GetArguments {
    /// [user@]host:SRC, all of one host, then the destination here
    #[arg(required = true, num_args = 2.., value_names = ["[USER@]HOST:SRC", "DEST"])]
    pub paths: Vec<OsString>,
    /// Decryption here.
    #[command(flatten)]
    pub crypt: GetCryptArguments,
    /// Options of every transfer.
    #[command(flatten)]
    pub transfer: TransferArguments,
}

/// Options of every transfer.
#[derive(Debug, Args)]
pub struct TransferArguments {
    /// How to reach the host.
    #[command(flatten)]
    pub reach: ReachArguments,
    /// Target rate in bits per second, with k, m or g; without it, as fast as the line allows
    #[arg(long, value_name = "RATE", env = "LIMOSA_RATE", help_heading = "Speed")]
    pub rate: Option<Rate>,
    /// Law that sets the pace
    #[arg(long, value_enum, default_value_t = Policy::Fair, env = "LIMOSA_POLICY", help_heading = "Speed")]
    pub policy: Policy,
    /// Cipher in transit; the server may demand a longer key, and has to allow `none`
    #[arg(long, value_enum, default_value_t = Cipher::Aes128, env = "LIMOSA_CIPHER", help_heading = "Safety")]
    pub cipher: Cipher,
    /// What is compared before a file that is there, whole or in part, is left or continued
    #[arg(long, value_enum, default_value_t = Resume::Attr, env = "LIMOSA_RESUME", help_heading = "Safety")]
    pub resume: Resume,
    /// How sure a file is to survive a crash once it is reported
    #[arg(long, value_enum, default_value_t = DurabilityChoice::File, env = "LIMOSA_DURABILITY", help_heading = "Safety")]
    pub durability: DurabilityChoice,
    /// What becomes of files that stand at the destination
    #[arg(long, value_enum, default_value_t = OverwriteChoice::Different, help_heading = "Files")]
    pub overwrite: OverwriteChoice,
    /// What becomes of symbolic links among the sources
    #[arg(long, value_enum, default_value_t = LinksChoice::Copy, help_heading = "Files")]
    pub links: LinksChoice,
    /// Show no progress, only errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
    /// Say more; twice for debugging
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
    /// Write events as JSON, one a line, to standard output; the last line is the summary
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// How to reach a host.
#[derive(Debug, Args)]
pub struct ReachArguments {
    /// TCP port of SSH
    #[arg(short = 'P', long, value_name = "PORT", env = "LIMOSA_PORT", help_heading = "Connection")]
    pub port: Option<u16>,
    /// Local UDP port; any free one if not given
    #[arg(long, value_name = "PORT", env = "LIMOSA_UDP_PORT", help_heading = "Connection")]
    pub udp_port: Option<u16>,
    /// Host or address to send datagrams to, where it is not the one that SSH reaches; with a port where that is
    /// not the one the server names
    #[arg(long, value_name = "HOST[:PORT]", env = "LIMOSA_UDP_HOST", help_heading = "Connection")]
    pub udp_host: Option<UdpHost>,
    /// Private key to log in with; may be given several times
    #[arg(short = 'i', long = "identity", value_name = "FILE", help_heading = "Connection")]
    pub identities: Vec<PathBuf>,
    /// Known-hosts file to use instead of the usual ones
    #[arg(long, value_name = "FILE", env = "LIMOSA_KNOWN_HOSTS", help_heading = "Connection")]
    pub known_hosts: Option<PathBuf>,
    /// Accept the key of a host that is not known yet, and remember it
    #[arg(long, help_heading = "Connection")]
    pub accept_new: bool,
    /// SSH client to use
    #[arg(long, value_enum, default_value_t = SshWay::Auto, env = "LIMOSA_SSH", help_heading = "Connection")]
    pub ssh: SshWay,
    /// Which algorithms may be used.
    #[command(flatten)]
    pub fips: FipsArguments,
    /// Command that starts a session where the host has no `limosa` subsystem
    #[arg(long, value_name = "COMMAND", default_value = limosa_ssh::SESSION_COMMAND, help_heading = "Connection")]
    pub remote_command: String,
}

/// `--fips`.
#[derive(Clone, Copy, Debug, Args)]
pub struct FipsArguments {
    /// Whether approved algorithms alone are used; `required`: by the FIPS-validated module, or not at all
    #[arg(long, value_enum, value_name = "MODE", default_value_t = FipsChoice::Off, env = "LIMOSA_FIPS", help_heading = "Safety")]
    pub fips: FipsChoice,
}

impl FipsArguments {
    /// Which algorithms may be used.
    ///
    /// # Errors
    /// If only the validated module may be used, and this program has another.
    pub fn algorithms(self) -> Result<AlgorithmSet, CommandFailure> {
        let mode = FipsMode::from(self.fips);
        mode.algorithms(Module::running()).map_err(|error| CommandFailure::new(Code::MODULE_NOT_VALIDATED, error))
    }
}

/// `limosa doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// The host to examine
    #[arg(value_name = "[USER@]HOST")]
    pub host: limosa_ssh::Target,
    /// How to reach it.
    #[command(flatten)]
    pub reach: ReachArguments,
    /// Write the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// `limosa version`.
#[derive(Debug, Args)]
pub struct VersionArguments {
    /// Name the cryptographic module, test it, and say whether it is the validated one
    #[arg(long)]
    pub fips: bool,
}

/// `limosa session`.
#[derive(Debug, Args)]
pub struct SessionArguments {
    /// UDP ports to choose from
    #[arg(long, value_name = "FIRST-LAST", default_value = "33001-33100", env = "LIMOSA_SESSION_PORTS")]
    pub udp_ports: PortRange,
}

/// Ports from first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// First.
    pub first: u16,
    /// Last.
    pub last: u16,
}

impl std::str::FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Self { first, last }),
            _ => Err(format!("`{text}` is not a range of ports such as 33001-33100")),
        }
    }
}

/// A host, and a port where one is given: `host`, `host:port`, `[v6]:port`, `v6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpHost {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: Option<u16>,
}

impl std::str::FromStr for UdpHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a host or host:port");
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address without brackets has no port.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?))
            }
            _ => (text, None),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || host.contains(['[', ']']) {
            Err(wrong())
        } else {
            Ok(Self { host: host.to_owned(), port })
        }
    }
}

/// Declares a choice of the command line and what it means on the wire.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident -> $wire:ty { $($(#[$vmeta:meta])* $variant:ident = $meaning:expr,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl From<$name> for $wire {
            fn from(choice: $name) -> Self {
                match choice { $($name::$variant => $meaning,)+ }
            }
        }
    };
}

choice! {
    /// `--policy`.
    Policy -> setup::RatePolicy {
        /// Fill what is free, share evenly with others
        Fair = Self::Fair,
        /// The same, with about twice an equal flow's share
        High = Self::High,
        /// Fill what others leave, and give way to them
        Low = Self::Low,
        /// Send at --rate, whatever the line says; the server must allow it
        Fixed = Self::Fixed,
    }
}

choice! {
    /// `--fips`.
    FipsChoice -> FipsMode {
        /// All that this software knows may be used
        Off = Self::Off,
        /// Approved algorithms alone
        On = Self::On,
        /// The same, and by the validated module
        Required = Self::Required,
    }
}

choice! {
    /// `--cipher`.
    Cipher -> CipherWish {
        /// AES-128, in GCM unless the server has only CFB
        #[value(name = "aes-128", alias = "aes128")]
        Aes128 = Self::KeyBits(128),
        /// AES-192, likewise
        #[value(name = "aes-192", alias = "aes192")]
        Aes192 = Self::KeyBits(192),
        /// AES-256, likewise
        #[value(name = "aes-256", alias = "aes256")]
        Aes256 = Self::KeyBits(256),
        /// AES-128 in GCM
        #[value(name = "aes-128-gcm", alias = "aes128gcm")]
        Aes128Gcm = Self::Suite(setup::Suite::Aes128Gcm),
        /// AES-192 in GCM
        #[value(name = "aes-192-gcm", alias = "aes192gcm")]
        Aes192Gcm = Self::Suite(setup::Suite::Aes192Gcm),
        /// AES-256 in GCM
        #[value(name = "aes-256-gcm", alias = "aes256gcm")]
        Aes256Gcm = Self::Suite(setup::Suite::Aes256Gcm),
        /// AES-128 in CFB with HMAC-SHA-256
        #[value(name = "aes-128-cfb", alias = "aes128cfb")]
        Aes128Cfb = Self::Suite(setup::Suite::Aes128Cfb),
        /// AES-192 in CFB with HMAC-SHA-256
        #[value(name = "aes-192-cfb", alias = "aes192cfb")]
        Aes192Cfb = Self::Suite(setup::Suite::Aes192Cfb),
        /// AES-256 in CFB with HMAC-SHA-256
        #[value(name = "aes-256-cfb", alias = "aes256cfb")]
        Aes256Cfb = Self::Suite(setup::Suite::Aes256Cfb),
        /// No encryption: names and content can be read on the way, but not changed; the server must allow it
        None = Self::Suite(setup::Suite::Unencrypted),
    }
}

choice! {
    /// `--resume`.
    Resume -> setup::ResumeLevel {
        /// Nothing: every file is sent whole
        Off = Self::None,
        /// Size and time of modification
        Attr = Self::Attributes,
    }
}

choice! {
    /// `--durability`.
    DurabilityChoice -> setup::Durability {
        /// Leave it to the operating system
        None = Self::None,
        /// A file's bytes are on disk before its name appears
        File = Self::File,
        /// And its directory before it is reported
        Strict = Self::Strict,
    }
}

choice! {
    /// `--overwrite`.
    OverwriteChoice -> setup::Overwrite {
        /// Replace them
        Always = Self::Always,
        /// Keep them; the entry fails
        Never = Self::Never,
        /// Replace them if they differ under --resume's comparison
        Different = Self::Different,
    }
}

choice! {
    /// `--links`.
    LinksChoice -> setup::Symlinks {
        /// Send what they point at
        Follow = Self::Follow,
        /// Send them as links
        Copy = Self::Copy,
        /// Leave them out
        Skip = Self::Skip,
    }
}

/// `--ssh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SshWay {
    /// The system's where its configuration asks for more than the built-in one does
    Auto,
    /// The built-in client
    Builtin,
    /// The system's own `ssh`
    System,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_option_has_help() {
        for command in Arguments::command().get_subcommands() {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }

    #[test]
    fn ciphers_have_a_short_name_a_long_one_and_one_without_dashes() {
        let first = |name: &str| {
            let line = ["limosa", "send", "--cipher", name, "x", "host:"];
            let Ok(Arguments { command: Command::Send(send) }) = Arguments::try_parse_from(line) else { return None };
            CipherWish::from(send.transfer.cipher).offers().first().map(|suite| suite.name())
        };
        for bits in ["128", "192", "256"] {
            let named = |mode: &str| Some(format!("aes-{bits}-{mode}"));
            for (name, mode) in [("aes-{}", "gcm"), ("aes{}", "gcm"), ("aes-{}-gcm", "gcm"), ("aes{}gcm", "gcm")] {
                assert_eq!(first(&name.replace("{}", bits)).map(str::to_owned), named(mode), "{name} {bits}");
            }
            for name in ["aes-{}-cfb", "aes{}cfb"] {
                assert_eq!(first(&name.replace("{}", bits)).map(str::to_owned), named("cfb"), "{name} {bits}");
            }
        }
        assert_eq!(first("none"), Some("none"));
        assert_eq!(first("aes"), None);
    }

    #[test]
    fn two_dashes_end_the_options() {
        let parsed = Arguments::try_parse_from(["limosa", "send", "--", "-odd", "host:"]).unwrap();
        let Command::Send(send) = parsed.command else { panic!("a send") };
        assert_eq!(send.paths, ["-odd", "host:"]);
    }

    #[test]
    fn hosts_with_and_without_ports() {
        let host = |host: &str, port| Ok(UdpHost { host: host.to_owned(), port });
        assert_eq!("relay.example".parse(), host("relay.example", None));
        assert_eq!("10.0.0.1:33001".parse(), host("10.0.0.1", Some(33001)));
        assert_eq!("[::1]:5".parse(), host("::1", Some(5)));
        assert_eq!("fe80::1".parse(), host("fe80::1", None));
        for text in ["", ":5", "h:0", "h:x", "[::1", "h:70000"] {
            assert!(text.parse::<UdpHost>().is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_of_ports() {
        assert_eq!("33001-33100".parse(), Ok(PortRange { first: 33001, last: 33100 }));
        assert_eq!("5".parse(), Ok(PortRange { first: 5, last: 5 }));
        for text in ["", "0-1", "9-8", "a-b", "1-70000"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }
}
