//! Asks the processor for memory that will be used in a moment.
//!
//! Blocks pass between the threads that touch files and the one that moves
//! datagrams, and so between the caches of two cores. Copying a payload out of,
//! or into, a block that the other core had last waits for each line of it. The
//! next payload is asked for here while the present one is being sealed, or
//! opened, which keeps the processor busy and its memory idle.

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Has `bytes` brought near, without waiting, to be read or written: the hint for
/// writing comes out as the same instruction unless a newer processor is asked
/// for. Where the processor is another, it is left to find out by itself.
pub(crate) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for byte in bytes.iter().step_by(LINE).chain(bytes.last()) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: part of every x86-64 processor; a hint that neither reads nor
        // writes as far as a program can tell, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const *byte).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
