//! Files sealed at rest on the server: nobody who transfers them notices, and
//! nothing of their content lies below the docroot.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use limosa_session::{Order, Outcome};
use limosa_wire::Code;
use limosa_wire::setup::{Direction, ResumeLevel};

use crate::client::{fetch, flows, log_in, outcome, request, send, slowly};
use crate::server::{Lab, Server};
use crate::{tree, wait_until};

/// Content of any length begins as this does at every 16th byte.
const PIECE: usize = 16;

/// A lab whose files are sealed by `main`, and the key of its user.
fn sealing_lab() -> (Lab, PathBuf) {
    let lab = Lab::new();
    put_key(&lab, "main", 7);
    configure(&lab, "main", &["main"]);
    let key = lab.add_user("ada");
    (lab, key)
}

fn put_key(lab: &Lab, name: &str, byte: u8) {
    let path = lab.path(&format!("{name}.master"));
    fs::write(&path, [byte; 32]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Writes the configuration: which key seals, which there are.
fn configure(lab: &Lab, sealing: &str, keys: &[&str]) {
    fs::write(lab.path("limosad.toml"), "").unwrap();
    lab.succeed(&["config", "set", "seal-at-rest", sealing]);
    for name in keys {
        let file = lab.path(&format!("{name}.master"));
        lab.succeed(&["config", "set", &format!("master-keys.{name}.file"), file.to_str().unwrap()]);
    }
}

pub async fn upload(lab: &Lab, key: &Path, server: &Server) -> Outcome {
    let connected = log_in(lab, "ada", key, server.ssh).await.unwrap();
    outcome(send(connected, &lab.path("here"), "tree", request(Direction::Upload, "in/")).await.unwrap()).await
}

pub async fn download(lab: &Lab, key: &Path, server: &Server, to: &str) -> Outcome {
    let connected = log_in(lab, "ada", key, server.ssh).await.unwrap();
    outcome(fetch(connected, &lab.path(to), request(Direction::Download, "/in/tree")).await.unwrap()).await
}

fn files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.symlink_metadata().unwrap() {
                metadata if metadata.is_dir() => open.push(path),
                metadata if metadata.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found
}

/// Fails if a file below `root` holds a piece of the content of one below
/// `clear`.
pub fn assert_shows_nothing(root: &Path, clear: &Path) {
    let contents: Vec<_> = files(clear).iter().map(|path| fs::read(path).unwrap()).collect();
    let pieces = contents.iter().flat_map(|content| content.chunks_exact(PIECE));
    let known: HashSet<_> = pieces.filter(|piece| piece.iter().all(|byte| *byte != 0)).collect();
    assert!(known.len() > 1000);
    let stored = files(root);
    assert!(!stored.is_empty());
    for path in stored {
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(PIECE).any(|window| known.contains(window)), "{} shows content", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_tree_goes_up_is_skipped_and_comes_back() {
    let (lab, key) = sealing_lab();
    assert!(lab.succeed(&["check"]).contains("master key main"));
    let server = Server::start(&lab);
    tree::make(&lab.path("here/tree"));
    assert_eq!(upload(&lab, &key, &server).await.code, Code::OK);
    assert_shows_nothing(&lab.docroot("ada"), &lab.path("here/tree"));
    for file in files(&lab.docroot("ada")) {
        assert!(fs::read(&file).unwrap().starts_with(b"\x89LMSE"), "{}", file.display());
    }
    // Lengths and times are those of the content: nothing is sent again.
    let again = upload(&lab, &key, &server).await;
    assert_eq!((again.code, again.summary.bytes), (Code::OK, 0));
    assert_eq!(download(&lab, &key, &server, "back").await.code, Code::OK);
    tree::assert_equal(&lab.path("here/tree"), &lab.path("back/tree"));
    assert!(server.stop().success());

    // What is sealed stays readable when nothing is sealed any more.
    configure(&lab, "none", &["main"]);
    let server = Server::start(&lab);
    assert_eq!(download(&lab, &key, &server, "later").await.code, Code::OK);
    tree::assert_equal(&lab.path("here/tree"), &lab.path("later/tree"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_key_counts_among_those_who_have_a_session() {
    let (lab, key) = sealing_lab();
    let (go, asked) = (lab.path("go"), lab.path("asked"));
    let digits = "07".repeat(32);
    let script = format!("mkfifo {go:?}; touch {asked:?}; read line < {go:?}; echo {digits}");
    lab.succeed(&["config", "unset", "master-keys.main.file"]);
    lab.succeed(&["config", "set", "master-keys.main.command", &format!("[\"sh\", \"-c\", {script:?}]")]);
    lab.succeed(&["config", "set", "max-sessions", "1"]);
    let server = Server::start(&lab);
    tree::make(&lab.path("here/tree"));
    let attempt = async |transfer| {
        let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
        let mut request = request(Direction::Upload, "in/");
        request.transfer = [transfer; 16];
        send(connected, &lab.path("here"), "tree", request).await.map_err(|error| error.code())
    };
    let refused = async {
        let asked = asked.clone();
        let waiting = tokio::task::spawn_blocking(move || wait_until(|| asked.exists(), "the key is asked for"));
        waiting.await.unwrap();
        let second = attempt(2).await.err();
        fs::write(&go, "\n").unwrap();
        second
    };
    let (first, refused) = tokio::join!(attempt(1), refused);
    assert_eq!(refused, Some(Code::TOO_MANY_SESSIONS));
    assert_eq!(outcome(first.unwrap()).await.code, Code::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upload_goes_on_in_the_sealed_partial_file() {
    const SIZE: usize = 40_000_000;
    let (lab, key) = sealing_lab();
    let server = Server::start(&lab);
    fs::create_dir_all(lab.path("here")).unwrap();
    fs::write(lab.path("here/tree"), tree::bytes(SIZE)).unwrap();
    let wish = || {
        let mut request = request(Direction::Upload, "in/");
        request.resume = ResumeLevel::Attributes;
        request
    };
    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let asked = slowly(wish(), 400_000_000);
    let mut sent = send(connected, &lab.path("here"), "tree", asked).await.unwrap();
    flows(&mut sent).await;
    let docroot = lab.docroot("ada");
    let large_enough = || files(&docroot).iter().any(|path| path.metadata().is_ok_and(|found| found.len() > 16 << 20));
    tokio::task::block_in_place(|| wait_until(large_enough, "a partial file grows"));
    sent.steering().order(Order::Cancel(Code::CANCELLED));
    assert_eq!(outcome(sent).await.code, Code::CANCELLED);
    assert_shows_nothing(&docroot, &lab.path("here"));

    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let gone_on = outcome(send(connected, &lab.path("here"), "tree", wish()).await.unwrap()).await;
    assert_eq!(gone_on.code, Code::OK);
    assert!(gone_on.summary.resumed >= 8 << 20, "{:?}", gone_on.summary);
    assert_shows_nothing(&docroot, &lab.path("here"));
    let back = request(Direction::Download, "/in/tree");
    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    assert_eq!(outcome(fetch(connected, &lab.path("back"), back).await.unwrap()).await.code, Code::OK);
    assert!(fs::read(lab.path("back/tree")).unwrap() == tree::bytes(SIZE));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_nothing_is_opened_and_nothing_overwritten() {
    let (lab, key) = sealing_lab();
    let server = Server::start(&lab);
    tree::make(&lab.path("here/tree"));
    assert_eq!(upload(&lab, &key, &server).await.code, Code::OK);
    assert!(server.stop().success());
    let stored = || -> Vec<_> { files(&lab.docroot("ada")).iter().map(|path| fs::read(path).unwrap()).collect() };
    let before = stored();

    // Another key under the same name.
    put_key(&lab, "main", 8);
    let server = Server::start(&lab);
    let failed = download(&lab, &key, &server, "back").await;
    assert_eq!(failed.code, Code::SOME_FAILED);
    assert!(files(&lab.path("back")).is_empty());
    assert_eq!(upload(&lab, &key, &server).await.summary.bytes, 0, "unchanged files are told by their lengths");
    assert!(server.stop().success());
    assert!(stored() == before);

    // No key at all: whoever may only have sealed files gets no session.
    fs::remove_file(lab.path("main.master")).unwrap();
    let output = lab.run(&["check"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stdout).contains("main.master"));
    let server = Server::start(&lab);
    let connected = log_in(&lab, "ada", &key, server.ssh).await.unwrap();
    let refused = send(connected, &lab.path("here"), "tree", request(Direction::Upload, "in/")).await;
    assert_eq!(refused.err().map(|error| error.code()), Some(Code::AT_REST_KEY));
    assert!(stored() == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_takes_over() {
    let (lab, key) = sealing_lab();
    let server = Server::start(&lab);
    tree::make(&lab.path("here/tree"));
    assert_eq!(upload(&lab, &key, &server).await.code, Code::OK);
    assert!(server.stop().success());
    put_key(&lab, "next", 200);
    configure(&lab, "next", &["main", "next"]);
    let docroot = lab.docroot("ada");
    let count = files(&docroot).len();
    fs::write(docroot.join("plain"), "plain").unwrap();
    let rotate = || lab.succeed(&["seal", "rotate", "--to", "next", docroot.to_str().unwrap()]);
    assert_eq!(rotate(), format!("{count} rewrapped, 0 done before, 1 not sealed, 0 failed\n"));
    assert_eq!(rotate(), format!("0 rewrapped, {count} done before, 1 not sealed, 0 failed\n"));

    // The old key can go.
    fs::remove_file(lab.path("main.master")).unwrap();
    configure(&lab, "next", &["next"]);
    let server = Server::start(&lab);
    assert_eq!(upload(&lab, &key, &server).await.summary.bytes, 0, "times have stayed");
    assert_eq!(download(&lab, &key, &server, "back").await.code, Code::OK);
    tree::assert_equal(&lab.path("here/tree"), &lab.path("back/tree"));
    let unknown = lab.run(&["seal", "rotate", "--to", "other", docroot.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no master key `other`"));
}
