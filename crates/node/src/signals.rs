//! Signals, as a server and a session program take them.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Lets this process outlive the hang-up of a terminal or an SSH server. To be
/// called within a tokio runtime.
///
/// # Errors
/// If the system refuses.
pub fn survive_hangup() -> io::Result<()> {
    // A handler that does nothing replaces the default, which ends a process;
    // it stays when the listener is gone.
    signal(SignalKind::hangup()).map(drop)
}

/// Waits until somebody wants this process to end (`SIGTERM`, `SIGINT`).
/// Signals count from the call on, not from the first poll.
///
/// # Errors
/// If the system refuses.
pub fn termination() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
