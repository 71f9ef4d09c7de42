//! The sessions that run: how many, whose, and who takes over from whom.
//!
//! Who asks for one is counted from its [`Arrival`] on: deciding on it may take
//! long, where a key server has to be asked.
//!
//! Two sessions of one user for the same transfer would write the same partial
//! files. The newer one wins: the older is asked to end, and the newer waits
//! until its files are closed. Session programs that are processes of their
//! own do the same among each other, by claims in a directory of their user.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use limosa_policy::UserName;
use limosa_session::takeover::{Challenger, Claim, claim};
use limosa_wire::Code;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Names a transfer of a user: see the set-up request.
pub type TransferId = [u8; 16];

/// The sessions of a server; clones share them.
#[derive(Clone, Debug)]
pub struct SessionRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: u32,
    takeover_time: Duration,
    /// Where sessions in other processes of the same user are found.
    claims: Option<PathBuf>,
    state: Mutex<State>,
    /// Changes whenever a session has ended.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<Key, Entry>,
    /// Whose sessions are being decided on, and how many.
    arriving: HashMap<UserName, u32>,
    stopping: bool,
    next: u64,
}

type Key = (UserName, TransferId);

#[derive(Debug)]
struct Entry {
    id: u64,
    /// Why the session is to end, once it is.
    end: watch::Sender<Option<Code>>,
}

/// A session that is being decided on; it counts until dropped.
#[derive(Debug)]
pub struct Arrival {
    shared: Arc<Shared>,
    key: Key,
    others: u32,
    /// Not any more once it runs.
    counts: bool,
}

/// A session's place among those that run; given up when dropped.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    key: Key,
    id: u64,
    end: watch::Receiver<Option<Code>>,
    // In this order: the newer session goes on when the claim is given up.
    claim: Option<Claim>,
    challenger: Option<Challenger>,
}

impl SessionRegistry {
    /// At most `max` sessions at a time; one that is taken over has
    /// `takeover_time` to end.
    #[must_use]
    pub fn new(max: u32, takeover_time: Duration) -> Self {
        Self::with(max, takeover_time, None)
    }

    /// … and takes over from sessions in other processes, too, that claim
    /// their transfers in the directory `claims`.
    #[must_use]
    pub fn of_one_process(max: u32, takeover_time: Duration, claims: PathBuf) -> Self {
        Self::with(max, takeover_time, Some(claims))
    }

    fn with(max: u32, takeover_time: Duration, claims: Option<PathBuf>) -> Self {
        let shared = Shared { max, takeover_time, claims, state: Mutex::default(), ended: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Counts a session of `user` for `transfer` that is about to be decided on.
    /// An older session for the same leaves its room to this one.
    ///
    /// # Errors
    /// [`Code::TOO_MANY_SESSIONS`], [`Code::SERVER_STOPPING`].
    pub fn arrive(&self, user: &UserName, transfer: TransferId) -> Result<Arrival, Code> {
        let key = (user.clone(), transfer);
        let mut state = self.shared.lock();
        if state.stopping {
            return Err(Code::SERVER_STOPPING);
        }
        if state.others(&key, |_| true) >= self.shared.max {
            return Err(Code::TOO_MANY_SESSIONS);
        }
        let others = state.others(&key, |name| name == user);
        *state.arriving.entry(user.clone()).or_default() += 1;
        drop(state);
        Ok(Arrival { shared: Arc::clone(&self.shared), key, others, counts: true })
    }

    /// Asks every session to end, lets no new one start, and waits for the
    /// last one until `patience` is over. Whether none is left.
    pub async fn stop(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut ended = self.shared.ended.subscribe();
        {
            let mut state = self.shared.lock();
            state.stopping = true;
            state.sessions.values().for_each(|entry| {
                entry.end.send_replace(Some(Code::SERVER_STOPPING));
            });
        }
        while !self.shared.lock().sessions.is_empty() {
            if timeout_at(deadline, ended.changed()).await.is_err() {
                return false;
            }
        }
        true
    }

    /// How many sessions run.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.lock().sessions.len()
    }
}

impl Arrival {
    /// Sessions of this user that ran or were decided on when this one came, but
    /// for one that it would take over from.
    #[must_use]
    pub const fn others(&self) -> u32 {
        self.others
    }

