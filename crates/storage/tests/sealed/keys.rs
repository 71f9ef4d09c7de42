//! Which files are opened, by which keys, and what happens without.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use limosa_seal::AlgorithmSet;
use limosa_seal::envelope::{Envelope, Layout, MasterKey, MasterKeyId, SealingWriter, SlotFor};
use limosa_storage::sealed::{CONTEXT, Rewrapped, rewrap};
use limosa_storage::{
    Attributes, Durability, ErrorKind, FollowLinks, MasterKeySource, MasterKeys, MemoryStore, Overwrite, Publish,
    SealedStore, Staged, Store, Timestamp,
};

use super::stores::{SEGMENT, content, in_memory, master, over, path, sealing, size, whole, write};

const SET: AlgorithmSet = AlgorithmSet::Ordinary;

fn opening(keys: Vec<limosa_seal::envelope::MasterKey>) -> MasterKeys {
    MasterKeys::opening(SET, keys)
}

#[test]
fn plain_files_are_left_as_they_are() {
    let (inner, store) = in_memory();
    drop(write(&*inner, "plain", &content(3 * SEGMENT)));
    assert_eq!((size(&store, "plain"), whole(&store, "plain").unwrap()), (3 * SEGMENT as u64, content(3 * SEGMENT)));
    assert_eq!(store.reopen(&path("plain")).unwrap_err().kind(), ErrorKind::NotFound, "nothing is added in clear");
    let store = over(&inner, opening(vec![master("main", 7)]));
    store.reopen(&path("plain")).unwrap().write_at(1, b"+").unwrap();
    assert_eq!(whole(&*inner, "plain").unwrap()[1], b'+');
}

#[test]
fn what_is_sealed_stays_readable_when_nothing_is_sealed_any_more() {
    let (inner, store) = in_memory();
    drop(write(&store, "f", &content(70_000)));
    let store = over(&inner, opening(vec![master("other", 1), master("main", 7)]));
    assert_eq!(whole(&store, "f").unwrap(), content(70_000));
    drop(write(&store, "new", b"in clear"));
    assert_eq!(whole(&*inner, "new").unwrap(), b"in clear");
    store.reopen(&path("f")).unwrap().write_at(70_000, b"more").unwrap();
    assert_eq!(whole(&store, "f").unwrap().len(), 70_004);
    assert!(!whole(&*inner, "f").unwrap().ends_with(b"more"));
}

#[test]
fn a_missing_key_and_a_wrong_one_are_told_and_destroy_nothing() {
    let (inner, store) = in_memory();
    drop(write(&store, "f", &content(70_000)));
    let before = whole(&*inner, "f").unwrap();
    let wrong = [opening(vec![]), opening(vec![master("main", 8)]), opening(vec![]).sealing_for(master("main", 8))];
    for keys in wrong {
        let store = over(&inner, keys);
        for refused in [whole(&store, "f").map(drop), store.reopen(&path("f")).map(drop)] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::KeyMissing);
            assert!(error.to_string().contains("(main)"), "{error}");
        }
        assert_eq!(size(&store, "f"), 70_000, "a length needs no key");
        assert!(whole(&*inner, "f").unwrap() == before);
    }
}

/// Has the key `main`, and counts who asks for it or another.
#[derive(Debug, Default)]
struct Counted(Mutex<Vec<String>>);

impl MasterKeySource for Counted {
    fn master_key(&self, id: &MasterKeyId) -> Option<MasterKey> {
        self.0.lock().unwrap().push(id.to_string());
        (id.as_str() == "main").then(|| master("main", 7))
    }
}

#[test]
fn a_source_is_asked_for_a_key_when_a_file_needs_it_and_not_before() {
    let (inner, store) = in_memory();
    drop(write(&store, "f", &content(1000)));
    drop(write(&over(&inner, opening(vec![]).sealing_for(master("old", 1))), "old", &content(1000)));
    drop(write(&*inner, "plain", &content(1000)));
    let source = Arc::new(Counted::default());
    let asked = || std::mem::take(&mut *source.0.lock().unwrap());
    let store = over(&inner, opening(vec![]).or_from(source.clone()).sealing_for(master("new", 2)));
    drop(write(&store, "new", &content(1000)));
    assert!(whole(&store, "new").is_ok() && whole(&store, "plain").is_ok() && size(&store, "f") == 1000);
    assert!(asked().is_empty());
    assert_eq!((whole(&store, "f").unwrap(), asked()), (content(1000), vec!["main".to_owned()]));
    let error = whole(&store, "old").unwrap_err();
    assert_eq!((error.kind(), asked()), (ErrorKind::KeyMissing, vec!["old".to_owned()]));
    // A wrong one at hand is no reason to ask for it elsewhere.
    let wrong = over(&inner, opening(vec![master("main", 8)]).or_from(source.clone()));
    assert_eq!((whole(&wrong, "f").unwrap_err().kind(), asked()), (ErrorKind::KeyMissing, vec![]));
}

