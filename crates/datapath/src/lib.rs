//! UDP sockets and the thread that pumps a connection.
//!
//! The protocol core does no I/O; this crate does it for the core: it moves
//! datagrams between sockets and a [`limosa_transport::Connection`], keeps its
//! deadlines, and knows nothing of files, users or how a session was set up.
//!
//! Reading order: [`UdpSocket`] sends and receives in batches; [`SharedPort`]
//! lets many sessions of a server live behind one port; [`Link`] is what one
//! session has of either; [`Driver`] is the loop. [`relay`] is a long line with
//! loss, made of two sockets, to show and test all that.
#![deny(unsafe_code)]

mod batch;
mod buffers;
mod driver;
pub mod lending;
mod link;
mod port;
pub mod relay;
mod socket;
#[allow(unsafe_code)]
mod sockopt;
mod wait;
mod wake;

pub use batch::{Arrival, ReceiveBatch};
pub use buffers::{BufferSizes, GrantedBuffers};
pub use driver::{Driver, Engine, Finished};
pub use lending::{LentPort, lend};
pub use link::{Link, PortLink};
pub use port::{PortStatistics, Registration, SharedPort};
pub use socket::{Outgoing, Sent, SocketStatistics, UdpSocket, any_address_for};
pub use wait::Clock;
pub use wake::{Waker, Wakeup, waker};
