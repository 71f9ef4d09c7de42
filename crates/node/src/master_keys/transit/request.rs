//! One question to a key server and its answer, within a time.

use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use limosa_seal::tls::{self, TlsError};
use limosa_seal::{AlgorithmSet, SecretBytes};
use reqwest::blocking::{Client, Response};
use reqwest::header::{HeaderMap, HeaderValue, LOCATION};
use reqwest::{StatusCode, Url, redirect};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{NO_FIELD, TransitError, TransitKey};
use crate::master_keys::KeyError;
use crate::master_keys::read::{open_trusted, read_file};

/// Time the key server has to answer, from the look-up of its name to the last
/// byte.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer, bytes.
const LIMIT: u64 = 64 << 10;
/// Longest file of certificates that is read, bytes.
const AUTHORITIES: u64 = 4 << 20;
/// Longest complaint of a key server that is repeated, characters.
const COMPLAINT: usize = 200;

/// What matters of an answer.
#[derive(Deserialize)]
struct Answer {
    data: Told,
}

#[derive(Deserialize)]
pub(super) struct Told {
    #[serde(default, deserialize_with = "secret")]
    pub(super) plaintext: Option<SecretBytes>,
    ciphertext: Option<String>,
}

/// What is wiped when it is dropped, as an answer that comes too late is.
fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretBytes>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(SecretBytes::from))
}

impl Told {
    pub(super) fn wrapped(self) -> Result<String, TransitError> {
        self.ciphertext.ok_or(NO_FIELD)
    }
}

/// What the server of `key` says to `question` at `what`. Blocks for `patience`
/// at most.
pub(super) fn ask(
    key: &TransitKey,
    set: AlgorithmSet,
    what: &str,
    question: Value,
    patience: Duration,
) -> Result<Told, TransitError> {
    let endpoint = endpoint(key, what)?;
    let (tell, told) = mpsc::channel();
    let exchange = Exchange { key: key.clone(), set, endpoint, patience, deadline: Instant::now() + patience };
    // On a thread that nobody waits for: to look up a name takes as long as the
    // system likes, and so does to end a client that does. What it brings too
    // late is wiped there.
    let started = thread::Builder::new().name("key server".into()).spawn(move || tell.send(exchange.run(&question)));
    started.map_err(|error| unreachable(key, &error))?;
    told.recv_timeout(patience).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(late(key, patience)),
        RecvTimeoutError::Disconnected => Err(TransitError::Answer("asking for it failed")),
    })
}

fn late(key: &TransitKey, patience: Duration) -> TransitError {
    let reason = format!("it took longer than {} seconds", patience.as_secs());
    TransitError::Unreachable { address: key.address.clone(), reason }
}

/// Where it is known that no part of the address is secret.
fn unreachable(key: &TransitKey, error: &dyn std::error::Error) -> TransitError {
    // The innermost says most: "connection refused", "certificate expired".
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    TransitError::Unreachable { address: key.address.clone(), reason: innermost.to_string() }
}

/// A question on its way.
struct Exchange {
    key: TransitKey,
    set: AlgorithmSet,
    endpoint: Url,
    patience: Duration,
    deadline: Instant,
}

impl Exchange {
    fn run(self, question: &Value) -> Result<Told, TransitError> {
        let failed = |error: reqwest::Error| match error.is_timeout() && Instant::now() >= self.deadline {
            true => late(&self.key, self.patience),
            false => unreachable(&self.key, &error),
        };
        let request = self.client()?.post(self.endpoint.clone()).headers(self.headers()?).json(question);
        let answer = request.send().map_err(failed)?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(self.redirected(status, answer.headers()));
        }
        let body = body(answer, self.deadline).map_err(|error| unreachable(&self.key, &error))?;
        if body.expose().len() as u64 > LIMIT {
            return Err(TransitError::Answer("it is longer than 64 KiB"));
        }
        if !status.is_success() {
            return Err(TransitError::Refused { status: status.as_u16(), complaint: complaint(body.expose()) });
        }
        let answer: Answer = serde_json::from_slice(body.expose()).map_err(|_| TransitError::Answer("no such JSON"))?;
        Ok(answer.data)
    }

    fn client(&self) -> Result<Client, TransitError> {
        let in_file = |path: &Path, reason: String| TransitError::File { path: path.into(), reason };
        let tls = match &self.key.ca_file {
            // Nobody's certificate is looked at, and there may be none here.
            _ if self.endpoint.scheme() == "http" => tls::believing_nobody(self.set)?,
            None => tls::client(self.set, None)?,
            Some(path) => {
                let pem = authorities(path).map_err(|error| in_file(path, error.to_string()))?;
                tls::client(self.set, Some(&pem)).map_err(|error: TlsError| in_file(path, error.to_string()))?
            }
        };
        // Neither a proxy out of somebody's environment nor another server by a
        // redirect is to see the token.
        let client = Client::builder().tls_backend_preconfigured(tls).no_proxy().redirect(redirect::Policy::none());
        let left = self.deadline.saturating_duration_since(Instant::now());
        // Another address of the same name may answer.
        client.timeout(left).connect_timeout(left / 2).build().map_err(|error| unreachable(&self.key, &error))
    }

    fn headers(&self) -> Result<HeaderMap, TransitError> {
        let mut headers = HeaderMap::new();
        // An agent that is told to insists on it: no page in a browser can send
        // it elsewhere unasked.
        headers.insert("X-Vault-Request", HeaderValue::from_static("true"));
        if let Some(path) = &self.key.token_file {
            headers.insert("X-Vault-Token", token(path)?);
        }
        if let Some(namespace) = &self.key.namespace {
            let unfit = |_| TransitError::Unfit { key: "namespace", problem: "it does not fit in a header".to_owned() };
            headers.insert("X-Vault-Namespace", HeaderValue::from_str(namespace).map_err(unfit)?);
        }
        Ok(headers)
    }

    fn redirected(&self, status: StatusCode, headers: &HeaderMap) -> TransitError {
        let location = headers.get(LOCATION).and_then(|value| self.endpoint.join(value.to_str().ok()?).ok());
        // The rest of it is not for a log, nor for `address`.
        let to = location.map_or_else(|| "nowhere".to_owned(), |url| url.origin().ascii_serialization());
        TransitError::Redirected { address: self.key.address.clone(), status: status.as_u16(), to }
    }
}

