//! Messages between the front process and the main process: a length of four
//! bytes, a kind, and fields that each start with their length.
//!
//! A connection is opened for each SSH client (`Login` messages, each answered
//! by a `Verdict`) and for each session (`Session`, then bytes in chunks, see
//! [`super::splice`]).

use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// Longest message, in bytes; a key, a name and a password fit well.
const LONGEST: usize = 64 * 1024;

/// Proves that a session is of a connection whose login was accepted.
pub(super) type Ticket = [u8; 16];

/// What a client shows to log in.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// A key it says it has.
    Offered { key_type: String, blob: Vec<u8>, fingerprint: String },
    /// A key it has proved to have.
    Proved { key_type: String, blob: Vec<u8>, fingerprint: String },
    /// A password.
    Password(Zeroizing<String>),
}

/// A message.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// Front to main: may this login be?
    Login { peer: SocketAddr, user: String, shown: Shown },
    /// Main to front: no.
    Refused,
    /// Main to front: the offered key would do.
    Acceptable,
    /// Main to front: logged in as `identity`.
    Accepted { identity: String, ticket: Ticket },
    /// Front to main: a session of the login with this ticket.
    Session { ticket: Ticket },
}

impl Message {
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(1024));
        match self {
            Self::Login { peer, user, shown } => {
                let (kind, fields): (u8, Vec<&[u8]>) = match shown {
                    Shown::Offered { key_type, blob, fingerprint } => {
                        (1, vec![key_type.as_bytes(), blob, fingerprint.as_bytes()])
                    }
                    Shown::Proved { key_type, blob, fingerprint } => {
                        (2, vec![key_type.as_bytes(), blob, fingerprint.as_bytes()])
                    }
                    Shown::Password(password) => (3, vec![password.as_bytes()]),
                };
                out.push(kind);
                put(&mut out, peer.to_string().as_bytes());
                put(&mut out, user.as_bytes());
                fields.into_iter().for_each(|field| put(&mut out, field));
            }
            Self::Refused => out.push(4),
            Self::Acceptable => out.push(5),
            Self::Accepted { identity, ticket } => {
                out.push(6);
                put(&mut out, identity.as_bytes());
                put(&mut out, ticket);
            }
            Self::Session { ticket } => {
                out.push(7);
                put(&mut out, ticket);
            }
        }
        out
    }

    /// The message in `bytes`, if they are exactly one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, mut rest) = bytes.split_first()?;
        let rest = &mut rest;
        let message = match kind {
            1..=3 => {
                Self::Login { peer: text(rest)?.parse().ok()?, user: text(rest)?, shown: decode_shown(kind, rest)? }
            }
            4 => Self::Refused,
            5 => Self::Acceptable,
            6 => Self::Accepted { identity: text(rest)?, ticket: ticket(rest)? },
            7 => Self::Session { ticket: ticket(rest)? },
            _ => return None,
        };
        rest.is_empty().then_some(message)
    }

    /// Writes the message to `stream`.
    pub(super) async fn write(&self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let body = self.encode();
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= LONGEST);
        let length = length.ok_or_else(|| io::Error::other("the message is too long"))?;
        let mut whole = Zeroizing::new(length.to_be_bytes().to_vec());
        whole.extend_from_slice(&body);
        stream.write_all(&whole).await
    }

    /// Reads a message from `stream`.
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "no message of the front");
        if length > LONGEST {
            return Err(malformed());
        }
        let mut body = Zeroizing::new(vec![0; length]);
        stream.read_exact(&mut body).await?;
        Self::decode(&body).ok_or_else(malformed)
    }
}

fn decode_shown(kind: u8, rest: &mut &[u8]) -> Option<Shown> {
    if kind == 3 {
        return Some(Shown::Password(Zeroizing::new(text(rest)?)));
    }
    let (key_type, blob, fingerprint) = (text(rest)?, take(rest)?.to_vec(), text(rest)?);
    Some(match kind {
        1 => Shown::Offered { key_type, blob, fingerprint },
        _ => Shown::Proved { key_type, blob, fingerprint },
    })
}

fn put(out: &mut Vec<u8>, field: &[u8]) {
    // A field that is too long makes a message that is too long, and is
    // refused as such.
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(field);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (field, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    String::from_utf8(take(rest)?.to_vec()).ok()
}

fn ticket(rest: &mut &[u8]) -> Option<Ticket> {
    take(rest)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_decode_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(message) = Message::decode(&bytes) {
                prop_assert!(Message::decode(&message.encode()) == Some(message));
            }
        }

        #[test]
        fn login_round_trips(user in "\\PC{0,20}", kind in 0..3, blob: Vec<u8>, port: u16) {
            let key_type = "ssh-ed25519".to_owned();
            let fingerprint = "SHA256:x".to_owned();
            let shown = match kind {
                0 => Shown::Offered { key_type, blob, fingerprint },
                1 => Shown::Proved { key_type, blob, fingerprint },
                _ => Shown::Password(Zeroizing::new(user.clone())),
            };
            let peer = SocketAddr::from(([192, 0, 2, 1], port));
            let message = Message::Login { peer, user, shown };
            let bytes = message.encode();
            prop_assert!(Message::decode(&bytes) == Some(message));
            prop_assert!(Message::decode(&bytes[..bytes.len() - 1]).is_none());
        }
    }
}
