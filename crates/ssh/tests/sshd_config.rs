//! The recommended configuration of OpenSSH's server, held against the real
//! one: it is accepted, and what it does not list or permit is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use limosa_ssh::sshd_config::{Profile, sshd_config};
use limosa_ssh::{Way, connect};
use support::{Agent, DEADLINE, Lab, find, free_port, in_time, installed, user, wait_for_port};

const PROGRAMS: &[&str] = &["sshd", "ssh", "ssh-keygen"];
const PROFILES: [Profile; 2] = [Profile::Recommended, Profile::Fips];

/// Whom the server may let in: an ordinary account, where this is root, since
/// root is let in by nobody.
fn guest() -> String {
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let ordinary = accounts.lines().find(|line| line.split(':').nth(2).is_some_and(|id| id != "0")).unwrap();
    let name = if user() == "root" { ordinary.split(':').next().unwrap().to_owned() } else { user() };
    assert_ne!(name, "root");
    name
}

fn group_of(name: &str) -> String {
    let group = Command::new("id").args(["-gn", name]).output().unwrap().stdout;
    String::from_utf8(group).unwrap().trim().to_owned()
}

/// The line that lets the guest in, and would let in root were it not for
/// another.
fn groups() -> String {
    format!("AllowGroups {} {}", group_of(&guest()), group_of(&user()))
}

