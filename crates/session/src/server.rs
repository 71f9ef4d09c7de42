//! The server's end of a session: from a permitted request to the driver.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limosa_datapath::Clock;
use limosa_seal::negotiation::{SuitePolicy, SuiteRefusal, negotiate};
use limosa_seal::{AlgorithmSet, schedule::Role};
use limosa_storage::{Store, StorePath};
use limosa_transfer::Failure;
use limosa_transfer::job::{Permitted, law_of};
use limosa_transfer::receiver::{Destination, PartialNames, ReceiverOptions, Survey, code_of_path};
use limosa_transfer::sender::{SenderConfig, Source};
use limosa_transport::Config;
use limosa_wire::setup::{Answer, ContentProtection, Direction, Durability, RatePolicy, Request, UdpEndpoint};
use limosa_wire::{Code, Rate};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::StartError;
use crate::jobs;
use crate::keys::derive;
use crate::running::{Parts, Running, start};
use crate::setup::IncomingRequest;
use crate::udp::{Place, ServerPorts};

/// What a server grants one request: made from its decision on it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The files the request may touch, confined to its root.
    pub store: Arc<dyn Store>,
    /// Where relative paths of the request start; absolute ones start at the
    /// root.
    pub home: StorePath,
    /// Which algorithms may be used.
    pub algorithms: AlgorithmSet,
    /// Suites that are accepted.
    pub suites: SuitePolicy,
    /// Highest rate.
    pub rate_cap: Rate,
    /// Policies that may be changed to while it runs.
    pub policies: Vec<RatePolicy>,
    /// Weakest durability given to uploads.
    pub durability_floor: Durability,
    /// Weakest protection of uploaded content that is accepted.
    pub content: ContentProtection,
    /// How long the session outlives silence.
    pub timeout: Duration,
    /// Names the user of partial files.
    pub user: Vec<u8>,
    /// The address at which the client reached this machine, if known.
    pub reached: Option<IpAddr>,
    /// Address to send datagrams to, where it is not the one SSH reached.
    pub public_address: Option<IpAddr>,
    /// Umask of the process, taken off modes that are not kept.
    pub umask: u32,
}

/// Bytes that may be outstanding whose layout is not acknowledged.
const ORPHAN_CREDIT: u64 = 32 << 20;

/// Consents to `incoming` under `terms` and starts the session; or refuses
/// where the request does not fit.
///
/// # Errors
/// [`StartError`]; the client was told, if it could be, and nothing runs.
pub async fn serve<S>(incoming: IncomingRequest<S>, terms: Terms, ports: &ServerPorts) -> Result<Running, StartError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let began = Instant::now();
    let prepared = match prepare(incoming.request(), &terms, ports, incoming.version()).await {
        Ok(prepared) => prepared,
        Err(failure) => {
            incoming.refuse(failure.code, failure.detail.clone()).await?;
            return Err(StartError::Job { code: failure.code, detail: failure.detail });
        }
    };
    let Prepared { mut answer, place, job, suite, config } = prepared;
    let mut request = incoming.request().clone();
    let (channel, transcript) = incoming.consent(&answer).await?;
    let protection = derive(Role::Server, suite, &mut request, &mut answer, transcript);
    let parts = Parts {
        role: Role::Server,
        clock: Clock::start(),
        config,
        protection,
        link: place.link,
        waker: place.waker,
        wakeup: place.wakeup,
        job,
        store: terms.store,
        setup_time: began.elapsed(),
    };
    start(parts, channel).map_err(StartError::Thread)
}

struct Prepared {
    answer: Answer,
    place: Place,
    job: jobs::SessionJob,
    suite: limosa_seal::CipherSuite,
    config: Config,
}

