//! `[udp]`: the ports of the data path.

use std::net::IpAddr;

use super::section::section;
use super::{Listen, PortRange};

section! {
    /// Where datagrams are received.
    Udp, UdpLayer {
        /// UDP port, or address and port, that all sessions of the server
        /// share.
        listen: Listen = Listen::everywhere(33_001);
        /// Address that clients send datagrams to, where it is not the one
        /// that their SSH connection reached.
        public_address: Option<IpAddr> = None;
        /// Ports for sessions under OpenSSH where no `limosad` runs to share
        /// its port.
        session_ports: PortRange = PortRange::DEFAULT;
    }
}
