//! `limosad demo`: the main job in one command, on one machine, without root.
//!
//! A server on loopback with throw-away keys and user, a UDP relay with rate,
//! delay and loss in front of it, and the client's own commands: a tree is sent
//! over real SSH and real UDP, fetched back, and every byte compared.

mod compare;
mod figures;
mod material;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;
use limosa_cli::arguments::{Arguments as ClientArguments, Command};
use limosa_cli::reporter;
use limosa_cli::transfer::{plan_get, plan_send, watch_plan};
use limosa_datapath::relay::{Line, Relay};
use limosa_session::Outcome;
use limosa_wire::Code;

use figures::Figures;
use material::Material;
use server::DemoServer;

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The line between the ends: rate, round trip, loss
    #[arg(long, value_name = "RATE,RTT,LOSS", default_value = "300mbit,100ms,1%")]
    pub line: Line,
    /// Keep the source, sent and fetched trees in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// What to send; a generated file of 200 MB and a tree of 2,000 small ones if not given
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// Runs the demo to its exit status.
#[must_use]
pub fn run(arguments: &Arguments) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.context("cannot start").and_then(|runtime| runtime.block_on(demonstrate(arguments)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("limosad demo: {error:#}");
            ExitCode::from(Code::INTERNAL.exit_status())
        }
    }
}

async fn demonstrate(arguments: &Arguments) -> anyhow::Result<()> {
    let material = Material::prepare(arguments.path.as_deref(), arguments.keep.as_deref())?;
    println!("Limosa demo: {} over {}", material.describe(), arguments.line);
    let server = DemoServer::start(&material).await?;
    let relay = Relay::start(server.udp, arguments.line, 1).context("no relay")?;
    println!(
        "  server on 127.0.0.1, SSH port {}, UDP port {} behind a relay at {}",
        server.ssh.port(),
        server.udp.port(),
        relay.address()
    );

    let reach = server.reach_arguments(relay.address());
    let source = material.source.as_os_str().to_owned();
    let sent = client(&["send"], &reach, &[source, "demo@127.0.0.1:sent/".into()]).await?;
    Figures::of("sent", &sent, &arguments.line, true).print();
    let below = material.name_at_destination()?;
    let remote = ["demo@127.0.0.1:sent/".as_ref(), below.as_os_str()].concat_os();
    let fetched = client(&["get"], &reach, &[remote, material.fetched_argument()]).await?;
    Figures::of("fetched", &fetched, &arguments.line, false).print();

    let there = material.sent.join(&below);
    let back = material.fetched.join(&below);
    let first = compare::trees(&material.compared(), &there)?;
    let second = compare::trees(&material.compared(), &back)?;
    ensure!(first.differences.is_empty(), "sent tree differs: {}", first.differences.join(", "));
    ensure!(second.differences.is_empty(), "fetched tree differs: {}", second.differences.join(", "));
    println!("  compared: {} files, {} bytes twice, every byte, mode and time equal", first.files, first.bytes);
    figures::print_tcp(&arguments.line);
    server.stop().await;
    if let Some(keep) = &arguments.keep {
        println!("  kept: source, sent and fetched trees below {}", keep.display());
    }
    Ok(())
}

/// Runs one command of the client in this process and insists on success.
async fn client(
    command: &[&str],
    reach: &[std::ffi::OsString],
    paths: &[std::ffi::OsString],
) -> anyhow::Result<Outcome> {
    let words = ["limosa".into()].into_iter().chain(command.iter().map(Into::into));
    let words = words.chain(reach.iter().cloned()).chain(paths.iter().cloned());
    let arguments = ClientArguments::try_parse_from(words)?;
    let outcome = match &arguments.command {
        Command::Send(send) => watch_plan(plan_send(send), &send.transfer, &mut *reporter(&send.transfer)).await,
        Command::Get(get) => watch_plan(plan_get(get), &get.transfer, &mut *reporter(&get.transfer)).await,
        _ => unreachable!("the demo sends and gets"),
    };
    let outcome = outcome.map_err(|failure| anyhow::anyhow!("{} ({})", failure.code, failure.detail))?;
    ensure!(outcome.code == Code::OK, "{}: {}", outcome.code, outcome.detail);
    Ok(outcome)
}

/// Joining pieces of names that need not be text.
trait ConcatOs {
    fn concat_os(self) -> std::ffi::OsString;
}

impl<const N: usize> ConcatOs for [&std::ffi::OsStr; N] {
    fn concat_os(self) -> std::ffi::OsString {
        self.into_iter().collect()
    }
}
