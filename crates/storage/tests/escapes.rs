//! No path, link or race leads out of a confined store, whoever enforces the
//! confinement.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use limosa_storage::{
    Attributes, Confinement, Durability, ErrorKind, FollowLinks, LocalStore, Overwrite, Publish, ReadFile, Resolver,
    Result, Staged, Store, StorePath,
};
use rustix::fs::{CWD, RenameFlags};

/// How long a race goes on while it has not shown what it must show.
const DEADLINE: Duration = Duration::from_secs(30);
const SECRET: &[u8] = b"secret";
const REPLACE: Publish = Publish { overwrite: Overwrite::Replace, durability: Durability::Strict };
const RESOLVERS: [Resolver; 2] = [Resolver::Kernel, Resolver::Walk];

/// A directory with a root in it, and beside it what nobody may reach.
struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let scene = Self { directory };
        fs::create_dir_all(scene.root().join("d/e")).expect("directories");
        fs::create_dir_all(scene.outside().join("sub")).expect("directories");
        fs::write(scene.root().join("f"), b"inside").expect("a file");
        fs::write(scene.outside().join("f"), SECRET).expect("a file");
        scene
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    fn outside(&self) -> PathBuf {
        self.directory.path().join("outside")
    }

    fn store(&self, confinement: Confinement, resolver: Resolver) -> LocalStore {
        let store = LocalStore::open(&self.root(), confinement).expect("it opens");
        store.with_resolver(resolver)
    }

    fn assert_outside_untouched(&self) {
        let names = |path: &Path| fs::read_dir(path).expect("it lists").count();
        assert_eq!(fs::read(self.outside().join("f")).expect("it is there"), SECRET);
        assert_eq!((names(&self.outside()), names(&self.outside().join("sub"))), (2, 0));
    }
}

fn path(text: &str) -> StorePath {
    StorePath::parse(text.as_bytes()).expect("a path")
}

fn content(file: &dyn ReadFile) -> Vec<u8> {
    let mut buffer = [0; 64];
    let read = file.read_at(0, &mut buffer).expect("it reads");
    buffer[..read].to_vec()
}

#[track_caller]
fn assert_fails<T>(result: Result<T>, expected: ErrorKind, what: &str) {
    let kind = result.map(|_| ()).expect_err("it leads outside").kind();
    assert_eq!(kind, expected, "{what}");
}

/// Tries every operation on names below `via`, a link to the outside.
fn try_everything(store: &LocalStore, via: &str, expected: ErrorKind) {
    let fails = |what: &str, result: Result<()>| assert_fails(result, expected, what);
    let to = |below: &str| path(&format!("{via}/{below}"));
    let (file, sub, new) = (to("f"), to("sub"), to("new"));
    for links in [FollowLinks::Yes, FollowLinks::No] {
        fails("metadata", store.metadata(&file, links).map(drop));
        fails("open", store.open(&file, links).map(drop));
    }
    fails("list", store.list(&path(via), None, 10).map(drop));
    fails("list below", store.list(&sub, None, 10).map(drop));
    fails("create", store.create(&new).map(drop));
    fails("create over", store.create(&file).map(drop));
    fails("reopen", store.reopen(&file).map(drop));
    fails("append", store.open_append(&file).map(drop));
    fails("make directory", store.make_directory(&new));
    fails("make link", store.make_link(&new, b"f"));
    fails("read link", store.read_link(&file).map(drop));
    fails("attributes", store.set_attributes(&file, &Attributes::default().with_mode(0o777)));
    fails("remove", store.remove(&file));
    fails("remove directory", store.remove_directory(&sub));
    fails("sync", store.sync_directory(&path(via)));
    fails("lock", store.lock(&file).map(drop));
    fails("space", store.space(&sub).map(drop));
    let staged = path("staged");
    let handle = store.create(&staged).expect("a file inside");
    fails("publish", store.publish(Staged::File { path: &staged, file: &*handle }, &new, REPLACE));
    let stolen = Staged::File { path: &file, file: &*handle };
    fails("publish from outside", store.publish(stolen, &path("taken"), REPLACE));
}

#[test]
fn links_to_the_outside_lead_nowhere() {
    for resolver in RESOLVERS {
        for (confinement, expected) in
            [(Confinement::Inside, ErrorKind::Escapes), (Confinement::NoLinks, ErrorKind::Loop)]
        {
            let scene = Scene::new();
            let root = scene.root();
            symlink(scene.outside(), root.join("absolute")).expect("a link");
            symlink("../outside", root.join("relative")).expect("a link");
            symlink("../../../outside", root.join("d/e/deep")).expect("a link");
            symlink("d/../../outside", root.join("roundabout")).expect("a link");
            symlink("relative", root.join("chain")).expect("a link");
            symlink("/", root.join("top")).expect("a link");
            symlink("..", root.join("up")).expect("a link");
            let store = scene.store(confinement, resolver);
            for via in ["absolute", "relative", "d/e/deep", "roundabout", "chain"] {
                try_everything(&store, via, expected);
            }
            for via in ["top/etc/passwd", "up/outside/f", "up/root/f", "up"] {
                let found = store.metadata(&path(via), FollowLinks::Yes);
                assert_fails(found, expected, via);
            }
            scene.assert_outside_untouched();
        }
    }
}

