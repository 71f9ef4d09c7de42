//! The disk, confined either way, and the store in memory answer any sequence
//! of operations alike.

use limosa_storage::{
    Confinement, Durability, ErrorKind, FollowLinks, LocalStore, MemoryStore, Overwrite, Publish, Resolver, Result,
    Staged, Store, StorePath,
};
use proptest::prelude::*;

/// An operation on one or two of few paths, so that they meet often.
#[derive(Debug, Clone)]
enum Step {
    Create(StorePath, u8),
    Reopen(StorePath),
    Read(StorePath, bool),
    Look(StorePath, bool),
    MakeDirectory(StorePath),
    MakeLink(StorePath, &'static str),
    ReadLink(StorePath),
    Publish(StorePath, StorePath, bool),
    Remove(StorePath),
    RemoveDirectory(StorePath),
    List(StorePath),
}

const PATHS: &[&str] = &["a", "b", "c", "a/a", "a/b", "b/a", "b/c", "a/b/c", "c/a/b"];

fn any_path() -> impl Strategy<Value = StorePath> {
    prop::sample::select(PATHS).prop_map(|path| StorePath::parse(path.as_bytes()).expect("a path"))
}

fn any_target() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["a", "b", "../a", "../b", "a/b", "../../a", "/a", ".", "c/", "b/.."][..])
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any_path(), any::<u8>()).prop_map(|(path, byte)| Step::Create(path, byte)),
        1 => any_path().prop_map(Step::Reopen),
        2 => (any_path(), any::<bool>()).prop_map(|(path, follow)| Step::Read(path, follow)),
        2 => (any_path(), any::<bool>()).prop_map(|(path, follow)| Step::Look(path, follow)),
        4 => any_path().prop_map(Step::MakeDirectory),
        3 => (any_path(), any_target()).prop_map(|(path, target)| Step::MakeLink(path, target)),
        1 => any_path().prop_map(Step::ReadLink),
        3 => (any_path(), any_path(), any::<bool>())
            .prop_map(|(from, to, replace)| Step::Publish(from, to, replace)),
        2 => any_path().prop_map(Step::Remove),
        2 => any_path().prop_map(Step::RemoveDirectory),
        1 => any_path().prop_map(Step::List),
    ]
}

fn links(follow: bool) -> FollowLinks {
    if follow { FollowLinks::Yes } else { FollowLinks::No }
}

/// What a step answers, in a form that is the same for every store.
fn take(store: &dyn Store, step: &Step) -> std::result::Result<String, ErrorKind> {
    answer(store, step).map_err(|error| error.kind())
}

fn answer(store: &dyn Store, step: &Step) -> Result<String> {
    let done = |()| String::new();
    match step {
        Step::Create(path, byte) => store.create(path)?.write_at(0, &[*byte]).map(done),
        Step::Reopen(path) => store.reopen(path)?.write_at(1, b"+").map(done),
        Step::Read(path, follow) => {
            let mut buffer = [0; 8];
            let read = store.open(path, links(*follow))?.read_at(0, &mut buffer)?;
            Ok(format!("{:?}", &buffer[..read]))
        }
        Step::Look(path, follow) => {
            let found = store.metadata(path, links(*follow))?;
            let size = if found.is_directory() { 0 } else { found.size };
            Ok(format!("{} {size}", found.kind))
        }
        Step::MakeDirectory(path) => store.make_directory(path).map(done),
        Step::MakeLink(path, target) => store.make_link(path, target.as_bytes()).map(done),
        Step::ReadLink(path) => Ok(format!("{:?}", store.read_link(path)?)),
        Step::Publish(from, to, replace) => publish(store, from, to, *replace).map(done),
        Step::Remove(path) => store.remove(path).map(done),
        Step::RemoveDirectory(path) => store.remove_directory(path).map(done),
        Step::List(path) => {
            let entries = store.list(path, None, 100)?.entries;
            let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
            names.sort();
            Ok(format!("{names:?}"))
        }
    }
}

fn publish(store: &dyn Store, from: &StorePath, to: &StorePath, replace: bool) -> Result<()> {
    let overwrite = if replace { Overwrite::Replace } else { Overwrite::MustNotExist };
    let file = store.reopen(from)?;
    let how = Publish { overwrite, durability: Durability::None };
    store.publish(Staged::File { path: from, file: &*file }, to, how)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn stores_answer_alike(steps in prop::collection::vec(any_step(), 1..40)) {
        let local = |resolver| {
            let directory = tempfile::tempdir().expect("a directory");
            let store = LocalStore::open(directory.path(), Confinement::Inside).expect("it opens");
            (store.with_resolver(resolver), directory)
        };
        let memory = MemoryStore::new();
        let (kernel, _kept) = local(Resolver::Kernel);
        let (walk, _kept) = local(Resolver::Walk);
        for step in &steps {
            let expected = take(&kernel, step);
            prop_assert_eq!(&take(&walk, step), &expected, "walk: {:?}", step);
            prop_assert_eq!(&take(&memory, step), &expected, "memory: {:?}", step);
        }
    }
}
