//! The process boundary of the embedded server.
//!
//! The SSH server faces the network, so it runs in a process of its own that
//! holds the host key and nothing else: no account, no document root, no
//! session secret. It reaches the main process by one Unix socket. Whether it
//! is well or was taken over, it can ask about logins and hand over streams;
//! sessions are of the identities the main process itself has accepted on the
//! same SSH connection, which it knows by a random ticket. (That a client
//! holds the key it offers is checked in the front process; one that was taken
//! over can lie about that, and about nothing else.)
//!
//! When the front process dies, the main process sees broken channels, and a
//! transfer outlives those.
//!
//! - [`message`]: what goes over the socket.
//! - [`child`]: the front process: [`serve`].
//! - [`main_process`]: the main process: [`accept`].

mod child;
mod main_process;
mod message;
mod splice;

pub use child::{FrontBackend, serve};
pub use main_process::{AuthRequest, Incoming, IncomingSession, Incomings, Proof, accept};

/// The message in `bytes`, encoded again: for fuzzers.
#[doc(hidden)]
#[must_use]
pub fn recoded(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(message::Message::decode(bytes)?.encode().to_vec())
}
