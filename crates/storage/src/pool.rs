//! Things that one thread at a time uses, kept for the next.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// As many as threads were at work at one time.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Pool<T> {
    /// Runs `act` with one of them, made if all are in use.
    pub(crate) fn with<R>(&self, make: impl FnOnce() -> T, act: impl FnOnce(&mut T) -> R) -> R {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = lock().pop();
        let mut taken = kept.unwrap_or_else(make);
        let result = act(&mut taken);
        lock().push(taken);
        result
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}
