//! Giving staged files their names.

use std::sync::Barrier;

use super::{Place, REPLACE, assert_fails};
use crate::contract::{Durability, FollowLinks, Overwrite, Publish, Staged};
use crate::error::ErrorKind;

const SPARE: Publish = Publish { overwrite: Overwrite::MustNotExist, ..REPLACE };

pub(super) fn publishing_replaces(place: &Place<'_>) {
    for durability in [Durability::None, Durability::File, Durability::Strict] {
        place.write("final", b"old");
        place.write("staged", b"new");
        let how = Publish { durability, ..REPLACE };
        place.publish("staged", "final", how).expect("it is published");
        assert_eq!(place.read("final"), b"new");
        assert_eq!(place.list(10).len(), 1, "the staged name is gone");
    }
    place.make_directory("d");
    let strict = Publish { durability: Durability::Strict, ..REPLACE };
    place.publish("final", "d/elsewhere", strict).expect("it goes to another directory");
    assert_eq!(place.read("d/elsewhere"), b"new");
}

pub(super) fn many_files_are_synced_together(place: &Place<'_>) {
    place.store.sync_files(&[]).expect("nothing is synced");
    let names: Vec<String> = (0..40).map(|i| format!("f{i}")).collect();
    let files: Vec<_> = names.iter().map(|name| place.write(name, name.as_bytes())).collect();
    place.store.sync_files(&files[..3]).expect("a few are synced");
    place.store.sync_files(&files).expect("all are synced");
    let unsynced = Publish { durability: Durability::None, ..REPLACE };
    for name in &names {
        let to = format!("published-{name}");
        place.publish(name, &to, unsynced).expect("it is published");
        assert_eq!(place.read(&to), name.as_bytes());
    }
}

pub(super) fn publishing_spares_what_exists(place: &Place<'_>) {
    if !place.store.capabilities().exclusive_publish {
        return;
    }
    place.write("staged", b"new");
    place.publish("staged", "final", SPARE).expect("the name is free");
    place.write("staged", b"newer");
    assert_fails(place.publish("staged", "final", SPARE), ErrorKind::AlreadyExists);
    assert_eq!((place.read("final"), place.read("staged")), (b"new".into(), b"newer".into()));
    place.make_directory("d");
    assert_fails(place.publish("staged", "d", SPARE), ErrorKind::AlreadyExists);
}

pub(super) fn publishing_never_replaces_a_directory(place: &Place<'_>) {
    place.write("staged", b"file");
    place.make_directory("d");
    assert_fails(place.publish("staged", "d", REPLACE), ErrorKind::IsADirectory);
    assert_eq!(place.read("staged"), b"file");
}

pub(super) fn a_failed_publish_changes_nothing(place: &Place<'_>) {
    let file = place.write("staged", b"new");
    assert_fails(place.publish("staged", "none/final", REPLACE), ErrorKind::NotFound);
    assert_eq!(place.read("staged"), b"new");
    place.write("final", b"old");
    let gone = place.path("gone");
    let staged = Staged::File { path: &gone, file: &*file };
    let published = place.store.publish(staged, &place.path("final"), REPLACE);
    assert_fails(published, ErrorKind::NotFound);
    assert_eq!(place.read("final"), b"old");
}

pub(super) fn of_many_publishers_one_wins(place: &Place<'_>) {
    const PUBLISHERS: usize = 4;
    if !place.store.capabilities().exclusive_publish {
        return;
    }
    for round in 0..20 {
        let start = Barrier::new(PUBLISHERS);
        let (start, target) = (&start, &format!("final{round}"));
        let winners: Vec<usize> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..PUBLISHERS).map(|i| scope.spawn(move || race(place, i, target, start))).collect();
            let ends = racers.into_iter().map(|racer| racer.join().expect("a racer ends"));
            ends.enumerate().filter(|(_, won)| *won).map(|(i, _)| i).collect()
        });
        assert_eq!(winners.len(), 1, "exactly one has won: {winners:?}");
        assert_eq!(place.read(target), winners[0].to_string().as_bytes());
    }
}

/// Publishes at the same moment as others; says whether it has won.
fn race(place: &Place<'_>, i: usize, target: &str, start: &Barrier) -> bool {
    let staged = format!("staged{i}");
    place.write(&staged, i.to_string().as_bytes());
    start.wait();
    match place.publish(&staged, target, SPARE) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
            false
        }
    }
}

pub(super) fn links_are_published_too(place: &Place<'_>) {
    if !place.link("staged", "there") {
        return;
    }
    place.write("there", b"target");
    place.write("final", b"old");
    let (staged, to) = (place.path("staged"), place.path("final"));
    place.store.publish(Staged::Link { path: &staged }, &to, REPLACE).expect("it is published");
    assert_eq!(place.store.read_link(&to).expect("it is a link"), b"there");
    assert_eq!(place.read("final"), b"target");
    place.write("staged", b"file again");
    place.publish("staged", "final", REPLACE).expect("a file replaces the link itself");
    assert_eq!((place.read("final"), place.read("there")), (b"file again".into(), b"target".into()));
    let found = place.store.metadata(&to, FollowLinks::No).expect("it is there");
    assert!(found.is_file());
}
