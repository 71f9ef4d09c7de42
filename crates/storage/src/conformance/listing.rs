//! Listing directories.

use std::collections::BTreeSet;

use super::{Place, name};
use crate::metadata::Kind;

pub(super) fn listing_shows_each_entry_once(place: &Place<'_>) {
    const FILES: usize = 250;
    for i in 0..FILES {
        place.create(&format!("f{i}"));
    }
    place.make_directory("d");
    let linked = place.link("l", "nowhere");
    for limit in [0, 1, 7, 100, 10_000] {
        let listed = place.list(limit);
        let names: BTreeSet<_> = listed.iter().map(|entry| entry.name.clone()).collect();
        assert_eq!(names.len(), listed.len(), "nothing is listed twice at {limit} a page");
        assert_eq!(names.len(), FILES + 1 + usize::from(linked), "nothing is missing");
        for (entry, kind) in
            [("f0", Kind::File), ("d", Kind::Directory), ("l", Kind::Symlink)].map(|(n, k)| (name(n), k))
        {
            if let Some(found) = listed.iter().find(|found| found.name == entry) {
                assert!(found.kind.is_none_or(|found| found == kind), "{entry} is a {kind}");
            }
        }
    }
}

pub(super) fn listing_survives_changes(place: &Place<'_>) {
    for i in 0..60 {
        place.create(&format!("stays{i}"));
        place.create(&format!("goes{i}"));
    }
    let (mut seen, mut from, mut round) = (Vec::new(), None, 0);
    loop {
        let page = place.store.list(&place.directory, from.as_ref(), 10).expect("it lists");
        seen.extend(page.entries.into_iter().map(|entry| entry.name));
        if round < 60 {
            place.store.remove(&place.path(&format!("goes{round}"))).expect("one goes");
            place.create(&format!("comes{round}"));
            round += 1;
        }
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    for i in 0..60 {
        let stays = name(&format!("stays{i}"));
        assert_eq!(seen.iter().filter(|&seen| *seen == stays).count(), 1, "{stays} once");
    }
}

pub(super) fn an_empty_directory_lists_nothing(place: &Place<'_>) {
    assert_eq!(place.list(1), []);
    assert_eq!(place.list(100), []);
}
