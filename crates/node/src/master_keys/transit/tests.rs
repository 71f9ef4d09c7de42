//! Key servers that do not do as they should, and what they are asked with.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::*;

/// What takes longer is not going to happen.
const DEADLINE: Duration = Duration::from_secs(30);
/// What a server has that will not make it.
const SHORT: Duration = Duration::from_millis(300);
/// How fast a server is that is slower than that, and never silent for long.
const DRIP: Duration = Duration::from_millis(20);

const SET: AlgorithmSet = AlgorithmSet::Ordinary;

fn key_at(address: &str) -> TransitKey {
    let text = format!("address = {address:?}\nkey = \"limosa\"\nwrapped = \"vault:v1:AAAA\"");
    toml::from_str(&text).unwrap()
}

/// A server that does `answer` with each connection; its key.
fn server(answer: impl Fn(TcpStream) + Send + 'static) -> TransitKey {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(answer));
    key_at(&address)
}

/// A server with these answers, one after another; its key, and what it was
/// asked.
fn canned(answers: Vec<String>) -> (TransitKey, Receiver<String>) {
    let (tell, asked) = mpsc::channel();
    let answers = std::sync::Mutex::new(answers.into_iter());
    let key = server(move |mut client| {
        let _ = tell.send(request(&client));
        let answer = answers.lock().unwrap().next().expect("no more questions than answers");
        let _ = client.write_all(answer.as_bytes());
    });
    (key, asked)
}

/// The head of a request, its body having been read.
fn request(client: &TcpStream) -> String {
    let mut lines = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(lines.read_line(&mut head).unwrap() > 0, "it ends in the middle");
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    lines.read_exact(&mut vec![0; length]).unwrap();
    head
}

fn answer(status: &str, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn data(data: &Value) -> String {
    answer("200 OK", "", &json!({ "data": data }))
}

/// The answer with the master key of these bytes.
fn plain(byte: u8) -> String {
    data(&json!({ "plaintext": STANDARD.encode([byte; 32]) }))
}

/// What is said of `key` after this time. It is asked on a thread of its own,
/// so that a wait without end fails the test.
fn refusal(key: &TransitKey, patience: Duration) -> TransitError {
    let ((tell, told), key) = (mpsc::channel(), key.clone());
    thread::spawn(move || {
        let told = request::ask(&key, SET, "decrypt", json!({ "ciphertext": key.wrapped }), patience);
        tell.send(told.map(drop))
    });
    told.recv_timeout(DEADLINE).expect("in time").unwrap_err()
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let (keep, kept) = mpsc::channel();
    let key = server(move |client| keep.send(client).unwrap());
    let error = refusal(&key, SHORT).to_string();
    assert!(error.contains("it took longer than") && error.contains(&key.address), "{error}");
    drop(kept);
}

#[test]
fn a_server_that_never_comes_to_an_end_is_not_waited_for_either() {
    let ((hung_up, is_hung_up), (_test, has_ended)) = (mpsc::channel(), mpsc::channel::<()>());
    let key = server(move |mut client| {
        request(&client);
        let mut left = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
        while left.is_ok() && has_ended.recv_timeout(DRIP) == Err(mpsc::RecvTimeoutError::Timeout) {
            left = client.write_all(b" ");
        }
        let _ = hung_up.send(left.is_err());
    });
    assert!(refusal(&key, SHORT).to_string().contains("it took longer than"));
    assert_eq!(is_hung_up.recv_timeout(DEADLINE), Ok(true), "nor does anything go on that was not waited for");
}

#[test]
fn an_answer_without_end_is_not_taken_in() {
    let key = server(|mut client| {
        request(&client);
        let mut written = client.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while written.is_ok() {
            written = client.write_all(&[b' '; 4096]);
        }
    });
    assert!(refusal(&key, DEADLINE).to_string().contains("longer than 64 KiB"));
}

#[test]
fn it_is_told_what_vault_agents_insist_on() {
    let (key, asked) = canned(vec![plain(7)]);
    assert!(key.unwrap(id_for_itself(), SET).is_ok());
    let asked = asked.recv_timeout(DEADLINE).unwrap();
    assert!(asked.starts_with("post /v1/transit/decrypt/limosa http/1.1\r\n"), "{asked}");
    assert!(asked.contains("\r\nx-vault-request: true\r\n") && !asked.contains("x-vault-token"), "{asked}");
}

#[test]
fn a_standby_names_the_server_to_ask() {
    let location = "Location: https://ada:secret@active.example.org:8200/v1/transit/decrypt/limosa?x=secret\r\n";
    let (key, _asked) = canned(vec![answer("307 Temporary Redirect", location, &json!({}))]);
    let error = refusal(&key, DEADLINE).to_string();
    assert!(error.contains("to https://active.example.org:8200 (307)"), "{error}");
    assert!(error.contains("`address`") && !error.contains("secret"), "{error}");
}

#[test]
fn an_address_names_a_server_and_nothing_else() {
    for wrong in [
        "https://vault.example.org/ui",
        "https://vault.example.org/?secret",
        "https://vault.example.org/#secret",
        "https://ada:secret@vault.example.org",
        "https://secret@vault.example.org",
        "ftp://vault.example.org",
        "vault.example.org:8200",
        "http://192.0.2.1:8200",
        "",
    ] {
        let error = refusal(&key_at(wrong), DEADLINE);
        assert!(matches!(error, TransitError::Unfit { key: "address", .. }), "{wrong}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn an_empty_token_is_refused_before_anybody_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, " \n").unwrap();
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
    let key = TransitKey { token_file: Some(token.clone()), ..key_at("http://127.0.0.1:1") };
    let error = refusal(&key, DEADLINE).to_string();
    assert!(error.starts_with(&format!("{}: it is empty", token.display())), "{error}");
}

#[test]
fn who_could_have_chosen_the_key_is_the_administrator_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("main.transit");
    key_at("http://127.0.0.1:1").write(&path, file::create).unwrap();
    for mode in [0o664, 0o646, 0o622] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let error = TransitKey::read(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("{mode:04o}")) && error.contains("chmod go-w"), "{error}");
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(TransitKey::read(&path).is_ok());
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
        assert!(TransitKey::read(&path).unwrap_err().to_string().contains("belongs to user 4242"));
    }
}

