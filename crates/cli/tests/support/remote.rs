//! The remote end of a test, of whichever kind.

use std::ffi::OsString;
use std::path::Path;

use super::embedded::{self, Embedded};
use super::openssh::OpenSsh;
use super::process::{Process, wait_gone};
use super::{Lab, until, user};

/// A kind of remote end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Stock OpenSSH with nothing but the client's own binary.
    OpenSsh,
    /// Stock OpenSSH with `limosad session` as its subsystem.
    Administered,
    /// `limosad serve`.
    Embedded,
}

/// A remote end that runs.
pub enum Remote {
    OpenSsh(OpenSsh),
    Administered(OpenSsh),
    Embedded(Embedded),
}

impl Remote {
    /// Starts one; without its programs the skip is reported.
    pub fn start(kind: Kind, lab: &Lab) -> Option<Self> {
        Self::start_on(kind, lab, "127.0.0.1")
    }

    /// Starts one on an address of loopback.
    pub fn start_on(kind: Kind, lab: &Lab, address: &str) -> Option<Self> {
        match kind {
            Kind::OpenSsh => OpenSsh::start(lab, address).map(Self::OpenSsh),
            Kind::Administered => OpenSsh::administered(lab, address).map(Self::Administered),
            Kind::Embedded => Embedded::start(lab, address).map(Self::Embedded),
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::OpenSsh(server) | Self::Administered(server) => server.port,
            Self::Embedded(server) => server.port,
        }
    }

    pub fn user(&self) -> String {
        match self {
            Self::OpenSsh(_) | Self::Administered(_) => user(),
            Self::Embedded(_) => embedded::USER.to_owned(),
        }
    }

    /// Options that are needed to reach it.
    pub fn options(&self) -> Vec<OsString> {
        let mut options = vec!["--port".into(), self.port().to_string().into()];
        if let Self::OpenSsh(server) = self {
            options.extend(["--remote-command".into(), server.session_command().into()]);
        }
        options
    }

    /// `user@127.0.0.1:path` of a place in the lab's `there`, from its root.
    pub fn place(&self, lab: &Lab, below: impl AsRef<Path>) -> OsString {
        let root = match self {
            Self::OpenSsh(_) => lab.there().into_os_string(),
            Self::Administered(_) | Self::Embedded(_) => OsString::new(),
        };
        let mut typed = OsString::from(format!("{}@127.0.0.1:", self.user()));
        typed.push(root);
        typed.push("/");
        typed.push(below.as_ref());
        typed
    }

    /// The process of the session started last, where there is one a session.
    pub fn session(&self) -> Option<Process> {
        match self {
            Self::OpenSsh(server) => server.session(),
            Self::Administered(_) | Self::Embedded(_) => None,
        }
    }

    /// Kills the session started last, or the server that holds all sessions.
    pub fn crash(&mut self) {
        match self {
            Self::OpenSsh(server) => {
                let session = until("a session's process", || server.session());
                session.kill();
                wait_gone("the session", session);
            }
            Self::Administered(_) => panic!("its sessions leave no number behind"),
            Self::Embedded(server) => server.kill(),
        }
    }

    /// Starts again what a crash ended and nobody else starts.
    pub fn recover(&mut self, lab: &Lab) {
        if let Self::Embedded(server) = self {
            server.start_again(lab);
        }
    }

    pub fn openssh(&self) -> &OpenSsh {
        match self {
            Self::OpenSsh(server) | Self::Administered(server) => server,
            Self::Embedded(_) => panic!("this scene is OpenSSH's"),
        }
    }
}

/// Makes of each scene `fn name(kind: Kind)` a test for every kind of remote
/// end.
#[macro_export]
macro_rules! on_each_remote {
    ($($(#[$attribute:meta])* $scene:ident),+ $(,)?) => {
        mod openssh {
            $($(#[$attribute])* #[test] fn $scene() { super::$scene(super::Kind::OpenSsh); })+
        }
        mod embedded {
            $($(#[$attribute])* #[test] fn $scene() { super::$scene(super::Kind::Embedded); })+
        }
    };
}
