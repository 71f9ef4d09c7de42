//! Directories, links and removals: several at a time, in order, with one sync
//! for all of them.

use limosa_storage::{
    Attributes, Durability, ErrorKind, FollowLinks, Kind, Operation, Overwrite, Publish, Result, Staged, StorageError,
    Store, StorePath,
};

use super::super::operation::{MakeLink, NameWork, Parents};
use super::{Synced, find, forget, with_parents};

/// What the owner of a directory needs to work in it.
const OWNER_RIGHTS: u32 = 0o700;

/// Carries out all of `works`; what became of each, in their order.
pub(super) fn work(store: &dyn Store, works: &[NameWork]) -> Vec<Result<()>> {
    let mut results: Vec<Result<()>> = works.iter().map(|work| make(store, work)).collect();
    sync(store, works, &mut results);
    for (result, work) in results.iter_mut().zip(works) {
        if result.is_ok()
            && let NameWork::FinishDirectory { path, attributes, .. } = work
            && *attributes != Attributes::default()
        {
            *result = store.set_attributes(path, attributes);
        }
    }
    results
}

/// Makes what is to be made; the end of a directory comes after the sync.
fn make(store: &dyn Store, work: &NameWork) -> Result<()> {
    match work {
        NameWork::MakeDirectory { path, parents, open_to_owner, .. } => {
            make_directory(store, path, *parents, *open_to_owner)
        }
        NameWork::FinishDirectory { .. } => Ok(()),
        NameWork::MakeLink(link) => make_link(store, link),
        NameWork::Remove(path) => remove(store, path),
    }
}

/// Syncs what has to be, before a directory gets a mode that may forbid to open
/// it.
fn sync(store: &dyn Store, works: &[NameWork], results: &mut [Result<()>]) {
    let pairs = works.iter().zip(results).filter(|(_, result)| result.is_ok());
    let pairs: Vec<_> = pairs.map(|(work, result)| (ToSync::of(work), result)).collect();
    let names = pairs.iter().filter_map(|(to_sync, _)| to_sync.name.and_then(StorePath::parent));
    let directories = pairs.iter().flat_map(|(to_sync, _)| to_sync.directories.iter().cloned());
    let synced = Synced::with_those_above(store, names.chain(directories));
    for (to_sync, result) in pairs {
        let name = to_sync.name.map_or(Ok(()), |name| synced.name(name));
        *result =
            name.and_then(|()| to_sync.directories.iter().try_for_each(|inside| synced.names_where_readable(inside)));
    }
}

/// What has to survive a crash before a work is done, beside what the end of
/// the session promises.
struct ToSync<'a> {
    /// This name.
    name: Option<&'a StorePath>,
    /// All names in these.
    directories: &'a [StorePath],
}

impl<'a> ToSync<'a> {
    fn of(work: &'a NameWork) -> Self {
        let (name, directories): (_, &[StorePath]) = match work {
            NameWork::MakeDirectory { path, sync: true, .. } => (Some(path), &[]),
            NameWork::MakeLink(link) if link.publish.durability == Durability::Strict => (Some(&link.to), &[]),
            NameWork::FinishDirectory { sync, .. } => (None, sync),
            NameWork::MakeDirectory { .. } | NameWork::MakeLink(_) | NameWork::Remove(_) => (None, &[]),
        };
        Self { name, directories }
    }
}

fn make_directory(store: &dyn Store, path: &StorePath, parents: Parents, open_to_owner: bool) -> Result<()> {
    if path.is_root() {
        return Ok(());
    }
    match with_parents(store, path, parents, || store.make_directory(path)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => take_directory(store, path, open_to_owner),
        result => result,
    }
}

/// Uses the directory that is there.
fn take_directory(store: &dyn Store, path: &StorePath, open_to_owner: bool) -> Result<()> {
    let found = store.metadata(path, FollowLinks::Yes)?;
    if !found.is_directory() {
        return Err(StorageError::new(ErrorKind::NotADirectory, Operation::MakeDirectory, path));
    }
    if open_to_owner && found.mode & OWNER_RIGHTS != OWNER_RIGHTS {
        // Another's directory cannot be opened up; whether its entries can be
        // made shows with each of them.
        let _ = store.set_attributes(path, &Attributes::default().with_mode(found.mode | OWNER_RIGHTS));
    }
    Ok(())
}

fn remove(store: &dyn Store, path: &StorePath) -> Result<()> {
    let result = match store.remove(path) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => store.remove_directory(path),
        result => result,
    };
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn make_link(store: &dyn Store, link: &MakeLink) -> Result<()> {
    if let Some(found) = find(store, &link.to)?
        && found.kind == Kind::Symlink
        && link.publish.overwrite == Overwrite::Replace
        && store.read_link(&link.to)? == link.target
    {
        return store.set_attributes(&link.to, &link.attributes);
    }
    let made = with_parents(store, &link.staged, link.parents, || {
        match store.make_link(&link.staged, &link.target) {
            // Left behind by a session that was killed.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                store.remove(&link.staged)?;
                store.make_link(&link.staged, &link.target)
            }
            result => result,
        }
    });
    made.and_then(|()| store.set_attributes(&link.staged, &link.attributes))
        .and_then(|()| {
            let how = Publish { durability: Durability::None, ..link.publish };
            store.publish(Staged::Link { path: &link.staged }, &link.to, how)
        })
        .inspect_err(|_| forget(store, &link.staged))
}
