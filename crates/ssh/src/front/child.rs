//! The front process: the SSH server, asking the main process about everything.

use super::message::{Message, Shown, Ticket};
use super::splice;
use crate::server::{Backend, Connection, Identity, OfferedKey, Server, ServerKey, Session, Settings};
use crate::{Channel, Secret};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixStream};
use zeroize::Zeroizing;

/// Runs the SSH server on `listener` until the process ends, with the main
/// process at the Unix socket `main`.
///
/// # Errors
/// If the main process cannot be reached at the start, or the listener is of
/// no use.
pub async fn serve(listener: TcpListener, key: &ServerKey, settings: Settings, main: &Path) -> io::Result<()> {
    drop(UnixStream::connect(main).await?);
    Server::new(key, settings, FrontBackend::new(main)).serve(listener).await
}

/// Asks the main process at a Unix socket.
#[derive(Clone, Debug)]
pub struct FrontBackend {
    main: Arc<PathBuf>,
}

impl FrontBackend {
    /// The main process at the socket `main`.
    #[must_use]
    pub fn new(main: &Path) -> Self {
        Self { main: Arc::new(main.to_owned()) }
    }
}

impl Backend for FrontBackend {
    type Connection = FrontConnection;

    fn connected(&self, peer: SocketAddr) -> FrontConnection {
        FrontConnection { main: Arc::clone(&self.main), peer, socket: None, ticket: None }
    }
}

/// One SSH connection: its conversation with the main process, begun with the
/// first login attempt. The ticket is good for as long as it lasts.
#[derive(Debug)]
pub struct FrontConnection {
    main: Arc<PathBuf>,
    peer: SocketAddr,
    socket: Option<UnixStream>,
    ticket: Option<Ticket>,
}

impl FrontConnection {
    async fn ask(&mut self, user: &str, shown: Shown) -> Message {
        match self.try_ask(user, shown).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "the main process does not answer: login refused");
                self.socket = None;
                Message::Refused
            }
        }
    }

    async fn try_ask(&mut self, user: &str, shown: Shown) -> io::Result<Message> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => UnixStream::connect(self.main.as_path()).await?,
        };
        let question = Message::Login { peer: self.peer, user: user.to_owned(), shown };
        question.write(&mut socket).await?;
        let answer = Message::read(&mut socket).await?;
        self.socket = Some(socket);
        Ok(answer)
    }

    fn identity(&mut self, answer: Message) -> Option<Identity> {
        match answer {
            Message::Accepted { identity, ticket } => {
                self.ticket = Some(ticket);
                Some(Identity::new(identity))
            }
            _ => None,
        }
    }
}

impl Connection for FrontConnection {
    async fn key_offered(&mut self, user: &str, key: &OfferedKey) -> bool {
        let OfferedKey { key_type, blob, fingerprint } = key.clone();
        let answer = self.ask(user, Shown::Offered { key_type, blob, fingerprint }).await;
        matches!(answer, Message::Acceptable)
    }

    async fn key_proved(&mut self, user: &str, key: &OfferedKey) -> Option<Identity> {
        let OfferedKey { key_type, blob, fingerprint } = key.clone();
        let answer = self.ask(user, Shown::Proved { key_type, blob, fingerprint }).await;
        self.identity(answer)
    }

    async fn password(&mut self, user: &str, password: &Secret) -> Option<Identity> {
        let password = Zeroizing::new(password.expose().to_owned());
        let answer = self.ask(user, Shown::Password(password)).await;
        self.identity(answer)
    }

    fn session(&mut self, session: Session) {
        if let Some(ticket) = self.ticket {
            tokio::spawn(hand_over(Arc::clone(&self.main), ticket, session.channel));
        }
    }
}

/// Connects a session to the main process. A line that breaks on either side
/// breaks the other: no end is sent that was not seen.
async fn hand_over(main: Arc<PathBuf>, ticket: Ticket, channel: Channel) {
    let carried = async {
        let mut socket = UnixStream::connect(main.as_path()).await?;
        Message::Session { ticket }.write(&mut socket).await?;
        let (mut socket_read, mut socket_write) = socket.into_split();
        let (mut from_client, mut to_client) = tokio::io::split(channel);
        let up = splice::send(&mut from_client, &mut socket_write);
        tokio::pin!(up);
        let mut down = Box::pin(splice::receive(&mut socket_read, &mut to_client));
        tokio::select! {
            ended = &mut down => ended?,
            sent = &mut up => {
                sent?;
                return down.await;
            }
        }
        drop(down);
        // The session writes no more; it may still listen, until it hangs up.
        tokio::select! {
            sent = &mut up => sent,
            () = splice::hung_up(&mut socket_read) => Ok(()),
        }
    };
    if let Err::<(), io::Error>(error) = carried.await {
        tracing::debug!(%error, "session ended");
    }
}