#[test]
fn without_links_even_those_inside_are_refused() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        symlink("f", scene.root().join("to_file")).expect("a link");
        symlink("d", scene.root().join("to_directory")).expect("a link");
        let store = scene.store(Confinement::NoLinks, resolver);
        let opened = store.open(&path("to_file"), FollowLinks::Yes);
        assert_fails(opened, ErrorKind::Loop, "a file");
        assert_fails(store.create(&path("to_directory/x")), ErrorKind::Loop, "a directory");
        let link = store.metadata(&path("to_file"), FollowLinks::No).expect("the link itself");
        assert_eq!(link.size, 1);
        assert_eq!(store.read_link(&path("to_file")).expect("its target"), b"f");
        assert!(store.open(&path("f"), FollowLinks::Yes).is_ok());
    }
}

#[test]
fn magic_links_are_text_or_refused() {
    for resolver in RESOLVERS {
        let store =
            LocalStore::open(Path::new("/proc/self"), Confinement::Inside).expect("it opens").with_resolver(resolver);
        for name in ["cwd", "root", "exe", "fd/0"] {
            let found = store.metadata(&path(name), FollowLinks::Yes);
            let kind = found.expect_err("a magic link leads outside").kind();
            let refused = [ErrorKind::Escapes, ErrorKind::Loop, ErrorKind::NotFound];
            assert!(refused.contains(&kind), "{name}: {kind:?}");
        }
    }
}

#[test]
fn unconfined_follows_links_anywhere() {
    let scene = Scene::new();
    symlink(scene.outside(), scene.root().join("out")).expect("a link");
    let store = LocalStore::open(Path::new("/"), Confinement::Anywhere).expect("it opens");
    let typed = StorePath::from_typed(&scene.root().join("out/f")).expect("a path");
    let file = store.open(&typed, FollowLinks::Yes).expect("it is followed");
    assert_eq!(content(&*file), SECRET);
}

/// Runs `disturb` over and over while `attempt` is tried at least `times`
/// times, and until it has both succeeded and failed.
fn race(times: usize, disturb: impl Fn() + Sync, mut attempt: impl FnMut() -> Result<()>) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                disturb();
            }
        });
        let until = Instant::now() + DEADLINE;
        let (mut succeeded, mut failed) = (0, 0);
        // Ends the other thread also when an attempt panics.
        let _end = EndOnDrop(&done);
        while succeeded + failed < times || succeeded == 0 || failed == 0 {
            match attempt() {
                Ok(()) => succeeded += 1,
                Err(error) => {
                    let kind = error.kind();
                    let expected = [ErrorKind::Escapes, ErrorKind::Loop, ErrorKind::NotFound];
                    assert!(expected.contains(&kind), "{error}");
                    failed += 1;
                }
            }
            assert!(Instant::now() < until, "no race: {succeeded} went well, {failed} not");
        }
    });
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_directory_swapped_for_a_link_is_never_entered() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let root = scene.root();
        fs::write(root.join("d/f"), b"inside").expect("a file");
        symlink("../outside", root.join("l")).expect("a link");
        let (d, l) = (root.join("d"), root.join("l"));
        let swap = || {
            rustix::fs::renameat_with(CWD, &d, CWD, &l, RenameFlags::EXCHANGE).expect("a swap");
        };
        let store = scene.store(Confinement::Inside, resolver);
        race(5000, swap, || {
            let file = store.open(&path("d/f"), FollowLinks::Yes)?;
            assert_eq!(content(&*file), b"inside");
            Ok(())
        });
        race(5000, swap, || {
            // Another store each time, so that no directory is remembered.
            let store = scene.store(Confinement::Inside, resolver);
            store.create(&path("d/new"))?;
            store.reopen(&path("d/f")).map(|file| assert_eq!(content(&*file), b"inside"))
        });
        scene.assert_outside_untouched();
    }
}

#[test]
fn going_up_from_a_directory_moved_outside_stays_inside() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let (inside, moved) = (scene.root().join("d/e"), scene.outside().join("e"));
        symlink("../f", inside.join("up")).expect("a link");
        fs::write(scene.root().join("d/f"), b"inside").expect("a file");
        let store = scene.store(Confinement::Inside, resolver);
        let carry = || {
            fs::rename(&inside, &moved).expect("it goes out");
            fs::rename(&moved, &inside).expect("it comes back");
        };
        race(5000, carry, || {
            let file = store.open(&path("d/e/up"), FollowLinks::Yes)?;
            assert_eq!(content(&*file), b"inside");
            Ok(())
        });
    }
}

#[test]
fn a_swapped_file_is_never_followed_unasked() {
    for resolver in RESOLVERS {
        let scene = Scene::new();
        let (f, l) = (scene.root().join("f"), scene.root().join("l"));
        symlink("../outside/f", &l).expect("a link");
        let swap = || {
            rustix::fs::renameat_with(CWD, &f, CWD, &l, RenameFlags::EXCHANGE).expect("a swap");
        };
        let store = scene.store(Confinement::Inside, resolver);
        race(5000, swap, || {
            let file = store.open(&path("f"), FollowLinks::No)?;
            assert_eq!(content(&*file), b"inside");
            let wanted = Attributes::default().with_mode(0o600);
            store.set_attributes(&path("f"), &wanted)
        });
        let mode = fs::metadata(scene.outside().join("f")).expect("it is there").permissions();
        let untouched = fs::metadata(scene.outside().join("sub")).expect("it is there");
        assert_ne!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
        assert!(untouched.is_dir());
        scene.assert_outside_untouched();
    }
}
