//! `[ssh]`: the embedded SSH server.

use super::Listen;
use super::section::section;

section! {
    /// The embedded SSH server and what strangers may cost it.
    Ssh, SshLayer {
        /// Whether it runs. Where OpenSSH faces the network, set it to false.
        enabled: bool = true;
        /// TCP port, or address and port.
        listen: Listen = Listen::everywhere(33_001);
        /// Whether users may log in by password.
        passwords: bool = true;
        /// Text shown before a login.
        banner: Option<String> = None;
        /// Refused credentials after which a connection is closed.
        max_attempts: usize = 6;
        /// Connections that have not logged in, in all.
        max_unauthenticated: usize = 100;
        /// Connections that have not logged in, from one address.
        max_unauthenticated_per_address: usize = 20;
        /// Time to log in, seconds.
        login_time: u64 = 60;
        /// Failed logins of one address, within ten minutes, after which it is
        /// shut out for a while.
        max_failures_per_address: u32 = 20;
        /// Numeric id of the user that the network-facing process runs as,
        /// where the server is started by root; a number that no account has,
        /// drawn at each start, if not set.
        front_user: Option<u32> = None;
    }
}