/// Says that it is asked, and waits until somebody lets it go on.
#[derive(Debug)]
struct Slow {
    asked: mpsc::SyncSender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl MasterKeySource for Slow {
    fn master_key(&self, _: &MasterKeyId) -> Option<MasterKey> {
        self.asked.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        Some(master("old", 1))
    }
}

#[test]
fn nobody_waits_for_the_key_of_another_file() {
    /// No answer counts as a failure of the test after this.
    const DEADLINE: Duration = Duration::from_secs(30);
    let (inner, store) = in_memory();
    drop(write(&store, "mine", &content(70_000)));
    drop(write(&over(&inner, opening(vec![]).sealing_for(master("old", 1))), "theirs", &content(70_000)));
    let ((asked, is_asked), (let_go, go_on)) = (mpsc::sync_channel(1), mpsc::channel());
    let source = Arc::new(Slow { asked, go_on: Mutex::new(go_on) });
    let store = Arc::new(over(&inner, opening(vec![]).or_from(source).sealing_for(master("main", 7))));
    let on_a_thread = |act: fn(&SealedStore)| {
        let (store, (tell, told)) = (store.clone(), mpsc::channel());
        thread::spawn(move || {
            act(&store);
            tell.send(()).unwrap();
        });
        told
    };
    let waiting = on_a_thread(|store| store.reopen(&path("theirs")).unwrap().write_at(70_000, b"more").unwrap());
    is_asked.recv_timeout(DEADLINE).unwrap();
    let others = on_a_thread(|store| {
        assert_eq!(size(store, "mine"), 70_000);
        store.reopen(&path("mine")).unwrap().write_at(70_000, b"more").unwrap();
        drop(write(store, "new", &content(1000)));
    });
    let answered = others.recv_timeout(DEADLINE);
    let_go.send(()).unwrap();
    assert_eq!((answered, waiting.recv_timeout(DEADLINE)), (Ok(()), Ok(())));
    assert_eq!((size(&*store, "theirs"), size(&*store, "mine")), (70_004, 70_004));
}

#[test]
fn envelopes_of_clients_are_content() {
    let (inner, store) = in_memory();
    let mut envelope =
        Envelope::create(SET.envelope_suite(SET.envelope_suites()[0]).unwrap(), Layout::PLAIN_ALIGNED, [0; 16], SET);
    envelope.add(SlotFor::Master(&master("main", 7))).unwrap();
    let mut sealed = SealingWriter::new(&envelope, std::io::Cursor::new(Vec::new())).unwrap();
    std::io::Write::write_all(&mut sealed, b"the client's").unwrap();
    let bytes = sealed.finish().unwrap().0.into_inner();
    drop(write(&*inner, "theirs", &bytes));
    assert_eq!((size(&store, "theirs"), whole(&store, "theirs").unwrap()), (bytes.len() as u64, bytes.clone()));
    drop(write(&store, "twice", &bytes));
    assert_eq!(whole(&store, "twice").unwrap(), bytes);
    assert!(whole(&*inner, "twice").unwrap() != bytes);
}

#[test]
fn nobody_has_a_stolen_file_opened_by_storing_it() {
    let (inner, store) = in_memory();
    drop(write(&store, "secret", &content(1000)));
    let stolen = whole(&*inner, "secret").unwrap();
    assert_eq!(stolen[48..64], CONTEXT);
    let store = over(&inner, opening(vec![master("main", 7)]));
    let file = store.create(&path("copy")).unwrap();
    assert_eq!(file.write_at(0, &stolen).unwrap_err().kind(), ErrorKind::PermissionDenied);
    // Nor in pieces, in whatever order.
    file.write_at(30, &stolen[30..]).unwrap();
    assert!(file.write_at(0, &stolen[..30]).is_err());
    file.write_at(0, &stolen[..7]).unwrap();
    assert!(file.write_at(7, &stolen[7..8]).is_err());
    // A store that seals takes it as what it is: bytes.
    let store = over(&inner, sealing());
    drop(write(&store, "copy", &stolen));
    assert!(whole(&store, "copy").unwrap() == stolen);
}

#[test]
fn who_asks_by_name_hears_what_writers_know() {
    let (_, store) = in_memory();
    let file = write(&store, "f", b"0123456789");
    assert_eq!((size(&store, "f"), whole(&store, "f").unwrap()), (10, b"0123456789".to_vec()));
    let again = store.reopen(&path("f")).unwrap();
    again.write_at(10, b"ab").unwrap();
    file.write_at(12, b"cd").unwrap();
    drop(file);
    assert_eq!(whole(&store, "f").unwrap(), b"0123456789abcd");
    let how = Publish { overwrite: Overwrite::Replace, durability: Durability::None };
    store.publish(Staged::File { path: &path("f"), file: &*again }, &path("g"), how).unwrap();
    again.write_at(14, b"e").unwrap();
    assert_eq!(size(&store, "g"), 15);
}

#[test]
fn an_empty_file_left_by_a_killed_process_is_sealed_when_it_is_gone_on_with() {
    let (inner, store) = in_memory();
    drop(inner.create(&path("f")).unwrap());
    store.reopen(&path("f")).unwrap().write_at(0, &content(100)).unwrap();
    assert_eq!(whole(&store, "f").unwrap(), content(100));
    assert!(whole(&*inner, "f").unwrap().len() > 4096);
}

#[test]
fn journals_pass_through() {
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let store = over(&inner, sealing());
    store.open_append(&path("journal")).unwrap().append(b"digests").unwrap();
    assert_eq!(whole(&*inner, "journal").unwrap(), b"digests");
    assert_eq!(store.metadata(&path("journal"), FollowLinks::No).unwrap().size, 7);
}

#[test]
fn another_key_takes_over_without_touching_the_content() {
    let (inner, store) = in_memory();
    let file = write(&store, "f", &content(3 * SEGMENT));
    file.set_attributes(&Attributes::default().with_mode(0o440).with_modified(Timestamp::new(5, 0))).unwrap();
    drop(file);
    drop(write(&*inner, "plain", b"plain"));
    let before = whole(&*inner, "f").unwrap();
    let (old, new) = (master("main", 7), master("2027", 9));
    let keys = opening(vec![old.clone(), new.clone()]);
    let rewrap = |name| rewrap(&*inner, &path(name), &keys, &new).unwrap();
    assert_eq!(
        [rewrap("f"), rewrap("f"), rewrap("plain")],
        [Rewrapped::Done, Rewrapped::Already, Rewrapped::NotSealed]
    );
    let after = whole(&*inner, "f").unwrap();
    assert!(after[4096..] == before[4096..] && after[64..4096] != before[64..4096]);
    let found = inner.metadata(&path("f"), FollowLinks::No).unwrap();
    assert_eq!((found.mode, found.modified), (0o440, Timestamp::new(5, 0)));
    let read = |keys| whole(&over(&inner, opening(keys)), "f").map_err(|error| error.kind());
    assert_eq!(read(vec![old.clone()]), Err(ErrorKind::KeyMissing));
    assert!(read(vec![new.clone()]) == Ok(content(3 * SEGMENT)));

    // A crash between the two copies, or within one: it is finished later.
    let second = 64 + (4096 - 64) / 2;
    let mut torn = after.clone();
    torn[64..second].copy_from_slice(&before[64..second]);
    let half = 64 + 1000;
    let mut worse = after.clone();
    worse[64..half].copy_from_slice(&before[64..half]);
    for bytes in [torn, worse] {
        drop(write(&*inner, "f", &bytes));
        assert!(read(vec![new.clone()]) == Ok(content(3 * SEGMENT)));
        assert_eq!([rewrap("f"), rewrap("f")], [Rewrapped::Done, Rewrapped::Already]);
        assert_eq!(read(vec![old.clone()]), Err(ErrorKind::KeyMissing));
        assert!(read(vec![new.clone()]) == Ok(content(3 * SEGMENT)));
    }
}
