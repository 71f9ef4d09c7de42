//! The local disk under conditions a test has to make: full, read-only,
//! forbidden, locked by another process. Each test runs itself again as a
//! child process under that condition.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use limosa_storage::{
    Attributes, Confinement, Durability, ErrorKind, FollowLinks, LocalStore, Overwrite, Publish, Result, Staged, Store,
    StorePath,
};

/// Tells the child in which directory the condition holds.
const DIRECTORY: &str = "LIMOSA_TEST_DIRECTORY";
const MIB: usize = 1024 * 1024;

fn path(text: &str) -> StorePath {
    StorePath::parse(text.as_bytes()).expect("a path")
}

fn open(directory: &Path) -> LocalStore {
    LocalStore::open(directory, Confinement::Inside).expect("it opens")
}

#[track_caller]
fn assert_fails<T>(result: Result<T>, expected: ErrorKind) {
    assert_eq!(result.map(|_| ()).expect_err("it cannot succeed").kind(), expected);
}

/// In the child: the directory where the condition holds.
fn prepared() -> Option<PathBuf> {
    env::var_os(DIRECTORY).map(PathBuf::from)
}

/// Runs the test `name` of this program again, by `wrapper`, which finds this
/// program's command line after its own.
fn run_again(name: &str, wrapper: &[&str], directory: &Path) -> std::io::Result<Output> {
    let this = env::current_exe().expect("this program has a path");
    let (first, rest) = wrapper.split_first().expect("a wrapper has a name");
    Command::new(first).args(rest).arg(this).args(["--exact", name, "--nocapture"]).env(DIRECTORY, directory).output()
}

/// Skips a test whose condition cannot be made here, unless that is an error.
fn skip(what: &str) {
    println!("skipped: {what}");
    assert_ne!(env::var("LIMOSA_REQUIRE_COUNTERPARTS").as_deref(), Ok("1"), "missing: {what}");
}

/// Whether a wrapper works here at all.
fn works(wrapper: &[&str], directory: &Path) -> bool {
    let (first, rest) = wrapper.split_first().expect("a wrapper has a name");
    let tried = Command::new(first).args(rest).arg("true").env(DIRECTORY, directory).output();
    tried.is_ok_and(|output| output.status.success())
}

/// Runs the test again in a namespace of its own, where `options` mount a
/// small file system in memory on an otherwise empty directory.
fn run_on_tmpfs(name: &str, options: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let mount = format!("mount -t tmpfs -o {options} none \"${DIRECTORY}\" && exec \"$@\"");
    let wrapper = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &mount, "in-namespace"];
    run_wrapped(name, &wrapper, directory.path(), "user namespaces (unshare) to mount a tmpfs");
}

/// Runs the test again as somebody whom permissions bind: in a user namespace
/// where nobody is root, though files keep their owner.
fn run_unprivileged(name: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let what = "user namespaces (unshare) to drop privileges";
    run_wrapped(name, &["unshare", "--user"], directory.path(), what);
}

fn run_wrapped(name: &str, wrapper: &[&str], directory: &Path, needs: &str) {
    if !works(wrapper, directory) {
        return skip(needs);
    }
    let output = run_again(name, wrapper, directory).expect("it runs");
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{log}{}", String::from_utf8_lossy(&output.stderr));
    assert!(log.contains("1 passed"), "the child has run this test: {log}");
}

#[test]
fn a_full_disk_says_so_and_keeps_what_it_has() {
    let Some(directory) = prepared() else {
        return run_on_tmpfs("a_full_disk_says_so_and_keeps_what_it_has", "size=1m");
    };
    let store = open(&directory);
    let file = store.create(&path("f")).expect("it is created");
    file.write_at(0, b"first").expect("it fits");
    assert_fails(file.preallocate(2 * MIB as u64), ErrorKind::NoSpace);
    file.preallocate(MIB as u64 / 2).expect("so much fits");
    let allocated = file.metadata().expect("it is there").allocated;
    assert!(allocated < MIB as u64 / 4, "{allocated} bytes of memory were cleared to be written anyway");
    assert_fails(file.write_at(5, &vec![b'x'; 2 * MIB]), ErrorKind::NoSpace);
    let mut first = [0; 5];
    file.read_at(0, &mut first).expect("it reads");
    assert_eq!(&first, b"first");
    let journal = store.open_append(&path("journal")).expect("a name still fits");
    assert_fails(journal.append(&[b'x'; 8192]), ErrorKind::NoSpace);
    assert!(store.space(&StorePath::root()).expect("it is known").available < 8192);
    file.truncate(5).expect("it is cut");
    journal.truncate(0).expect("it is cut");
    journal.append(b"record").expect("there is space again");
}