    /// A place for it. An older session for the same is ended first.
    ///
    /// # Errors
    /// [`Code::SERVER_STOPPING`], or [`Code::IN_USE`] if the older session does
    /// not end.
    pub async fn enter(mut self) -> Result<Place, Code> {
        let deadline = Instant::now() + self.shared.takeover_time;
        loop {
            // Seen before the look, so that no end is missed between the two.
            let mut ended = self.shared.ended.subscribe();
            match self.try_enter() {
                Attempt::Entered(place) => return place.claimed().await,
                Attempt::Refused(code) => return Err(code),
                Attempt::Occupied => {
                    let _ = timeout_at(deadline, ended.changed()).await.map_err(|_| Code::IN_USE)?;
                }
            }
        }
    }

    fn try_enter(&mut self) -> Attempt {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if state.stopping {
            return Attempt::Refused(Code::SERVER_STOPPING);
        }
        if let Some(older) = state.sessions.get(&self.key) {
            older.end.send_replace(Some(Code::TAKEN_OVER));
            return Attempt::Occupied;
        }
        let (end, ending) = watch::channel(None);
        let (id, key) = (state.next, self.key.clone());
        state.next += 1;
        state.sessions.insert(key.clone(), Entry { id, end });
        state.leave(&mut self.counts, &key.0);
        drop(state);
        Attempt::Entered(Place { shared, key, id, end: ending, claim: None, challenger: None })
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.shared.lock().leave(&mut self.counts, &self.key.0);
    }
}

enum Attempt {
    Entered(Place),
    Occupied,
    Refused(Code),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sessions that run, but for that of `key`, and all that arrive, of those
    /// users that count.
    fn others(&self, key: &Key, counts: impl Fn(&UserName) -> bool) -> u32 {
        let running = self.sessions.keys().filter(|other| *other != key && counts(&other.0)).count();
        let arriving = self.arriving.iter().filter(|(name, _)| counts(name)).map(|(_, number)| *number);
        arriving.fold(u32::try_from(running).unwrap_or(u32::MAX), u32::saturating_add)
    }

    /// One of those who arrive is decided on, if that `counts` yet.
    fn leave(&mut self, counts: &mut bool, user: &UserName) {
        if !std::mem::take(counts) {
            return;
        }
        if let Some(number) = self.arriving.get_mut(user) {
            *number -= 1;
            if *number == 0 {
                self.arriving.remove(user);
            }
        }
    }
}

impl Place {
    /// Claims the transfer among the processes of this user.
    async fn claimed(mut self) -> Result<Self, Code> {
        if let Some(claims) = &self.shared.claims {
            let claimed = claim(claims, self.key.1).await;
            let claimed = claimed.inspect_err(|error| tracing::error!(%error, "the transfer cannot be claimed"));
            self.claim = Some(claimed.map_err(|_| Code::IN_USE)?);
        }
        Ok(self)
    }

    /// Waits until the session is asked to end, and says why.
    pub async fn asked_to_end(&mut self) -> Code {
        let Self { end, claim, challenger, .. } = self;
        let challenged = async {
            match claim {
                Some(claim) => claim.challenged().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            code = told_to_end(end) => code,
            newer = challenged => {
                *challenger = Some(newer);
                Code::TAKEN_OVER
            }
        }
    }
}

async fn told_to_end(end: &mut watch::Receiver<Option<Code>>) -> Code {
    let told = end.wait_for(Option::is_some).await;
    told.ok().and_then(|code| *code).unwrap_or(Code::SERVER_STOPPING)
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.sessions.get(&self.key).is_some_and(|entry| entry.id == self.id) {
            state.sessions.remove(&self.key);
        }
        drop(state);
        self.shared.ended.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is waited for happens well before.
    const DEADLINE: Duration = Duration::from_secs(10);

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }

