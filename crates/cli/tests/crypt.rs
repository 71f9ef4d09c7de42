//! Files encrypted by the client of a transfer: sent so that the server never
//! has them in clear, and decrypted as they are fetched.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's surroundings fail it

mod support;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use limosa_wire::Code;
use support::client::{Client, Finished};
use support::random::Random;
use support::remote::{Kind, Remote};
use support::tree::{self, Recipe};
use support::{Lab, find, skip};

/// A cost that is for tests and for passphrases nobody can guess.
const CHEAP: [&str; 2] = ["--kdf-cost", "64,1,1"];
const SUFFIX: &str = ".aspera-env";
/// What every file of a tree holds, so that it can be searched for.
const MARK: &[u8] = b"nobody but us shall ever read these words";

fn send(lab: &Lab, remote: &Remote, word: &str) -> Client {
    let client = Client::new(lab, remote, "send").args(["--file-crypt", "encrypt"]).args(CHEAP);
    client.env("LIMOSA_FILEPASS", word)
}

fn get(lab: &Lab, remote: &Remote, word: &str) -> Client {
    Client::new(lab, remote, "get").args(["--file-crypt", "decrypt"]).env("LIMOSA_FILEPASS", word)
}

/// Files of every size and kind, all of which hold the mark but the empty one.
fn make(root: &Path) {
    tree::make(root, Recipe { small: 40, medium: 3, sparse: false, seed: 3 });
    // Its name has no room for the suffix, which another test is about.
    fs::remove_file(root.join("odd").join("n".repeat(255))).unwrap();
    let root = root.join("own");
    fs::create_dir(&root).unwrap();
    let mut random = Random::new(5);
    for (name, length) in [("empty", 0), ("mark", MARK.len()), ("chunk", 1 << 20), ("large", 5_300_000)] {
        let mut bytes = random.bytes(length);
        for at in (0..length.saturating_sub(MARK.len() - 1)).step_by(300_000) {
            bytes[at..at + MARK.len()].copy_from_slice(MARK);
        }
        tree::write_aged(&root.join(name), &bytes, Duration::from_secs(4_000));
    }
    let sparse = fs::File::create(root.join("with-holes")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, MARK, 2 << 20).unwrap();
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        match kind.is_dir() {
            true => found.extend(files(&entry.path())),
            false if kind.is_file() => found.push(entry.path()),
            false => {}
        }
    }
    found.sort();
    found
}

fn holds(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}

fn code(finished: &Finished) -> u64 {
    finished.summary()["code"].as_u64().unwrap()
}

/// Codes of the entries that failed.
fn failures(finished: &Finished) -> Vec<u64> {
    let failed = finished.events().into_iter().filter(|event| event["event"] == "failed");
    failed.map(|event| event["code"].as_u64().unwrap()).collect()
}

on_each_remote! {
    trees_are_stored_encrypted_and_come_back,
}

fn trees_are_stored_encrypted_and_come_back(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    let tree = lab.here().join("tree");
    make(&tree);
    let before = tree::count(&tree);
    send(&lab, &remote, "pass word 7").arg(&tree).arg(remote.place(&lab, "in/")).succeed();
    let stored = files(&lab.there().join("in"));
    assert_eq!(stored.len(), files(&tree).len());
    for file in &stored {
        assert!(file.as_os_str().as_bytes().ends_with(SUFFIX.as_bytes()), "{}", file.display());
        let bytes = fs::read(file).unwrap();
        assert!(!holds(&bytes, MARK) && bytes.starts_with(b"\x89LMSE\r\n\x1a"), "{}", file.display());
    }
    assert_eq!(tree::count(&tree), before, "sources are left alone");

    let again = send(&lab, &remote, "pass word 7").arg("--json").arg(&tree).arg(remote.place(&lab, "in/")).succeed();
    let summary = &again.summary()["here"];
    assert_eq!((summary["skipped"].as_u64(), summary["bytes"].as_u64()), (Some(stored.len() as u64), Some(0)));

    let fetched = lab.here().join("fetched");
    get(&lab, &remote, "pass word 7").arg(remote.place(&lab, "in/tree")).arg("fetched/").succeed();
    tree::assert_same_content(&tree, &fetched.join("tree"));
    let again = get(&lab, &remote, "pass word 7").arg("--json").arg(remote.place(&lab, "in/tree")).arg("fetched/");
    assert_eq!(again.succeed().summary()["here"]["skipped"].as_u64(), Some(stored.len() as u64));
    assert_eq!(files(&fetched).len(), stored.len(), "nothing else is left");
}