#[test]
fn a_read_only_disk_says_so() {
    let Some(directory) = prepared() else {
        return run_on_tmpfs("a_read_only_disk_says_so", "ro");
    };
    let store = open(&directory);
    assert_fails(store.create(&path("f")), ErrorKind::ReadOnly);
    assert_fails(store.make_directory(&path("d")), ErrorKind::ReadOnly);
    assert_fails(store.make_link(&path("l"), b"f"), ErrorKind::ReadOnly);
    assert_fails(store.lock(&path("journal")), ErrorKind::ReadOnly);
    let wanted = Attributes::default().with_mode(0o755);
    assert_fails(store.set_attributes(&StorePath::root(), &wanted), ErrorKind::ReadOnly);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode is set");
}

#[test]
fn permissions_bind() {
    let Some(directory) = prepared() else {
        return run_unprivileged("permissions_bind");
    };
    let store = open(&directory);
    store.create(&path("f")).expect("it is created");
    store.make_directory(&path("d")).expect("it is made");
    set_mode(&directory.join("f"), 0o000);
    set_mode(&directory.join("d"), 0o500);
    assert_fails(store.open(&path("f"), FollowLinks::No), ErrorKind::PermissionDenied);
    assert_fails(store.reopen(&path("f")), ErrorKind::PermissionDenied);
    assert_fails(store.create(&path("d/f")), ErrorKind::PermissionDenied);
    assert_fails(store.make_directory(&path("d/d")), ErrorKind::PermissionDenied);
    set_mode(&directory.join("d"), 0o000);
    assert_fails(store.list(&path("d"), None, 10), ErrorKind::PermissionDenied);
    let found = store.metadata(&path("d/f"), FollowLinks::No);
    assert_fails(found, ErrorKind::PermissionDenied);
    for name in ["f", "d"] {
        let wanted = Attributes::default().with_mode(0o700);
        store.set_attributes(&path(name), &wanted).expect("the owner may, though not read");
        let found = store.metadata(&path(name), FollowLinks::No).expect("it is there");
        assert_eq!(found.mode, 0o700);
    }
}

#[test]
fn a_drop_box_that_cannot_be_read_takes_files() {
    let Some(directory) = prepared() else {
        return run_unprivileged("a_drop_box_that_cannot_be_read_takes_files");
    };
    let store = open(&directory);
    store.make_directory(&path("box")).expect("it is made");
    set_mode(&directory.join("box"), 0o300);
    let (staged, to) = (path("box/staged"), path("box/f"));
    let file = store.create(&staged).expect("it is created");
    file.write_at(0, b"content").expect("it writes");
    file.set_attributes(&Attributes::default().with_mode(0)).expect("its last mode");
    let strict = Publish { overwrite: Overwrite::MustNotExist, durability: Durability::Strict };
    let staged = Staged::File { path: &staged, file: &*file };
    store.publish(staged, &to, strict).expect("it is published and synced");
    assert_fails(store.list(&path("box"), None, 10), ErrorKind::PermissionDenied);
    set_mode(&directory.join("box"), 0o700);
}

#[test]
fn a_lock_keeps_other_processes_out() {
    const NAME: &str = "a_lock_keeps_other_processes_out";
    if let Some(directory) = prepared() {
        return assert_fails(open(&directory).lock(&path("journal")), ErrorKind::Locked);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let child = || run_again(NAME, &["env"], directory.path()).expect("it runs").status;
    let guard = store.lock(&path("journal")).expect("nobody holds it");
    assert!(child().success(), "the child finds it locked");
    drop(guard);
    assert!(!child().success(), "the child gets the lock, and says so by failing");
}

#[test]
fn special_files_are_named_and_never_opened() {
    let directory = tempfile::tempdir().expect("a directory");
    let made = Command::new("mkfifo").arg(directory.path().join("pipe")).status();
    if !made.is_ok_and(|status| status.success()) {
        return skip("mkfifo");
    }
    let socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket"));
    let _socket = socket.expect("a socket");
    let store = open(directory.path());
    for name in ["pipe", "socket"] {
        let found = store.metadata(&path(name), FollowLinks::No).expect("it is there");
        assert!(matches!(found.kind, limosa_storage::Kind::Other(_)), "{}", found.kind);
        assert_fails(store.open(&path(name), FollowLinks::No), ErrorKind::Unsupported);
        assert_fails(store.open(&path(name), FollowLinks::Yes), ErrorKind::Unsupported);
        assert_fails(store.reopen(&path(name)), ErrorKind::Unsupported);
        assert_fails(store.open_append(&path(name)), ErrorKind::Unsupported);
    }
}
