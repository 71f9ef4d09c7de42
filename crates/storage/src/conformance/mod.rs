//! The suite that every store and every wrapper around one must pass.
//!
//! [`check_all`] runs everything against a store; [`CHECKS`] names the checks
//! one by one. Each works in a directory of its own, named after it, and
//! panics with what it saw where the contract is not kept. What a store says
//! it cannot do ([`Capabilities`](crate::Capabilities)) must be refused with
//! [`Unsupported`](ErrorKind::Unsupported).

use std::sync::Arc;

use crate::contract::{
    DirectoryEntry, Durability, FollowLinks, Overwrite, Publish, ReadFile, Staged, Store, WriteFile,
};
use crate::error::{ErrorKind, Result};
use crate::path::{Name, StorePath};

mod attributes;
mod content;
mod links;
mod listing;
mod locks;
mod names;
mod publish;

/// A named check; it may fill the directory it is given.
pub type Check = (&'static str, fn(&Place<'_>));

/// All checks of the suite.
pub const CHECKS: &[Check] = &[
    ("writes_are_read_back", content::writes_are_read_back),
    ("reads_stop_at_the_end", content::reads_stop_at_the_end),
    ("gaps_read_as_zeros", content::gaps_read_as_zeros),
    ("truncation_cuts_and_lengthens", content::truncation_cuts_and_lengthens),
    ("data_runs_cover_all_data", content::data_runs_cover_all_data),
    ("a_file_of_holes_has_no_data", content::a_file_of_holes_has_no_data),
    ("copies_keep_holes", content::copies_keep_holes),
    ("preallocation_changes_nothing_visible", content::preallocation_changes_nothing_visible),
    ("offsets_beyond_any_disk_are_refused", content::offsets_beyond_any_disk_are_refused),
    ("many_threads_share_a_handle", content::many_threads_share_a_handle),
    ("journals_grow_at_their_end", content::journals_grow_at_their_end),
    ("reading_whole_is_bounded", content::reading_whole_is_bounded),
    ("create_makes_a_new_file", names::create_makes_a_new_file),
    ("reopen_keeps_the_content", names::reopen_keeps_the_content),
    ("missing_names_are_not_found", names::missing_names_are_not_found),
    ("files_are_not_directories", names::files_are_not_directories),
    ("directories_are_not_files", names::directories_are_not_files),
    ("the_root_stays", names::the_root_stays),
    ("names_need_not_be_text", names::names_need_not_be_text),
    ("the_longest_name_fits", names::the_longest_name_fits),
    ("missing_directories_are_made", names::missing_directories_are_made),
    ("removal_frees_the_name", names::removal_frees_the_name),
    ("a_directory_made_again_is_used", names::a_directory_made_again_is_used),
    ("listing_shows_each_entry_once", listing::listing_shows_each_entry_once),
    ("listing_survives_changes", listing::listing_survives_changes),
    ("an_empty_directory_lists_nothing", listing::an_empty_directory_lists_nothing),
    ("publishing_replaces", publish::publishing_replaces),
    ("many_files_are_synced_together", publish::many_files_are_synced_together),
    ("many_directories_are_synced_together", names::many_directories_are_synced_together),
    ("publishing_spares_what_exists", publish::publishing_spares_what_exists),
    ("publishing_never_replaces_a_directory", publish::publishing_never_replaces_a_directory),
    ("a_failed_publish_changes_nothing", publish::a_failed_publish_changes_nothing),
    ("of_many_publishers_one_wins", publish::of_many_publishers_one_wins),
    ("links_are_published_too", publish::links_are_published_too),
    ("links_hold_what_they_were_given", links::links_hold_what_they_were_given),
    ("links_inside_are_followed", links::links_inside_are_followed),
    ("links_are_not_followed_unasked", links::links_are_not_followed_unasked),
    ("links_in_a_circle_end", links::links_in_a_circle_end),
    ("attributes_are_kept", attributes::attributes_are_kept),
    ("times_reach_before_1970", attributes::times_reach_before_1970),
    ("links_have_their_own_time", attributes::links_have_their_own_time),
    ("changed_content_is_noticed", attributes::changed_content_is_noticed),
    ("locks_exclude", locks::locks_exclude),
    ("locks_go_with_the_file", locks::locks_go_with_the_file),
    ("space_is_known", locks::space_is_known),
];

