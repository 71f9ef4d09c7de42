//! No secret is where it can be read by others: every kind of command that is
//! given one runs, rightly and wrongly, with as much said as can be; then
//! everything that was written is searched for every secret, in several
//! spellings: output, logs of the server at their most talkative, the audit log,
//! the state, the files themselves, and the arguments of every program started.
//! (Core dumps are another test's matter.)
#![allow(clippy::unwrap_used, clippy::panic)] // a test's surroundings fail it

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::client::{Client, Finished};
use support::embedded::{Embedded, USER};
use support::{Lab, find, skip};

/// What nobody may find, and where it is kept by who owns it.
const SECRETS: [(&str, &str); 5] = [
    ("PASSWORD", "canary-of-the-login-5c1e"),
    ("WRONG", "canary-that-does-not-fit-91d0"),
    ("WORD", "canary-of-files-7f3a"),
    ("NEW-WORD", "canary-of-files-anew-e0b4"),
    ("MASTER", "63616e6172792d6d61737465722d6b65792d6f662d33322d62797465732d2121"),
];
/// The private key of a recipient, which `limosa envelope keygen` makes.
const PRIVATE: &str = "me";

/// Bytes that must not be found, and what they are.
struct Needle {
    about: String,
    bytes: Vec<u8>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |triple: u32, at: u32| char::from(LETTERS[(triple >> (18 - 6 * at) & 63) as usize]);
    // What is left over says nothing more of where the rest is found.
    let triples = bytes.chunks_exact(3).map(|three| three.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)));
    triples.flat_map(|triple| (0..4).map(move |at| letter(triple, at))).collect()
}

fn needles(lab: &Lab) -> Vec<Needle> {
    let mut needles = Vec::new();
    let mut add = |about: &str, bytes: &[u8]| {
        for (spelling, bytes) in [
            ("as it is", bytes.to_vec()),
            ("in hexadecimal", hex(bytes).into_bytes()),
            ("in base64", base64(bytes).into_bytes()),
        ] {
            needles.push(Needle { about: format!("{about} {spelling}"), bytes });
        }
    };
    for (name, secret) in SECRETS {
        add(name, secret.as_bytes());
    }
    add("the master key's bytes", b"canary-master-key-of-32-bytes-!!");
    let private = fs::read_to_string(lab.here().join(PRIVATE)).unwrap();
    let line = private.lines().find(|line| !line.starts_with('-')).unwrap();
    add("the private key", &line.as_bytes()[line.len() / 2..]);
    needles
}

/// Everything below a directory but what holds the secrets by right.
fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let own = SECRETS.iter().map(|(name, _)| *name).chain([PRIVATE]).any(|name| entry.file_name() == name);
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files_below(&path, found),
            kind if kind.is_file() && !own => found.push(path),
            _ => {}
        }
    }
}

/// The first that is among `bytes`.
fn found<'a>(needles: &'a [Needle], bytes: &[u8]) -> Option<&'a Needle> {
    needles.iter().find(|needle| bytes.windows(needle.bytes.len()).any(|window| window == needle.bytes))
}

fn search(needles: &[Needle], place: &str, bytes: &[u8]) {
    if let Some(needle) = found(needles, bytes) {
        panic!("{} is in {place}", needle.about);
    }
}

/// A scene with a talkative server and everything that is said in it.
struct Scene {
    lab: Lab,
    port: u16,
    said: Vec<(String, Vec<u8>)>,
}

impl Scene {
    /// `limosa` with these words; what is to fail fails.
    fn run(&mut self, succeeds: bool, line: &str, environment: &[(&str, &str)]) -> Finished {
        let traced = format!("strace -f -qq -s 65536 -e trace=execve -o argv.{} {line}", self.said.len());
        let mut client = Client::shell(&self.lab, &["setsid", "-w", "sh", "-c"], &traced)
            .env("LIMOSA_PORT", self.port.to_string())
            .env("LIMOSA_KNOWN_HOSTS", self.lab.path("known_hosts"))
            .env("LIMOSA_KDF_COST", "64,1,1")
            .env("RUST_BACKTRACE", "1");
        for (name, secret) in environment {
            client = client.env(name, OsStr::new(secret_of(secret)));
        }
        let finished = client.run();
        assert_eq!(finished.exit() == Some(0), succeeds, "{line}: {finished}");
        let all = format!("{}\n{}", finished.lines.join("\n"), finished.errors);
        self.said.push((format!("what `{line}` says"), all.into_bytes()));
        finished
    }
}

fn secret_of(name: &str) -> &'static str {
    SECRETS.iter().find(|(known, _)| *known == name).unwrap().1
}

