//! A witness: looks at a destination all the time, and remembers whatever
//! stood under a final name and was not one of the versions it may be.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the destination is listed.
const EVERY: Duration = Duration::from_millis(4);

/// A witness at work.
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Witness>,
}

struct Witness {
    destination: PathBuf,
    versions: Vec<PathBuf>,
    /// Names seen with an inode: most of the time nothing is new.
    listed: HashSet<(OsString, u64)>,
    /// Files looked at, by inode and change.
    seen: HashSet<(u64, i64, i64)>,
    wrong: Vec<String>,
}

impl Watch {
    /// Watches a flat directory whose files must each equal the file of the
    /// same name in one of `versions`.
    pub fn over(destination: PathBuf, versions: Vec<PathBuf>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut witness =
            Witness { destination, versions, listed: HashSet::new(), seen: HashSet::new(), wrong: Vec::new() };
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                witness.look();
                std::thread::park_timeout(EVERY);
            }
            // Once more at everything: what was changed in place shows now.
            witness.listed.clear();
            witness.look();
            witness
        });
        Self { over, thread }
    }

    /// Stops, and fails if anything was wrong. Says how many files were looked
    /// at.
    pub fn stop(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let witness = self.thread.join().unwrap();
        assert!(witness.wrong.is_empty(), "under a final name: {:?}", witness.wrong);
        witness.seen.len()
    }
}

impl Witness {
    fn look(&mut self) {
        for entry in fs::read_dir(&self.destination).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let under_way = name.as_encoded_bytes().starts_with(b".limosa-");
            if !under_way && self.listed.insert((name.clone(), entry.ino())) {
                self.look_at(Path::new(&name));
            }
        }
    }

    /// Compares the file that has this name now, wherever the name goes next.
    fn look_at(&mut self, name: &Path) {
        let Ok(mut file) = File::open(self.destination.join(name)) else { return };
        let found = file.metadata().unwrap();
        if !self.seen.insert((found.ino(), found.ctime(), found.ctime_nsec())) {
            return;
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        if !self.versions.iter().any(|version| fs::read(version.join(name)).is_ok_and(|right| right == content)) {
            self.wrong.push(format!("{} of {} bytes", name.display(), content.len()));
        }
    }
}