async fn prepare(request: &Request, terms: &Terms, ports: &ServerPorts, version: u16) -> Result<Prepared, Failure> {
    if request.policy == RatePolicy::Fixed && request.rate.is_none() {
        return Err(Failure::new(Code::FIXED_NEEDS_RATE));
    }
    admit_content(request, terms)?;
    let suite = negotiate(terms.algorithms, &terms.suites, &request.suites).map_err(|refusal| refused(&refusal))?;
    let algorithm = terms
        .algorithms
        .choose_content(&request.digests)
        .ok_or_else(|| Failure::because(Code::NO_COMMON_SUITE, "no digest that both ends allow"))?;
    let durability = stronger(request.durability, terms.durability_floor);
    let limits = jobs::limits(request.rate, terms.rate_cap);
    let (job, fresh) = match request.direction {
        Direction::Upload => {
            let survey = survey(request, terms).await?;
            let fresh = survey.fresh();
            let names = PartialNames::new(&terms.user, request.transfer);
            let mut options = ReceiverOptions::new(survey, request.source_count, names, algorithm);
            if terms.content != ContentProtection::None {
                // Whatever the client says of them.
                options = options.taking_envelopes_only();
            }
            (jobs::receiver(options, request, durability, fresh, terms.umask)?, fresh)
        }
        Direction::Download => {
            let config = SenderConfig::new(sources(request, &terms.home)?, algorithm);
            let job = jobs::sender(config, request, request.fresh, ORPHAN_CREDIT, limits);
            let permitted = Permitted { policies: terms.policies.clone(), rate: terms.rate_cap };
            (job.permitting(permitted), request.fresh)
        }
    };
    let place = ports.reserve(terms.reached).map_err(|error| Failure::because(Code::UDP_BIND, error.to_string()))?;
    let answer = Answer {
        version,
        session: place.session,
        udp: vec![UdpEndpoint { address: terms.public_address, port: place.port }],
        suite: suite.suite(),
        digest: algorithm.digest(),
        random: limosa_seal::random(),
        policy: request.policy,
        rate_cap: terms.rate_cap,
        fresh,
        orphan_credit: ORPHAN_CREDIT,
        timeout_seconds: u32::try_from(terms.timeout.as_secs()).unwrap_or(u32::MAX),
    };
    let seed = u64::from_be_bytes(limosa_seal::random());
    let config =
        Config::server(place.session, seed).with_rate(law_of(answer.policy), limits).with_timeout(terms.timeout);
    Ok(Prepared { answer, place, job, suite, config })
}

/// Refuses uploads whose content is protected less than it must be.
fn admit_content(request: &Request, terms: &Terms) -> Result<(), Failure> {
    let refuse = |code, why: &str| Failure::because(code, why);
    match (request.direction, request.protection) {
        (Direction::Upload, protection) if protection >= terms.content => Ok(()),
        (Direction::Upload, ContentProtection::None) => {
            Err(refuse(Code::CONTENT_PROTECTION_REQUIRED, "Server requires content protection"))
        }
        (Direction::Upload, _) => {
            Err(refuse(Code::CONTENT_PASSPHRASE_WEAK, "Server requires stronger content protection passphrase"))
        }
        (Direction::Download, _) => Ok(()),
    }
}

/// A refusal by its code.
fn refused(refusal: &SuiteRefusal) -> Failure {
    let code = match refusal {
        SuiteRefusal::EncryptionRequired => Code::ENCRYPTION_REQUIRED,
        SuiteRefusal::StrongerThanAllowed => Code::CIPHER_TOO_STRONG,
        SuiteRefusal::NotApproved { .. } => Code::PEER_APPROVED_ONLY,
        SuiteRefusal::NothingCommon { .. } => Code::NO_COMMON_SUITE,
    };
    Failure::because(code, refusal.to_string())
}

fn stronger(asked: Durability, floor: Durability) -> Durability {
    if floor.number() > asked.number() { floor } else { asked }
}

async fn survey(request: &Request, terms: &Terms) -> Result<Survey, Failure> {
    let typed = request.paths.first().map(Vec::as_slice).unwrap_or_default();
    let destination = Destination::parse(&located(typed, &terms.home))
        .map_err(|error| Failure::because(code_of_path(error), error.to_string()))?;
    jobs::survey(Arc::clone(&terms.store), destination).await
}

fn sources(request: &Request, home: &StorePath) -> Result<Vec<Source>, Failure> {
    request.paths.iter().map(|typed| source(&located(typed, home))).collect()
}

/// A path as typed by a client, relative to the root: one that starts with a
/// slash starts there, any other at `home`. What is at its end stays, since it
/// says whether a directory is meant.
fn located(typed: &[u8], home: &StorePath) -> Vec<u8> {
    let slashes = typed.iter().take_while(|byte| **byte == b'/').count();
    if slashes > 0 || home.is_root() {
        return typed[slashes..].to_vec();
    }
    [home.as_bytes(), typed].join(&b'/')
}

/// A source as typed: with a slash at its end it stands for its content.
///
/// # Errors
/// If it is no path inside a store.
fn source(typed: &[u8]) -> Result<Source, Failure> {
    use std::os::unix::ffi::OsStrExt;
    let path = StorePath::from_typed(std::path::Path::new(std::ffi::OsStr::from_bytes(typed)))
        .map_err(|error| Failure::because(code_of_path(error), error.to_string()))?;
    let content = typed.ends_with(b"/") || typed.ends_with(b"/.");
    Ok(if content { Source::contents(path) } else { Source::itself(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_start_at_the_root_or_at_home() {
        let home = StorePath::parse(b"home/ada").unwrap();
        for (typed, expected) in
            [("in", "home/ada/in"), ("in/", "home/ada/in/"), ("/srv/x", "srv/x"), ("", "home/ada/")]
        {
            assert_eq!(located(typed.as_bytes(), &home), expected.as_bytes(), "{typed}");
        }
        assert_eq!(located(b"/in", &StorePath::root()), b"in");
    }
}
