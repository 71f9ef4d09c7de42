//! Which credentials are offered, and in which order.
//!
//! What the user named comes first: key files of the command line, then a
//! password of the environment, then the keys of the configuration and the
//! agent, and at last what a person is asked for. Each refused offer costs a
//! round trip and one of the few tries a server allows; there is no probing
//! for methods beforehand. A key that the agent holds is used through the
//! agent, so that no passphrase is asked for.

use super::super::{Plan, ask};
use super::key_file::{KeyFile, Opened, unusable};
use super::{Connection, protocol_error};
use crate::{Secret, SshError};
use russh::client::{AuthResult, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet, SendError, Signer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Agent = AgentClient<Box<dyn AgentStream + Send + Unpin + 'static>>;

/// How often a person is asked again after a wrong password or passphrase.
const ASKED: usize = 3;

/// Rounds of questions a server may ask (keyboard-interactive).
const ROUNDS: usize = 8;

/// A login in progress.
pub(super) struct Login<'a> {
    plan: &'a Plan,
    connection: &'a mut Connection,
    agent: Option<Agent>,
    held: Vec<AgentIdentity>,
    rsa_hash: Option<HashAlg>,
    offered: Vec<Vec<u8>>,
    accepted: Option<MethodSet>,
    tried: Vec<String>,
}

/// How an offer was answered.
#[derive(PartialEq, Eq)]
enum Answer {
    LoggedIn,
    Refused,
}

impl<'a> Login<'a> {
    pub(super) fn new(plan: &'a Plan, connection: &'a mut Connection) -> Self {
        Self {
            plan,
            connection,
            agent: None,
            held: Vec::new(),
            rsa_hash: None,
            offered: Vec::new(),
            accepted: None,
            tried: Vec::new(),
        }
    }

    /// Logs in.
    pub(super) async fn run(mut self) -> Result<(), SshError> {
        match self.offer_all().await? {
            Answer::LoggedIn => Ok(()),
            Answer::Refused => Err(self.failed()),
        }
    }

    async fn offer_all(&mut self) -> Result<Answer, SshError> {
        self.open_agent().await;
        for file in self.plan.request.identities.clone() {
            let key = KeyFile::read(&file)?;
            let key = key.ok_or_else(|| unusable(&file, "there is no such file".into()))?;
            if self.offer_file(&key).await? == Answer::LoggedIn {
                return Ok(Answer::LoggedIn);
            }
        }
        if let Some(password) = self.plan.request.password.clone()
            && self.offer_password(&password).await? == Answer::LoggedIn
        {
            return Ok(Answer::LoggedIn);
        }
        if self.offer_configured_keys().await? == Answer::LoggedIn {
            return Ok(Answer::LoggedIn);
        }
        self.ask_password().await
    }

    fn failed(self) -> SshError {
        let accepted = self.accepted.map_or("unknown".into(), |methods| {
            let names: Vec<&str> = methods.iter().map(<&str>::from).collect();
            names.join(", ")
        });
        let hint = if self.tried.is_empty() {
            "give a key with -i, load one into an agent, or set LIMOSA_PASS"
        } else {
            "check the login name, and that the server knows this key or password"
        };
        SshError::Authentication {
            user: self.plan.user.clone(),
            host: self.plan.host.clone(),
            tried: self.tried,
            accepted,
            hint: hint.into(),
        }
    }

    /// Whether the server may still accept `method`, as far as it has said.
    fn may_work(&self, method: MethodKind) -> bool {
        self.accepted.as_ref().is_none_or(|methods| methods.contains(&method))
    }

    fn note(&mut self, what: String, result: AuthResult) -> Answer {
        match result {
            AuthResult::Success => Answer::LoggedIn,
            AuthResult::Failure { remaining_methods, .. } => {
                tracing::debug!(what, "not accepted");
                self.tried.push(what);
                self.accepted = Some(remaining_methods);
                Answer::Refused
            }
        }
    }

