//! What may be typed, and its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use limosa_node::config::Listen;
use limosa_node::config::key::Scope;
use limosa_policy::settings::RateCap;
use limosa_policy::{GroupName, UserName};
use limosa_seal::envelope::MasterKeyId;
use limosa_ssh::sshd_config::Profile;

/// The Limosa server and its administration.
#[derive(Debug, Parser)]
#[command(name = "limosad", version, propagate_version = true, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit status: 0 done, 2 usage or configuration, 5 try again later, 6 no permission, 7 fatal.\n\
Every setting of limosad.toml can be set in the environment: LIMOSA_SECTION_KEY.")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How the log is written, to standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "LIMOSA_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// An object a line
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(ServeArguments),
    /// Administer the users of the embedded SSH server
    #[command(subcommand)]
    User(UserCommand),
    /// Examine configuration, state and machine, with advice
    Check(CheckArguments),
    /// Show, check and change the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Administer files that are sealed at rest
    #[command(subcommand)]
    Seal(SealCommand),
    /// Print the sshd_config recommended for running behind OpenSSH
    SshConfig(SshConfigArguments),
    /// Be the remote end of a transfer (started by OpenSSH)
    Session(SessionArguments),
    /// Send a tree over a bad line on this machine, fetch it back, compare every byte
    Demo(crate::demo::Arguments),
    /// Be the process that faces the network (started by `serve`)
    #[command(hide = true)]
    Front,
}

/// Where configuration and state are.
#[derive(Clone, Debug, Args)]
pub struct PlaceArguments {
    /// Configuration file; /etc/limosa/limosad.toml for root, else
    /// ~/.config/limosa/limosad.toml, if there is one
    #[arg(long, value_name = "FILE", env = "LIMOSA_CONFIG")]
    pub config: Option<PathBuf>,
    /// State directory; /var/lib/limosa for root, else ~/.local/state/limosad
    #[arg(long, value_name = "DIR", env = "LIMOSA_STATE")]
    pub state: Option<PathBuf>,
}

/// `limosad serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Configuration and state.
    #[command(flatten)]
    pub place: PlaceArguments,
    /// TCP port for SSH, or ADDRESS:PORT; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub listen: Option<Listen>,
    /// UDP port for data, or ADDRESS:PORT; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub udp_port: Option<Listen>,
}

/// `limosad seal`.
#[derive(Debug, Subcommand)]
pub enum SealCommand {
    /// Make one master key open all sealed files of trees, instead of others; content is not rewritten
    Rotate(RotateArguments),
    /// Have a key server (Vault's transit API) make a master key, and keep it wrapped in a file
    NewKey(NewKeyArguments),
    /// Have the key server wrap that master key by the newest version of its own; sealed files stay as they are
    RenewKey {
        /// The file that `new-key` wrote
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Configuration and state.
        #[command(flatten)]
        place: PlaceArguments,
    },
}

/// `limosad seal new-key`.
#[derive(Debug, Args)]
pub struct NewKeyArguments {
    /// File to write, for `transit = "FILE"` in [master-keys.NAME]; must not be there
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// https://HOST:PORT of the key server
    #[arg(long, value_name = "URL")]
    pub address: String,
    /// The key server's name of the key that wraps
    #[arg(long, value_name = "NAME")]
    pub key: String,
    /// Where its transit engine is mounted
    #[arg(long, value_name = "PATH", default_value = "transit")]
    pub mount: String,
    /// Namespace on the key server
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// File with the token, mode 0600; without, none is sent (an agent adds its own)
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates in PEM form to believe, instead of those this machine trusts
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Configuration and state.
    #[command(flatten)]
    pub place: PlaceArguments,
}

/// `limosad seal rotate`.
#[derive(Debug, Args)]
pub struct RotateArguments {
    /// Name of the key that is to open the files from now on
    #[arg(long, value_name = "NAME")]
    pub to: MasterKeyId,
    /// Where the files are; links are not followed
    #[arg(required = true, value_name = "DIR")]
    pub directories: Vec<PathBuf>,
    /// Configuration and state.
    #[command(flatten)]
    pub place: PlaceArguments,
}

