//! Mode and times.

use super::{Place, REPLACE};
use crate::contract::FollowLinks;
use crate::metadata::{Attributes, Timestamp};

const WHEN: Timestamp = Timestamp::new(1_234_567_890, 123_456_700);

pub(super) fn attributes_are_kept(place: &Place<'_>) {
    if !place.store.capabilities().attributes {
        return;
    }
    let wanted = Attributes::default().with_mode(0o640).with_modified(WHEN);
    let file = place.write("f", b"content");
    file.set_attributes(&wanted).expect("they are set");
    place.publish("f", "g", REPLACE).expect("it is published");
    place.make_directory("d");
    place.store.set_attributes(&place.path("d"), &wanted).expect("they are set");
    for path in [place.path("g"), place.path("d")] {
        let found = place.store.metadata(&path, FollowLinks::No).expect("it is there");
        assert_eq!((found.mode, found.modified), (0o640, WHEN), "of {path}");
    }
    let mode_only = Attributes::default().with_mode(0o400);
    place.store.set_attributes(&place.path("g"), &mode_only).expect("it is set");
    let found = file.metadata().expect("it is open");
    assert_eq!((found.mode, found.modified), (0o400, WHEN), "the rest stays");
}

pub(super) fn times_reach_before_1970(place: &Place<'_>) {
    if !place.store.capabilities().attributes {
        return;
    }
    let before = Timestamp::new(-86_400, 999_999_900);
    let file = place.write("f", b"");
    file.set_attributes(&Attributes::default().with_modified(before)).expect("it is set");
    let found = place.store.metadata(&place.path("f"), FollowLinks::No).expect("it is there");
    assert_eq!(found.modified, before);
}

pub(super) fn links_have_their_own_time(place: &Place<'_>) {
    if !place.store.capabilities().attributes || !place.link("l", "f") {
        return;
    }
    let file = place.write("f", b"");
    let before = file.metadata().expect("it is open");
    let wanted = Attributes::default().with_mode(0o777).with_modified(WHEN);
    place.store.set_attributes(&place.path("l"), &wanted).expect("it is set");
    let link = place.store.metadata(&place.path("l"), FollowLinks::No).expect("it is there");
    assert_eq!(link.modified, WHEN);
    assert_eq!(file.metadata().expect("it is open"), before, "the target is left alone");
}

pub(super) fn changed_content_is_noticed(place: &Place<'_>) {
    let file = place.write("f", b"one");
    let path = place.path("f");
    let look = || place.store.metadata(&path, FollowLinks::No).expect("it is there");
    let before = look();
    assert!(before.same_content_as(&look()), "nothing has changed");
    assert!(before.same_content_as(&file.metadata().expect("it is open")), "by any way to ask");
    file.write_at(3, b"two").expect("it writes");
    assert!(!before.same_content_as(&look()), "it has grown");
    let before = look();
    place.write("other", b"onetwo");
    place.publish("other", "f", REPLACE).expect("it is published");
    assert!(!before.same_content_as(&look()), "it is another file");
}
