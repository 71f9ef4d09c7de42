//! Waking a thread that waits for datagrams: for file threads that finished
//! something and for whoever gives orders.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

#[derive(Debug)]
struct Shared {
    event: OwnedFd,
    /// Whether a wake-up is on its way; more of them would tell nothing new.
    pending: AtomicBool,
}

/// Wakes one driver; clones wake the same one.
///
/// Put the news where the driver's engine looks for it, then wake: the engine
/// is called after that. Waking one that is about to look anyway costs an
/// atomic exchange.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Shared>);

/// What a [`Waker`] wakes.
#[derive(Debug)]
pub struct Wakeup(Arc<Shared>);

/// A waker and what it wakes.
///
/// # Errors
/// If this process may open no more files.
pub fn waker() -> io::Result<(Waker, Wakeup)> {
    let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
    let shared = Arc::new(Shared { event, pending: AtomicBool::new(false) });
    Ok((Waker(Arc::clone(&shared)), Wakeup(shared)))
}

impl Waker {
    /// Wakes the thread, now or when it next goes to sleep.
    pub fn wake(&self) {
        if !self.0.pending.swap(true, Ordering::AcqRel) {
            // Fails only if 2^64 wake-ups were pending.
            let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
        }
    }
}

impl Wakeup {
    /// Forgets the wake-ups so far. What they announced is to be looked for
    /// after this call.
    pub(crate) fn clear(&self) {
        if self.0.pending.load(Ordering::Acquire) {
            let _ = rustix::io::read(&self.0.event, &mut [0_u8; 8]);
            self.0.pending.swap(false, Ordering::AcqRel);
        }
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}
