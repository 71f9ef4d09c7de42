//! The demo's server: the real one, on loopback, with throw-away keys and user.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use limosa_node::config::{ConfigLayer, Sources};
use limosa_node::front::FrontProgram;
use limosa_node::{Configuration, ServeOptions, Server, StateDirectory, StoredUser, UserStore};
use limosa_policy::SettingsLayer;
use limosa_ssh::server::ServerKey;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::material::Material;

/// A running server.
#[derive(Debug)]
pub(super) struct DemoServer {
    /// Where it takes SSH connections.
    pub(super) ssh: SocketAddr,
    /// Where it takes datagrams.
    pub(super) udp: SocketAddr,
    identity: PathBuf,
    known_hosts: PathBuf,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl DemoServer {
    /// Makes keys, user and configuration, and starts the server.
    pub(super) async fn start(material: &Material) -> anyhow::Result<Self> {
        let identity = material.state.join("identity");
        let key = ServerKey::load_or_generate(&identity)?;
        let state = StateDirectory::open(material.state.join("server"))?;
        let settings = SettingsLayer { docroot: Some(material.docroot.clone()), ..SettingsLayer::default() };
        let user = StoredUser { keys: vec![key.public_line()], settings, ..StoredUser::default() };
        UserStore::new(state.clone()).add(&"demo".parse()?, user)?;
        let options = ServeOptions {
            config: configuration(material)?,
            state,
            front: FrontProgram::this_program(&["front"]),
            umask: 0o022,
        };
        let server = Server::start(options)?;
        let ssh = server.ssh_address().context("the server has no SSH port")?;
        let host_key = server.host_key().context("the server has no host key")?;
        let known_hosts = material.state.join("known_hosts");
        fs::write(&known_hosts, format!("[{}]:{} {}\n", ssh.ip(), ssh.port(), host_key.public_line()))?;
        let udp = server.udp_address().context("the server has no UDP port")?;
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Ok(Self { ssh, udp, identity, known_hosts, stop, running })
    }

    /// The client's options to reach it, datagrams through the relay.
    pub(super) fn reach_arguments(&self, relay: SocketAddr) -> Vec<OsString> {
        let port = self.ssh.port().to_string();
        let udp_host = relay.to_string();
        let options = [("--port", port.as_ref()), ("--udp-host", udp_host.as_ref()), ("--ssh", "builtin".as_ref())];
        let files = [("--identity", self.identity.as_os_str()), ("--known-hosts", self.known_hosts.as_os_str())];
        options.into_iter().chain(files).flat_map(|(name, value)| [name.into(), value.to_owned()]).collect()
    }

    /// Stops the server and waits for it.
    pub(super) async fn stop(self) {
        // Gone already or not, it ends.
        let _ = self.stop.send(());
        let _ = self.running.await;
    }
}

/// A configuration of its own, whatever this machine has.
fn configuration(material: &Material) -> anyhow::Result<Configuration> {
    let file = material.state.join("limosad.toml");
    fs::write(&file, "")?;
    let mut command_line = ConfigLayer::default();
    command_line.ssh.listen = Some("127.0.0.1:0".parse()?);
    command_line.udp.listen = Some("127.0.0.1:0".parse()?);
    Ok(Configuration::load(Sources { file: Some(file), environment: Vec::new(), command_line })?)
}