    // --- keys

    async fn offer_configured_keys(&mut self) -> Result<Answer, SshError> {
        if self.plan.config.is_no("pubkeyauthentication") {
            return Ok(Answer::Refused);
        }
        let files = configured_keys(self.plan);
        // Keys of the agent first, as they ask nothing; those the
        // configuration names before the others.
        let named: Vec<Vec<u8>> = files.iter().filter_map(|key| blob(key.public.as_ref()?)).collect();
        let mut held = self.held.clone();
        held.sort_by_key(|identity| {
            let of_file = blob(&identity.public_key()).and_then(|b| named.iter().position(|n| *n == b));
            of_file.unwrap_or(usize::MAX)
        });
        if self.plan.config.is_yes("identitiesonly") {
            held.retain(|key| blob(&key.public_key()).is_some_and(|blob| named.contains(&blob)));
        }
        for identity in held {
            if self.offer_held(&identity).await? == Answer::LoggedIn {
                return Ok(Answer::LoggedIn);
            }
        }
        for file in files {
            match self.offer_file(&file).await {
                Ok(Answer::LoggedIn) => return Ok(Answer::LoggedIn),
                Ok(Answer::Refused) => {}
                Err(error @ SshError::KeyFile { .. }) => {
                    tracing::warn!(%error, "skipped");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Answer::Refused)
    }

    /// Whether `key` is worth an offer: the method may work, and it was not
    /// offered before.
    fn is_new(&mut self, key: &PublicKey) -> bool {
        let Some(blob) = blob(key) else {
            return false;
        };
        let new = self.may_work(MethodKind::PublicKey) && !self.offered.contains(&blob);
        if new {
            self.offered.push(blob);
        }
        new
    }

    async fn offer_file(&mut self, file: &KeyFile) -> Result<Answer, SshError> {
        if let Some(public) = &file.public {
            let wanted = blob(public);
            let held = self.held.iter().find(|held| blob(&held.public_key()) == wanted).cloned();
            if let Some(identity) = held {
                return self.offer_held(&identity).await;
            }
            if !self.is_new(public) {
                return Ok(Answer::Refused);
            }
        }
        match file.open(self.plan.request.password.as_ref())? {
            Opened::Key(key) => self.offer_key(key, &file.path).await,
            Opened::Locked => self.offer_locked(file).await,
        }
    }

    async fn offer_key(&mut self, key: Arc<PrivateKey>, path: &Path) -> Result<Answer, SshError> {
        let hash = self.hash_for(key.public_key()).await?;
        let what = format!("key {}", path.display());
        let key = PrivateKeyWithHashAlg::new(key, hash);
        let result = self.connection.authenticate_publickey(&self.plan.user, key).await;
        Ok(self.note(what, result.map_err(|error| protocol_error(&error))?))
    }

    /// Asks for a passphrase, but only once the server has said that it would
    /// accept the key.
    async fn offer_locked(&mut self, file: &KeyFile) -> Result<Answer, SshError> {
        let what = format!("key {} (encrypted)", file.path.display());
        if !self.plan.request.prompt.is_interactive() {
            self.tried.push(format!("{what}, passphrase missing or wrong: set LIMOSA_PASS or use an agent"));
            return Ok(Answer::Refused);
        }
        if let Some(public) = &file.public
            && !self.would_accept(public, &what).await?
        {
            return Ok(Answer::Refused);
        }
        for _ in 0..ASKED {
            let question = format!("Passphrase of {}: ", file.path.display());
            let answer = ask(&self.plan.request.prompt, move |prompt| prompt.secret(&question)).await;
            let Some(passphrase) = answer.flatten() else {
                break;
            };
            if let Opened::Key(key) = file.open(Some(&passphrase))? {
                return self.offer_key(key, &file.path).await;
            }
        }
        self.tried.push(format!("{what}, not opened"));
        Ok(Answer::Refused)
    }

    async fn would_accept(&mut self, public: &PublicKey, what: &str) -> Result<bool, SshError> {
        let hash = self.hash_for(public).await?;
        let user = self.plan.user.clone();
        let mut probe = Probe;
        let asked = self.connection.authenticate_publickey_with(user, public.clone(), hash, &mut probe);
        match asked.await {
            Err(ProbeEnd::Acceptable) => Ok(true),
            Err(ProbeEnd::Gone) => Err(protocol_error(&russh::Error::Disconnect)),
            Ok(result) => Ok(self.note(what.to_owned(), result) == Answer::LoggedIn),
        }
    }

    /// The hash to sign with, for RSA keys; never SHA-1.
    async fn hash_for(&mut self, key: &PublicKey) -> Result<Option<HashAlg>, SshError> {
        if !matches!(key.algorithm(), Algorithm::Rsa { .. }) {
            return Ok(None);
        }
        if self.rsa_hash.is_none() {
            let best = self.connection.best_supported_rsa_hash().await;
            let best = best.map_err(|error| protocol_error(&error))?;
            self.rsa_hash = best.flatten().or(Some(HashAlg::Sha512));
        }
        Ok(self.rsa_hash)
    }

    // --- agent

    /// Reads what the agent holds. An agent that cannot be used is as good as
    /// none.
    async fn open_agent(&mut self) {
        let Some(socket) = agent_socket(self.plan) else {
            return;
        };
        let read = async {
            let mut agent = AgentClient::connect_uds(&socket).await?.dynamic();
            if let Some(binding) = self.connection.agent_session_binding() {
                // Only agents of today know this; others say no.
                let _ = agent.bind_session(binding, false).await;
            }
            let held = agent.request_identities().await?;
            Ok::<_, russh::keys::Error>((agent, held))
        };
        match read.await {
            Ok((agent, held)) => (self.agent, self.held) = (Some(agent), held),
            Err(error) => tracing::debug!(%error, "no agent"),
        }
    }

    async fn offer_held(&mut self, identity: &AgentIdentity) -> Result<Answer, SshError> {
        let public = identity.public_key().into_owned();
        if !self.is_new(&public) {
            return Ok(Answer::Refused);
        }
        let hash = self.hash_for(&public).await?;
        let what = format!("agent key {}", public.fingerprint(HashAlg::Sha256));
        let Some(agent) = &mut self.agent else {
            return Ok(Answer::Refused);
        };
        let user = self.plan.user.clone();
        let result = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                self.connection.authenticate_publickey_with(user, key.clone(), hash, agent).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                let certificate = certificate.clone();
                self.connection.authenticate_certificate_with(user, certificate, hash, agent).await
            }
        };
        match result {
            Ok(result) => Ok(self.note(what, result)),
            Err(error) => {
                self.tried.push(format!("{what}, the agent did not sign: {error}"));
                Ok(Answer::Refused)
            }
        }
    }

