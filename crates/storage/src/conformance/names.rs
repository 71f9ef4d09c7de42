//! Making and removing names.

use super::{Place, assert_fails, content_of};
use crate::contract::{FollowLinks, make_directories};
use crate::error::ErrorKind;
use crate::metadata::Kind;
use crate::path::{MAX_NAME, StorePath};

pub(super) fn create_makes_a_new_file(place: &Place<'_>) {
    let old = place.write("f", b"old and long");
    let new = place.create("f");
    assert_eq!(content_of(&*new), b"");
    new.write_at(0, b"new").expect("it writes");
    assert_eq!(place.read("f"), b"new");
    assert_eq!(content_of(&*old), b"old and long", "who has it open keeps it");
    let found = place.store.metadata(&place.path("f"), FollowLinks::No).expect("it is there");
    assert_eq!((found.kind, found.size, found.mode), (Kind::File, 3, 0o600));
}

pub(super) fn reopen_keeps_the_content(place: &Place<'_>) {
    drop(place.write("f", b"0123456789"));
    let file = place.store.reopen(&place.path("f")).expect("it opens again");
    file.write_at(2, b"--").expect("it writes");
    assert_eq!(place.read("f"), b"01--456789");
}

pub(super) fn missing_names_are_not_found(place: &Place<'_>) {
    let store = place.store;
    for path in [place.path("none"), place.path("none/below")] {
        assert_fails(store.metadata(&path, FollowLinks::No), ErrorKind::NotFound);
        assert_fails(store.metadata(&path, FollowLinks::Yes), ErrorKind::NotFound);
        assert_fails(store.open(&path, FollowLinks::No), ErrorKind::NotFound);
        assert_fails(store.open(&path, FollowLinks::Yes), ErrorKind::NotFound);
        assert_fails(store.reopen(&path), ErrorKind::NotFound);
        assert_fails(store.list(&path, None, 10), ErrorKind::NotFound);
        assert_fails(store.read_link(&path), ErrorKind::NotFound);
        assert_fails(store.remove(&path), ErrorKind::NotFound);
        assert_fails(store.remove_directory(&path), ErrorKind::NotFound);
        assert_fails(store.sync_directory(&path), ErrorKind::NotFound);
    }
    let below = place.path("none/below");
    assert_fails(store.create(&below), ErrorKind::NotFound);
    assert_fails(store.open_append(&below), ErrorKind::NotFound);
    assert_fails(store.make_directory(&below), ErrorKind::NotFound);
    assert_fails(store.lock(&below), ErrorKind::NotFound);
}

pub(super) fn files_are_not_directories(place: &Place<'_>) {
    place.write("f", b"");
    let (store, file, below) = (place.store, place.path("f"), place.path("f/below"));
    assert_fails(store.list(&file, None, 10), ErrorKind::NotADirectory);
    assert_fails(store.remove_directory(&file), ErrorKind::NotADirectory);
    assert_fails(store.sync_directory(&file), ErrorKind::NotADirectory);
    assert_fails(store.metadata(&below, FollowLinks::Yes), ErrorKind::NotADirectory);
    assert_fails(store.create(&below), ErrorKind::NotADirectory);
    assert_fails(store.make_directory(&below), ErrorKind::NotADirectory);
    assert_fails(store.read_link(&file), ErrorKind::Unsupported);
}

pub(super) fn directories_are_not_files(place: &Place<'_>) {
    place.make_directory("d");
    let (store, path) = (place.store, place.path("d"));
    let found = store.metadata(&path, FollowLinks::No).expect("it is there");
    assert_eq!((found.kind, found.mode), (Kind::Directory, 0o700));
    assert_fails(store.open(&path, FollowLinks::No), ErrorKind::IsADirectory);
    assert_fails(store.open(&path, FollowLinks::Yes), ErrorKind::IsADirectory);
    assert_fails(store.reopen(&path), ErrorKind::IsADirectory);
    assert_fails(store.create(&path), ErrorKind::IsADirectory);
    assert_fails(store.open_append(&path), ErrorKind::IsADirectory);
    assert_fails(store.lock(&path), ErrorKind::IsADirectory);
    assert_fails(store.remove(&path), ErrorKind::IsADirectory);
    assert_fails(store.make_directory(&path), ErrorKind::AlreadyExists);
    place.write("d/f", b"");
    assert_fails(store.remove_directory(&path), ErrorKind::NotEmpty);
}