    async fn enter(sessions: &SessionRegistry, name: &str, transfer: TransferId) -> Result<Place, Code> {
        sessions.arrive(&user(name), transfer)?.enter().await
    }

    #[tokio::test]
    async fn a_newer_session_waits_until_the_older_has_ended() {
        let sessions = SessionRegistry::new(10, DEADLINE);
        let mut older = enter(&sessions, "ada", [1; 16]).await.unwrap();
        let newer = {
            let sessions = sessions.clone();
            tokio::spawn(async move { enter(&sessions, "ada", [1; 16]).await })
        };
        assert_eq!(older.asked_to_end().await, Code::TAKEN_OVER);
        assert_eq!(sessions.count(), 1);
        assert!(!newer.is_finished());
        drop(older);
        let _newer = newer.await.unwrap().unwrap();
        assert_eq!(sessions.count(), 1);
    }

    #[tokio::test]
    async fn sessions_of_two_processes_take_over_from_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let process = || SessionRegistry::of_one_process(1, DEADLINE, folder.path().join("claims"));
        let mut older = enter(&process(), "ada", [7; 16]).await.unwrap();
        let other = process();
        let newer = tokio::spawn(async move { enter(&other, "ada", [7; 16]).await });
        assert_eq!(older.asked_to_end().await, Code::TAKEN_OVER);
        assert!(!newer.is_finished());
        drop(older);
        assert!(newer.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn other_transfers_and_other_users_are_left_alone() {
        let sessions = SessionRegistry::new(3, DEADLINE);
        let _a = enter(&sessions, "ada", [1; 16]).await.unwrap();
        let _b = enter(&sessions, "ada", [2; 16]).await.unwrap();
        let _c = enter(&sessions, "bob", [1; 16]).await.unwrap();
        let others = |name, transfer| sessions.arrive(&user(name), transfer).map(|arrival| arrival.others());
        assert_eq!((others("ada", [2; 16]), others("bob", [1; 16])), (Ok(1), Ok(0)), "they take over");
        let refused = enter(&sessions, "cy", [1; 16]).await;
        assert_eq!(refused.err(), Some(Code::TOO_MANY_SESSIONS));
    }

    #[tokio::test]
    async fn who_is_decided_on_counts() {
        let sessions = SessionRegistry::new(3, DEADLINE);
        let arrive = |name, transfer| sessions.arrive(&user(name), transfer);
        let first = arrive("ada", [1; 16]).unwrap();
        let second = arrive("ada", [1; 16]).unwrap();
        assert_eq!((first.others(), second.others()), (0, 1), "of one transfer, too");
        let third = arrive("bob", [1; 16]).unwrap();
        assert_eq!(arrive("bob", [2; 16]).err(), Some(Code::TOO_MANY_SESSIONS));
        let place = first.enter().await.unwrap();
        drop(second);
        assert_eq!(arrive("ada", [2; 16]).unwrap().others(), 1);
        drop((place, third));
        assert_eq!(arrive("ada", [2; 16]).unwrap().others(), 0);
        assert!(sessions.shared.lock().arriving.is_empty());
    }

    #[tokio::test]
    async fn stopping_ends_all_and_lets_none_in() {
        let sessions = SessionRegistry::new(3, DEADLINE);
        let mut running = enter(&sessions, "ada", [1; 16]).await.unwrap();
        let session = tokio::spawn(async move { running.asked_to_end().await });
        assert!(sessions.stop(DEADLINE).await);
        assert_eq!(session.await.unwrap(), Code::SERVER_STOPPING);
        assert_eq!(enter(&sessions, "ada", [1; 16]).await.err(), Some(Code::SERVER_STOPPING));
    }

    #[tokio::test]
    async fn a_session_that_does_not_end_keeps_its_place() {
        let sessions = SessionRegistry::new(3, Duration::from_millis(1));
        let _stuck = enter(&sessions, "ada", [1; 16]).await.unwrap();
        assert_eq!(enter(&sessions, "ada", [1; 16]).await.err(), Some(Code::IN_USE));
    }
}
