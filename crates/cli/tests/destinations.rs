//! Where entries land, as typed: each row of the table in a test, as upload
//! and as download, against every kind of remote end.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's surroundings fail it

mod support;

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use support::client::{Client, Finished};
use support::remote::{Kind, Remote};
use support::{Lab, skip, user};

/// One row: what is at the source, what at the destination, what is typed, and
/// which files are at the destination afterwards. Names that end in a slash
/// are directories.
struct Row<'a> {
    sources: &'a [&'a str],
    existing: &'a [&'a str],
    typed: &'a [&'a str],
    destination: &'a str,
    lands: &'a [&'a str],
}

impl Default for Row<'_> {
    fn default() -> Self {
        Self { sources: &["f1"], existing: &[], typed: &["f1"], destination: "d", lands: &[] }
    }
}

impl Row<'_> {
    /// Checks the row for both directions and every kind of remote end.
    fn check(&self) {
        for kind in [Kind::OpenSsh, Kind::Embedded] {
            let lab = Lab::new();
            let Some(remote) = Remote::start(kind, &lab) else { continue };
            self.upload(&lab, &remote);
            self.download(&lab, &remote);
        }
    }

    fn upload(&self, lab: &Lab, remote: &Remote) {
        let (here, there) = (lab.here().join("up"), lab.there().join("up"));
        self.prepare(&here, &there);
        let destination = remote.place(lab, format!("up/{}", self.destination));
        Client::new(lab, remote, "send").in_directory(&here).args(self.typed).arg(destination).succeed();
        self.assert_landed("upload", &there);
    }

    fn download(&self, lab: &Lab, remote: &Remote) {
        let (there, here) = (lab.there().join("down"), lab.here().join("down"));
        self.prepare(&there, &here);
        let sources = self.typed.iter().map(|typed| remote.place(lab, format!("down/{typed}")));
        Client::new(lab, remote, "get").in_directory(&here).args(sources).arg(self.destination).succeed();
        self.assert_landed("download", &here);
    }

    fn prepare(&self, source: &Path, destination: &Path) {
        for (root, names) in [(source, self.sources), (destination, self.existing)] {
            fs::create_dir_all(root).unwrap();
            names.iter().for_each(|name| put(root, name));
        }
    }

    fn assert_landed(&self, direction: &str, root: &Path) {
        let mut expected: Vec<_> = self.lands.iter().map(PathBuf::from).collect();
        expected.sort();
        assert_eq!(files_below(root), expected, "{direction} of {:?} to {:?}", self.typed, self.destination);
        for name in self.lands {
            // A file says its own name, wherever it landed; one that was there says it was.
            let content = fs::read_to_string(root.join(name)).unwrap();
            assert!(content.starts_with("I am "), "{name}: {content}");
        }
    }
}

/// Makes a file that says its name, or a directory.
fn put(root: &Path, name: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match name.strip_suffix('/') {
        Some(_) => fs::create_dir_all(&path).unwrap(),
        None => fs::write(&path, format!("I am {name}")).unwrap(),
    }
}

/// Every file and every empty directory.
fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_to_a_new_name_is_renamed() {
    Row { existing: &["d/"], destination: "d/new", lands: &["d/new"], ..Row::default() }.check();
}

#[test]
fn a_file_to_a_new_name_in_missing_directories_makes_them() {
    Row { destination: "a/b/new", lands: &["a/b/new"], ..Row::default() }.check();
}

#[test]
fn a_file_to_an_existing_directory_goes_inside() {
    Row { existing: &["d/f/"], destination: "d/f", lands: &["d/f/f1"], ..Row::default() }.check();
}

#[test]
fn a_file_to_an_existing_file_replaces_it() {
    Row { existing: &["d/old"], destination: "d/old", lands: &["d/old"], ..Row::default() }.check();
}

#[test]
fn a_file_to_a_name_with_a_slash_goes_into_that_directory() {
    Row { destination: "d/", lands: &["d/f1"], ..Row::default() }.check();
}

#[test]
fn several_files_go_into_an_existing_directory() {
    let lands = &["d/f1", "d/f2", "d/was-there"];
    Row { sources: &["f1", "f2"], typed: &["f1", "f2"], existing: &["d/was-there"], lands, ..Row::default() }.check();
}

#[test]
fn several_files_make_the_directory() {
    Row {
        sources: &["f1", "x/f2"],
        typed: &["f1", "x/f2"],
        destination: "a/d",
        lands: &["a/d/f1", "a/d/f2"],
        ..Row::default()
    }
    .check();
}

#[test]
fn a_directory_goes_below_a_new_directory() {
    let sources = &["d3/f1", "d3/d4/f2"];
    Row { sources, typed: &["d3"], lands: &["d/d3/f1", "d/d3/d4/f2"], ..Row::default() }.check();
}

#[test]
fn a_directory_goes_below_an_existing_directory() {
    let sources = &["d3/f1", "d3/d4/f2"];
    Row { sources, existing: &["d/"], typed: &["d3"], lands: &["d/d3/f1", "d/d3/d4/f2"], ..Row::default() }.check();
}

#[test]
fn a_directory_with_a_slash_stands_for_its_content() {
    let sources = &["d3/f1", "d3/d4/f2"];
    Row { sources, typed: &["d3/"], lands: &["d/f1", "d/d4/f2"], ..Row::default() }.check();
}

#[test]
fn the_content_of_a_directory_with_one_file_still_makes_the_directory() {
    Row { sources: &["d3/f1"], typed: &["d3/"], lands: &["d/f1"], ..Row::default() }.check();
}

#[test]
fn a_directory_and_a_file_go_below_the_destination() {
    let sources = &["f1", "d3/f2"];
    Row { sources, typed: &["f1", "d3"], destination: "a/", lands: &["a/f1", "a/d3/f2"], ..Row::default() }.check();
}