/// Runs every check of the suite against an empty store, or one in which no
/// name of a check is taken.
///
/// # Panics
/// Where the store does not keep the contract.
pub fn check_all(store: &dyn Store) {
    for check in CHECKS {
        run(store, check);
    }
}

/// Runs one check against a store.
///
/// # Panics
/// Where the store does not keep the contract.
pub fn run(store: &dyn Store, (name, check): &Check) {
    let directory = StorePath::parse(name.as_bytes()).expect("checks have plain names");
    store.make_directory(&directory).expect("the name of a check is free");
    check(&Place { store, directory });
}

/// The directory a check works in.
#[derive(Debug)]
pub struct Place<'a> {
    store: &'a dyn Store,
    directory: StorePath,
}

impl Place<'_> {
    fn path(&self, below: &str) -> StorePath {
        self.path_bytes(below.as_bytes())
    }

    fn path_bytes(&self, below: &[u8]) -> StorePath {
        let below = StorePath::parse(below).expect("a check names legal paths");
        self.directory.join_path(&below).expect("a check's paths are short")
    }

    fn create(&self, name: &str) -> Arc<dyn WriteFile> {
        self.store.create(&self.path(name)).expect("a file is created")
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Arc<dyn WriteFile> {
        let file = self.create(name);
        file.write_at(0, bytes).expect("bytes are written");
        file
    }

    fn make_directory(&self, name: &str) {
        self.store.make_directory(&self.path(name)).expect("a directory is made");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        let file = self.store.open(&self.path(name), FollowLinks::Yes).expect("a file opens");
        content_of(&*file)
    }

    fn publish(&self, from: &str, to: &str, how: Publish) -> Result<()> {
        let from = self.path(from);
        let file = self.store.reopen(&from)?;
        self.store.publish(Staged::File { path: &from, file: &*file }, &self.path(to), how)
    }

    /// Makes a link, or sees that a store without links refuses to.
    fn link(&self, name: &str, target: &str) -> bool {
        let made = self.store.make_link(&self.path(name), target.as_bytes());
        if self.store.capabilities().symlinks {
            made.expect("a link is made");
            return true;
        }
        assert_fails(made, ErrorKind::Unsupported);
        false
    }

    /// All entries, asked for `limit` at a time.
    fn list(&self, limit: usize) -> Vec<DirectoryEntry> {
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let page = self.store.list(&self.directory, from.as_ref(), limit).expect("it lists");
            assert!(page.entries.len() <= limit.max(1), "a page is not longer than asked for");
            all.extend(page.entries);
            match page.next {
                Some(next) => from = Some(next),
                None => return all,
            }
        }
    }
}

const REPLACE: Publish = Publish { overwrite: Overwrite::Replace, durability: Durability::File };

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).expect("a check names legal names")
}

fn content_of(file: &dyn ReadFile) -> Vec<u8> {
    let size = file.metadata().expect("an open file has metadata").size;
    let mut bytes = vec![0; usize::try_from(size).expect("checks use small files")];
    let read = file.read_at(0, &mut bytes).expect("a file is read");
    assert_eq!(read, bytes.len(), "a read is short only at the end");
    bytes
}

#[track_caller]
fn assert_fails<T>(result: Result<T>, expected: ErrorKind) {
    match result {
        Ok(_) => assert!(result.is_err(), "succeeded where {expected:?} was due"),
        Err(error) => assert_eq!(error.kind(), expected, "{error}"),
    }
}