/// A description with these answers behind it, by the way of a link to it.
fn renewed(answers: Vec<String>) -> (Result<Renewed, TransitError>, Receiver<String>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let (real, link) = (directory.path().join("real.transit"), directory.path().join("main.transit"));
    let (key, asked) = canned(answers);
    key.write(&real, file::create).unwrap();
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o600)).unwrap();
    symlink(&real, &link).unwrap();
    (TransitKey::renew(&link, SET), asked, directory)
}

fn wrapped_in(directory: &tempfile::TempDir) -> String {
    TransitKey::read(&directory.path().join("real.transit")).unwrap().wrapped
}

#[test]
fn what_is_wrapped_by_the_newest_version_stays_as_it_is() {
    let (renewed, asked, directory) = renewed(vec![data(&json!({ "ciphertext": "vault:v1:BBBB" }))]);
    assert_eq!(renewed.unwrap(), Renewed::Newest("v1".to_owned()));
    assert_eq!(wrapped_in(&directory), "vault:v1:AAAA", "the same in other words");
    assert_eq!(asked.try_iter().count(), 1);
}

#[test]
fn what_was_wrapped_anew_is_proved_before_it_is_kept() {
    let answers = |second| vec![data(&json!({ "ciphertext": "vault:v2:BBBB" })), plain(7), plain(second)];
    let (refused, _, directory) = renewed(answers(8));
    assert!(refused.unwrap_err().to_string().contains("another key"));
    assert_eq!(wrapped_in(&directory), "vault:v1:AAAA");
    let (renewed, _, directory) = renewed(answers(7));
    assert_eq!(renewed.unwrap(), Renewed::Changed { from: "v1".to_owned(), to: "v2".to_owned() });
    assert_eq!(wrapped_in(&directory), "vault:v2:BBBB");
    let (real, link) = (directory.path().join("real.transit"), directory.path().join("main.transit"));
    assert_eq!(real.metadata().unwrap().mode() & 0o777, 0o600, "as it was");
    assert!(link.is_symlink() && std::fs::read_dir(&directory).unwrap().count() == 2);
}

#[test]
fn nobody_answers_with_another_key_than_was_wrapped() {
    let wrapped = || data(&json!({ "ciphertext": "vault:v1:AAAA" }));
    let (key, _asked) = canned(vec![wrapped(), plain(7), plain(7), plain(8)]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("main.transit");
    key.create(&path, SET).unwrap();
    let described = TransitKey::read(&path).unwrap();
    assert!(described.unwrap(id_for_itself(), SET).is_ok());
    assert!(matches!(described.unwrap(id_for_itself(), SET), Err(TransitError::OtherKey)));
}

#[test]
fn what_is_not_of_the_usual_form_is_not_written() {
    let (key, _asked) = canned(vec![data(&json!({ "ciphertext": "BBBB" }))]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("main.transit");
    assert!(matches!(key.create(&path, SET), Err(TransitError::Unfit { key: "wrapped", .. })));
    assert!(!path.exists());
}

#[test]
fn a_wrapped_key_says_its_version() {
    assert_eq!(version("vault:v12:AAAA").unwrap(), "v12");
    for wrong in ["", "vault", "vault:v1", "vault:v1:", "vault:1:AAAA", "vault:v:AAAA", "vault:vx:AAAA"] {
        assert!(version(wrong).is_err(), "{wrong}");
    }
}
