//! `limosad session`: the administered remote end under stock OpenSSH, started
//! as a subsystem or a forced command.
//!
//! It runs as the login that OpenSSH let in and has that login's rights on
//! files; policy, docroot and bounds come from the machine's `limosad.toml`.
//! The login's environment is not trusted: settings are not taken from it.

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use limosa_session::ServerPorts;
use limosa_session::program::Pipes;
use limosa_session::takeover;
use limosa_ssh::request::RemoteRequest;
use limosa_wire::Code;

use crate::admit::Surroundings;
use crate::audit::AuditLog;
use crate::broker::audit_socket;
use crate::config::{ConfigError, Configuration, Sources, system_file};
use crate::error::NodeError;
use crate::host::{Guest, Host};
use crate::login::Login;
use crate::master_keys::{KeySources, Trust};
use crate::server::TAKEOVER_TIME;
use crate::sessions::SessionRegistry;
use crate::signals::{survive_hangup, termination};

/// Time a session gets to end in order when this process is told to end.
const STOP_TIME: Duration = Duration::from_secs(10);

/// Serves one session over standard input and output. `config` names the
/// configuration file where it is not the machine's.
///
/// # Errors
/// If no session can be served at all; what becomes of one is a code.
pub fn run(config: Option<PathBuf>, umask: u32) -> Result<Code, NodeError> {
    if std::io::stdin().is_terminal() {
        return Err(NodeError::Given("this is started by an SSH server, not by hand; see `limosad --help`".into()));
    }
    if let Ok(wish) = std::env::var("SSH_ORIGINAL_COMMAND") {
        let granted = RemoteRequest::from_original_command(Some(&wish)).map(drop);
        let granted = granted.or_else(|refused| if is_our_subsystem(&wish) { Ok(()) } else { Err(refused) });
        granted.map_err(|refused| NodeError::Given(refused.to_string()))?;
    }
    let config = configuration(config.or_else(machine_file))?;
    let login = Login::current().map_err(NodeError::start("a session"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(NodeError::start("a session"))?;
    let code = runtime.block_on(serve(config, login, umask));
    // The thread that waits for input is not waited for.
    runtime.shutdown_background();
    code
}

/// Whether `wish` is the command line of our own subsystem. That is what a
/// forced command is told where the client asked for a subsystem. Whoever
/// writes it gets what everybody gets: nothing of it is run.
fn is_our_subsystem(wish: &str) -> bool {
    let mut words = wish.split_ascii_whitespace();
    let program = words.next().and_then(|word| word.rsplit('/').next());
    (program, words.next()) == (Some("limosad"), Some("session"))
}

/// The machine's file, if there is one.
fn machine_file() -> Option<PathBuf> {
    Some(system_file()).filter(|file| file.exists())
}

/// What `file` says, or nothing but the defaults. A user's own file would let
/// users change what applies to them.
fn configuration(file: Option<PathBuf>) -> Result<Configuration, ConfigError> {
    let file = file.unwrap_or_else(|| PathBuf::from("/dev/null"));
    Configuration::load(Sources { file: Some(file), ..Sources::default() })
}

async fn serve(config: Configuration, login: Login, umask: u32) -> Result<Code, NodeError> {
    let start = NodeError::start("a session");
    let stop = match survive_hangup().and_then(|()| termination()) {
        Ok(stop) => stop,
        Err(error) => return Err(start(error)),
    };
    let (ports, audit) = ports_and_audit(&config);
    let settings = config.settings_of_login(login.identity.user());
    let host = Host {
        sessions: SessionRegistry::of_one_process(1, TAKEOVER_TIME, takeover::directory_of_user()),
        audit,
        ports,
        surroundings: Surroundings {
            umask,
            public_address: config.udp.public_address.value,
            master_keys: KeySources::of_session(&config, &settings, Trust::Login),
        },
    };
    let (peer, reached) = connection();
    let guest = Guest { identity: login.identity, settings, home: Some(login.home), peer, reached };
    let sessions = host.sessions.clone();
    let ended_by_signal = async {
        stop.await;
        if sessions.stop(STOP_TIME).await {
            // The session has ended; its last words are about to be said.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        code = host.serve(guest, Pipes::standard()) => Ok(code),
        () = ended_by_signal => Ok(Code::SERVER_STOPPING),
    }
}

/// The server's port and audit log, where a server runs and lends them; else a
/// port of this session's own, and no audit log, for which this login has no
/// rights.
fn ports_and_audit(config: &Configuration) -> (ServerPorts, AuditLog) {
    let lender = &config.broker.socket.value;
    if ServerPorts::is_lent_at(lender) {
        return (ServerPorts::Lent(lender.clone()), AuditLog::of_server(audit_socket(lender)));
    }
    let range = config.udp.session_ports.value;
    (ServerPorts::Range { first: range.first(), last: range.last() }, AuditLog::new(None))
}

/// Both ends of the SSH connection, as the SSH server tells them. They serve
/// the log and the choice of an address family, nothing else.
fn connection() -> (Option<SocketAddr>, Option<IpAddr>) {
    let told = std::env::var("SSH_CONNECTION").unwrap_or_default();
    parse_connection(&told)
}

fn parse_connection(told: &str) -> (Option<SocketAddr>, Option<IpAddr>) {
    let mut words = told.split(' ');
    let mut address = || words.next().and_then(|word| word.parse::<IpAddr>().ok());
    let client = address();
    let port = words.next().and_then(|word| word.parse().ok());
    let server = words.next().and_then(|word| word.parse().ok());
    (client.zip(port).map(SocketAddr::from), server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_of_the_machine_the_defaults_apply() {
        let config = configuration(None).unwrap();
        assert_ne!(config.file, crate::config::usual_file());
        let missing = configuration(Some("/nowhere/limosad.toml".into()));
        assert!(missing.is_err(), "a file that was named must exist");
    }

    #[test]
    fn the_subsystems_own_command_line_is_known() {
        assert!(is_our_subsystem("/usr/local/bin/limosad session --config /etc/x.toml"));
        assert!(is_our_subsystem("limosad session"));
        for other in ["limosad serve", "limosad", "", "/bin/sh -c limosad session", "limosad-evil session"] {
            assert!(!is_our_subsystem(other), "{other}");
        }
    }

    #[test]
    fn both_ends_of_the_connection_are_found() {
        let (peer, reached) = parse_connection("192.0.2.7 50000 2001:db8::1 22");
        assert_eq!(peer, "192.0.2.7:50000".parse().ok());
        assert_eq!(reached, "2001:db8::1".parse().ok());
        assert_eq!(parse_connection(""), (None, None));
    }
}