    // --- passwords

    async fn ask_password(&mut self) -> Result<Answer, SshError> {
        let prompt = &self.plan.request.prompt;
        if !prompt.is_interactive() {
            return Ok(Answer::Refused);
        }
        for _ in 0..ASKED {
            if !self.may_work(MethodKind::Password) && !self.may_work(MethodKind::KeyboardInteractive) {
                break;
            }
            let question = format!("Password of {}@{}: ", self.plan.user, self.plan.host);
            let answer = ask(prompt, move |prompt| prompt.secret(&question)).await.flatten();
            let Some(password) = answer else {
                break;
            };
            if self.offer_password(&password).await? == Answer::LoggedIn {
                return Ok(Answer::LoggedIn);
            }
        }
        Ok(Answer::Refused)
    }

    /// Offers the password as such, or as the answer to the one question a
    /// server asks instead.
    async fn offer_password(&mut self, password: &Secret) -> Result<Answer, SshError> {
        if self.may_work(MethodKind::Password) {
            let user = self.plan.user.clone();
            let result = self.connection.authenticate_password(user, password.expose()).await;
            let result = result.map_err(|error| protocol_error(&error))?;
            if self.note("password".into(), result) == Answer::LoggedIn {
                return Ok(Answer::LoggedIn);
            }
        }
        let asked_for = |methods: &MethodSet| methods.contains(&MethodKind::KeyboardInteractive);
        let password_refused = self.accepted.as_ref().is_some_and(|m| m.contains(&MethodKind::Password));
        if !self.accepted.as_ref().is_some_and(asked_for) || password_refused {
            return Ok(Answer::Refused);
        }
        self.answer_questions(password).await
    }

