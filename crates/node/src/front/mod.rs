//! The process that faces the network.
//!
//! The SSH server runs in a process of its own: this program, started again
//! with another role. It is given, over a socket at its standard input, the
//! listening socket, the host key, and what it may cost; it holds nothing else
//! and asks the main process about everything. Where the server is started by
//! root, it runs as a user that no account has.
//!
//! - `startup`: what the main process tells a new front, once.
//! - `keeper`: the main process's side: starting it, and starting it again.
//! - [`process`]: the front's own side.

mod keeper;
pub mod process;
mod startup;

pub use keeper::FrontProgram;
pub(crate) use keeper::{FrontKeeper, FrontPlan, PrivateSocket, front_user};
pub(crate) use startup::Orders;
