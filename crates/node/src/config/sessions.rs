//! `[sessions]`: bounds on all sessions of the server together.

use super::section::section;

section! {
    /// Bounds on all sessions together.
    Sessions, SessionsLayer {
        /// Sessions at a time.
        max: u32 = 1000;
        /// Time that running sessions get to end in order when the server is
        /// stopped, seconds.
        stop_time: u64 = 10;
    }
}
