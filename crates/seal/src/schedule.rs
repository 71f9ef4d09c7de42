//! How both ends of a session come to the same keys.
//!
//! ```text
//! transcript = SHA-256(client hello · request · server hello · answer), as sent, headers included
//! session    = HKDF-Extract(salt "limosa 1 session", server random · client random)
//! chain(0)   = HKDF-Expand(session, "limosa 1 direction" · direction · suite · session id · transcript)
//! epoch(n)   = HKDF-Extract(salt "limosa 1 epoch", chain(n))
//! key(n)     = HKDF-Expand(epoch(n), "key"), as long as the suite's keys
//! iv(n)      = HKDF-Expand(epoch(n), "iv"), 12 bytes                  GCM
//! iv key(n)  = HKDF-Expand(epoch(n), "iv key"), as long as key(n)     CFB
//! mac(n)     = HKDF-Expand(epoch(n), "mac"), 32 bytes                 CFB, no encryption
//! chain(n+1) = HKDF-Expand(epoch(n), "chain"), 32 bytes
//! ```
//!
//! HKDF is RFC 5869 with SHA-256. Direction and suite are one byte each, the
//! session id four, highest first; a direction is 1 from client to server and
//! 2 back, whichever way the files go. The server's random bytes never leave
//! the SSH channel and are drawn anew for every session, so no key is ever
//! shared by two sessions, nor by two sockets.
//!
//! A packet's epoch is its number shifted right by [`EPOCH_BITS`]: computed,
//! never signalled.
//!
//! The stages are types: a [`Transcript`] takes the messages in their order
//! only, and keys come from a complete one alone.

use std::fmt;
use std::marker::PhantomData;

use aws_lc_rs::{digest, hkdf};
use limosa_wire::{PacketNumber, SessionId};

use crate::content::sha256_bytes;
use crate::datagram::{CfbWay, DatagramOpener, DatagramSealer, EpochKey};
use crate::{CipherSuite, Secret};

/// An epoch is `2^EPOCH_BITS` packet numbers.
pub const EPOCH_BITS: u32 = 22;

const SESSION_SALT: &[u8] = b"limosa 1 session";
const EPOCH_SALT: &[u8] = b"limosa 1 epoch";
const DIRECTION_INFO: &[u8] = b"limosa 1 direction";

/// A stretch of packet numbers that share a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch a packet belongs to.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub const fn of(number: PacketNumber) -> Self {
        Self((number.get() >> EPOCH_BITS) as u32)
    }
}

/// Nothing was said yet.
#[derive(Debug)]
pub enum Silent {}
/// The client's hello is in.
#[derive(Debug)]
pub enum ClientHello {}
/// And its request.
#[derive(Debug)]
pub enum Requested {}
/// And the server's hello.
#[derive(Debug)]
pub enum ServerHello {}

/// Hash over what was said on the SSH channel, up to a stage.
pub struct Transcript<Stage>(digest::Context, PhantomData<Stage>);

impl<Stage> fmt::Debug for Transcript<Stage> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transcript<{}>", std::any::type_name::<Stage>())
    }
}

impl<Stage> Transcript<Stage> {
    fn with<Next>(mut self, message: &[u8]) -> Transcript<Next> {
        self.0.update(message);
        Transcript(self.0, PhantomData)
    }
}

impl Transcript<Silent> {
    /// Before the first message.
    #[must_use]
    pub fn start() -> Self {
        Self(digest::Context::new(&digest::SHA256), PhantomData)
    }

    /// Takes the client's hello: the whole message as it crossed.
    #[must_use]
    pub fn client_hello(self, message: &[u8]) -> Transcript<ClientHello> {
        self.with(message)
    }
}

impl Transcript<ClientHello> {
    /// Takes the client's request.
    #[must_use]
    pub fn request(self, message: &[u8]) -> Transcript<Requested> {
        self.with(message)
    }
}

impl Transcript<Requested> {
    /// Takes the server's hello.
    #[must_use]
    pub fn server_hello(self, message: &[u8]) -> Transcript<ServerHello> {
        self.with(message)
    }
}