/// The printed text, with the places of this test in it.
fn placed(lab: &Lab, profile: Profile, port: u16) -> String {
    let groups = groups();
    let host_keys = format!("HostKey {}/", lab.dir.path().display());
    let port = format!("\nPort {port}\nListenAddress 127.0.0.1\n");
    let replaced = [
        ("\nPort 33001\n", port.as_str()),
        ("/run/sshd-limosa.pid", "none"),
        ("HostKey /etc/ssh/", host_keys.as_str()),
        ("AllowGroups transfer", &groups),
    ];
    let mut text = sshd_config(profile);
    for (from, to) in replaced {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

/// OpenSSH's server with the recommended configuration.
struct Hardened<'lab> {
    lab: &'lab Lab,
    port: u16,
    child: Child,
}

/// What is not the configuration's to say: where this test keeps its files, and
/// that accounts are not asked of PAM.
fn options(lab: &Lab) -> Vec<String> {
    let mut options = vec![
        "StrictModes=no".to_owned(),
        "UsePAM=no".to_owned(),
        "LogLevel=DEBUG1".to_owned(),
        format!("AuthorizedKeysFile={}", lab.path("authorized").display()),
    ];
    // So that each algorithm could be used, were it permitted.
    let extra = ["ssh_host_ed25519_key", "ecdsa384", "ecdsa521"];
    options.extend(extra.map(|name| format!("HostKey={}", lab.path(name).display())));
    options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect()
}

/// A directory with host keys of every kind, and users' keys that may log in.
fn scene() -> Lab {
    let lab = Lab::new();
    fs::set_permissions(lab.dir.path(), Permissions::from_mode(0o755)).unwrap();
    lab.key("ssh_host_ed25519_key", &["-t", "ed25519"], "");
    lab.key("ssh_host_ecdsa_key", &["-t", "ecdsa", "-b", "256"], "");
    lab.key("ssh_host_rsa_key", &["-t", "rsa", "-b", "2048"], "");
    lab.key("ecdsa384", &["-t", "ecdsa", "-b", "384"], "");
    lab.key("ecdsa521", &["-t", "ecdsa", "-b", "521"], "");
    let users = [
        lab.key("user_ecdsa", &["-t", "ecdsa", "-b", "256"], ""),
        lab.key("user_ed25519", &["-t", "ed25519"], ""),
        lab.key("user_rsa", &["-t", "rsa", "-b", "2048"], ""),
        lab.key("user_short", &["-t", "rsa", "-b", "1024"], ""),
    ];
    let authorized: String = users.iter().map(|key| lab.public(key)).collect();
    fs::write(lab.path("authorized"), authorized).unwrap();
    lab
}

impl<'lab> Hardened<'lab> {
    fn run(lab: &'lab Lab, profile: Profile) -> Self {
        let port = free_port();
        Self::run_with(lab, port, &placed(lab, profile, port))
    }

    fn run_with(lab: &'lab Lab, port: u16, text: &str) -> Self {
        // As root, sshd wants its empty directory.
        let _ = fs::create_dir_all("/run/sshd");
        fs::write(lab.path("sshd_config"), text).unwrap();
        let mut command = Command::new(find("sshd").unwrap());
        command.arg("-D").arg("-f").arg(lab.path("sshd_config")).arg("-E").arg(lab.path("sshd.log"));
        command.args(options(lab));
        if effective(lab).contains("\npersourcepenalties ") {
            // It would shut the test out for what it is refused.
            command.args(["-o", "PerSourcePenalties=no"]);
        }
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        wait_for_port(port, &mut child);
        Self { lab, port, child }
    }

    fn client(&self, options: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-v", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]);
        command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        command.arg("-p").arg(self.port.to_string()).args(options).stdin(Stdio::null());
        command.env_remove("SSH_AUTH_SOCK").env_remove("DISPLAY");
        command
    }

    /// What the client says when it logs in as `who` and asks for a command.
    fn said_to(&self, who: &str, options: &[&str]) -> String {
        let output = self.client(options).arg(format!("{who}@127.0.0.1")).arg("true").output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The same, as the guest with a key that both profiles take.
    fn said(&self, options: &[&str]) -> String {
        let key = self.lab.path("user_ecdsa");
        let with_key = [&["-i", key.to_str().unwrap()], options].concat();
        self.said_to(&guest(), &with_key)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.lab.path("sshd.log")).unwrap()
    }
}

impl Drop for Hardened<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn logged_in(said: &str) -> bool {
    said.contains("Authenticated to")
}

/// Every name that this machine's client has of a kind.
fn all(kind: &str) -> Vec<String> {
    let names = Command::new("ssh").args(["-Q", kind]).output().unwrap();
    assert!(names.status.success(), "{names:?}");
    String::from_utf8(names.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// What the server makes of `sshd_config`.
fn effective(lab: &Lab) -> String {
    let config = lab.path("sshd_config");
    let shown = Command::new(find("sshd").unwrap()).arg("-T").arg("-f").arg(config).output().unwrap();
    assert!(shown.status.success(), "{shown:?}");
    String::from_utf8(shown.stdout).unwrap()
}

#[test]
fn the_real_server_accepts_it_and_understands_it_as_it_is_meant() {
    if !installed(PROGRAMS) {
        return;
    }
    for profile in PROFILES {
        let lab = scene();
        let _ = fs::create_dir_all("/run/sshd");
        fs::write(lab.path("sshd_config"), placed(&lab, profile, 33_001)).unwrap();
        let mut trial = Command::new(find("sshd").unwrap());
        let tried = trial.arg("-t").arg("-f").arg(lab.path("sshd_config")).output().unwrap();
        assert!(tried.status.success() && tried.stderr.is_empty(), "{tried:?}");
        let shown = effective(&lab);
        let lists = profile.lists();
        let expected = [
            format!("kexalgorithms {}", lists.key_exchange.join(",")),
            format!("ciphers {}", lists.ciphers.join(",")),
            format!("macs {}", lists.macs.join(",")),
            format!("hostkeyalgorithms {}", lists.host_keys.join(",")),
            format!("pubkeyacceptedalgorithms {}", lists.user_keys.join(",")),
        ];
        let refusing = ["allowtcpforwarding", "allowagentforwarding", "allowstreamlocalforwarding", "x11forwarding"];
        let refusing = refusing.into_iter().chain(["permittunnel", "gatewayports", "permittty", "permituserrc"]);
        let refusing = refusing.chain(["permitrootlogin", "passwordauthentication", "kbdinteractiveauthentication"]);
        let refusing = refusing.chain(["permituserenvironment", "hostbasedauthentication", "gssapiauthentication"]);
        for line in expected.into_iter().chain(refusing.map(|key| format!("{key} no"))) {
            let key = line.split(' ').next().unwrap();
            let said = shown.lines().find(|shown| shown.split(' ').next() == Some(key));
            // What a server was built without, it does not name.
            assert!(
                said.is_none_or(|said| said == line) && (said.is_some() || key.starts_with("gss")),
                "{line}: {said:?}"
            );
        }
        assert!(shown.contains("\nforcecommand /usr/local/bin/limosad session\n"), "{shown}");
    }
}

#[test]
fn what_is_listed_is_negotiated_and_nothing_else_that_the_client_knows() {
    if !installed(PROGRAMS) {
        return;
    }
    for profile in PROFILES {
        let lab = scene();
        let sshd = Hardened::run(&lab, profile);
        let lists = profile.lists();
        // A cipher of its own authentication would hide which MAC is taken.
        let counter = ["-o", "Ciphers=aes128-ctr"];
        let kinds: [(&str, &str, &[&str], &[&str]); 4] = [
            ("kex", "KexAlgorithms", lists.key_exchange, &[]),
            ("cipher", "Ciphers", lists.ciphers, &[]),
            ("mac", "MACs", lists.macs, &counter),
            ("HostKeyAlgorithms", "HostKeyAlgorithms", lists.host_keys, &[]),
        ];
        for (kind, option, listed, others) in kinds {
            let known = all(kind);
            let unknown: Vec<_> = listed.iter().filter(|name| !known.iter().any(|known| known == **name)).collect();
            assert!(unknown.is_empty(), "this client knows no {unknown:?}");
            for name in known {
                let offer = format!("{option}={name}");
                let said = sshd.said(&[others, &["-o", &offer]].concat());
                let is_listed = listed.contains(&name.as_str());
                assert_eq!(logged_in(&said), is_listed, "{profile:?}, {offer}: {said}");
                assert!(is_listed || said.contains("Unable to negotiate"), "{profile:?}, {offer}: {said}");
            }
        }
    }
}

#[test]
fn users_keys_are_bound_by_the_lists_and_by_length() {
    if !installed(PROGRAMS) {
        return;
    }
    for profile in PROFILES {
        let lab = scene();
        let sshd = Hardened::run(&lab, profile);
        let offers = [
            ("user_ecdsa", "ecdsa-sha2-nistp256", true),
            ("user_ed25519", "ssh-ed25519", profile == Profile::Recommended),
            ("user_rsa", "rsa-sha2-512", true),
            ("user_rsa", "rsa-sha2-256", true),
            ("user_rsa", "ssh-rsa", false),
            ("user_short", "rsa-sha2-512", false),
        ];
        for (key, algorithm, is_taken) in offers {
            let option = format!("PubkeyAcceptedAlgorithms={algorithm}");
            let key = lab.path(key);
            let said = sshd.said_to(&guest(), &["-i", key.to_str().unwrap(), "-o", &option]);
            assert_eq!(logged_in(&said), is_taken, "{profile:?}, {key:?} with {algorithm}: {said}");
            assert!(is_taken || said.contains("Permission denied (publickey)"), "{said}");
        }
    }
}

#[tokio::test]
async fn the_built_in_client_gets_in_under_both_profiles() {
    if !installed(PROGRAMS) {
        return;
    }
    for profile in PROFILES {
        let lab = scene();
        let sshd = Hardened::run(&lab, profile);
        let request = lab.request_as(&guest(), sshd.port).way(Way::Builtin).identity(lab.path("user_ecdsa"));
        // What is run after the login is not there; the login is what counts.
        let connected = in_time(connect(request)).await;
        assert!(sshd.log().contains("Accepted publickey for"), "{profile:?}: {:?}", connected.err());
    }
}

#[test]
fn neither_passwords_nor_root_nor_strangers_to_the_group_get_in() {
    if !installed(PROGRAMS) {
        return;
    }
    let lab = scene();
    let sshd = Hardened::run(&lab, Profile::Recommended);
    assert!(logged_in(&sshd.said(&[])));
    let methods = "PreferredAuthentications=password,keyboard-interactive,hostbased,gssapi-with-mic";
    let said = sshd.said_to(&guest(), &["-o", "PubkeyAuthentication=no", "-o", methods]);
    assert!(said.contains("Permission denied (publickey)") && !logged_in(&said), "{said}");
    if user() == "root" {
        let key = lab.path("user_ecdsa");
        let said = sshd.said_to("root", &["-i", key.to_str().unwrap()]);
        assert!(said.contains("Permission denied (publickey)") && !logged_in(&said), "{said}");
        assert!(sshd.log().contains("ROOT LOGIN REFUSED"), "{}", sshd.log());
    }
    drop(sshd);
    let port = free_port();
    let of_others = placed(&lab, Profile::Recommended, port).replace(&groups(), "AllowGroups no-such-group");
    let sshd = Hardened::run_with(&lab, port, &of_others);
    let said = sshd.said(&[]);
    assert!(said.contains("Permission denied (publickey)") && !logged_in(&said), "{said}");
}

#[test]
fn nothing_is_forwarded() {
    if !installed(&[PROGRAMS, &["ssh-agent"]].concat()) {
        return;
    }
    let lab = scene();
    let sshd = Hardened::run(&lab, Profile::Recommended);
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    target.set_nonblocking(true).unwrap();
    let port = target.local_addr().unwrap().port();

    let stdio = sshd.said(&["-W", &format!("127.0.0.1:{port}")]);
    assert!(stdio.contains("administratively prohibited"), "{stdio}");
    let socket = lab.path("remote.sock");
    for listen in ["0", socket.to_str().unwrap()] {
        let back = format!("{listen}:127.0.0.1:{port}");
        let said = sshd.said(&["-N", "-o", "ExitOnForwardFailure=yes", "-R", &back]);
        assert!(logged_in(&said) && said.contains("remote port forwarding failed"), "{said}");
    }
    let local = free_port();
    let forward = format!("{local}:127.0.0.1:{port}");
    assert_refused_through(&sshd, &["-N", "-L", &forward], local, b"x");
    let local = free_port();
    let behind = UnixListener::bind(lab.path("some.sock")).unwrap();
    fs::set_permissions(lab.path("some.sock"), Permissions::from_mode(0o777)).unwrap();
    behind.set_nonblocking(true).unwrap();
    let forward = format!("{local}:{}", lab.path("some.sock").display());
    assert_refused_through(&sshd, &["-N", "-L", &forward], local, b"x");
    assert!(behind.accept().is_err(), "something reached the other side");
    // SOCKS: version 5, no authentication; connect, IPv4.
    let local = free_port();
    let [high, low] = port.to_be_bytes();
    let socks = [5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, high, low];
    assert_refused_through(&sshd, &["-N", "-D", &local.to_string()], local, &socks);
    assert!(target.accept().is_err(), "something reached the other side");
    let refusals = ["refused local port forward", "refused streamlocal port forward"];
    assert!(refusals.iter().all(|refusal| sshd.log().contains(refusal)), "{}", sshd.log());

    let agent = Agent::run(&lab);
    let mut with_agent = sshd.client(&["-A", "-i", lab.path("user_ecdsa").to_str().unwrap()]);
    with_agent.env("SSH_AUTH_SOCK", &agent.socket).arg(format!("{}@127.0.0.1", guest())).arg("true");
    let said = String::from_utf8_lossy(&with_agent.output().unwrap().stderr).into_owned();
    assert!(said.contains("Requesting authentication agent forwarding"), "{said}");
    assert!(sshd.log().contains("agent forwarding disabled"), "{}", sshd.log());

    let mut with_display = sshd.client(&["-Y", "-i", lab.path("user_ecdsa").to_str().unwrap()]);
    with_display.env("DISPLAY", ":99").arg(format!("{}@127.0.0.1", guest())).arg("true");
    let said = String::from_utf8_lossy(&with_display.output().unwrap().stderr).into_owned();
    assert!(said.contains("X11 forwarding request failed"), "{said}");
}

/// Runs a client that forwards the local port `local`; what goes in there is
/// to be refused by the server.
fn assert_refused_through(sshd: &Hardened<'_>, options: &[&str], local: u16, bytes: &[u8]) {
    let heard: PathBuf = sshd.lab.path("client.log");
    let key = sshd.lab.path("user_ecdsa");
    let mut client = sshd.client(&[&["-i", key.to_str().unwrap()], options].concat());
    client.arg(format!("{}@127.0.0.1", guest())).stderr(File::create(&heard).unwrap());
    let mut client = client.spawn().unwrap();
    wait_for_port(local, &mut client);
    let mut stream = TcpStream::connect(("127.0.0.1", local)).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.read_to_end(&mut Vec::new());
    wait_for_text(&heard, "open failed");
    let _ = client.kill();
    let _ = client.wait();
}

fn wait_for_text(file: &Path, text: &str) {
    let deadline = Instant::now() + DEADLINE;
    while !fs::read_to_string(file).unwrap().contains(text) {
        assert!(Instant::now() < deadline, "{}", fs::read_to_string(file).unwrap());
        std::thread::yield_now();
    }
}
