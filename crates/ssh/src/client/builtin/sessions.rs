//! Starting the session program on a built-in connection.

use super::super::Remote;
use super::super::line::{BoxFuture, CANNOT_RUN, Event, Line, Output, Started, Tail};
use super::Connection;
use crate::{SUBSYSTEM, SshError};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect};
use std::time::Duration;

/// How long the connection may take to send its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// An authenticated connection, its first channel opened.
pub(super) struct BuiltinLine {
    connection: Connection,
    opened: Option<Channel<Msg>>,
    command: String,
}

impl BuiltinLine {
    /// Opens the first channel of `connection`.
    pub(super) async fn open(connection: Connection, command: String) -> Result<Self, SshError> {
        let opened = open_channel(&connection).await?;
        Ok(Self { connection, opened: Some(opened), command })
    }

    async fn request(&mut self, remote: Remote) -> Result<Started, SshError> {
        let channel = match self.opened.take() {
            Some(channel) => channel,
            None => open_channel(&self.connection).await?,
        };
        let (read, write) = channel.split();
        let asked = match remote {
            Remote::Subsystem => write.request_subsystem(true, SUBSYSTEM).await,
            Remote::Command => write.exec(true, self.command.as_bytes()).await,
        };
        asked.map_err(|error| broken(&error))?;
        let input = Box::new(write.make_writer());
        let asked = match remote {
            Remote::Subsystem => format!("subsystem `{SUBSYSTEM}`"),
            Remote::Command => format!("command `{}`", self.command),
        };
        let output = BuiltinOutput { read, _write: write, asked, state: State::default() };
        Ok(Started { input, output: Box::new(output) })
    }
}

async fn open_channel(connection: &Connection) -> Result<Channel<Msg>, SshError> {
    connection.channel_open_session().await.map_err(|error| match error {
        russh::Error::ChannelOpenFailure(reason) => {
            SshError::NoSession { tried: format!("the server opens no channel: {reason:?}") }
        }
        other => broken(&other),
    })
}

fn broken(error: &russh::Error) -> SshError {
    SshError::Broken { reason: error.to_string() }
}

impl Line for BuiltinLine {
    fn start(&mut self, remote: Remote) -> BoxFuture<'_, Result<Started, SshError>> {
        Box::pin(self.request(remote))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let bye = self.connection.disconnect(Disconnect::ByApplication, "", "en");
            if bye.await.is_ok() {
                let _ = tokio::time::timeout(LAST_WORDS, self.connection).await;
            }
        })
    }
}

/// What a program's channel has told so far.
#[derive(Default)]
struct State {
    answered: bool,
    ended: bool,
    status: Option<u32>,
    stderr: Tail,
}

/// What comes back on a channel.
struct BuiltinOutput {
    read: ChannelReadHalf,
    // Its drop would close the channel.
    _write: ChannelWriteHalf<Msg>,
    asked: String,
    state: State,
}

impl Output for BuiltinOutput {
    fn next(&mut self) -> BoxFuture<'_, Event> {
        Box::pin(async move {
            loop {
                let message = self.read.wait().await;
                if let Some(event) = self.state.take(message, &self.asked) {
                    return event;
                }
            }
        })
    }
}

impl State {
    /// The event in `message`, if it is one for the courier.
    fn take(&mut self, message: Option<ChannelMsg>, asked: &str) -> Option<Event> {
        match message {
            Some(ChannelMsg::Data { data }) => {
                self.answered = true;
                Some(Event::Data(data.to_vec()))
            }
            Some(ChannelMsg::ExtendedData { data, .. }) => {
                self.stderr.push(&data);
                None
            }
            Some(ChannelMsg::Failure) => Some(Event::NotStarted(format!("{asked}: refused by the server"))),
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                self.status = Some(exit_status);
                None
            }
            Some(ChannelMsg::Eof) if self.answered => Some(Event::Eof),
            Some(ChannelMsg::Close) => {
                self.ended = true;
                Some(self.closed(asked))
            }
            None if self.ended => Some(self.closed(asked)),
            None => Some(Event::Broken(SshError::Broken { reason: "the connection was lost".into() })),
            Some(_) => None,
        }
    }

    fn closed(&self, asked: &str) -> Event {
        let stderr = self.stderr.text();
        match self.status {
            Some(status) if !self.answered && CANNOT_RUN.contains(&status) => {
                Event::NotStarted(format!("{asked}: exit status {status}, {stderr:?}"))
            }
            status => Event::Closed { status, stderr },
        }
    }
}