impl Transcript<ServerHello> {
    /// Takes the server's answer, which completes the transcript.
    #[must_use]
    pub fn answer(mut self, message: &[u8]) -> CompleteTranscript {
        self.0.update(message);
        CompleteTranscript(sha256_bytes(&self.0.finish()))
    }
}

/// Hash of everything the keys depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompleteTranscript([u8; 32]);

/// What the keys of a session are made of.
#[derive(Debug)]
pub struct KeyMaterial<'a> {
    /// The server's part: secret.
    pub server_random: &'a Secret<32>,
    /// The client's part.
    pub client_random: &'a Secret<32>,
    /// The suite agreed on.
    pub suite: CipherSuite,
    /// The session.
    pub session: SessionId,
    /// Everything said before.
    pub transcript: CompleteTranscript,
}

/// Which end of a session this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that connected.
    Client,
    /// The one that answered.
    Server,
}

/// Which way datagrams cross, whichever way the files go.
#[derive(Clone, Copy)]
enum Direction {
    ClientToServer = 1,
    ServerToClient = 2,
}

impl KeyMaterial<'_> {
    /// The two ends of protection for the side that is `role`.
    #[must_use]
    pub fn keys(&self, role: Role) -> (DatagramSealer, DatagramOpener) {
        let (outward, inward) = match role {
            Role::Client => (Direction::ClientToServer, Direction::ServerToClient),
            Role::Server => (Direction::ServerToClient, Direction::ClientToServer),
        };
        let session = self.extract();
        (DatagramSealer::new(self.chain(&session, outward)), DatagramOpener::new(self.chain(&session, inward)))
    }

    fn extract(&self) -> hkdf::Prk {
        let both = Secret::<64>::fill(|bytes| {
            bytes[..32].copy_from_slice(self.server_random.expose());
            bytes[32..].copy_from_slice(self.client_random.expose());
        });
        hkdf::Salt::new(hkdf::HKDF_SHA256, SESSION_SALT).extract(both.expose())
    }

    fn chain(&self, session: &hkdf::Prk, direction: Direction) -> KeyChain {
        let choice = [direction as u8, self.suite.suite().number()];
        let id = self.session.0.to_be_bytes();
        let secret = Secret::fill(|bytes| expand(session, &[DIRECTION_INFO, &choice, &id, &self.transcript.0], bytes));
        KeyChain { suite: self.suite, next: Epoch(0), secret }
    }
}

/// The chain of one direction: hands out the key of each epoch once, in order,
/// and keeps nothing from which an earlier one could be had.
#[derive(Debug)]
pub(crate) struct KeyChain {
    suite: CipherSuite,
    next: Epoch,
    secret: Secret<32>,
}

impl KeyChain {
    /// The epoch whose key comes next.
    pub(crate) fn next_epoch(&self) -> Epoch {
        self.next
    }

    /// The next epoch's key; the chain moves on.
    pub(crate) fn step<Way: CfbWay>(&mut self) -> EpochKey<Way> {
        let epoch = EpochSecret(hkdf::Salt::new(hkdf::HKDF_SHA256, EPOCH_SALT).extract(self.secret.expose()));
        self.secret = epoch.expand(b"chain");
        self.next.0 += 1;
        EpochKey::derive(self.suite, &epoch)
    }
}

/// What the keys of one epoch are made of.
pub(crate) struct EpochSecret(hkdf::Prk);

impl EpochSecret {
    /// The key with this label. HKDF's output does not depend on its length:
    /// the front of a longer key is the shorter one.
    pub(crate) fn expand<const N: usize>(&self, label: &[u8]) -> Secret<N> {
        Secret::fill(|bytes| expand(&self.0, &[label], bytes))
    }
}

/// HKDF-Expand to the length of `out`.
pub(crate) fn expand(prk: &hkdf::Prk, info: &[&[u8]], out: &mut [u8]) {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let okm = prk.expand(info, Length(out.len())).expect("at most 255 digests of output");
    okm.fill(out).expect("asked for exactly this length");
}

#[cfg(test)]
mod tests;