/// Where to ask for `what`.
fn endpoint(key: &TransitKey, what: &str) -> Result<Url, TransitError> {
    let unfit = |key, problem: &str| TransitError::Unfit { key, problem: problem.to_owned() };
    let base = Url::parse(&key.address).map_err(|error| unfit("address", &error.to_string()))?;
    match base.scheme() {
        "https" => {}
        "http" if is_this_machine(&base) => {}
        "http" => return Err(unfit("address", "only https leaves this machine")),
        _ => return Err(unfit("address", "it begins with https://")),
    }
    if !names_a_server_alone(&base) {
        // Not repeated: there may be a password in it.
        return Err(unfit("address", "scheme, host and port alone, such as https://vault.example.org:8200"));
    }
    let is_plain = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !name.is_empty() && !name.starts_with('.') && name.chars().all(fits)
    };
    if !key.mount.split('/').all(is_plain) {
        return Err(unfit("mount", "letters, digits, `.`, `_`, `-`, and `/` between names"));
    }
    if !is_plain(&key.key) {
        return Err(unfit("key", "letters, digits, `.`, `_`, `-`"));
    }
    let path = format!("/v1/{}/{what}/{}", key.mount, key.key);
    base.join(&path).map_err(|error| unfit("address", &error.to_string()))
}

/// Whether nothing of the address would be left out of what is asked for.
fn names_a_server_alone(address: &Url) -> bool {
    let is_nobody = address.username().is_empty() && address.password().is_none();
    is_nobody && address.path() == "/" && address.query().is_none() && address.fragment().is_none()
}

fn is_this_machine(address: &Url) -> bool {
    let host = address.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn token(path: &Path) -> Result<HeaderValue, TransitError> {
    let failed = |reason: String| TransitError::File { path: path.into(), reason };
    let token = read_file(path).map_err(|error| failed(error.to_string()))?;
    let token = token.expose().trim_ascii();
    if token.is_empty() {
        return Err(failed("it is empty; have the agent or `vault login` write a token to it".to_owned()));
    }
    let mut token = HeaderValue::from_bytes(token).map_err(|_| failed("it holds no token".to_owned()))?;
    token.set_sensitive(true);
    Ok(token)
}

/// The certificates in a file, which says whom to believe.
fn authorities(path: &Path) -> Result<Vec<u8>, KeyError> {
    let mut pem = Vec::new();
    open_trusted(path)?.take(AUTHORITIES).read_to_end(&mut pem)?;
    Ok(pem)
}

/// A byte more than there may be tells that there are too many.
fn body(answer: Response, deadline: Instant) -> io::Result<SecretBytes> {
    // Read into one place, so that no copy is left behind in a smaller one.
    let mut body = Vec::with_capacity(LIMIT as usize + 2);
    let read = Until { source: answer, deadline }.take(LIMIT + 1).read_to_end(&mut body);
    let body = SecretBytes::from(body);
    read.map(|_| body)
}

/// Ends with an error after a moment: the client's own bound is one for each
/// read, and a server may send one byte at a time.
struct Until<R> {
    source: R,
    deadline: Instant,
}

impl<R: Read> Read for Until<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.source.read(buffer)
    }
}

/// What a refusal says, cut short and without what a terminal would obey.
fn complaint(body: &[u8]) -> String {
    let said = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let said = said["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let said: Vec<_> = said.flat_map(str::split_whitespace).collect();
    let said: String = said.join(" ").chars().filter(|c| !c.is_control()).take(COMPLAINT).collect();
    if said.is_empty() { said } else { format!(": {said}") }
}
