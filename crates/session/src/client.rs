//! The client's end of a session: set-up over the channel, then the driver.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use limosa_datapath::{Clock, waker};
use limosa_seal::{AlgorithmSet, schedule::Role};
use limosa_storage::Store;
use limosa_transfer::job::{Permitted, law_of};
use limosa_transfer::receiver::{Destination, PartialNames, ReceiverOptions, Survey};
use limosa_transfer::sender::{Nature, SenderConfig, Source};
use limosa_transport::Config;
use limosa_wire::Code;
use limosa_wire::setup::{Answer, Direction, Request};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::jobs;
use crate::keys::derive;
use crate::running::{Parts, Running, start};
use crate::setup::{self, SetupError};
use crate::udp::client_socket;

/// How long a server may let a session outlive silence, seconds.
const TIMEOUTS: std::ops::RangeInclusive<u32> = 5..=3600;

/// How long a server may take to answer a request. An older session for the
/// same transfer may have to end first, for which servers wait up to 30 s.
const ANSWER_TIME: Duration = Duration::from_secs(40);

/// What is to be moved, seen from the client.
#[derive(Clone, Debug)]
pub enum ClientJob {
    /// These, from the client's store to the server.
    Upload(Vec<Source>),
    /// The sources of the request, to this place in the client's store.
    Download(Destination),
}

/// Everything the client's end needs to know.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// The request, but for the random part and `fresh`, which are filled in.
    pub request: Request,
    /// What is moved.
    pub job: ClientJob,
    /// The client's files.
    pub store: Arc<dyn Store>,
    /// What those files are to who reads them, for an upload.
    pub nature: Nature,
    /// Which algorithms may be used.
    pub algorithms: AlgorithmSet,
    /// Names the user of partial files.
    pub user: Vec<u8>,
    /// The address that the SSH connection reached.
    pub reached: Option<IpAddr>,
    /// Round trip seen while connecting.
    pub rtt: Option<Duration>,
    /// Local UDP port; any if not given.
    pub udp_port: Option<u16>,
    /// Where to send datagrams instead of to `reached` or what the server says:
    /// an address, and a port where that differs too.
    pub udp_host: Option<(IpAddr, Option<u16>)>,
    /// Umask of the process, taken off modes that are not kept.
    pub umask: u32,
}

/// Why a session did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Set-up failed.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The server does not answer.
    #[error("no answer to the request after {0:.0?}")]
    Silent(Duration),
    /// No socket.
    #[error("no UDP socket: {0}")]
    Socket(std::io::Error),
    /// No thread.
    #[error("no thread: {0}")]
    Thread(std::io::Error),
    /// No address to send datagrams to.
    #[error("the server's address is not known; give --udp-host")]
    NoAddress,
    /// The destination cannot be looked at, or the options do not fit.
    #[error("{detail}")]
    Job {
        /// The numbered code.
        code: Code,
        /// What is wrong.
        detail: String,
    },
}

impl StartError {
    /// The numbered code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Setup(error) => error.code(),
            Self::Silent(_) => Code::OPEN_TIMEOUT,
            Self::Socket(_) => Code::UDP_BIND,
            Self::Thread(_) => Code::RESOURCES,
            Self::NoAddress => Code::BAD_TARGET,
            Self::Job { code, .. } => *code,
        }
    }
}

/// Sets up a session over `stream` and starts it.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn connect<S>(stream: S, mut plan: ClientPlan) -> Result<Running, StartError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let began = Instant::now();
    offer_what_is_allowed(&mut plan)?;
    let survey = survey(&mut plan).await?;
    limosa_seal::fill_random(&mut plan.request.random);
    let opened = tokio::time::timeout(ANSWER_TIME, setup::open(stream, &plan.request)).await;
    let setup = opened.map_err(|_| StartError::Silent(ANSWER_TIME))??;
    let setup_time = began.elapsed();
    let mut answer = setup.answer;
    hold_to_request(&plan.request, &answer)?;
    let suite = plan
        .algorithms
        .suite(answer.suite)
        .map_err(|error| StartError::Job { code: Code::NO_COMMON_SUITE, detail: error.to_string() })?;
    let server = server_address(&plan, &answer)?;
    let socket = client_socket(server, plan.udp_port).map_err(StartError::Socket)?;
    let (waker, wakeup) = waker().map_err(StartError::Socket)?;
    let clock = Clock::start();
    let config = connection_config(&plan, &answer, server);
    let job = make_job(&plan, &answer, survey)?;
    let protection = derive(Role::Client, suite, &mut plan.request, &mut answer, setup.transcript);
    let parts = Parts {
        role: Role::Client,
        clock,
        config,
        protection,
        link: socket.into(),
        waker,
        wakeup,
        job,
        store: plan.store,
        setup_time,
    };
    start(parts, setup.channel).map_err(StartError::Thread)
}