#[test]
fn what_is_stored_opens_without_a_server_and_by_another_program() {
    let lab = Lab::new();
    let Some(remote) = Remote::start(Kind::Embedded, &lab) else { return };
    make(&lab.here().join("tree"));
    Client::bare(&lab).args(["envelope", "keygen", "id"]).succeed();
    let sent = send(&lab, &remote, "word").args(["--recipient", "id.pub", "--passphrase-file", "WORD"]);
    fs::write(lab.here().join("WORD"), "word\n").unwrap();
    sent.args(["--file-cipher", "aes-128", "tree/"]).arg(remote.place(&lab, "in")).succeed();
    fs::rename(lab.there().join("in"), lab.here().join("copy")).unwrap();
    Client::bare(&lab).args(["unprotect", "--keep", "-i", "id", "copy"]).succeed();
    let sealed = |file: &PathBuf| file.as_os_str().as_bytes().ends_with(SUFFIX.as_bytes());
    let (sealed, opened): (Vec<_>, Vec<_>) = files(&lab.here().join("copy")).into_iter().partition(sealed);
    assert_eq!(sealed.len(), opened.len());
    for file in opened {
        let below = file.strip_prefix(lab.here().join("copy")).unwrap();
        assert!(fs::read(&file).unwrap() == fs::read(lab.here().join("tree").join(below)).unwrap(), "{below:?}");
    }

    let python = std::env::var_os("LIMOSA_PYTHON").map(PathBuf::from).or_else(|| find("python3"));
    let modules = |python: &PathBuf| {
        let tried = Command::new(python).args(["-c", "import argon2, cryptography"]).output();
        tried.is_ok_and(|done| done.status.success())
    };
    let Some(python) = python.filter(modules) else {
        return skip("the modules of checks/envelope/requirements.txt, for the python that LIMOSA_PYTHON names");
    };
    let decoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checks/envelope/decode.py");
    for name in ["empty", "mark", "chunk", "large", "with-holes"] {
        let sealed = lab.here().join("copy/own").join(format!("{name}{SUFFIX}"));
        let opened = Command::new(&python).arg(&decoder).args(["--passphrase", "word"]).arg(sealed).output().unwrap();
        assert!(opened.status.success(), "{name}: {}", String::from_utf8_lossy(&opened.stderr));
        assert!(opened.stdout == fs::read(lab.here().join("tree/own").join(name)).unwrap(), "{name}");
    }
}

