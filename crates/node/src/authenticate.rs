//! Answers the SSH front's questions about logins.
//!
//! The front has checked that a key's holder signed; here it is decided whether
//! that key, or a password, lets them in. Every answer is written to the audit
//! log. An unknown user costs the same work as a known one, and the front lets
//! every refusal take the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use limosa_policy::user::{by_key, by_password};
use limosa_policy::{Identity, Method, PublicKey, UserName, UserRecord};
use limosa_seal::SecretBytes;
use limosa_seal::password::PasswordScheme;
use limosa_ssh::front::{AuthRequest, Proof};
use limosa_ssh::server;
use limosa_ssh::server::OfferedKey;
use tokio::sync::Semaphore;

use crate::audit::{AuditLog, Event, escaped};
use crate::bans::Bans;
use crate::users::UserStore;

/// Passwords checked at a time: each check takes 19 MiB and a core.
const CHECKS: usize = 4;

/// Judges logins.
#[derive(Debug)]
pub(crate) struct Authenticator {
    users: UserStore,
    scheme: PasswordScheme,
    passwords: bool,
    bans: Bans,
    audit: AuditLog,
    checks: Semaphore,
    /// The proofs of those who were let in. The front's sessions name a user
    /// and a method; a proof is handed out only for such a pair.
    proved: Mutex<HashMap<(UserName, Method), Identity>>,
}

/// What a login came to.
struct Verdict {
    method: &'static str,
    key: Option<String>,
    result: Result<Identity, &'static str>,
}

impl Authenticator {
    /// Judges by `users`; addresses that fail `permitted_failures` times are
    /// shut out for a while.
    #[must_use]
    pub(crate) fn new(
        users: UserStore,
        scheme: PasswordScheme,
        passwords: bool,
        permitted_failures: u32,
        audit: AuditLog,
    ) -> Self {
        let bans = Bans::new(permitted_failures);
        let checks = Semaphore::new(CHECKS);
        Self { users, scheme, passwords, bans, audit, checks, proved: Mutex::default() }
    }

    /// Judges one login and answers it.
    pub(crate) async fn judge(self: Arc<Self>, request: AuthRequest) {
        let banned = self.bans.is_banned(request.peer.ip(), Instant::now());
        let verdict = if banned { banned_verdict(&request.proof) } else { self.examine(&request).await };
        self.tell(&request, &verdict);
        match verdict.result {
            Ok(identity) => {
                let name = server::Identity::new(identity.user().as_str());
                if !matches!(request.proof, Proof::Offered(_)) {
                    self.remember(identity);
                }
                request.accept(name);
            }
            Err(_) => {
                if !banned && !matches!(request.proof, Proof::Offered(_)) {
                    self.count_failure(&request);
                }
                request.refuse();
            }
        }
    }

    /// The proof of somebody who was let in as `user` by `method`, if they
    /// still may.
    #[must_use]
    pub(crate) fn identity(&self, user: &str, method: &server::Method) -> Option<Identity> {
        let user: UserName = user.parse().ok()?;
        let method = match method {
            server::Method::PublicKey(_) => Method::PublicKey,
            server::Method::Password => Method::Password,
        };
        let still_there = self.record(&user).is_some_and(|record| !record.locked);
        let proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        proved.get(&(user, method)).filter(|_| still_there).cloned()
    }

    fn remember(&self, identity: Identity) {
        let mut proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        proved.insert((identity.user().clone(), identity.method()), identity);
    }

    fn count_failure(&self, request: &AuthRequest) {
        if let Some(ban) = self.bans.failed(request.peer.ip(), Instant::now()) {
            tracing::warn!(address = %request.peer.ip(), ?ban, "too many failed logins: address shut out");
        }
    }

    fn record(&self, user: &UserName) -> Option<UserRecord> {
        self.users.record(user).unwrap_or_else(|error| {
            tracing::error!(%error, "the users cannot be read: logins are refused");
            None
        })
    }

    async fn examine(&self, request: &AuthRequest) -> Verdict {
        let record = request.user.parse().ok().and_then(|user: UserName| self.record(&user));
        match &request.proof {
            Proof::Offered(key) => self.examine_key("publickey-offer", record.as_ref(), key),
            Proof::Key(key) => self.examine_key("publickey", record.as_ref(), key),
            Proof::Password(password) => {
                let given = SecretBytes::from(password.expose().to_owned());
                let result = self.examine_password(record, given).await;
                Verdict { method: "password", key: None, result }
            }
        }
    }

    fn examine_key(&self, method: &'static str, record: Option<&UserRecord>, key: &OfferedKey) -> Verdict {
        let offered = PublicKey { kind: key.key_type.clone(), blob: key.blob.clone() };
        let identity = record.and_then(|record| by_key(record, &offered));
        let result = identity.ok_or_else(|| reason(record, "this key is not listed for the user"));
        Verdict { method, key: Some(escaped(key.fingerprint.as_bytes())), result }
    }

    async fn examine_password(&self, record: Option<UserRecord>, given: SecretBytes) -> Result<Identity, &'static str> {
        if !self.passwords {
            return Err("passwords are not accepted");
        }
        let _turn = self.checks.acquire().await.map_err(|_| "the server is being stopped")?;
        let scheme = self.scheme;
        let checked = tokio::task::spawn_blocking(move || {
            let identity = by_password(scheme, record.as_ref(), &given);
            identity.ok_or_else(|| reason(record.as_ref(), "wrong password"))
        });
        checked.await.unwrap_or(Err("the check of the password failed"))
    }

    fn tell(&self, request: &AuthRequest, verdict: &Verdict) {
        let accepted = verdict.result.is_ok();
        if accepted && matches!(request.proof, Proof::Offered(_)) {
            return; // Its proof follows.
        }
        self.audit.write(&Event::Login {
            outcome: if accepted { "accepted" } else { "refused" },
            user: escaped(request.user.as_bytes()),
            peer: request.peer,
            method: verdict.method,
            key: verdict.key.clone(),
            reason: verdict.result.as_ref().err().copied(),
        });
    }
}

fn banned_verdict(proof: &Proof) -> Verdict {
    let (method, key) = match proof {
        Proof::Offered(key) => ("publickey-offer", Some(escaped(key.fingerprint.as_bytes()))),
        Proof::Key(key) => ("publickey", Some(escaped(key.fingerprint.as_bytes()))),
        Proof::Password(_) => ("password", None),
    };
    Verdict { method, key, result: Err("the address is shut out after too many failures") }
}

/// Why somebody is refused, for the audit log alone.
fn reason(record: Option<&UserRecord>, otherwise: &'static str) -> &'static str {
    match record {
        None => "no such user",
        Some(record) if record.locked => "the user is locked",
        Some(_) => otherwise,
    }
}
