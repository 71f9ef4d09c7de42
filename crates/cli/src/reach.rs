//! Reaching a host over SSH as the options say.

use std::net::IpAddr;

use limosa_seal::AlgorithmSet;
use limosa_ssh::client::{HostKeyPolicy, Setup};
use limosa_ssh::sshd_config::Profile;
use limosa_ssh::{Connected, Distrust, HostKeyProblem, Request, Secret, SshError, Target, Way, connect};
use limosa_wire::Code;

use crate::arguments::{ReachArguments, SshWay};
use crate::failure::CommandFailure;
use crate::report::Connection;
use crate::terminal_prompt::whoever_is_there;

/// Connects and logs in.
///
/// # Errors
/// What SSH reports, and if the options ask for what FIPS mode does not allow.
pub async fn reach(target: &Target, arguments: &ReachArguments) -> Result<Connected, CommandFailure> {
    let target = match arguments.port {
        Some(port) => target.clone().with_port(port),
        None => target.clone(),
    };
    let mut request = Request::to(target)
        .way(way(arguments)?)
        .password(Secret::from_environment())
        .prompt(whoever_is_there())
        .session_command(arguments.remote_command.clone());
    for identity in &arguments.identities {
        request = request.identity(identity.clone());
    }
    if let Some(file) = &arguments.known_hosts {
        request = request.known_hosts(file.clone());
    }
    if arguments.fips.algorithms()? == AlgorithmSet::Approved {
        request = request.only(Profile::Fips);
    }
    if arguments.accept_new {
        request = request.host_keys(HostKeyPolicy::AcceptNew);
    }
    Ok(connect(request).await?)
}

/// The SSH client to use. The built-in one is no part of any validation.
fn way(arguments: &ReachArguments) -> Result<Way, CommandFailure> {
    match (arguments.ssh, arguments.fips.algorithms()?) {
        (SshWay::Builtin, AlgorithmSet::Approved) => Err(CommandFailure::new(
            Code::USAGE,
            "in FIPS mode the system's SSH client is used: leave out --ssh builtin",
        )),
        (SshWay::Builtin, AlgorithmSet::Ordinary) => Ok(Way::Builtin),
        (SshWay::Auto, AlgorithmSet::Ordinary) => Ok(Way::Auto),
        (SshWay::Auto | SshWay::System, _) => Ok(Way::System),
    }
}

/// What to tell of a connection.
#[must_use]
pub fn told(target: &Target, connected: &Connected) -> Connection {
    let Setup { time, round_trips } = connected.setup;
    Connection {
        target: target.to_string(),
        way: connected.choice.to_string(),
        host_key: connected.host_key.clone(),
        ssh_time: time,
        ssh_round_trips: round_trips,
    }
}

/// The numbered code of an SSH failure.
#[must_use]
pub fn code_of(error: &SshError) -> Code {
    match error {
        SshError::Resolve { .. } => Code::RESOLVE_FAILED,
        SshError::Refused { .. } => Code::CONNECT_REFUSED,
        SshError::Timeout { .. } => Code::CONNECT_TIMEOUT,
        SshError::HostKey(problem) => code_of_host_key(problem),
        SshError::Authentication { .. } => Code::AUTH_FAILED,
        SshError::KeyFile { .. } => Code::KEY_UNREADABLE,
        SshError::NoSession { .. } => Code::NOT_LIMOSA,
        SshError::Configuration(_) | SshError::KnownHosts(_) | SshError::NoProgram { .. } => Code::BAD_CONFIGURATION,
        SshError::Broken { .. } => Code::SSH_LOST,
        SshError::Connect { .. } | SshError::Protocol(_) | SshError::System(_) => Code::SSH_FAILED,
    }
}

fn code_of_host_key(problem: &HostKeyProblem) -> Code {
    match problem {
        HostKeyProblem::Unknown { .. } | HostKeyProblem::NoneApproved { .. } => Code::HOST_KEY_UNKNOWN,
        HostKeyProblem::Changed { .. } => Code::HOST_KEY_CHANGED,
        HostKeyProblem::Revoked { .. } => Code::HOST_KEY_REVOKED,
        HostKeyProblem::RefusedBySystem { distrust, .. } => match distrust {
            Distrust::Unknown => Code::HOST_KEY_UNKNOWN,
            Distrust::Changed => Code::HOST_KEY_CHANGED,
            Distrust::Revoked => Code::HOST_KEY_REVOKED,
        },
    }
}

/// The failure behind an error of a channel's stream, if SSH caused it: that a
/// session program could not be started shows only there.
#[must_use]
pub fn behind(error: &std::io::Error) -> Option<&SshError> {
    let inner = error.get_ref()?;
    inner.downcast_ref::<std::sync::Arc<SshError>>().map(AsRef::as_ref).or_else(|| inner.downcast_ref::<SshError>())
}

/// The address to send datagrams to: what SSH reached, or behind a jump host
/// what the name means here; and what the options put in its place.
///
/// # Errors
/// If a name given for it has no address.
pub async fn resolve_udp(
    target: &Target,
    arguments: &ReachArguments,
    reached: Option<IpAddr>,
) -> Result<(Option<IpAddr>, Option<(IpAddr, Option<u16>)>), CommandFailure> {
    if let Some(udp) = &arguments.udp_host {
        return Ok((reached, Some((resolve(&udp.host).await?, udp.port))));
    }
    match reached {
        Some(address) => Ok((Some(address), None)),
        None => Ok((resolve(target.host()).await.ok(), None)),
    }
}

async fn resolve(host: &str) -> Result<IpAddr, CommandFailure> {
    let failed = |error: String| CommandFailure::new(Code::RESOLVE_FAILED, error);
    let mut found = tokio::net::lookup_host((host, 0)).await.map_err(|error| failed(format!("{host}: {error}")))?;
    found.next().map(|address| address.ip()).ok_or_else(|| failed(host.to_owned()))
}
