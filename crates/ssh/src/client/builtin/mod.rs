//! The way through the SSH client built into this program; the only place of
//! the client that names russh.
//!
//! - [`host_key`]: is the server's key to be trusted.
//! - [`login`]: which credentials are offered, in which order.
//! - [`key_file`]: private keys in files.
//! - [`short_scalar`]: decoding them, ECDSA keys of small numbers included.
//! - [`sessions`]: starting the session program on the connection.

mod host_key;
mod key_file;
mod login;
mod sessions;
mod short_scalar;

use super::dial::{Dialed, dial};
use super::flights::Counted;
use super::{LoggedIn, Plan, setup_since};
use crate::{SshError, algorithms};
use host_key::HostKeyCheck;
use login::Login;
use russh::client::{self, Handle};
use russh::keys::Algorithm;
use russh::{Preferred, SshId, cipher, compression, kex, mac};
use sessions::BuiltinLine;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often an idle connection shows that it is alive, so that address
/// translators on the way keep it.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How long the server may take to greet and to agree on keys, without the
/// time a person takes to judge a host key.
const HANDSHAKE_TIME: Duration = Duration::from_secs(60);

/// Connects and logs in.
pub(super) async fn log_in(plan: &Plan) -> Result<LoggedIn, SshError> {
    let start = Instant::now();
    let within = plan.request.connect_timeout;
    let Dialed { stream, address, rtt } = dial(&plan.host, &plan.ports, within).await?;
    let port = address.port();
    let name = plan.name_at(port);
    let (stream, flights) = Counted::new(stream, rtt);
    let (check, presented) = HostKeyCheck::new(plan, name.clone());
    let patience = if plan.request.prompt.is_interactive() { HANDSHAKE_TIME * 10 } else { HANDSHAKE_TIME };
    let config = Arc::new(client_config(&plan.known.key_types(&name)));
    let handshake = client::connect_stream(config, stream, check);
    let at = || format!("{} port {port}", plan.host);
    let mut handle = tokio::time::timeout(patience, handshake)
        .await
        .map_err(|_| SshError::Timeout { at: at(), after: patience })??;
    Login::new(plan, &mut handle).run().await?;
    let asked = Instant::now();
    let line = BuiltinLine::open(handle, plan.request.command.clone()).await?;
    Ok(LoggedIn {
        line: Box::new(line),
        peer_addr: Some(address),
        port: Some(port),
        rtt: Some(rtt.min(asked.elapsed())),
        setup: setup_since(start, Some(flights.round_trips())),
        host_key: presented.fingerprint(),
    })
}

/// A connection whose handshake is done.
type Connection = Handle<HostKeyCheck>;

fn client_config(known_key_types: &[String]) -> client::Config {
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-Limosa_", env!("CARGO_PKG_VERSION")))),
        preferred: preferred(&algorithms::signatures_preferring(known_key_types)),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 4,
        nodelay: true,
        ..client::Config::default()
    }
}

/// The lists of [`algorithms`] in russh's types.
fn preferred(signatures: &[&str]) -> Preferred {
    Preferred {
        kex: names(algorithms::KEY_EXCHANGE, key_exchange),
        key: names(signatures, |name| Algorithm::new(name).ok()),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: names(algorithms::CIPHER, |name| cipher::Name::try_from(name).ok()),
        mac: names(algorithms::MAC, |name| mac::Name::try_from(name).ok()),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

/// Four names stand for no algorithm, and the library finds those apart.
fn key_exchange(name: &str) -> Option<kex::Name> {
    let extensions = [
        kex::EXTENSION_SUPPORT_AS_CLIENT,
        kex::EXTENSION_SUPPORT_AS_SERVER,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
    ];
    let extension = extensions.into_iter().find(|known| known.as_ref() == name);
    extension.or_else(|| kex::Name::try_from(name).ok())
}

fn names<T: Clone>(list: &[&str], parse: impl Fn(&str) -> Option<T>) -> Cow<'static, [T]> {
    Cow::Owned(list.iter().filter_map(|name| parse(name)).collect())
}

/// russh's errors as ours. What a check of ours found comes through as it is.
#[derive(Debug)]
struct Failure(SshError);

impl From<russh::Error> for Failure {
    fn from(error: russh::Error) -> Self {
        Self(protocol_error(&error))
    }
}

impl From<Failure> for SshError {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

fn protocol_error(error: &russh::Error) -> SshError {
    match error {
        russh::Error::NoCommonAlgo { kind, ours, theirs } => SshError::Protocol(format!(
            "no common {kind:?} algorithm; we offer {}, the server {}",
            ours.join(","),
            theirs.join(",")
        )),
        russh::Error::Disconnect | russh::Error::HUP => SshError::Protocol(
            "the server closed the connection during the handshake; check that this is an SSH \
             port and that the server lets this address connect"
                .into(),
        ),
        other => SshError::Protocol(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_known_to_the_library() {
        let preferred = preferred(algorithms::SIGNATURE);
        assert_eq!(preferred.kex.len(), algorithms::KEY_EXCHANGE.len());
        assert_eq!(preferred.key.len(), algorithms::SIGNATURE.len());
        assert_eq!(preferred.cipher.len(), algorithms::CIPHER.len());
        assert_eq!(preferred.mac.len(), algorithms::MAC.len());
    }
}