/// `limosad user`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user, and make their directory
    Add(UserAddArguments),
    /// Set or remove a user's password
    Passwd(UserPasswdArguments),
    /// List the users
    List {
        /// State directory.
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Remove a user; their files stay
    Remove {
        /// Whom
        name: UserName,
        /// State directory.
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Administer a user's keys
    #[command(subcommand)]
    Key(KeyCommand),
}

/// `limosad user add`.
#[derive(Debug, Args)]
pub struct UserAddArguments {
    /// Name at login
    pub name: UserName,
    /// Directory that all the user's paths are relative to and never leave; made if missing
    #[arg(long, value_name = "DIR")]
    pub docroot: Option<PathBuf>,
    /// File with public keys that may log in; may be given several times
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// A public key itself; may be given several times
    #[arg(long = "key-line", value_name = "LINE")]
    pub key_lines: Vec<String>,
    /// Ask for a password at the terminal
    #[arg(long, conflicts_with = "password_stdin")]
    pub password: bool,
    /// Read a password from standard input
    #[arg(long)]
    pub password_stdin: bool,
    /// Let the user download, not upload
    #[arg(long, conflicts_with = "write_only")]
    pub read_only: bool,
    /// Let the user upload, not download
    #[arg(long)]
    pub write_only: bool,
    /// Highest rate of one session, bits per second, with k, m or g
    #[arg(long, value_name = "RATE")]
    pub rate_cap: Option<RateCap>,
    /// Configuration and state.
    #[command(flatten)]
    pub place: PlaceArguments,
}

/// `limosad user passwd`.
#[derive(Debug, Args)]
pub struct UserPasswdArguments {
    /// Whose
    pub name: UserName,
    /// Read the password from standard input instead of asking
    #[arg(long, conflicts_with = "remove")]
    pub password_stdin: bool,
    /// Remove the password, so that only keys log in
    #[arg(long)]
    pub remove: bool,
    /// State directory.
    #[command(flatten)]
    pub place: PlaceArguments,
}

/// `limosad user key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Add public keys
    Add {
        /// Whose
        name: UserName,
        /// Files with public keys; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// State directory.
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// List a user's keys
    List {
        /// Whose
        name: UserName,
        /// State directory.
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Remove a key
    Remove {
        /// Whose
        name: UserName,
        /// Fingerprint (SHA256:…) or comment, as `list` shows them
        key: String,
        /// State directory.
        #[command(flatten)]
        place: PlaceArguments,
    },
}

/// `limosad check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Configuration and state.
    #[command(flatten)]
    pub place: PlaceArguments,
}

/// `limosad config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every value in force and where it comes from
    Show {
        /// For whom.
        #[command(flatten)]
        scope: ScopeArguments,
        /// Configuration and state.
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Print one value in force
    Get {
        /// SECTION.KEY, or a user's setting alone, such as rate-cap
        key: String,
        /// For whom.
        #[command(flatten)]
        scope: ScopeArguments,
        /// Configuration and state.
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Set a key, in the file, for the node, a group or a user
    Set {
        /// SECTION.KEY, or a user's setting alone, such as rate-cap
        key: String,
        /// The value; of lists, words divided by commas
        value: String,
        /// For whom.
        #[command(flatten)]
        scope: ScopeArguments,
        /// Configuration and state.
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Take a key out of the file, so that what stands behind it applies
    Unset {
        /// SECTION.KEY, or a user's setting alone, such as rate-cap
        key: String,
        /// For whom.
        #[command(flatten)]
        scope: ScopeArguments,
        /// Configuration and state.
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Read the configuration and say what is wrong with it
    Check {
        /// Configuration and state.
        #[command(flatten)]
        place: PlaceArguments,
    },
}

/// For whom something is set.
#[derive(Clone, Debug, Args)]
pub struct ScopeArguments {
    /// For this user, of the embedded server or else a login of the machine
    #[arg(long, value_name = "NAME", conflicts_with = "group")]
    pub user: Option<UserName>,
    /// For the members of this group
    #[arg(long, value_name = "NAME")]
    pub group: Option<GroupName>,
}

impl ScopeArguments {
    /// For whom.
    pub(crate) fn scope(&self) -> Scope {
        match (&self.user, &self.group) {
            (Some(user), _) => Scope::User(user.clone()),
            (None, Some(group)) => Scope::Group(group.clone()),
            (None, None) => Scope::Node,
        }
    }
}

/// `limosad ssh-config`.
#[derive(Debug, Args)]
pub struct SshConfigArguments {
    /// Accept only algorithms approved for FIPS 140-3
    #[arg(long)]
    pub fips: bool,
}

impl SshConfigArguments {
    /// The algorithms asked for.
    pub(crate) fn profile(&self) -> Profile {
        if self.fips { Profile::Fips } else { Profile::Recommended }
    }
}

/// `limosad session`.
#[derive(Debug, Args)]
pub struct SessionArguments {
    /// Configuration file, where it is not /etc/limosa/limosad.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_option_takes_a_secret() {
        let parsed = Arguments::try_parse_from(["limosad", "user", "passwd", "ada", "--password", "x"]);
        assert!(parsed.is_err());
    }

    #[test]
    fn places_to_listen_are_understood() {
        let parsed = Arguments::try_parse_from(["limosad", "serve", "--listen", "127.0.0.1:0", "--udp-port", "5"]);
        let Command::Serve(serve) = parsed.unwrap().command else { panic!("serve") };
        assert_eq!((serve.listen.unwrap().port, serve.udp_port), (0, Some(Listen::everywhere(5))));
    }
}
