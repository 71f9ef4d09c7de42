//! From what was said during set-up to the protection of datagrams.

use limosa_seal::datagram::{DatagramOpener, DatagramSealer};
use limosa_seal::schedule::{KeyMaterial, Role, Transcript};
use limosa_seal::{CipherSuite, Secret};
use limosa_transport::Protection;
use limosa_wire::setup::{Answer, Request};
use limosa_wire::{PacketNumber, SessionId};

/// Sealer and opener of one end of a session, as the connection wants them.
#[derive(Debug)]
pub(crate) struct SessionProtection {
    sealer: DatagramSealer,
    opener: DatagramOpener,
}

/// Derives both directions' keys for the end that is `role`, and wipes the
/// random parts in `request` and `answer`.
///
/// `transcript` holds the bytes of client hello, request, server hello and
/// answer, and is wiped too: it contains the server's random part.
pub(crate) fn derive(
    role: Role,
    suite: CipherSuite,
    request: &mut Request,
    answer: &mut Answer,
    mut transcript: [Vec<u8>; 4],
) -> SessionProtection {
    let [client_hello, request_bytes, server_hello, answer_bytes] = &transcript;
    let complete = Transcript::start()
        .client_hello(client_hello)
        .request(request_bytes)
        .server_hello(server_hello)
        .answer(answer_bytes);
    let material = KeyMaterial {
        server_random: &Secret::take(&mut answer.random),
        client_random: &Secret::take(&mut request.random),
        suite,
        session: answer.session,
        transcript: complete,
    };
    let (sealer, opener) = material.keys(role);
    for message in &mut transcript {
        message.fill(0);
    }
    SessionProtection { sealer, opener }
}

impl Protection for SessionProtection {
    fn seal(&mut self, number: PacketNumber, header: &[u8], inside: &mut [u8]) {
        let sealed = self.sealer.seal(number, header, inside);
        sealed.expect("the connection uses ascending numbers and leaves room for the tag");
    }

    fn open(&mut self, number: PacketNumber, header: &[u8], inside: &mut [u8]) -> Option<usize> {
        self.opener.open(number, header, inside).ok().map(|frames| frames.len())
    }
}

/// A session id that is not zero and not in `taken`.
pub(crate) fn fresh_session_id(mut taken: impl FnMut(SessionId) -> bool) -> SessionId {
    loop {
        let id = SessionId(u32::from_be_bytes(limosa_seal::random()));
        if id.0 != 0 && !taken(id) {
            return id;
        }
    }
}