#[test]
fn a_file_far_down_loses_the_directories_above_it() {
    Row { sources: &["x/y/f1"], typed: &["x/y/f1"], existing: &["d/"], lands: &["d/f1"], ..Row::default() }.check();
}

on_each_remote!(
    two_dashes_end_the_options,
    relative_paths_start_at_home,
    names_with_colons_are_local_behind_a_slash,
    names_that_are_not_utf8_are_kept,
    addresses_of_ipv6,
    a_directory_in_the_way_of_a_file_is_kept,
    two_hosts_or_none_are_usage_errors,
);

fn two_dashes_end_the_options(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    put(&lab.here(), "-rf");
    Client::new(&lab, &remote, "send").args(["--", "-rf"]).arg(remote.place(&lab, "")).succeed();
    assert_eq!(files_below(&lab.there()), [Path::new("-rf")]);
    Client::new(&lab, &remote, "get").arg("--").arg(remote.place(&lab, "-rf")).arg("--help").succeed();
    assert_eq!(fs::read_to_string(lab.here().join("--help")).unwrap(), "I am -rf");
}

fn relative_paths_start_at_home(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    put(&lab.here(), "f1");
    let login = format!("{}@127.0.0.1:", remote.user());
    for (path, lands) in [("", "f1"), ("new", "new"), ("d/", "d/f1"), ("x/../y", "")] {
        let sent = Client::new(&lab, &remote, "send").arg("f1").arg(format!("{login}{path}")).run();
        if lands.is_empty() {
            assert_ne!(sent.exit(), Some(0), "`..` is not resolved at the remote end: {sent}");
        } else {
            assert_eq!(sent.exit(), Some(0), "{sent}");
            assert!(lab.there().join(lands).is_file(), "{path}");
        }
    }
    Client::new(&lab, &remote, "get").args([format!("{login}d/f1"), "back".into()]).succeed();
    assert!(lab.here().join("back").is_file());
}

fn names_with_colons_are_local_behind_a_slash(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    put(&lab.here(), "a:b");
    Client::new(&lab, &remote, "send").arg("./a:b").arg(remote.place(&lab, "")).succeed();
    assert_eq!(files_below(&lab.there()), [Path::new("a:b")]);
    Client::new(&lab, &remote, "get").arg(remote.place(&lab, "a:b")).arg("./c:d").succeed();
    assert!(lab.here().join("c:d").is_file());
    let refused = Client::new(&lab, &remote, "send").arg("a:b").arg(remote.place(&lab, "")).run();
    assert_eq!(refused.exit(), Some(2), "{refused}");
    assert!(refused.errors.contains("./"), "says what to type: {refused}");
}

fn names_that_are_not_utf8_are_kept(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    let odd = OsStr::from_bytes(b"caf\xe9 \n$(x)");
    fs::write(lab.here().join(odd), "odd").unwrap();
    Client::new(&lab, &remote, "send").arg(odd).arg(remote.place(&lab, odd)).succeed();
    assert!(lab.there().join(odd).is_file());
    Client::new(&lab, &remote, "get").arg(remote.place(&lab, odd)).arg("plain").succeed();
    assert!(lab.here().join("plain").is_file());
}

fn addresses_of_ipv6(kind: Kind) {
    if TcpListener::bind("[::1]:0").is_err() {
        return skip("IPv6 on loopback");
    }
    let lab = Lab::new();
    let Some(remote) = Remote::start_on(kind, &lab, "[::1]") else { return };
    put(&lab.here(), "f1");
    let root = if kind == Kind::OpenSsh { lab.there() } else { PathBuf::new() };
    for (number, host) in ["[::1]".to_owned(), format!("{}@[::1]", remote.user())].iter().enumerate() {
        if number == 0 && remote.user() != user() {
            continue;
        }
        let place = |name: &str| format!("{host}:{}/{name}", root.display());
        Client::new(&lab, &remote, "send").arg("f1").arg(place(&format!("up{number}"))).succeed();
        Client::new(&lab, &remote, "get").arg(place(&format!("up{number}"))).arg(format!("down{number}")).succeed();
        assert!(lab.here().join(format!("down{number}")).is_file());
    }
}

fn a_directory_in_the_way_of_a_file_is_kept(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    put(&lab.here(), "f1");
    put(&lab.here(), "f2");
    put(&lab.there(), "d/f1/precious");
    let sent = Client::new(&lab, &remote, "send").args(["f1", "f2"]).arg(remote.place(&lab, "d")).run();
    assert_eq!(sent.exit(), Some(6), "{sent}");
    assert!(sent.errors.contains("f1"), "names what failed: {sent}");
    assert_eq!(files_below(&lab.there()), [Path::new("d/f1/precious"), Path::new("d/f2")]);
}

fn two_hosts_or_none_are_usage_errors(kind: Kind) {
    let lab = Lab::new();
    let Some(remote) = Remote::start(kind, &lab) else { return };
    put(&lab.here(), "f1");
    let refused = |command: &str, paths: &[&str]| -> Finished {
        let finished = Client::new(&lab, &remote, command).args(paths).run();
        assert_eq!(finished.exit(), Some(2), "{command} {paths:?}: {finished}");
        finished
    };
    refused("send", &["f1", "f2"]);
    refused("send", &["f1"]);
    refused("send", &["host:f1", "other:"]);
    refused("get", &["f1", "d"]);
    refused("get", &["one:f1", "two:f2", "d"]);
    refused("get", &["host:f1", "host:d"]);
    // Nothing of this reached a host.
    assert!(files_below(&lab.there()).is_empty());
}
