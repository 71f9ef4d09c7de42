//! `limosad serve`.

use limosa_node::config::{ConfigLayer, Sources};
use limosa_node::front::FrontProgram;
use limosa_node::signals::{survive_hangup, termination};
use limosa_node::{Configuration, NodeError, ServeOptions, Server, StateDirectory};

use crate::arguments::{LogFormat, PlaceArguments, ServeArguments};
use crate::failure::Failure;
use crate::greeting;

impl PlaceArguments {
    /// The configuration in force, with `command_line` above everything.
    pub(crate) fn configuration(&self, command_line: ConfigLayer) -> Result<Configuration, Failure> {
        let environment = std::env::vars_os().collect();
        Ok(Configuration::load(Sources { file: self.config.clone(), environment, command_line })?)
    }

    /// The state directory, made if there is none.
    pub(crate) fn state(&self) -> Result<StateDirectory, Failure> {
        let path = self.state.clone().unwrap_or_else(StateDirectory::usual_path);
        Ok(StateDirectory::open(path)?)
    }
}

/// Runs the server until a signal ends it.
pub(crate) fn run(arguments: &ServeArguments, format: LogFormat, umask: u32) -> Result<(), Failure> {
    let mut flags = ConfigLayer::default();
    flags.ssh.listen = arguments.listen;
    flags.udp.listen = arguments.udp_port;
    let config = arguments.place.configuration(flags)?;
    let state = arguments.place.state()?;
    let front = match format {
        LogFormat::Text => FrontProgram::this_program(&["front"]),
        LogFormat::Json => FrontProgram::this_program(&["front", "--log-format", "json"]),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| NodeError::Start { what: "the server", source })?;
    let served = runtime.block_on(serve(ServeOptions { config, state, front, umask }, arguments));
    runtime.shutdown_background();
    served
}

async fn serve(options: ServeOptions, arguments: &ServeArguments) -> Result<(), Failure> {
    let signals = || Ok((survive_hangup()?, termination()?, termination()?));
    let ((), stop, hurry) = signals().map_err(|source| NodeError::Start { what: "the server", source })?;
    let server = Server::start(options)?;
    greeting::print(&server, &arguments.place);
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let stop = async move {
        stop.await;
        let _ = stopping.send(());
    };
    tokio::select! {
        () = server.run(stop) => {}
        () = second_signal(stopped, hurry) => tracing::warn!("stopped at once, by a second signal"),
    }
    Ok(())
}

/// Waits for a signal after the one that began the stop.
async fn second_signal(stopped: tokio::sync::oneshot::Receiver<()>, first: impl Future<Output = ()>) {
    let _ = stopped.await;
    first.await; // It was sent to this listener too.
    match termination() {
        Ok(second) => second.await,
        Err(_) => std::future::pending().await,
    }
}
