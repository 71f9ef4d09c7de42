//! The three reliable ordered streams beside the linear space.
//!
//! Each end keeps at most [`window`] bytes of a stream: the sender until they
//! are acknowledged, the receiver until those before them have come. As the
//! sender never runs further ahead than that, the receiver needs no other
//! flow control.

mod incoming;
mod outgoing;

pub(crate) use incoming::Incoming;
pub(crate) use outgoing::Outgoing;

use limosa_wire::frame::StreamId;

/// Most bytes of a stream between its reader and its writer.
#[must_use]
pub(crate) const fn window(stream: StreamId) -> usize {
    match stream {
        StreamId::Layout => 4 << 20,
        StreamId::Verdicts => 1 << 20,
        StreamId::Control => 256 << 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        /// Pieces are lost, doubled and swapped; what comes out is what went in.
        #[test]
        fn a_stream_comes_out_as_it_went_in(
            written in proptest::collection::vec(1usize..3000, 1..20),
            fates in proptest::collection::vec((0u8..6, 1usize..900), 10..300),
        ) {
            let (mut out, mut inc) = (Outgoing::new(StreamId::Control), Incoming::new(StreamId::Control));
            let mut sent = Vec::new();
            let mut received = Vec::new();
            for (index, length) in written.iter().enumerate() {
                let bytes = vec![index as u8; *length];
                prop_assert_eq!(out.write(&bytes), bytes.len());
                sent.extend_from_slice(&bytes);
            }
            let mut now = Time::ZERO;
            let mut flying: Vec<(u64, Vec<u8>)> = Vec::new();
            let mut step = |fate: u8, size: usize, flying: &mut Vec<(u64, Vec<u8>)>, received: &mut Vec<u8>| {
                now = now + Duration::from_millis(1);
                if let Some((offset, length)) = out.next(now, size, None) {
                    let mut bytes = vec![0; length];
                    out.copy(offset, &mut bytes);
                    out.sent(now, offset, length, false);
                    flying.push((offset, bytes));
                }
                let index = usize::from(fate) % flying.len().max(1);
                match fate {
                    0 if !flying.is_empty() => {
                        let (offset, bytes) = flying.remove(index);
                        out.lost(offset, bytes.len());
                    }
                    1 => {}
                    2 if !flying.is_empty() => {
                        let (offset, bytes) = flying[index].clone();
                        inc.receive(offset, &bytes, |bytes| received.extend_from_slice(bytes)).unwrap();
                    }
                    _ if !flying.is_empty() => {
                        let (offset, bytes) = flying.remove(index);
                        inc.receive(offset, &bytes, |bytes| received.extend_from_slice(bytes)).unwrap();
                        out.arrived(offset, bytes.len());
                    }
                    _ => {}
                }
                out.unacknowledged()
            };
            for (fate, size) in fates {
                step(fate, size, &mut flying, &mut received);
            }
            while step(5, 900, &mut flying, &mut received) > 0 {}
            prop_assert_eq!(received, sent);
        }
    }
}
