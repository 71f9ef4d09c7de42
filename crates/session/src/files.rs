//! The threads that touch files, so that the data path never waits for a disk.
//!
//! A bounded queue of operations goes in, completions come out in whatever
//! order the disk finishes them, and the data path is woken for each.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A pool of threads that perform operations `O` and answer with `D`.
#[derive(Debug)]
pub struct FileThreads<O, D> {
    operations: Option<SyncSender<O>>,
    completions: Receiver<D>,
    threads: Vec<JoinHandle<()>>,
    /// A thread panicked: what it had in hands will never be completed.
    broken: Arc<AtomicBool>,
}

impl<O: Send + 'static, D: Send + 'static> FileThreads<O, D> {
    /// Starts `count` threads (at least one) with room for `queue` operations
    /// that wait. `perform` does one operation; `wake` is called after each
    /// completion.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start<P, W>(count: usize, queue: usize, perform: P, wake: W) -> std::io::Result<Self>
    where
        P: Fn(O) -> D + Send + Sync + 'static,
        W: Fn() + Send + Sync + 'static,
    {
        let (operations, incoming) = sync_channel(queue);
        // A completion always has room: the queue's share, and one a thread.
        let (outgoing, completions) = sync_channel(queue + count.max(1));
        let incoming = Arc::new(Mutex::new(incoming));
        let work = Arc::new((perform, wake));
        let broken = Arc::new(AtomicBool::new(false));
        let threads = (0..count.max(1))
            .map(|index| {
                let (incoming, outgoing, work) = (Arc::clone(&incoming), outgoing.clone(), Arc::clone(&work));
                let broken = Arc::clone(&broken);
                let name = format!("files-{index}");
                std::thread::Builder::new().name(name).spawn(move || {
                    let _alarm = Alarm { broken: &broken, wake: &work.1 };
                    serve(&incoming, &outgoing, &work.0, &work.1);
                })
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        Ok(Self { operations: Some(operations), completions, threads, broken })
    }

    /// Queues an operation, or gives it back where the queue is full.
    ///
    /// # Errors
    /// The operation itself.
    pub fn submit(&self, operation: O) -> Result<(), O> {
        let operations = self.operations.as_ref().expect("taken only when the pool is dropped");
        operations.try_send(operation).map_err(|error| match error {
            TrySendError::Full(operation) | TrySendError::Disconnected(operation) => operation,
        })
    }

    /// A completion, if one comes within `patience`. Blocks.
    ///
    /// # Errors
    /// [`PoolBroken`] as in [`Self::completed`].
    pub fn completed_within(&self, patience: Duration) -> Result<Option<D>, PoolBroken> {
        match self.completions.recv_timeout(patience) {
            Ok(completion) => Ok(Some(completion)),
            Err(RecvTimeoutError::Timeout) => self.completed(),
            Err(RecvTimeoutError::Disconnected) => Err(PoolBroken),
        }
    }

    /// A completion, if one is there.
    ///
    /// # Errors
    /// [`PoolBroken`] if a thread panicked.
    pub fn completed(&self) -> Result<Option<D>, PoolBroken> {
        if self.broken.load(Ordering::Acquire) {
            return Err(PoolBroken);
        }
        match self.completions.try_recv() {
            Ok(completion) => Ok(Some(completion)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(PoolBroken),
        }
    }
}

/// A file thread panicked, which only a fault of ours can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a file thread panicked")]
pub struct PoolBroken;

/// Tells of the panic of the thread that holds it.
struct Alarm<'a> {
    broken: &'a AtomicBool,
    wake: &'a dyn Fn(),
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.broken.store(true, Ordering::Release);
            (self.wake)();
        }
    }
}

fn serve<O, D>(incoming: &Mutex<Receiver<O>>, outgoing: &SyncSender<D>, perform: &dyn Fn(O) -> D, wake: &dyn Fn()) {
    loop {
        // Held while waiting: whoever waits next waits for the lock instead.
        let next = incoming.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(operation) = next else { return };
        if outgoing.send(perform(operation)).is_err() {
            return;
        }
        wake();
    }
}

impl<O, D> Drop for FileThreads<O, D> {
    /// Lets operations that wait run to their end, then ends the threads.
    fn drop(&mut self) {
        self.operations = None;
        // A thread may wait for room for its completion.
        while self.completions.recv().is_ok() {}
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;

    use super::*;

    /// Counts wakes, so that a test can wait for them.
    #[derive(Default)]
    struct Wakes(Mutex<usize>, Condvar);

    impl Wakes {
        fn add(&self) {
            *self.0.lock().unwrap() += 1;
            self.1.notify_all();
        }

        fn wait_for(&self, count: usize) {
            drop(self.1.wait_while(self.0.lock().unwrap(), |seen| *seen < count).unwrap());
        }
    }

    #[test]
    fn every_operation_is_performed_once_and_wakes() {
        let wakes = Arc::new(Wakes::default());
        let wake = Arc::clone(&wakes);
        let pool = FileThreads::start(3, 100, |n: u32| n * 2, move || wake.add()).unwrap();
        for n in 0..100 {
            pool.submit(n).unwrap();
        }
        wakes.wait_for(100);
        let mut done: Vec<_> = std::iter::from_fn(|| pool.completed().unwrap()).collect();
        done.sort_unstable();
        assert_eq!(done, (0..100).map(|n| n * 2).collect::<Vec<_>>());
    }

    #[test]
    fn a_thread_that_panics_is_noticed_though_others_go_on() {
        let wakes = Arc::new(Wakes::default());
        let wake = Arc::clone(&wakes);
        let work = |n: u32| if n == 3 { panic!("a fault, as the test wants it") } else { n };
        let pool = FileThreads::start(2, 100, work, move || wake.add()).unwrap();
        for n in 0..10 {
            pool.submit(n).unwrap();
        }
        wakes.wait_for(10);
        assert_eq!(pool.completed(), Err(PoolBroken));
    }

    #[test]
    fn a_full_queue_gives_the_operation_back() {
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock().unwrap();
        let behind = Arc::clone(&gate);
        let pool = FileThreads::start(1, 2, move |n: u32| (drop(behind.lock()), n).1, || {}).unwrap();
        // One may be in the thread's hands already.
        let refused = (0..4).filter_map(|n| pool.submit(n).err()).next();
        assert!(refused.is_some());
        drop(held);
    }

    #[test]
    fn dropping_the_pool_finishes_what_waits() {
        let performed = Arc::new(Mutex::new(0));
        let count = Arc::clone(&performed);
        let pool = FileThreads::start(2, 64, move |_: u32| *count.lock().unwrap() += 1, || {}).unwrap();
        for n in 0..64 {
            pool.submit(n).unwrap();
        }
        drop(pool);
        assert_eq!(*performed.lock().unwrap(), 64);
    }
}
