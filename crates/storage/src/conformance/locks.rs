//! Locks, and the space left.

use super::{Place, REPLACE, assert_fails};
use crate::contract::FollowLinks;
use crate::error::ErrorKind;
use crate::path::StorePath;

pub(super) fn locks_exclude(place: &Place<'_>) {
    if !place.store.capabilities().locks {
        assert_fails(place.store.lock(&place.path("journal")), ErrorKind::Unsupported);
        return;
    }
    let path = place.path("journal");
    let guard = place.store.lock(&path).expect("nobody holds it");
    let found = place.store.metadata(&path, FollowLinks::No).expect("it was made");
    assert_eq!((found.size, found.mode), (0, 0o600));
    assert_fails(place.store.lock(&path), ErrorKind::Locked);
    let _other = place.store.lock(&place.path("other")).expect("others are free");
    place.store.open_append(&path).expect("it opens").append(b"x").expect("it is written");
    drop(guard);
    let _again = place.store.lock(&path).expect("it is free again");
    assert_eq!(place.read("journal"), b"x", "locking keeps the content");
}

pub(super) fn locks_go_with_the_file(place: &Place<'_>) {
    if !place.store.capabilities().locks {
        return;
    }
    let old = place.store.lock(&place.path("journal")).expect("nobody holds it");
    let new = place.store.lock(&place.path("compacted")).expect("nobody holds it");
    place.publish("compacted", "journal", REPLACE).expect("it replaces the old one");
    assert_fails(place.store.lock(&place.path("journal")), ErrorKind::Locked);
    drop(old);
    assert_fails(place.store.lock(&place.path("journal")), ErrorKind::Locked);
    drop(new);
    let removed = place.store.lock(&place.path("journal")).expect("it is free again");
    place.store.remove(&place.path("journal")).expect("it goes");
    let _fresh = place.store.lock(&place.path("journal")).expect("a new file is free");
    drop(removed);
}

pub(super) fn space_is_known(place: &Place<'_>) {
    for directory in [&StorePath::root(), &place.directory] {
        let space = place.store.space(directory).expect("it is known");
        assert!(space.available <= space.total && space.total > 0, "{space:?}");
    }
    assert_fails(place.store.space(&place.path("none")), ErrorKind::NotFound);
}
