//! What is to be done to every byte and datagram of a session, with keys of no
//! value: the protection and the digests as they ship.

use limosa_seal::datagram::{DatagramOpener, DatagramSealer};
use limosa_seal::schedule::{KeyMaterial, Role, Transcript};
use limosa_seal::{AlgorithmSet, ContentAlgorithm, Secret};
use limosa_transport::Protection;
use limosa_wire::setup::{ContentDigest, Suite};
use limosa_wire::{PacketNumber, SessionId};

/// The digest of content: BLAKE3.
pub(crate) fn algorithm() -> ContentAlgorithm {
    AlgorithmSet::Ordinary.content(ContentDigest::Blake3).expect("an ordinary digest")
}

/// Sealer and opener of a client and of its server: AES-128-GCM.
pub(crate) fn keys() -> [(DatagramSealer, DatagramOpener); 2] {
    keys_of(Suite::Aes128Gcm)
}

/// Sealer and opener of a client and of its server under `suite`.
///
/// # Panics
/// Never: every suite is an ordinary one.
#[must_use]
pub fn keys_of(suite: Suite) -> [(DatagramSealer, DatagramOpener); 2] {
    let (server_random, client_random) = (Secret::random(), Secret::random());
    [Role::Client, Role::Server].map(|role| {
        let suite = AlgorithmSet::Ordinary.suite(suite).expect("an ordinary suite");
        let transcript = Transcript::start().client_hello(b"1").request(b"2").server_hello(b"3").answer(b"4");
        let (server_random, client_random) = (&server_random, &client_random);
        KeyMaterial { server_random, client_random, suite, session: SessionId(1), transcript }.keys(role)
    })
}

/// The protection of one end's datagrams.
#[derive(Debug)]
pub(crate) struct Sealed {
    sealer: DatagramSealer,
    opener: DatagramOpener,
}

impl Sealed {
    /// That of a client and of its server.
    pub(crate) fn pair() -> [Self; 2] {
        keys().map(|(sealer, opener)| Self { sealer, opener })
    }
}

impl Protection for Sealed {
    fn seal(&mut self, number: PacketNumber, header: &[u8], inside: &mut [u8]) {
        let sealed = self.sealer.seal(number, header, inside);
        sealed.expect("the connection uses ascending numbers and leaves room for the tag");
    }

    fn open(&mut self, number: PacketNumber, header: &[u8], inside: &mut [u8]) -> Option<usize> {
        self.opener.open(number, header, inside).ok().map(|frames| frames.len())
    }
}
