//! The main process's side: questions about logins, and sessions.

use super::message::{Message, Shown, Ticket};
use super::splice;
use crate::channel;
use crate::server::{Identity, Method, OfferedKey};
use crate::{Channel, Secret};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Questions and sessions that wait for the main process at most.
const WAITING: usize = 64;

/// What the front process brings.
#[derive(Debug)]
pub enum Incoming {
    /// Somebody wants to log in.
    Login(AuthRequest),
    /// Somebody who logged in starts a session.
    Session(IncomingSession),
}

/// A login to be judged. Dropped without an answer, it is refused.
#[derive(Debug)]
pub struct AuthRequest {
    /// From where.
    pub peer: SocketAddr,
    /// The login name as typed.
    pub user: String,
    /// What they show.
    pub proof: Proof,
    reply: oneshot::Sender<Option<Identity>>,
}

/// What somebody shows to log in.
#[derive(Debug)]
pub enum Proof {
    /// A key they say they hold; accepting it lets them prove it.
    Offered(OfferedKey),
    /// A key they have proved to hold.
    Key(OfferedKey),
    /// A password.
    Password(Secret),
}

impl AuthRequest {
    /// Lets them in as `identity`.
    pub fn accept(self, identity: Identity) {
        let _ = self.reply.send(Some(identity));
    }

    /// Refuses.
    pub fn refuse(self) {
        let _ = self.reply.send(None);
    }
}

/// A session of somebody the main process has let in.
#[derive(Debug)]
pub struct IncomingSession {
    /// Who.
    pub identity: Identity,
    /// How they logged in.
    pub method: Method,
    /// From where.
    pub peer: SocketAddr,
    /// The stream to them.
    pub channel: Channel,
}

/// What comes in, in order. Dropped, it stops accepting; running sessions go on.
#[derive(Debug)]
pub struct Incomings {
    receiver: mpsc::Receiver<Incoming>,
    accepting: JoinHandle<()>,
}

impl Incomings {
    /// Waits for what comes next; `None` if the socket is of no more use.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.receiver.recv().await
    }
}

impl Drop for Incomings {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Logins that were accepted and whose SSH connection is still there.
#[derive(Clone, Default)]
struct Tickets(Arc<Mutex<HashMap<Ticket, Guest>>>);

#[derive(Clone)]
struct Guest {
    identity: Identity,
    method: Method,
    peer: SocketAddr,
}

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, HashMap<Ticket, Guest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts front processes of the users `front_users` (numeric ids) at
/// `listener`.
#[must_use]
pub fn accept(listener: UnixListener, front_users: Vec<u32>) -> Incomings {
    let (sender, receiver) = mpsc::channel(WAITING);
    let accepting = tokio::spawn(async move {
        let tickets = Tickets::default();
        loop {
            match listener.accept().await {
                Ok((socket, _)) if is_front(&socket, &front_users) => {
                    tokio::spawn(converse(socket, tickets.clone(), sender.clone()));
                }
                Ok(_) => tracing::warn!("a stranger at the front's socket was turned away"),
                Err(error) => {
                    tracing::error!(%error, "the front's socket");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    });
    Incomings { receiver, accepting }
}

fn is_front(socket: &UnixStream, users: &[u32]) -> bool {
    socket.peer_cred().is_ok_and(|peer| users.contains(&peer.uid()))
}

/// One conversation: the logins of one SSH connection, or one session.
async fn converse(mut socket: UnixStream, tickets: Tickets, sender: mpsc::Sender<Incoming>) {
    let mut issued = None;
    loop {
        match Message::read(&mut socket).await {
            Ok(Message::Login { peer, user, shown }) if issued.is_none() => {
                let (answer, ticket) = judge(peer, user, shown, &tickets, &sender).await;
                issued = ticket;
                if answer.write(&mut socket).await.is_err() {
                    break;
                }
            }
            Ok(Message::Session { ticket }) => {
                let guest = tickets.lock().get(&ticket).cloned();
                let Some(Guest { identity, method, peer }) = guest else {
                    tracing::warn!("a session without a login was turned away");
                    return;
                };
                let (channel, feed) = channel::pair();
                let session = IncomingSession { identity, method, peer, channel };
                if sender.send(Incoming::Session(session)).await.is_ok() {
                    splice::serve_feed(socket, feed).await;
                }
                return;
            }
            Ok(_) | Err(_) => break,
        }
    }
    // The SSH connection is gone: no further sessions, those there are go on.
    if let Some(ticket) = issued {
        tickets.lock().remove(&ticket);
    }
}

async fn judge(
    peer: SocketAddr,
    user: String,
    shown: Shown,
    tickets: &Tickets,
    sender: &mpsc::Sender<Incoming>,
) -> (Message, Option<Ticket>) {
    let (proof, method) = proof_of(shown);
    let (reply, answer) = oneshot::channel();
    let request = AuthRequest { peer, user, proof, reply };
    let asked = sender.send(Incoming::Login(request)).await.is_ok();
    let identity = if asked { answer.await.ok().flatten() } else { None };
    match (identity, method) {
        (None, _) => (Message::Refused, None),
        (Some(_), None) => (Message::Acceptable, None),
        (Some(identity), Some(method)) => match draw_ticket() {
            Ok(ticket) => {
                let name = identity.name().to_owned();
                tickets.lock().insert(ticket, Guest { identity, method, peer });
                (Message::Accepted { identity: name, ticket }, Some(ticket))
            }
            Err(error) => {
                tracing::error!(%error, "no randomness: login refused");
                (Message::Refused, None)
            }
        },
    }
}

/// What is shown, and how it logs in if it does.
fn proof_of(shown: Shown) -> (Proof, Option<Method>) {
    match shown {
        Shown::Offered { key_type, blob, fingerprint } => {
            (Proof::Offered(OfferedKey { key_type, blob, fingerprint }), None)
        }
        Shown::Proved { key_type, blob, fingerprint } => {
            let method = Method::PublicKey(fingerprint.clone());
            (Proof::Key(OfferedKey { key_type, blob, fingerprint }), Some(method))
        }
        Shown::Password(password) => (Proof::Password(Secret::new(password.to_string())), Some(Method::Password)),
    }
}

fn draw_ticket() -> io::Result<Ticket> {
    let mut ticket = Ticket::default();
    File::open("/dev/urandom")?.read_exact(&mut ticket)?;
    Ok(ticket)
}