/// Takes suites and digests out of the request that this end may not use.
///
/// # Errors
/// If the one that is wanted most is among them.
fn offer_what_is_allowed(plan: &mut ClientPlan) -> Result<(), StartError> {
    let set = plan.algorithms;
    if let Some(Err(error)) = plan.request.suites.first().map(|wanted| set.suite(*wanted)) {
        return Err(StartError::Job { code: Code::CIPHER_NOT_APPROVED, detail: error.to_string() });
    }
    plan.request.suites.retain(|suite| set.suite(*suite).is_ok());
    plan.request.digests.retain(|digest| set.content(*digest).is_ok());
    Ok(())
}

/// Insists that the server consented to what was asked for and nothing else.
fn hold_to_request(request: &Request, answer: &Answer) -> Result<(), StartError> {
    let broken = [
        (!request.suites.contains(&answer.suite), "a cipher that was not offered"),
        (!request.digests.contains(&answer.digest), "a digest that was not offered"),
        (answer.policy != request.policy, "another rate policy than was asked for"),
        (!TIMEOUTS.contains(&answer.timeout_seconds), "a time limit out of bounds"),
    ];
    match broken.iter().find(|(broken, _)| *broken) {
        Some((_, what)) => {
            Err(StartError::Job { code: Code::PROTOCOL, detail: format!("the server answers with {what}") })
        }
        None => Ok(()),
    }
}

/// Looks at a download's destination, to say in the request whether it is
/// fresh.
async fn survey(plan: &mut ClientPlan) -> Result<Option<Survey>, StartError> {
    let ClientJob::Download(destination) = &plan.job else { return Ok(None) };
    let survey = jobs::survey(Arc::clone(&plan.store), destination.clone()).await;
    let survey = survey.map_err(|failure| StartError::Job { code: failure.code, detail: failure.detail })?;
    plan.request.fresh = survey.fresh();
    Ok(Some(survey))
}

fn server_address(plan: &ClientPlan, answer: &Answer) -> Result<SocketAddr, StartError> {
    let endpoint = answer.udp.first().ok_or(StartError::NoAddress)?;
    match plan.udp_host {
        Some((address, port)) => Ok(SocketAddr::new(address, port.unwrap_or(endpoint.port))),
        None => {
            let address = endpoint.address.or(plan.reached).ok_or(StartError::NoAddress)?;
            Ok(SocketAddr::new(address, endpoint.port))
        }
    }
}

fn connection_config(plan: &ClientPlan, answer: &Answer, server: SocketAddr) -> Config {
    let seed = u64::from_be_bytes(limosa_seal::random());
    let config = Config::client(answer.session, server, seed)
        .with_rate(law_of(answer.policy), jobs::limits(plan.request.rate, answer.rate_cap))
        .with_timeout(Duration::from_secs(answer.timeout_seconds.into()));
    match plan.rtt {
        Some(rtt) => config.with_rtt(rtt),
        None => config,
    }
}

fn make_job(plan: &ClientPlan, answer: &Answer, survey: Option<Survey>) -> Result<jobs::SessionJob, StartError> {
    let algorithm = plan
        .algorithms
        .content(answer.digest)
        .map_err(|error| StartError::Job { code: Code::NO_COMMON_SUITE, detail: error.to_string() })?;
    let request = &plan.request;
    let made = match (&plan.job, survey) {
        (ClientJob::Upload(sources), _) => {
            debug_assert_eq!(request.direction, Direction::Upload);
            let config = SenderConfig { nature: plan.nature, ..SenderConfig::new(sources.clone(), algorithm) };
            let limits = jobs::limits(request.rate, answer.rate_cap);
            let job = jobs::sender(config, request, answer.fresh, answer.orphan_credit, limits);
            // The server may slow this end down, but not make it a nuisance.
            let rate = request.rate.unwrap_or(answer.rate_cap).min(answer.rate_cap);
            Ok(job.permitting(Permitted { policies: request.policy.up_to_this(), rate }))
        }
        (ClientJob::Download(_), Some(survey)) => {
            let names = PartialNames::new(&plan.user, request.transfer);
            let options = ReceiverOptions::new(survey, request.source_count, names, algorithm);
            jobs::receiver(options, request, request.durability, request.fresh, plan.umask)
        }
        (ClientJob::Download(_), None) => unreachable!("a download's destination was surveyed"),
    };
    made.map_err(|failure| StartError::Job { code: failure.code, detail: failure.detail })
}
