//! `limosa doctor`: can the host be reached, and how well? Each step is tried
//! for real, by the same code that a transfer uses, and reported with advice.

use std::process::ExitCode;
use std::sync::Arc;

use limosa_seal::negotiation::CipherWish;
use limosa_session::{ClientJob, ClientPlan, Outcome, Running, SessionEvent, buffer_advice, connect};
use limosa_storage::memory::MemoryStore;
use limosa_transfer::sender::Nature;
use limosa_wire::Code;
use limosa_wire::setup::{
    ContentDigest, ContentProtection, Direction, Durability, Overwrite, RatePolicy, Request, ResumeLevel, Symlinks,
};
use serde_json::{Value, json};

use crate::arguments::DoctorArguments;
use crate::failure::CommandFailure;
use crate::reach::{reach, resolve_udp, told};

/// One thing that was tried.
#[derive(Debug)]
struct Finding {
    step: &'static str,
    good: bool,
    text: String,
    advice: String,
}

impl Finding {
    fn good(step: &'static str, text: impl Into<String>) -> Self {
        Self { step, good: true, text: text.into(), advice: String::new() }
    }

    fn bad(step: &'static str, failure: &CommandFailure) -> Self {
        let text = match failure.detail.as_str() {
            "" => failure.code.to_string(),
            detail => format!("{detail} (code {})", failure.code.number()),
        };
        Self { step, good: false, text, advice: failure.code.advice().to_owned() }
    }

    fn print(&self) {
        println!("{:4} {:12} {}", if self.good { "ok" } else { "BAD" }, self.step, self.text);
        if !self.advice.is_empty() {
            println!("     {:12} {}", "", self.advice);
        }
    }

    fn json(&self) -> Value {
        json!({ "step": self.step, "good": self.good, "text": self.text, "advice": self.advice })
    }
}

/// Examines a host to an exit status.
pub async fn run(arguments: &DoctorArguments) -> ExitCode {
    let (findings, code) = examine(arguments).await;
    if arguments.json {
        let list: Vec<Value> = findings.iter().map(Finding::json).collect();
        println!("{}", json!({ "schema": crate::report::SCHEMA, "findings": list, "code": code.number() }));
    } else {
        findings.iter().for_each(Finding::print);
    }
    ExitCode::from(code.exit_status())
}

async fn examine(arguments: &DoctorArguments) -> (Vec<Finding>, Code) {
    let mut findings = vec![buffers()];
    let code = match network(arguments, &mut findings).await {
        Ok(code) => code,
        Err((step, failure)) => {
            findings.push(Finding::bad(step, &failure));
            failure.code
        }
    };
    (findings, code)
}

fn buffers() -> Finding {
    match buffer_advice() {
        Ok(None) => Finding::good("buffers", "UDP buffers are as large as wished"),
        Ok(Some(advice)) => Finding {
            step: "buffers",
            good: true,
            text: "UDP buffers are smaller than wished; that costs only at several Gbit/s".to_owned(),
            advice,
        },
        Err(error) => Finding::bad("buffers", &CommandFailure::new(Code::UDP_BIND, error)),
    }
}

type Failed = (&'static str, CommandFailure);

async fn network(arguments: &DoctorArguments, findings: &mut Vec<Finding>) -> Result<Code, Failed> {
    // What this account may do decides which way a session can be tried.
    match session(arguments, Direction::Upload, findings).await {
        Err((_, failure)) if failure.code == Code::WRITE_NOT_ALLOWED => {
            findings.clear();
            findings.push(buffers());
            session(arguments, Direction::Download, findings).await
        }
        result => result,
    }
}

/// Logs in and runs a session that moves nothing.
async fn session(
    arguments: &DoctorArguments,
    direction: Direction,
    findings: &mut Vec<Finding>,
) -> Result<Code, Failed> {
    let connected = reach(&arguments.host, &arguments.reach).await.map_err(|error| ("ssh", error))?;
    let connection = told(&arguments.host, &connected);
    if let Some(address) = connected.peer_addr {
        findings.push(Finding::good("tcp", format!("connected to {address}")));
    }
    let trips = connection.ssh_round_trips.map_or(String::new(), |trips| format!(", {trips} round trips"));
    let key = connection.host_key.map_or(String::new(), |key| format!(", host key {key}"));
    findings.push(Finding::good(
        "ssh",
        format!("logged in after {:.1?}{trips}{key} ({})", connection.ssh_time, connection.way),
    ));
    let reached = connected.peer_addr.map(|address| address.ip());
    let (reached, udp_host) =
        resolve_udp(&arguments.host, &arguments.reach, reached).await.map_err(|error| ("udp", error))?;
    let plan = ClientPlan {
        request: request(direction),
        job: match direction {
            Direction::Upload => ClientJob::Upload(Vec::new()),
            Direction::Download => ClientJob::Download(
                limosa_transfer::receiver::Destination::parse(b"/").expect("the root is a destination"),
            ),
        },
        store: Arc::new(MemoryStore::new()),
        algorithms: arguments.reach.fips.algorithms().map_err(|error| ("cryptography", error))?,
        nature: Nature::Stored,
        user: Vec::new(),
        reached,
        rtt: connected.rtt,
        udp_port: arguments.reach.udp_port,
        udp_host,
        umask: 0o022,
    };
    let mut running = connect(connected.channel, plan).await.map_err(|error| ("session", error.into()))?;
    findings.push(Finding::good("session", "the server answers and agrees on a version and a cipher"));
    let outcome = watch(&mut running, findings).await;
    conclude(&outcome, findings)
}

async fn watch(running: &mut Running, findings: &mut Vec<Finding>) -> Outcome {
    while let Some(event) = running.events.recv().await {
        if let SessionEvent::Opened { peer, rtt } = event {
            let rtt = rtt.map_or(String::new(), |rtt| format!(", round trip {rtt:.1?}"));
            findings.push(Finding::good("udp", format!("datagrams pass both ways to {peer}{rtt}")));
        }
    }
    running.outcome().await
}

fn conclude(outcome: &Outcome, findings: &mut Vec<Finding>) -> Result<Code, Failed> {
    if outcome.times.opened.is_none() {
        return Err(("udp", CommandFailure::new(outcome.code, &outcome.detail)));
    }
    if let Some(connection) = &outcome.connection {
        let size = connection.path.packet_size;
        findings.push(Finding::good("mtu", format!("packets of {size} bytes pass")));
    }
    // A download of nothing may end with "nothing there"; the way is what counts.
    Ok(Code::OK)
}

fn request(direction: Direction) -> Request {
    Request {
        direction,
        transfer: limosa_seal::random(),
        random: [0; 32],
        suites: CipherWish::KeyBits(128).offers(),
        digests: ContentDigest::ALL.to_vec(),
        policy: RatePolicy::Fair,
        rate: None,
        resume: ResumeLevel::None,
        durability: Durability::None,
        symlinks: Symlinks::Skip,
        overwrite: Overwrite::Never,
        keep_mode: false,
        keep_times: false,
        fresh: true,
        protection: ContentProtection::None,
        source_count: 2,
        paths: vec![match direction {
            Direction::Upload => b"./".to_vec(),
            Direction::Download => b".limosa-doctor-looks-for-nothing".to_vec(),
        }],
    }
}