    async fn answer_questions(&mut self, password: &Secret) -> Result<Answer, SshError> {
        let user = self.plan.user.clone();
        let fail = |error: russh::Error| protocol_error(&error);
        let start = self.connection.authenticate_keyboard_interactive_start(user, None);
        let mut state = start.await.map_err(fail)?;
        for _ in 0..ROUNDS {
            let prompts = match state {
                KeyboardInteractiveAuthResponse::Success => return Ok(Answer::LoggedIn),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                    let result = AuthResult::Failure { remaining_methods, partial_success };
                    return Ok(self.note("keyboard-interactive".into(), result));
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
            };
            let mut answers = Vec::with_capacity(prompts.len());
            for prompt in prompts {
                answers.push(self.answer(&prompt, password).await);
            }
            let respond = self.connection.authenticate_keyboard_interactive_respond(answers);
            state = respond.await.map_err(fail)?;
        }
        Ok(Answer::Refused)
    }

    /// A hidden question for the password is answered with it; any other goes
    /// to a person.
    async fn answer(&self, question: &russh::client::Prompt, password: &Secret) -> String {
        if !question.echo && question.prompt.to_lowercase().contains("password") {
            return password.expose().to_owned();
        }
        let safe = |c: char| if c.is_control() { ' ' } else { c };
        let text: String = question.prompt.chars().map(safe).take(1024).collect();
        let answer = ask(&self.plan.request.prompt, move |prompt| prompt.secret(&text)).await;
        answer.flatten().map_or_else(String::new, |secret| secret.expose().to_owned())
    }
}

fn blob(key: &PublicKey) -> Option<Vec<u8>> {
    key.to_bytes().ok()
}

/// The keys the configuration names, which without one are the default files.
fn configured_keys(plan: &Plan) -> Vec<KeyFile> {
    let mut files = plan.config.path_lines("identityfile");
    if files.is_empty() {
        let default = ["id_ed25519", "id_ecdsa", "id_rsa"];
        files = default.map(|name| plan.config.expand(&format!("~/.ssh/{name}"))).into();
    }
    files
        .iter()
        .filter_map(|path| match KeyFile::read(path) {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(%error, "skipped");
                None
            }
        })
        .collect()
}

fn agent_socket(plan: &Plan) -> Option<PathBuf> {
    if plan.config.get("identityagent").is_none() && plan.config.is_set("identityagent") {
        return None; // `none`
    }
    match plan.config.get("identityagent") {
        None | Some("SSH_AUTH_SOCK") => std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
        Some(variable) if variable.starts_with('$') => {
            std::env::var_os(variable.trim_matches(['$', '{', '}'])).map(PathBuf::from)
        }
        Some(path) => Some(plan.config.expand(path)),
    }
}

/// Learns whether the server would accept a key, without signing.
struct Probe;

/// Why a probe ended.
enum ProbeEnd {
    Acceptable,
    Gone,
}

impl From<SendError> for ProbeEnd {
    fn from(_: SendError) -> Self {
        Self::Gone
    }
}

impl Signer for Probe {
    type Error = ProbeEnd;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        _hash_alg: Option<HashAlg>,
        _to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, ProbeEnd> {
        Err(ProbeEnd::Acceptable)
    }
}
