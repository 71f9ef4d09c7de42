//! The directories that were used last, kept open for a moment.
//!
//! Ten thousand files of one directory need its path looked up a few times,
//! not ten thousand times; and what lies a hundred directories deep is looked up
//! from the nearest one that is open. Only paths without links are kept, so that a
//! directory has one path here. One that this process removes is forgotten;
//! one that is gone for another reason shows itself when it is used, since
//! nothing is found or made in it. A directory that others move shows after
//! [`LIFETIME`] at the latest, as if they had been that much slower.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a handle stands for its path.
const LIFETIME: Duration = Duration::from_millis(100);
/// How many handles are kept.
const CAPACITY: usize = 16;

#[derive(Debug)]
struct Kept {
    path: Box<[u8]>,
    handle: Arc<OwnedFd>,
    since: Instant,
}

/// Open directories by path, the one used last at the end.
#[derive(Debug, Default)]
pub(super) struct Parents(Mutex<Vec<Kept>>);

impl Parents {
    /// The handle kept for `path`, if it is young enough.
    pub(super) fn get(&self, path: &[u8]) -> Option<Arc<OwnedFd>> {
        let mut kept = self.kept();
        let at = kept.iter().position(|entry| &*entry.path == path)?;
        let entry = kept.remove(at);
        if entry.since.elapsed() > LIFETIME {
            return None;
        }
        let handle = entry.handle.clone();
        kept.push(entry);
        Some(handle)
    }

    /// The nearest directory above `path` that is kept, when it was looked up,
    /// and what is left of the path below it.
    pub(super) fn above<'a>(&self, path: &'a [u8]) -> Option<(Arc<OwnedFd>, Instant, &'a [u8])> {
        let kept = self.kept();
        let young = kept.iter().filter(|entry| !entry.path.is_empty() && entry.since.elapsed() <= LIFETIME);
        let above = young.filter_map(|entry| Some((entry, path.strip_prefix(&*entry.path)?.strip_prefix(b"/")?)));
        let (entry, rest) = above.min_by_key(|(_, rest)| rest.len())?;
        Some((entry.handle.clone(), entry.since, rest))
    }

    /// Keeps a handle that was looked up at `since`, or below one that was.
    pub(super) fn keep(&self, path: &[u8], handle: &Arc<OwnedFd>, since: Instant) {
        let mut kept = self.kept();
        kept.retain(|entry| &*entry.path != path);
        if kept.len() == CAPACITY {
            kept.remove(0);
        }
        kept.push(Kept { path: path.into(), handle: handle.clone(), since });
    }

    /// Forgets `path` and everything below it.
    pub(super) fn forget(&self, path: &[u8]) {
        self.kept().retain(|entry| match entry.path.strip_prefix(path) {
            Some(rest) => !(rest.is_empty() || rest.starts_with(b"/")),
            None => true,
        });
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        // The list is whole after every step, also of a thread that panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> Arc<OwnedFd> {
        Arc::new(std::fs::File::open("/").expect("the root opens").into())
    }

    #[test]
    fn forgets_what_is_below_and_nothing_beside() {
        let parents = Parents::default();
        for path in [&b"a"[..], b"a/b", b"ab"] {
            parents.keep(path, &handle(), Instant::now());
        }
        parents.forget(b"a");
        assert!(parents.get(b"a").is_none() && parents.get(b"a/b").is_none());
        assert!(parents.get(b"ab").is_some());
    }

    #[test]
    fn the_nearest_above_is_where_to_go_on_from() {
        let parents = Parents::default();
        let (long_ago, now) =
            (Instant::now().checked_sub(2 * LIFETIME).expect("a clock that ran so long"), Instant::now());
        for (path, since) in [(&b""[..], now), (b"a", now), (b"a/b", now), (b"a/b/c", long_ago), (b"a/bc", now)] {
            parents.keep(path, &handle(), since);
        }
        let rest = |path: &'static [u8]| parents.above(path).map(|(_, _, rest)| rest);
        assert_eq!(rest(b"a/b/c/d"), Some(&b"c/d"[..]));
        assert_eq!((rest(b"a/bd"), rest(b"ab"), rest(b"a")), (Some(&b"bd"[..]), None, None));
    }

    #[test]
    fn keeps_few_and_not_for_long() {
        let parents = Parents::default();
        for i in 0..=CAPACITY {
            parents.keep(i.to_string().as_bytes(), &handle(), Instant::now());
        }
        assert!(parents.get(b"0").is_none(), "the one used longest ago made room");
        assert!(parents.get(b"1").is_some());
        let long_ago = Instant::now().checked_sub(2 * LIFETIME).expect("a clock that ran so long");
        parents.keep(b"old", &handle(), long_ago);
        assert!(parents.get(b"old").is_none());
    }
}
