//! The front's own side: what `limosad front` runs.

use std::io::{self, Read};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use limosa_ssh::front::FrontBackend;
use limosa_ssh::server::{Server, ServerKey};
use rustix::process::Signal;

use super::startup::{self, Orders};
use crate::error::NodeError;

/// Time that closed connections get for their last bytes.
const LAST_BYTES: Duration = Duration::from_millis(500);

/// Runs the SSH server until the main process is gone or wants it to end.
///
/// # Errors
/// If it was not started by `limosad serve`, or the listening socket is of no
/// use.
pub fn run() -> Result<(), NodeError> {
    give_up_rights().map_err(NodeError::start("the SSH front"))?;
    let control = std::io::stdin().as_fd().try_clone_to_owned().map_err(NodeError::start("the SSH front"))?;
    let control = UnixStream::from(control);
    let (orders, listener, key) = startup::receive(&control).map_err(NodeError::start("the SSH front"))?;
    let key = ServerKey::read(key, &orders.host_key)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(NodeError::start("the SSH front"))?;
    let served = runtime.block_on(serve(&orders, listener, &key, control));
    runtime.shutdown_background();
    served.map_err(NodeError::start("the SSH front"))
}

async fn serve(orders: &Orders, listener: TcpListener, key: &ServerKey, control: UnixStream) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let server = Server::new(key, orders.settings(), FrontBackend::new(&orders.main));
    let handle = server.handle();
    let main_gone = tokio::task::spawn_blocking(move || wait_for_end(control));
    tokio::select! {
        served = server.serve(listener) => served,
        _ = main_gone => {
            handle.stop();
            tokio::time::sleep(LAST_BYTES).await;
            Ok(())
        }
    }
}

/// Waits until the main process closes its end of the socket.
fn wait_for_end(mut control: UnixStream) {
    while matches!(control.read(&mut [0]), Ok(1..)) {}
}

/// Nothing started from here can regain rights, no core dump shows the host
/// key, and without its main process this one ends.
fn give_up_rights() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    limosa_seal::keep_from_core_dumps()?;
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    Ok(())
}
