//! One session of somebody authenticated, from the stream that SSH brought to
//! the last line in the audit log. The same for the embedded server and for
//! the session program under OpenSSH.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use limosa_policy::{Identity, Method, Settings};
use limosa_session::setup::{IncomingRequest, SetupError, accept};
use limosa_session::{Order, Outcome, Running, ServerPorts, serve};
use limosa_wire::Code;
use limosa_wire::setup::{Direction, Refusal, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

use crate::admit::{Denial, Surroundings, authorize, expand_docroot, terms};
use crate::audit::{self, AuditLog, Event, SessionLine, SessionResult, escaped};
use crate::sessions::{Place, SessionRegistry};

/// Time a client gets to say what it wants.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// Time a session that is asked to end gets to do so in order.
const CANCEL_TIME: Duration = Duration::from_secs(8);

/// What all sessions of a process share.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) sessions: SessionRegistry,
    pub(crate) audit: AuditLog,
    pub(crate) ports: ServerPorts,
    pub(crate) surroundings: Surroundings,
}

/// Somebody authenticated, with what applies to them.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) identity: Identity,
    pub(crate) settings: Settings,
    /// Home directory, of a login of this machine.
    pub(crate) home: Option<std::path::PathBuf>,
    /// From where they come.
    pub(crate) peer: Option<SocketAddr>,
    /// At which address of this machine.
    pub(crate) reached: Option<IpAddr>,
}

impl Host {
    /// Serves one session over `stream`, to its end. Returns how it ended.
    pub(crate) async fn serve<S>(&self, mut guest: Guest, stream: S) -> Code
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let incoming = match timeout(REQUEST_TIME, accept(stream)).await {
            Ok(Ok(incoming)) => incoming,
            Ok(Err(error)) => return tell_setup_failure(&guest, &error),
            Err(_) => return tell_silence(&guest),
        };
        let user = guest.identity.user().to_string();
        let docroot = expand_docroot(&guest.settings.docroot.value, &user, guest.home.as_deref());
        guest.settings.docroot.value = docroot;
        let line = session_line(&guest, incoming.request(), incoming.peer());
        match self.start(&guest, incoming, &line).await {
            Ok((running, place)) => self.watch(running, place, line).await,
            Err(denial) => {
                let (code, reason) = (denial.refusal.code, denial.reason());
                tracing::info!(session = line.session, user, %code, reason, "session refused");
                let detail = escaped(reason.as_bytes());
                let (code, number, name) = (code, code.number(), code.name());
                self.audit.write(&Event::SessionRefused { session: line, code: number, name, detail });
                code
            }
        }
    }

    /// Asks policy, takes over from an older session of the same transfer, and
    /// starts. Whoever is refused has been told.
    async fn start<S>(
        &self,
        guest: &Guest,
        incoming: IncomingRequest<S>,
        line: &SessionLine,
    ) -> Result<(Running, Place), Denial>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (place, terms) = match self.permit(guest, incoming.request()).await {
            Ok(permitted) => permitted,
            Err(denial) => {
                let Refusal { code, detail } = denial.refusal.clone();
                if let Err(error) = incoming.refuse(code, detail).await {
                    tracing::debug!(%error, "a refusal could not be told");
                }
                return Err(denial);
            }
        };
        let started = serve(incoming, terms, &self.ports).await;
        let running = started.map_err(|error| Refusal { code: error.code(), detail: error.to_string() })?;
        tracing::info!(session = line.session, user = line.user, direction = line.direction, "session started");
        self.audit.write(&Event::SessionStart(line.clone()));
        Ok((running, place))
    }

    async fn permit(&self, guest: &Guest, request: &Request) -> Result<(Place, limosa_session::Terms), Denial> {
        let user = guest.identity.user();
        let refused = |code| Refusal { code, detail: String::new() };
        let arrival = self.sessions.arrive(user, request.transfer).map_err(refused)?;
        let permitted = authorize(request, guest.identity.clone(), &guest.settings, arrival.others())?;
        let terms = terms(&permitted, &self.surroundings, guest.reached).await?;
        let place = arrival.enter().await.map_err(refused)?;
        Ok((place, terms))
    }

    /// Waits for the end; ends the session if that is asked for.
    async fn watch(&self, mut running: Running, mut place: Place, line: SessionLine) -> Code {
        let began = Instant::now();
        // What happens to single files is told to the client.
        running.events.close();
        let steering = running.steering();
        let asked = tokio::select! {
            outcome = running.outcome() => Err(outcome),
            code = place.asked_to_end() => Ok(code),
        };
        let outcome = match asked {
            Err(outcome) => outcome,
            Ok(code) => {
                steering.order(Order::Cancel(code));
                tokio::select! {
                    outcome = running.outcome() => outcome,
                    () = sleep(CANCEL_TIME) => {
                        steering.order(Order::Abort(code));
                        running.outcome().await
                    }
                }
            }
        };
        // Its files are closed: a session that takes over may open them.
        drop(place);
        self.tell_end(line, &outcome, began.elapsed());
        outcome.code
    }

    fn tell_end(&self, line: SessionLine, outcome: &Outcome, duration: Duration) {
        let Outcome { code, detail, summary, .. } = outcome;
        tracing::info!(
            session = line.session, user = line.user, %code, detail, bytes = summary.bytes, "session ended"
        );
        let result = SessionResult {
            code: code.number(),
            name: code.name(),
            detail: escaped(detail.as_bytes()),
            settled: summary.settled,
            skipped: summary.skipped,
            failed: summary.failed,
            bytes: summary.bytes,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        };
        self.audit.write(&Event::SessionEnd { session: line, result });
    }
}

fn tell_setup_failure(guest: &Guest, error: &SetupError) -> Code {
    tracing::info!(user = %guest.identity.user(), peer = ?guest.peer, %error, "no session came about");
    error.code()
}

fn tell_silence(guest: &Guest) -> Code {
    tracing::info!(user = %guest.identity.user(), peer = ?guest.peer, "the client asked for nothing in time");
    Code::OPEN_TIMEOUT
}

fn session_line(guest: &Guest, request: &Request, software: &str) -> SessionLine {
    let (paths, paths_in_all) = audit::paths(&request.paths);
    SessionLine {
        session: limosa_seal::identity::hex(&limosa_seal::random::<6>()),
        user: guest.identity.user().to_string(),
        method: match guest.identity.method() {
            Method::PublicKey => "publickey",
            Method::Password => "password",
            Method::System => "system",
        },
        peer: guest.peer,
        software: escaped(software.as_bytes()),
        direction: match request.direction {
            Direction::Upload => "upload",
            Direction::Download => "download",
        },
        paths,
        paths_in_all,
        transfer: limosa_seal::identity::hex(&request.transfer),
    }
}