#[test]
fn no_secret_is_found_anywhere() {
    for program in ["strace", "setsid"] {
        if find(program).is_none() {
            return skip(program);
        }
    }
    let lab = Lab::new();
    for (name, secret) in SECRETS {
        fs::write(lab.here().join(name), format!("{secret}\n")).unwrap();
    }
    fs::write(lab.here().join("file"), vec![7; 300_000]).unwrap();
    fs::set_permissions(lab.here().join("MASTER"), PermissionsExt::from_mode(0o600)).unwrap();
    let master = lab.here().join("MASTER");
    let config = format!("[master-keys.main]\nfile = {master:?}\n[defaults]\nseal-at-rest = \"main\"\n");
    fs::write(lab.path("limosad.toml"), config).unwrap();
    let Some(server) = Embedded::start_logging(&lab, "127.0.0.1", "trace") else { return };
    let mut scene = Scene { port: server.port, lab, said: Vec::new() };
    at_rest(&mut scene);
    logins(&mut scene);
    transfers(&mut scene);
    drop(server);

    let needles = needles(&scene.lab);
    for (owner, _) in SECRETS {
        assert!(found(&needles, &fs::read(scene.lab.here().join(owner)).unwrap()).is_some(), "{owner}");
    }
    for (place, text) in &scene.said {
        search(&needles, place, text);
    }
    let mut files = Vec::new();
    files_below(&scene.lab.path(""), &mut files);
    let names: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    for expected in
        ["limosad.log", "state/users.toml", "state/audit.log", "here/argv.0", "here/file.aspera-env", "there/file"]
    {
        assert!(names.iter().any(|name| name.ends_with(expected)), "{expected} was not searched: {names:?}");
    }
    for path in files {
        search(&needles, &path.display().to_string(), &fs::read(&path).unwrap());
    }
}

/// Files that are encrypted on this machine.
fn at_rest(scene: &mut Scene) {
    let word = [("LIMOSA_FILEPASS", "WORD")];
    let wrong = [("LIMOSA_FILEPASS", "WRONG")];
    scene.run(true, "limosa envelope keygen me --json", &[]);
    scene.run(true, "limosa protect --keep --json --recipient me.pub --passphrase-file WORD file", &[]);
    scene.run(true, "limosa envelope info --json file.aspera-env", &word);
    scene.run(false, "limosa unprotect -v -o plain file.aspera-env", &wrong);
    scene.run(false, "limosa unprotect --json --passphrase-file WRONG -o plain file.aspera-env", &[]);
    scene.run(true, "limosa unprotect -v -i me -o plain-1 file.aspera-env", &[]);
    let new = [word[0], ("LIMOSA_NEW_FILEPASS", "NEW-WORD")];
    scene.run(true, "limosa envelope rewrap -v --new-passphrase --add-master-key site=MASTER file.aspera-env", &new);
    scene.run(true, "limosa unprotect --json --master-key site=MASTER -o plain-2 file.aspera-env", &[]);
    scene.run(false, "limosa unprotect --json --master-key site=WORD -o plain-3 file.aspera-env", &[]);
}

/// Files that are encrypted as they are sent, to a server that seals them once
/// more, and are decrypted as they are fetched.
fn transfers(scene: &mut Scene) {
    let login = ("LIMOSA_PASS", "PASSWORD");
    let file = format!("{USER}@127.0.0.1:file.aspera-env");
    let send = |keys: &str| format!("limosa send -vv --json --file-crypt encrypt {keys} file {USER}@127.0.0.1:");
    scene.run(true, &send("--recipient me.pub --passphrase-file WORD"), &[login]);
    scene.run(true, &send("--overwrite always --file-crypt-suffix .own"), &[login, ("LIMOSA_FILEPASS", "WORD")]);
    let get = |rest: &str| format!("limosa get -vv --json --file-crypt decrypt {rest} {file}");
    scene.run(true, &format!("{} one/", get("--passphrase-file WORD")), &[login]);
    scene.run(true, &format!("{} two/", get("--file-identity me")), &[login]);
    scene.run(false, &format!("{} three/", get("--fail-bad-filepass")), &[login, ("ASPERA_SCP_FILEPASS", "WRONG")]);
}

/// Logins by password, right and wrong.
fn logins(scene: &mut Scene) {
    scene.run(true, &format!("limosad user passwd {USER} --password-stdin < PASSWORD"), &[]);
    let send = |ssh: &str| format!("limosa send -vv --json --accept-new --ssh {ssh} file {USER}@127.0.0.1:");
    scene.run(true, &send("builtin"), &[("LIMOSA_PASS", "PASSWORD")]);
    scene.run(false, &send("builtin"), &[("LIMOSA_PASS", "WRONG")]);
    scene.run(false, &send("builtin"), &[("ASPERA_SCP_PASS", "WRONG")]);
    // It takes none from the environment, and must not pass it on either.
    scene.run(false, &send("system"), &[("LIMOSA_PASS", "PASSWORD")]);
}
