//! What the tests of the whole program share: a remote end on loopback, the
//! client as a child process, trees of files, and the rule for skipping.
//!
//! The same scenes run against every kind of remote end (see [`remote`]).
#![allow(dead_code, unreachable_pub)] // each test file uses its part

pub mod client;
pub mod embedded;
pub mod openssh;
pub mod process;
pub mod random;
pub mod remote;
pub mod tree;
pub mod watch;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use limosa_ssh::server::ServerKey;
use tempfile::TempDir;

/// The one deadline: whatever is waited for happens well before it.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Reports a skip by name, or fails where a skip is a failure.
pub fn skip(missing: &str) {
    let required = std::env::var_os("LIMOSA_REQUIRE_COUNTERPARTS").is_some_and(|value| value == "1");
    assert!(!required, "missing counterpart: {missing}");
    println!("skipped: {missing}");
}

/// Waits until `condition` gives a value, and fails at the deadline.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        // Nothing wakes this up; it only leaves the processor to others.
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A program of this machine.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    directories.map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// The SSH clients to test with; without the system's, the skip is reported.
pub fn ssh_clients() -> &'static [&'static str] {
    if find("ssh").is_some() {
        return &["builtin", "system"];
    }
    skip("ssh");
    &["builtin"]
}

/// Who runs the tests.
pub fn user() -> String {
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(name).unwrap().trim().to_owned()
}

/// A directory with everything of one test: `here` is the client's working
/// directory, `there` what the remote end serves, `home` the client's home.
pub struct Lab {
    dir: TempDir,
    /// Of which kind its keys are, by the names of ssh-keygen.
    keys: &'static str,
}

impl Lab {
    pub fn new() -> Self {
        Self::with_keys("ed25519")
    }

    /// One whose keys are approved for FIPS 140-3 as OpenSSH computes them.
    pub fn with_approved_keys() -> Self {
        Self::with_keys("ecdsa")
    }

    fn with_keys(keys: &'static str) -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap(), keys };
        for name in ["here", "there", "home"] {
            fs::create_dir(lab.path(name)).unwrap();
        }
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn here(&self) -> PathBuf {
        self.path("here")
    }

    pub fn there(&self) -> PathBuf {
        self.path("there")
    }

    /// The private key of this name, made when first asked for: by ssh-keygen,
    /// or by our own hand on machines without OpenSSH.
    pub fn key(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        if !path.exists() && find("ssh-keygen").is_none() {
            let key = ServerKey::load_or_generate(&path).unwrap();
            fs::write(path.with_extension("pub"), key.public_line()).unwrap();
        } else if !path.exists() {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", self.keys, "-C", name, "-N", "", "-f"]).arg(&path);
            assert!(command.stdin(Stdio::null()).status().unwrap().success(), "ssh-keygen");
        }
        path
    }

    pub fn public_key(&self, name: &str) -> PathBuf {
        self.key(name).with_extension("pub")
    }
}

impl Drop for Lab {
    /// Makes directories without write permission removable.
    fn drop(&mut self) {
        open_up(self.dir.path());
    }
}

fn open_up(directory: &Path) {
    let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
