//! A question that many have and one asks: the others wait for that answer. A
//! good one is kept, a bad one for a while.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// See the module. Nothing was asked yet.
#[derive(Debug)]
pub(super) struct Shared<T, E> {
    /// Locked to look at it, never while somebody asks.
    latest: Mutex<Arc<OnceLock<Answer<T, E>>>>,
}

#[derive(Debug)]
struct Answer<T, E> {
    outcome: Result<T, Arc<E>>,
    since: Instant,
}

impl<T, E> Default for Shared<T, E> {
    fn default() -> Self {
        Self { latest: Mutex::default() }
    }
}

impl<T: Clone, E> Shared<T, E> {
    /// The answer: one that there is, or is about to be, or else that of `ask`.
    /// A refusal counts for `failure_lasts`, and whatever its age for those who
    /// waited for it. Blocks.
    ///
    /// # Errors
    /// What `ask` of whoever asked said.
    pub(super) fn get(&self, failure_lasts: Duration, ask: impl FnOnce() -> Result<T, E>) -> Result<T, Arc<E>> {
        // Should whoever asks panic, another of those who wait asks.
        let latest = self.latest(failure_lasts);
        let answer = latest.get_or_init(|| Answer { outcome: ask().map_err(Arc::new), since: Instant::now() });
        answer.outcome.clone()
    }

    fn latest(&self, failure_lasts: Duration) -> Arc<OnceLock<Answer<T, E>>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.get().is_some_and(|answer| answer.is_stale(failure_lasts)) {
            *latest = Arc::default();
        }
        latest.clone()
    }
}

impl<T, E> Answer<T, E> {
    fn is_stale(&self, failure_lasts: Duration) -> bool {
        self.outcome.is_err() && self.since.elapsed() >= failure_lasts
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};
    use std::thread;

    use super::*;

    /// No answer counts as a failure of the test after this.
    const DEADLINE: Duration = Duration::from_secs(30);
    const FOREVER: Duration = Duration::MAX;

    /// Refusals are numbers too.
    type Asked = Shared<u8, u8>;

    /// Asks on a thread of its own; what it is told.
    fn spawn(
        shared: &Arc<Asked>,
        ask: impl FnOnce() -> Result<u8, u8> + Send + 'static,
    ) -> Receiver<Result<u8, Arc<u8>>> {
        let ((tell, told), shared) = (mpsc::channel(), Arc::clone(shared));
        thread::spawn(move || tell.send(shared.get(Duration::ZERO, ask)));
        told
    }

    #[test]
    fn those_who_wait_share_the_outcome_and_do_not_ask() {
        for outcome in [Ok(7), Err(9)] {
            let shared = Arc::new(Asked::default());
            let ((say, is_asked), (end, ended)) = (mpsc::channel(), mpsc::channel::<()>());
            let first = spawn(&shared, move || {
                say.send(()).unwrap();
                let _ = ended.recv();
                outcome
            });
            is_asked.recv_timeout(DEADLINE).unwrap();
            let holders = || Arc::strong_count(&shared.latest(FOREVER));
            let joined = holders() + 1;
            let second = spawn(&shared, || panic!("the first asks"));
            let start = Instant::now();
            while holders() < joined {
                assert!(start.elapsed() < DEADLINE, "the second joins the first");
                thread::yield_now();
            }
            drop(end);
            for told in [first, second] {
                assert_eq!(told.recv_timeout(DEADLINE).unwrap(), outcome.map_err(Arc::new));
            }
        }
    }

    #[test]
    fn an_answer_is_kept_and_a_refusal_for_a_while() {
        let shared = Asked::default();
        let never = || -> Result<u8, u8> { panic!("it was asked") };
        assert_eq!(shared.get(FOREVER, || Err(9)), Err(Arc::new(9)));
        assert_eq!(shared.get(FOREVER, never), Err(Arc::new(9)));
        assert_eq!(shared.get(Duration::ZERO, || Ok(7)), Ok(7));
        assert_eq!(shared.get(Duration::ZERO, never), Ok(7));
    }

    #[test]
    fn who_panics_leaves_the_question_to_others() {
        let shared = Arc::new(Asked::default());
        assert!(spawn(&shared, || panic!("as the test wants it")).recv().is_err());
        assert_eq!(shared.get(FOREVER, || Ok(7)), Ok(7));
    }
}
