//! `limosa session`: the remote end for a plain login, without any server
//! installed, with the rights of that login, as `scp` and `rsync` have it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use limosa_seal::AlgorithmSet;
use limosa_seal::negotiation::SuitePolicy;
use limosa_session::{Outcome, ServerPorts, StartError, Terms, program, takeover};
use limosa_storage::StorePath;
use limosa_storage::local::{Confinement, LocalStore};
use limosa_wire::setup::{ContentProtection, Durability, RatePolicy};
use limosa_wire::{Code, Rate};

use crate::arguments::SessionArguments;
use crate::local;
use crate::transfer::current_umask;

/// How long a session outlives silence.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Serves one session to an exit status.
pub async fn run(arguments: &SessionArguments) -> ExitCode {
    let ports = ServerPorts::Range { first: arguments.udp_ports.first, last: arguments.udp_ports.last };
    let umask = current_umask();
    let served = program::run(|_| terms(umask), &ports, &takeover::directory_of_user()).await;
    let code = match served {
        Ok(Outcome { code, .. }) => code,
        Err(error) => {
            // Seen by the user as what the remote side printed.
            eprintln!("limosa session: {error}");
            StartError::code(&error)
        }
    };
    ExitCode::from(code.exit_status())
}

/// Everything that the login itself may do.
fn terms(umask: u32) -> Result<Terms, (Code, String)> {
    let store = LocalStore::open(Path::new("/"), Confinement::Anywhere);
    let store = store.map_err(|error| (Code::RESOURCES, error.to_string()))?;
    Ok(Terms {
        store: Arc::new(store),
        home: home()?,
        algorithms: AlgorithmSet::Ordinary,
        suites: SuitePolicy::encrypted(),
        rate_cap: Rate::UNLIMITED,
        policies: RatePolicy::ALL.to_vec(),
        durability_floor: Durability::None,
        content: ContentProtection::None,
        timeout: TIMEOUT,
        user: rustix::process::getuid().as_raw().to_be_bytes().to_vec(),
        reached: reached(),
        public_address: None,
        umask,
    })
}

/// The login's directory, in which an SSH server starts it.
fn home() -> Result<StorePath, (Code, String)> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let home =
        home.map_or_else(std::env::current_dir, Ok).map_err(|error| (Code::DIRECTORY_NOT_FOUND, error.to_string()))?;
    local::store_path(&home).map_err(|error| (Code::DIRECTORY_NOT_FOUND, error.to_string()))
}

/// The address at which the client reached this machine: the third field of
/// what OpenSSH puts into the environment.
fn reached() -> Option<std::net::IpAddr> {
    let connection = std::env::var("SSH_CONNECTION").ok()?;
    connection.split(' ').nth(2)?.parse().ok()
}
