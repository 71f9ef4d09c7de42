//! Lending a port to sessions in other processes.
//!
//! Session programs run as the users they serve, so each is a process of its
//! own; still all of them can share one port. The process that owns it hands a
//! session the datagrams that name it, sends its first answers, and, once the
//! session has confirmed its peer, gives it a socket at the same port that is
//! connected to that peer. From then on nothing passes through the owner.
//!
//! Both speak over a Unix socket that keeps messages apart
//! (`SOCK_SEQPACKET`). The borrower is not trusted: it can send only to where
//! datagrams naming its session came from, and gets sockets connected to
//! nowhere else.
//!
//! - `message`: what goes over the socket.
//! - `lender`: the owner's side, one thread for each borrower.
//! - `borrower`: the session's side.

mod borrower;
mod lender;
mod message;

pub use borrower::LentPort;
pub use lender::lend;

/// The message in `bytes`, encoded again: for fuzzers.
#[doc(hidden)]
#[must_use]
pub fn recoded(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut again = Vec::new();
    message::Message::decode(bytes).ok()?.encode(&mut again);
    Some(again)
}

#[cfg(test)]
mod tests;
