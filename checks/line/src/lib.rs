//! A long line on one machine: the simulator's line in real time, between two
//! network devices, for programs that know nothing of it.
//!
//! What goes into one TUN device comes out of the other after a bottleneck
//! with its queue, a delay and random losses, each packet as the kernel made
//! it. All of that is [`limosa_sim::Link`], one for each direction; here is
//! only what drives it by the clock:
//!
//! - [`direction`]: a link with packets that have bytes, and a count of what
//!   left it too late. Sans-IO, as the link is.
//! - [`device`]: a TUN device.
//! - [`emulator`]: the threads, one for each direction.
//!
//! An emulator needs the processor at the right moment. It asks for
//! real-time scheduling, and tells in its [`Figures`] how many packets were
//! late all the same: of a run with more than a few percent of them, the
//! machine was measured and not the line.
#![deny(unsafe_code)]

pub mod device;
pub mod direction;
pub mod emulator;
#[allow(unsafe_code)]
mod system;

pub use device::Device;
pub use direction::{Direction, Figures};
pub use emulator::Emulator;
