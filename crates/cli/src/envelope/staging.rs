//! One file takes the place of another: written beside it under a name of its
//! own, synced, given its name, and only then is the other one removed. At no
//! time does a half-written file stand under a name that somebody looks for.

use std::sync::Arc;

use limosa_seal::envelope::StreamError;
use limosa_seal::identity::partial_name;
use limosa_storage::{
    Attributes, Durability, FollowLinks, Metadata, Overwrite, Publish, Staged, Store, StorePath, WriteFile,
    make_directories,
};
use limosa_wire::Code;

use crate::failure::CommandFailure;

use super::stream::reported;
use super::walk::{Destination, Item, STAGED, failure};

impl From<StreamError> for CommandFailure {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Envelope(error) => error.into(),
            StreamError::Io(error) => match reported(&error) {
                Some(error) => failure(error),
                None => Self::new(Code::INTERNAL, error),
            },
        }
    }
}

/// A result that has no name yet. Removed when it is dropped unpublished.
#[derive(Debug)]
pub(super) struct StagedFile<'s> {
    store: &'s dyn Store,
    staged: StorePath,
    /// The file to write.
    pub(super) file: Arc<dyn WriteFile>,
    published: bool,
}

impl<'s> StagedFile<'s> {
    /// Begins the result that is to stand at `to`, whose directories are made
    /// if missing.
    pub(super) fn begin(store: &'s dyn Store, to: &StorePath, overwrite: Overwrite) -> Result<Self, CommandFailure> {
        if overwrite == Overwrite::MustNotExist && store.metadata(to, FollowLinks::No).is_ok() {
            return Err(CommandFailure::new(Code::ALREADY_EXISTS, format_args!("/{}", to.printable())));
        }
        let directory = to.parent().unwrap_or_else(StorePath::root);
        make_directories(store, &directory).map_err(|error| failure(&error))?;
        let unique = partial_name(&[b"envelope", to.as_bytes()]);
        let name = [STAGED.0, unique.as_bytes(), STAGED.1].concat();
        let name = StorePath::parse(&name).expect("letters and digits are a name");
        let staged = directory.join_path(&name).map_err(|error| CommandFailure::new(Code::NAME_TOO_LONG, error))?;
        let file = store.create(&staged).map_err(|error| failure(&error))?;
        Ok(Self { store, staged, file, published: false })
    }

    /// Gives the result its length, the attributes of its source and its name,
    /// and removes the source if that is what is asked for.
    pub(super) fn publish(
        mut self,
        length: u64,
        source: (&Item, &Metadata),
        to: &Destination,
        overwrite: Overwrite,
    ) -> Result<(), CommandFailure> {
        let (item, metadata) = source;
        self.file.truncate(length).map_err(|error| failure(&error))?;
        if let Some(owner) = metadata.owner {
            // Who may not give files away keeps them.
            let _ = self.file.set_attributes(&Attributes::default().with_owner(owner));
        }
        let attributes = Attributes::default().with_mode(metadata.mode).with_modified(metadata.modified);
        self.file.set_attributes(&attributes).map_err(|error| failure(&error))?;
        let staged = Staged::File { path: &self.staged, file: &*self.file };
        let how = Publish { overwrite, durability: Durability::Strict };
        self.store.publish(staged, &to.path, how).map_err(|error| failure(&error))?;
        self.published = true;
        if to.removes_source {
            remove_if_same(self.store, item, metadata)?;
        }
        Ok(())
    }
}

impl Drop for StagedFile<'_> {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed is overwritten by the next attempt.
            let _ = self.store.remove(&self.staged);
        }
    }
}

/// Removes a source, unless another file has its name by now or it changed.
fn remove_if_same(store: &dyn Store, item: &Item, read: &Metadata) -> Result<(), CommandFailure> {
    let now = store.metadata(&item.path, FollowLinks::No).map_err(|error| failure(&error))?;
    if !now.same_content_as(read) {
        return Err(CommandFailure::new(Code::SOURCE_CHANGED, "its result is there, and so is the file"));
    }
    store.remove(&item.path).map_err(|error| failure(&error))
}
