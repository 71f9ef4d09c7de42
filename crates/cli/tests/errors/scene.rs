//! The surroundings of one command: directories, keys, a remote end.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::said::Form;
use crate::support::client::{Client, Finished, Running};
use crate::support::embedded::{Embedded, USER};
use crate::support::openssh::OpenSsh;
use crate::support::{Lab, find, skip, tree, until, user};

/// Bytes of a file that takes long enough, at the rates of the commands, for
/// something to happen meanwhile, and that is large enough to have a partial
/// file.
pub const LARGE: usize = 6_000_000;

/// Where a command is about to run.
pub struct Scene {
    pub lab: Lab,
    /// Option `-i`, unless the command has one.
    pub identity: PathBuf,
    /// Option `--known-hosts`.
    pub known_hosts: PathBuf,
    /// Option `--accept-new`.
    pub accept_new: bool,
    /// What runs the line.
    pub shell: Vec<&'static str>,
    /// What the shell does first.
    pub before: &'static str,
    line: String,
    form: Form,
    options: Vec<String>,
}

impl Scene {
    pub fn new(typed: &str, form: Form) -> Self {
        let lab = Lab::new();
        let (identity, known_hosts) = (lab.key("id"), lab.path("known_hosts"));
        let line = typed.to_owned();
        let shell = vec!["sh", "-c"];
        Self { lab, identity, known_hosts, accept_new: true, shell, before: "", line, form, options: Vec::new() }
    }

    /// Puts `value` where the command has `name`.
    pub fn fill(&mut self, name: &str, value: impl std::fmt::Display) {
        self.line = self.line.replace(name, &value.to_string());
    }

    /// Lets the host be at this port of loopback.
    pub fn host_at(&mut self, user: &str, port: u16) {
        self.fill("HOST", format_args!("{user}@127.0.0.1"));
        self.options.extend(["--port".to_owned(), port.to_string()]);
    }

    /// Starts `limosad serve` as the host.
    pub fn limosad(&mut self) -> Option<Embedded> {
        let server = Embedded::start(&self.lab, "127.0.0.1")?;
        self.host_at(USER, server.port);
        Some(server)
    }

    /// Starts OpenSSH with `limosa session` as the host.
    pub fn openssh(&mut self) -> Option<OpenSsh> {
        self.openssh_with("")
    }

    /// The same, with these options of `limosa session`.
    pub fn openssh_with(&mut self, options: &str) -> Option<OpenSsh> {
        let server = OpenSsh::start(&self.lab, "127.0.0.1")?;
        self.host_at(&user(), server.port);
        if !self.line.contains("--remote-command") {
            self.options.extend(["--remote-command".to_owned(), server.session_command() + options]);
        }
        Some(server)
    }

    /// Gives the user at the host one more setting.
    pub fn set(&self, setting: &str) {
        let users = self.lab.path("state/users.toml");
        let text = fs::read_to_string(&users).unwrap();
        let heading = format!("[users.{USER}.settings]\n");
        assert!(text.contains(&heading), "{text}");
        // Replaced, as the server expects of it.
        let edited = self.lab.path("state/users.new");
        fs::write(&edited, text.replace(&heading, &format!("{heading}{setting}\n"))).unwrap();
        fs::rename(edited, users).unwrap();
    }

    /// Makes a file in the command's directory.
    pub fn file(&self, name: &str, length: usize) -> PathBuf {
        let path = self.lab.here().join(name);
        fs::write(&path, vec![7; length]).unwrap();
        path
    }

    /// Makes a file in the command's directory, encrypted with the passphrase
    /// that the file WORD holds.
    pub fn protected(&self, name: &str) -> PathBuf {
        let path = self.file(name, 1000);
        fs::write(self.lab.here().join("WORD"), "word\n").unwrap();
        let client = Client::bare(&self.lab).args(["protect", "--kdf-cost", "64,1,1", "--output", "sealed", name]);
        client.args(["--passphrase-file", "WORD"]).succeed();
        fs::rename(self.lab.here().join("sealed"), &path).unwrap();
        path
    }

    /// Makes a directory in the command's directory.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.lab.here().join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    /// Makes a file at the host.
    pub fn file_there(&self, name: &str, length: usize) {
        fs::write(self.lab.there().join(name), vec![7; length]).unwrap();
    }

    /// Waits until the receiver at the host writes a file.
    pub fn until_it_flows(&self) {
        until("a file under way", || tree::leftovers(&self.lab.there()).pop());
    }

    /// Runs the command where file systems can be mounted, after `before`.
    pub fn mounting(&mut self, before: &'static str) -> Option<()> {
        let may = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
        if !may.is_ok_and(|status| status.success()) {
            skip("unshare -rm, to mount file systems of one's own");
            return None;
        }
        self.shell = vec!["unshare", "-rm", "sh", "-c"];
        self.before = before;
        Some(())
    }

    /// Runs the command without the rights by which root reads everything.
    pub fn as_nobody_special(&mut self) -> Option<()> {
        if !rustix::process::geteuid().is_root() {
            return Some(());
        }
        if find("setpriv").is_none() {
            skip("setpriv");
            return None;
        }
        self.shell = vec!["setpriv", "--bounding-set=-all", "--inh-caps=-all", "sh", "-c"];
        Some(())
    }

    pub fn spawn(&self) -> Running {
        Client::shell(&self.lab, &self.shell, &format!("{}{}", self.before, self.line())).spawn()
    }

    pub fn run(&self) -> Finished {
        self.spawn().finish()
    }

    /// Starts the same command with other words in it.
    pub fn spawn_other(&self, from: &str, to: &str) -> Running {
        Client::shell(&self.lab, &self.shell, &self.line().replace(from, to)).spawn()
    }

    /// The command with what a person would have in their configuration.
    fn line(&self) -> String {
        let mut options = self.options.clone();
        options.extend(["--known-hosts".to_owned(), self.known_hosts.display().to_string()]);
        if !self.line.contains(" -i ") {
            options.extend(["-i".to_owned(), self.identity.display().to_string()]);
        }
        if self.accept_new {
            options.push("--accept-new".to_owned());
        }
        if self.form == Form::Json {
            options.push("--json".to_owned());
        }
        let options: String = options.iter().map(|option| format!(" '{option}'")).collect();
        // The shell gives way to the program, so that signals reach that.
        let json = if self.form == Form::Json { " --json" } else { "" };
        let direct = if self.line.starts_with("limosa") { "exec " } else { "" };
        let mut line = format!("{direct}{}", self.line);
        for command in ["limosa send", "limosa get"] {
            line = line.replace(command, &format!("{command}{options}"));
        }
        // What stays on this machine takes no options about hosts.
        for command in ["limosa protect", "limosa unprotect"] {
            line = line.replace(command, &format!("{command}{json}"));
        }
        line
    }
}

/// A host is there and FILE, of a few bytes, is here.
pub fn small_upload(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.file("FILE", 1000);
    Some(scene.run())
}

/// FILE is here, and no host.
pub fn without_host(scene: &mut Scene) -> Option<Finished> {
    scene.file("FILE", 1000);
    Some(scene.run())
}
