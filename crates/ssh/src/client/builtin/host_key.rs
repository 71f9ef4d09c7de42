//! Is the key the server presents to be trusted: the files, the policy, and
//! perhaps a person decide.

use super::super::{HostKeyPolicy, Plan, ask};
use super::Failure;
use crate::known_hosts::{self, HostKey, HostName, KnownHosts, Verdict};
use crate::{HostKeyProblem, Prompt, SshError};
use russh::client::{DisconnectReason, Handler, Session};
use russh::keys::{HashAlg, PublicKey, PublicKeyOrCertificate};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Judges the server's key during the handshake.
pub(super) struct HostKeyCheck {
    name: HostName,
    known: KnownHosts,
    record_in: Option<PathBuf>,
    policy: HostKeyPolicy,
    prompt: Arc<dyn Prompt>,
    presented: Presented,
}

/// The fingerprint of the key presented, once it was.
#[derive(Clone, Default)]
pub(super) struct Presented(Arc<OnceLock<String>>);

impl Presented {
    pub(super) fn fingerprint(&self) -> Option<String> {
        self.0.get().cloned()
    }
}

impl HostKeyCheck {
    pub(super) fn new(plan: &Plan, name: HostName) -> (Self, Presented) {
        let presented = Presented::default();
        let check = Self {
            name,
            known: plan.known.clone(),
            record_in: plan.known_files.first().cloned(),
            policy: plan.policy,
            prompt: Arc::clone(&plan.request.prompt),
            presented: presented.clone(),
        };
        (check, presented)
    }

    async fn judge(&self, key: &PublicKey) -> Result<(), SshError> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let _ = self.presented.0.set(fingerprint.clone());
        let blob = key.to_bytes().ok().and_then(HostKey::from_blob);
        let key = blob.ok_or_else(|| SshError::Protocol("host key of no known form".into()))?;
        let host = self.name.to_string();
        let key_type = key.key_type().to_owned();
        match self.known.check(&self.name, &key) {
            Verdict::Known => Ok(()),
            Verdict::Changed(at) => Err(HostKeyProblem::Changed { host, key_type, fingerprint, at }.into()),
            Verdict::Revoked(at) => Err(HostKeyProblem::Revoked { host, fingerprint, at }.into()),
            Verdict::Unknown => {
                let unknown = HostKeyProblem::Unknown { host, key_type, fingerprint };
                self.accept_unknown(&key, unknown).await
            }
        }
    }

    async fn accept_unknown(&self, key: &HostKey, unknown: HostKeyProblem) -> Result<(), SshError> {
        let accepted = match self.policy {
            HostKeyPolicy::Strict => false,
            HostKeyPolicy::AcceptNew => true,
            HostKeyPolicy::Ask if !self.prompt.is_interactive() => false,
            HostKeyPolicy::Ask => {
                let question = format!("{unknown}.\nAccept and record it?");
                ask(&self.prompt, move |prompt| prompt.confirm(&question)).await == Some(true)
            }
        };
        if !accepted {
            return Err(unknown.into());
        }
        match &self.record_in {
            Some(file) => Ok(known_hosts::append(file, &self.name, key)?),
            None => Ok(()),
        }
    }
}

impl Handler for HostKeyCheck {
    type Error = Failure;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                self.judge(key).await.map_err(Failure)?;
                Ok(true)
            }
            // Never asked for: certificates are the system client's.
            PublicKeyOrCertificate::Certificate(_) => Ok(false),
        }
    }

    async fn auth_banner(&mut self, banner: &str, _session: &mut Session) -> Result<(), Failure> {
        let safe = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
        let text: String = banner.trim().chars().map(safe).take(4096).collect();
        let _ = ask(&self.prompt, move |prompt| prompt.notice(&text)).await;
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Failure>) -> Result<(), Failure> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                tracing::debug!(reason = info.message, "the server ended the connection");
                Ok(())
            }
            DisconnectReason::Error(error) => Err(error),
        }
    }
}
