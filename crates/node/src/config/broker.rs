//! `[broker]`: one UDP port for session programs under OpenSSH.

use std::path::PathBuf;

use super::section::section;

section! {
    /// The port broker, which lends the server's UDP port to session programs
    /// of any user of this machine.
    Broker, BrokerLayer {
        /// Whether it runs; if not set, it does where the embedded SSH server
        /// does not.
        enabled: Option<bool> = None;
        /// Unix socket at which session programs find it.
        socket: PathBuf = PathBuf::from("/run/limosa/ports");
    }
}
