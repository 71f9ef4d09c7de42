//! Symbolic links.

use super::{Place, assert_fails};
use crate::contract::FollowLinks;
use crate::error::ErrorKind;
use crate::metadata::Kind;

pub(super) fn links_hold_what_they_were_given(place: &Place<'_>) {
    for (name, target) in [("a", "nowhere"), ("b", "/etc/passwd"), ("c", "../../..")] {
        if !place.link(name, target) {
            return;
        }
        let path = place.path(name);
        assert_eq!(place.store.read_link(&path).expect("it is a link"), target.as_bytes());
        let found = place.store.metadata(&path, FollowLinks::No).expect("it is there");
        assert_eq!((found.kind, found.size), (Kind::Symlink, target.len() as u64));
        assert_fails(place.store.make_link(&path, b"other"), ErrorKind::AlreadyExists);
    }
}

pub(super) fn links_inside_are_followed(place: &Place<'_>) {
    place.make_directory("d");
    place.make_directory("d/e");
    place.write("d/f", b"found");
    if !place.link("to_file", "d/f") || !place.link("d/e/up", "../../d/./f") {
        return;
    }
    place.link("to_directory", "d/");
    place.link("to_link", "to_file");
    for name in ["to_file", "to_link", "to_directory/f", "to_directory/e/up", "d/e/up"] {
        assert_eq!(place.read(name), b"found", "by {name}");
        let found = place.store.metadata(&place.path(name), FollowLinks::Yes).expect("it is there");
        assert_eq!((found.kind, found.size), (Kind::File, 5));
    }
    place.write("to_directory/new", b"through a link");
    assert_eq!(place.read("d/new"), b"through a link");
    let listed = place.store.list(&place.path("to_directory"), None, 10).expect("it lists");
    assert_eq!(listed.entries.len(), 3);
}

pub(super) fn links_are_not_followed_unasked(place: &Place<'_>) {
    place.write("f", b"target");
    if !place.link("l", "f") {
        return;
    }
    let (store, link) = (place.store, place.path("l"));
    assert_fails(store.open(&link, FollowLinks::No), ErrorKind::Loop);
    assert_fails(store.reopen(&link), ErrorKind::Loop);
    assert_fails(store.open_append(&link), ErrorKind::Loop);
    assert_fails(store.lock(&link), ErrorKind::Loop);
    store.create(&link).expect("it takes the place of the link");
    assert_eq!((place.read("l"), place.read("f")), (b"".into(), b"target".into()));
    store.remove(&link).expect("it goes");
    place.link("l", "f");
    store.remove(&link).expect("the link goes, not the file");
    assert_eq!(place.read("f"), b"target");
}

pub(super) fn links_in_a_circle_end(place: &Place<'_>) {
    if !place.link("a", "b") || !place.link("b", "a") {
        return;
    }
    for path in [place.path("a"), place.path("a/below")] {
        assert_fails(place.store.metadata(&path, FollowLinks::Yes), ErrorKind::Loop);
        assert_fails(place.store.open(&path, FollowLinks::Yes), ErrorKind::Loop);
    }
    assert_fails(place.store.create(&place.path("a/below")), ErrorKind::Loop);
}