pub(super) fn the_root_stays(place: &Place<'_>) {
    let (store, root) = (place.store, StorePath::root());
    let found = store.metadata(&root, FollowLinks::No).expect("there is a root");
    assert_eq!(found.kind, Kind::Directory);
    store.list(&root, None, 1).expect("the root lists");
    store.sync_directory(&root).expect("the root syncs");
    assert_fails(store.make_directory(&root), ErrorKind::AlreadyExists);
    assert_fails(store.create(&root), ErrorKind::IsADirectory);
    assert_fails(store.remove(&root), ErrorKind::IsADirectory);
    assert_fails(store.remove_directory(&root), ErrorKind::Unsupported);
}

pub(super) fn names_need_not_be_text(place: &Place<'_>) {
    let names: [&[u8]; 6] = [b"\xff\xfe", b"a\nb", b"\x1b[2J", b"-rf", b"...", b" "];
    for name in names {
        let file = place.store.create(&place.path_bytes(name)).expect("any bytes are a name");
        file.write_at(0, name).expect("it writes");
    }
    let listed = place.list(100);
    assert_eq!(listed.len(), names.len());
    for entry in listed {
        let path = place.directory.join(&entry.name).expect("a short path");
        let file = place.store.open(&path, FollowLinks::No).expect("what is listed opens");
        assert_eq!(content_of(&*file), entry.name.as_bytes());
    }
}

pub(super) fn the_longest_name_fits(place: &Place<'_>) {
    let longest = "n".repeat(MAX_NAME);
    place.write(&longest, b"long");
    assert_eq!(place.read(&longest), b"long");
}

pub(super) fn missing_directories_are_made(place: &Place<'_>) {
    place.make_directory("a");
    let deep = place.path("a/b/c");
    let made = make_directories(place.store, &deep).expect("they are made");
    assert_eq!(made, [place.path("a/b"), deep.clone()], "topmost first");
    assert_eq!(make_directories(place.store, &deep).expect("they are there"), []);
    place.write("f", b"");
    assert_fails(make_directories(place.store, &place.path("f")), ErrorKind::NotADirectory);
    assert_fails(make_directories(place.store, &place.path("f/x")), ErrorKind::NotADirectory);
}

pub(super) fn removal_frees_the_name(place: &Place<'_>) {
    let open = place.write("f", b"kept");
    place.store.remove(&place.path("f")).expect("it is removed");
    assert_eq!(content_of(&*open), b"kept", "who has it open keeps it");
    place.make_directory("f");
    place.store.remove_directory(&place.path("f")).expect("it is removed");
    assert_eq!(place.list(10), []);
}

pub(super) fn a_directory_made_again_is_used(place: &Place<'_>) {
    for round in 0..3_u8 {
        place.make_directory("d");
        place.write("d/f", &[round]);
        assert_eq!(place.read("d/f"), [round]);
        place.store.remove(&place.path("d/f")).expect("the file goes");
        place.store.remove_directory(&place.path("d")).expect("the directory goes");
        assert_fails(place.store.create(&place.path("d/f")), ErrorKind::NotFound);
    }
}

pub(super) fn many_directories_are_synced_together(place: &Place<'_>) {
    assert_eq!(place.store.sync_directories(&[]).len(), 0, "nothing is synced");
    let names: Vec<String> = (0..40).map(|i| format!("d{i}")).collect();
    names.iter().for_each(|name| place.make_directory(name));
    let mut directories: Vec<_> = names.iter().map(|name| place.path(name)).collect();
    let all_fine = |directories: &[_]| place.store.sync_directories(directories).iter().all(Result::is_ok);
    assert!(all_fine(&directories[..3]), "a few are synced");
    assert!(all_fine(&directories), "all are synced");
    place.write("file", b"");
    directories.insert(1, place.path("missing"));
    directories.insert(3, place.path("file"));
    for (index, result) in place.store.sync_directories(&directories).into_iter().enumerate() {
        match index {
            1 => assert_fails(result, ErrorKind::NotFound),
            3 => assert_fails(result, ErrorKind::NotADirectory),
            _ => result.expect("the others are synced"),
        }
    }
}
