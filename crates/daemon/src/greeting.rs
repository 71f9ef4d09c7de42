//! What a server says when it runs: how to reach it, and what to do next.

use std::io::Write;
use std::net::SocketAddr;

use limosa_node::Server;

use crate::arguments::PlaceArguments;

/// Prints it. Whoever closed standard output does not want to know.
pub(crate) fn print(server: &Server, place: &PlaceArguments) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text(server, place).as_bytes());
    let _ = out.flush();
}

fn text(server: &Server, place: &PlaceArguments) -> String {
    let mut lines = vec![format!("limosad {} serves", env!("CARGO_PKG_VERSION"))];
    if let (Some(address), Some(key)) = (server.ssh_address(), server.host_key()) {
        lines.push(format!("  SSH   TCP {}, host key {}", shown(address), key.fingerprint()));
    } else {
        lines.push("  SSH   by OpenSSH, with `Subsystem limosa /path/to/limosad session`".into());
    }
    lines.push(match server.udp_address() {
        Some(address) => format!("  data  UDP {}", shown(address)),
        None => "  data  UDP, while sessions run".into(),
    });
    lines.extend(server.broker_socket().map(|path| format!("  port  lent to session programs at {}", path.display())));
    lines.extend(server.buffer_advice().map(|advice| format!("  note  {advice}")));
    lines.extend(next_steps(server, place));
    lines.join("\n") + "\n"
}

fn next_steps(server: &Server, place: &PlaceArguments) -> Vec<String> {
    let Some(address) = server.ssh_address() else { return Vec::new() };
    let users = server.users().all().unwrap_or_default();
    let (name, mut lines) = match users.keys().next() {
        Some(name) => (name.to_string(), Vec::new()),
        None => {
            let state = place.state.as_ref().map(|state| format!(" --state {}", state.display())).unwrap_or_default();
            let command = format!("  limosad user add NAME --docroot DIR --key id_ed25519.pub{state}");
            ("NAME".to_owned(), vec!["There is no user yet. Add one, with the key to log in with:".into(), command])
        }
    };
    let port = if address.port() == limosa_ssh::client::DEFAULT_PORT {
        String::new()
    } else {
        format!(" --port {}", address.port())
    };
    lines.push("Send something from another machine:".into());
    lines.push(format!("  limosa send FILE {name}@{}:{port}", host_name(address)));
    lines
}

/// An address as an administrator thinks of it: a port, where it is every
/// address of the machine.
fn shown(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { format!("port {}", address.port()) } else { address.to_string() }
}

/// What this machine is called, as far as it knows.
fn host_name(address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return match address {
            SocketAddr::V6(_) => format!("[{}]", address.ip()),
            SocketAddr::V4(_) => address.ip().to_string(),
        };
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "HOST".into() } else { name.to_owned() }
}