#[test]
fn a_wrong_passphrase_is_told_and_leaves_the_file_encrypted() {
    let lab = Lab::new();
    let Some(remote) = Remote::start(Kind::Embedded, &lab) else { return };
    fs::write(lab.here().join("small"), MARK).unwrap();
    fs::write(lab.here().join("large"), Random::new(1).bytes(20 << 20)).unwrap();
    send(&lab, &remote, "right").args(["small", "large"]).arg(remote.place(&lab, "in/")).succeed();
    let fetch = |word, option: &[&str], to| {
        let client = get(&lab, &remote, word).arg("--json").args(option);
        client.arg(remote.place(&lab, "in/")).arg(to).run()
    };
    let wrong = fetch("wrong", &[], "kept/");
    assert_eq!((code(&wrong), failures(&wrong)), (305, vec![305, 305]));
    let names = |directory| {
        files(&lab.here().join(directory)).iter().map(|file| file.file_name().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("kept"), ["large.aspera-env", "small.aspera-env"]);
    assert_eq!(failures(&fetch("wrong", &["--fail-bad-filepass"], "none/")), [305, 305]);
    assert!(names("none").is_empty(), "{:?}", names("none"));
    assert_eq!(code(&fetch("right", &[], "kept/")), 0);
    for name in ["small", "large"] {
        assert!(fs::read(lab.here().join("kept").join(name)).unwrap() == fs::read(lab.here().join(name)).unwrap());
    }
}

#[test]
fn one_file_lands_as_it_is_called_on_either_side() {
    let lab = Lab::new();
    let Some(remote) = Remote::start(Kind::Embedded, &lab) else { return };
    fs::write(lab.here().join("one"), MARK).unwrap();
    fs::create_dir(lab.there().join("dir")).unwrap();
    send(&lab, &remote, "word").arg("one").arg(remote.place(&lab, "dir")).succeed();
    assert!(lab.there().join("dir/one.aspera-env").exists());
    let sent = send(&lab, &remote, "word").args(["--file-crypt-suffix", ".sealed", "one"]);
    sent.arg(remote.place(&lab, "dir")).succeed();
    assert!(lab.there().join("dir/one.sealed").exists());
    send(&lab, &remote, "word").arg("one").arg(remote.place(&lab, "dir/named")).succeed();
    for (stored, to) in [("dir/one.aspera-env", "a"), ("dir/named", "b"), ("dir/one.sealed", "c")] {
        get(&lab, &remote, "word").arg(remote.place(&lab, stored)).arg(to).succeed();
        assert_eq!(fs::read(lab.here().join(to)).unwrap(), MARK, "{stored}");
    }
    // An envelope travels as it is.
    fs::copy(lab.there().join("dir/one.aspera-env"), lab.here().join("two.aspera-env")).unwrap();
    send(&lab, &remote, "other").arg("two.aspera-env").arg(remote.place(&lab, "dir/")).succeed();
    let bytes = |path: PathBuf| fs::read(path).unwrap();
    assert!(bytes(lab.there().join("dir/two.aspera-env")) == bytes(lab.here().join("two.aspera-env")));
}

#[test]
fn keys_without_encryption_are_refused_and_none_are_asked_for_in_vain() {
    let lab = Lab::new();
    fs::write(lab.here().join("WORD"), "word").unwrap();
    for line in [
        &["send", "--recipient", "id.pub", "f", "host:"][..],
        &["send", "--passphrase-file", "WORD", "f", "host:"],
        &["get", "--passphrase-file", "WORD", "host:f", "."],
        &["get", "--file-identity", "id", "host:f", "."],
        &["get", "--fail-bad-filepass", "host:f", "."],
    ] {
        let refused = Client::bare(&lab).args(line).run();
        assert_eq!(refused.exit(), Some(2), "{line:?}: {refused}");
    }
    let unasked = Client::bare(&lab).args(["send", "--json", "--file-crypt", "encrypt", "WORD", "host:"]).run();
    assert_eq!(code(&unasked), 104, "{unasked}");
}

/// Sends `large` slowly until a part of it is safe at the server, and stops.
fn send_a_part(lab: &Lab, remote: &Remote, client: Client) {
    let sent = client.args(["--json", "--rate", "150m", "large"]).arg(remote.place(lab, "in/"));
    let mut running = sent.spawn();
    let crossed = |event: &serde_json::Value| event["bytes_crossed"].as_u64().is_some_and(|crossed| crossed > 30 << 20);
    running.wait_for(crossed).unwrap();
    running.process().interrupt();
    assert_eq!(running.finish().exit(), Some(130));
}

#[test]
fn an_upload_goes_on_where_it_stopped_by_the_same_passphrase_alone() {
    let lab = Lab::new();
    let Some(remote) = Remote::start(Kind::Embedded, &lab) else { return };
    let content = Random::new(9).bytes(60_000_000);
    let source = lab.here().join("large");
    tree::write_aged(&source, &content, Duration::from_secs(4_000));
    send_a_part(&lab, &remote, send(&lab, &remote, "word"));

    // The same file on another machine: nothing but name, size and time are alike.
    let other = lab.here().join("other");
    fs::create_dir(&other).unwrap();
    let modified = fs::metadata(&source).unwrap().modified().unwrap();
    fs::rename(&source, lab.path("away")).unwrap();
    fs::write(other.join("large"), &content).unwrap();
    fs::File::open(other.join("large")).unwrap().set_modified(modified).unwrap();
    let resume = |word, more: &[&str]| {
        let client = send(&lab, &remote, word).arg("--json").args(more).arg("other/large");
        client.arg(remote.place(&lab, "in/")).run()
    };
    let wrong = resume("another", &[]);
    assert_eq!((code(&wrong), failures(&wrong)), (305, vec![305]), "{wrong}");
    let weaker = resume("word", &["--file-cipher", "aes-128"]);
    let refused = u64::from(Code::BEGUN_OTHERWISE.number());
    assert_eq!((code(&weaker), failures(&weaker)), (refused, vec![refused]), "{weaker}");
    assert!(weaker.to_string().contains("--resume off"), "{weaker}");
    let resumed = resume("word", &[]);
    let here = &resumed.summary()["here"];
    assert_eq!(code(&resumed), 0, "{resumed}");
    assert!(here["resumed"].as_u64().unwrap() > 5 << 20, "{here}");
    assert!(here["carried"].as_u64().unwrap() < 58_000_000, "{here}");
    get(&lab, &remote, "word").arg(remote.place(&lab, "in/large.aspera-env")).arg("back").succeed();
    assert!(fs::read(lab.here().join("back")).unwrap() == content);
    assert_eq!(tree::leftovers(&lab.there().join("in")), Vec::<PathBuf>::new());
}

#[test]
fn an_upload_for_public_keys_alone_goes_on_on_this_machine_until_it_is_done() {
    let lab = Lab::new();
    let Some(remote) = Remote::start(Kind::Embedded, &lab) else { return };
    let content = Random::new(9).bytes(60_000_000);
    let source = lab.here().join("large");
    tree::write_aged(&source, &content, Duration::from_secs(4_000));
    Client::bare(&lab).args(["envelope", "keygen", "id"]).succeed();
    let client = || Client::new(&lab, &remote, "send").args(["--file-crypt", "encrypt", "--recipient", "id.pub"]);
    let kept = lab.path("home/state/limosa/unfinished");
    let resume = || client().args(["--json", "large"]).arg(remote.place(&lab, "in/")).succeed();
    let resumed = |finished: &Finished| finished.summary()["here"]["resumed"].as_u64().unwrap();
    let came_back = |to: &str| {
        let get = Client::new(&lab, &remote, "get").args(["--file-crypt", "decrypt", "--file-identity", "id"]);
        get.arg(remote.place(&lab, "in/large.aspera-env")).arg(to).succeed();
        assert!(fs::read(lab.here().join(to)).unwrap() == content, "{to}");
    };
    send_a_part(&lab, &remote, client());
    assert_eq!(files(&kept).len(), 1, "what the keys follow from is kept");
    let seed = fs::read(&files(&kept)[0]).unwrap();
    let resuming = resume();
    assert!(resumed(&resuming) > 5 << 20, "{resuming}");
    assert_eq!(files(&kept), Vec::<PathBuf>::new(), "and forgotten");
    came_back("one");
    let told = files(&lab.path("state")).into_iter().chain([lab.path("limosad.log")]).chain(files(&lab.there()));
    assert!(told.into_iter().all(|file| !holds(&fs::read(file).unwrap(), &seed)), "nobody else has it");
    assert_eq!(tree::leftovers(&lab.there().join("in")), Vec::<PathBuf>::new());

    // Without it, as on another machine, nothing of the first attempt is used.
    fs::remove_file(lab.there().join("in/large.aspera-env")).unwrap();
    send_a_part(&lab, &remote, client());
    fs::remove_dir_all(&kept).unwrap();
    let anew = resume();
    assert_eq!(resumed(&anew), 0, "{anew}");
    came_back("two");
}

#[test]
fn a_download_that_decrypts_goes_on_where_it_stopped() {
    let lab = Lab::new();
    let Some(remote) = Remote::start(Kind::Embedded, &lab) else { return };
    let content = Random::new(11).bytes(60_000_000);
    fs::write(lab.here().join("large"), &content).unwrap();
    send(&lab, &remote, "word").arg("large").arg(remote.place(&lab, "in/")).succeed();
    fs::remove_file(lab.here().join("large")).unwrap();
    let fetch = |word, rate| {
        let client = get(&lab, &remote, word).args(["--json", "--rate", rate]);
        client.arg(remote.place(&lab, "in/large.aspera-env")).arg("back/")
    };
    let in_progress = lab.here().join("back");
    // What is journalled comes with a sync, which takes a busy disk its time.
    let journalled = || {
        let files = if in_progress.exists() { files(&in_progress) } else { Vec::new() };
        let journals = files.into_iter().filter(|file| file.to_string_lossy().ends_with(".journal"));
        journals.filter_map(|journal| fs::metadata(journal).ok()).any(|found| found.len() > 300)
    };
    let mut running = fetch("word", "60m").spawn();
    running.wait_for(|_| journalled()).unwrap();
    running.process().kill();
    assert!(running.finish().killed());
    let wrong = fetch("another", "1g").run();
    assert_eq!((code(&wrong), failures(&wrong)), (305, vec![305]), "{wrong}");
    let resumed = fetch("word", "1g").run();
    let here = &resumed.summary()["here"];
    assert_eq!(code(&resumed), 0, "{resumed}");
    assert!(here["resumed"].as_u64().unwrap() > 5 << 20, "{here}");
    assert!(fs::read(in_progress.join("large")).unwrap() == content);
    assert_eq!(files(&in_progress).len(), 1, "{:?}", files(&in_progress));
}

#[test]
fn without_the_passphrase_of_the_first_attempt_an_upload_starts_afresh_if_told_to() {
    let lab = Lab::new();
    let Some(remote) = Remote::start(Kind::Embedded, &lab) else { return };
    let content = Random::new(9).bytes(60_000_000);
    tree::write_aged(&lab.here().join("large"), &content, Duration::from_secs(4_000));
    send_a_part(&lab, &remote, send(&lab, &remote, "word"));
    let sent = send(&lab, &remote, "another").args(["--resume", "off", "large"]).arg(remote.place(&lab, "in/"));
    sent.succeed();
    get(&lab, &remote, "another").arg(remote.place(&lab, "in/large.aspera-env")).arg("back").succeed();
    assert!(fs::read(lab.here().join("back")).unwrap() == content);
}

#[test]
fn a_passphrase_is_neither_said_nor_shown() {
    const WORD: &str = "unsayable-4711-word";
    let lab = Lab::new();
    let Some(remote) = Remote::start(Kind::Embedded, &lab) else { return };
    fs::write(lab.here().join("large"), Random::new(2).bytes(8 << 20)).unwrap();
    let sent = send(&lab, &remote, WORD).args(["--json", "-vv", "--rate", "100m", "large"]);
    let mut running = sent.arg(remote.place(&lab, "in/")).spawn();
    running.wait_for(|event| event["event"] == "opened").unwrap();
    let arguments = fs::read(format!("/proc/{}/cmdline", running.process().number())).unwrap();
    assert!(holds(&arguments, b"--file-crypt") && !holds(&arguments, WORD.as_bytes()));
    let sent = running.finish();
    let fetched = get(&lab, &remote, WORD).args(["--json", "-vv"]).arg(remote.place(&lab, "in/")).arg("out/").succeed();
    let wrong = get(&lab, &remote, "other").args(["--json", "-vv"]).arg(remote.place(&lab, "in/")).arg("bad/").run();
    for said in [sent, fetched, wrong] {
        assert!(!said.lines.iter().any(|line| line.contains(WORD)) && !said.errors.contains(WORD), "{said}");
    }
    let told = files(&lab.path("state")).into_iter().chain([lab.path("limosad.log")]);
    assert!(told.into_iter().all(|file| !holds(&fs::read(file).unwrap(), WORD.as_bytes())));
}
