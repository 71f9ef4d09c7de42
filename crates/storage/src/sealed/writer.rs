//! A sealed file that is written.
//!
//! Whole segments are sealed by the thread that brings them and stored at once.
//! Pieces wait in memory until their segment is complete, until too many wait,
//! or until the file must be as its writers made it: *settled*. Then every
//! segment is stored, those never written as zeros.
//!
//! Locks, in this order, none of them held while another of its kind is taken:
//!
//! 1. `shape`: shared by threads that write, alone for whoever settles, reads or
//!    truncates;
//! 2. a segment's mark in [`Ledger::busy`]: whoever has it reads and writes that
//!    segment. A thread has one at a time, and never waits for another with it;
//! 3. `ledger`, held for bookkeeping alone while others write.
//!
//! # The end of the file
//! The last segment must be final, and none before it. What is not known is
//! which will be the last. Where the length to come is known
//! ([`WriteFile::expect_length`]) a full segment is sealed once, as what it
//! will be; until the file has this length it opens for nobody. Else the last
//! segment is final whenever the file is settled, and sealed again when the
//! file grows. A crash may tear a segment that is overwritten, so who relies on
//! what was synced before says how long the file will be.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use limosa_seal::envelope::{End, EnvelopeError, Form, HEAD, SegmentNumber};

use super::cipher::Cipher;
use super::ledger::{Before, Ledger};
use super::pieces::Pieces;
use super::reader::{Extents, last_segment, length_of, parts};
use super::recognize::{failure, within};
use crate::contract::{ReadFile, WriteFile};
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::Metadata;
use crate::segments::Segments;

/// How far a file is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settle {
    /// All is stored; the end may be still to come where it is known to be.
    Content,
    /// The file is what it will be.
    Whole,
}

/// Whether holes of the stored file can be told from zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holes {
    /// The store below finds them.
    Found,
    /// It does not.
    Unknown,
}

/// What all handles of one file share.
#[derive(Debug)]
pub(super) struct SealedFile {
    pub(super) file: Arc<dyn WriteFile>,
    pub(super) cipher: Cipher,
    shape: RwLock<()>,
    ledger: Mutex<Ledger>,
    /// Told when a segment is not busy any more.
    stored: Condvar,
}

impl SealedFile {
    /// A new file, whose header is stored.
    pub(super) fn new(file: Arc<dyn WriteFile>, cipher: Cipher) -> Self {
        let ledger = Ledger::new(cipher.segment(), 0);
        Self::with(file, cipher, ledger)
    }

    /// A file that is there. What of it was never written is told by its holes.
    pub(super) fn reopened(file: Arc<dyn WriteFile>, cipher: Cipher, holes: Holes) -> Result<Self> {
        let size = cipher.segment();
        let length = within(cipher.layout(), file.metadata()?.size);
        let mut ledger = Ledger::new(size, length);
        let last = last_segment(length, size);
        ledger.stored = find_stored(&*file, &cipher, last + 1, holes)?;
        ledger.unsettled = false;
        let (written, last_length) = (ledger.stored.contains(last), length_of(last, length, size));
        let found = if written {
            cipher.load(&*file, last, last_length, &mut Vec::new())
        } else {
            Ok((Form::Zeros, End::More))
        };
        let (is_final, opens) = match found {
            Ok((_, end)) => (end == End::Final, true),
            // Torn in a crash perhaps, and about to be written again.
            Err(error) if error.kind() == ErrorKind::Damaged => (false, false),
            Err(error) => return Err(error),
        };
        if written && (is_final || last_length < size) {
            ledger.note_final(last, last_length);
        }
        if !opens {
            ledger.suspect.insert(last);
        }
        Ok(Self::with(file, cipher, ledger))
    }

    fn with(file: Arc<dyn WriteFile>, cipher: Cipher, ledger: Ledger) -> Self {
        Self { file, cipher, shape: RwLock::default(), ledger: Mutex::new(ledger), stored: Condvar::new() }
    }

    /// What is known of the file, for as long as nobody else looks.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Whole after every step, also of a thread that panicked.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` while nobody writes, with everything stored.
    fn settled<T>(&self, how: Settle, act: impl FnOnce(&mut Ledger) -> Result<T>) -> Result<T> {
        let _alone = self.shape.write().unwrap_or_else(PoisonError::into_inner);
        let mut ledger = self.ledger();
        if let Some(error) = &ledger.failed {
            return Err(error.clone());
        }
        if how == Settle::Whole {
            // Whatever was expected, this is the end.
            ledger.expected = ledger.expected.filter(|expected| *expected <= ledger.length);
        }
        if ledger.unsettled || how == Settle::Whole {
            self.store_all(&mut ledger).inspect_err(|error| ledger.failed = Some(error.clone()))?;
        }
        match ledger.suspect.first() {
            Some(number) if how == Settle::Whole => Err(self.not_authentic(*number)),
            _ => act(&mut ledger),
        }
    }

    /// See [`settled`](Self::settled).
    pub(super) fn settle(&self, how: Settle) -> Result<()> {
        self.settled(how, |_| Ok(()))
    }

    fn not_authentic(&self, number: u64) -> StorageError {
        failure(EnvelopeError::SegmentNotAuthentic(SegmentNumber(number)), Operation::Read, self.cipher.path())
    }

    fn store_all(&self, ledger: &mut Ledger) -> Result<()> {
        let last = ledger.last();
        if !ledger.is_ended() {
            ledger.gathered.entry(last).or_default();
        }
        while let Some((number, pieces)) = ledger.gathered.pop_first() {
            let plan = Plan::of(ledger, number);
            let stored = self.store_pieces(plan, pieces)?;
            note(ledger, plan, stored);
        }
        while let Some(gap) = ledger.stored.gap(last) {
            for number in gap.clone() {
                self.cipher.store_zeros(&*self.file, number, End::More, self.cipher.segment())?;
            }
            ledger.stored.insert(gap);
        }
        self.match_length(ledger.length)?;
        ledger.unsettled = false;
        Ok(())
    }

    /// Gives the stored file the length that so much content needs: what ends
    /// in a hole is shorter, what a crash left may be longer.
    fn match_length(&self, content: u64) -> Result<()> {
        let too_large = || StorageError::new(ErrorKind::TooLarge, Operation::Write, self.cipher.path());
        let needed = self.cipher.stored_length(content).ok_or_else(too_large)?;
        if self.file.metadata()?.size == needed { Ok(()) } else { self.file.truncate(needed) }
    }

    /// Stores what was gathered of a segment, over what stood there.
    fn store_pieces(&self, plan: Plan, pieces: Pieces) -> Result<Stored> {
        let Plan { number, length, end, .. } = plan;
        let base = if pieces.fills(length) { Base::Zeros } else { self.base(plan, pieces.is_empty())? };
        let base = match base {
            Base::Unreadable => return Ok(Stored::Not),
            Base::Zeros if pieces.is_empty() && length > 0 => {
                self.cipher.store_zeros(&*self.file, number, end, length)?;
                return Ok(Stored::As(end));
            }
            Base::Zeros => None,
            Base::Bytes(segment) => Some(segment),
        };
        let mut segment = pieces.into_segment(length, base);
        self.cipher.store(&*self.file, number, end, &mut segment)?;
        Ok(Stored::As(end))
    }

    /// What stood there before. What does not open is left alone, unless
    /// somebody writes to it: he knows that it was lost in a crash, or would
    /// not write there again.
    fn base(&self, plan: Plan, only_resealed: bool) -> Result<Base> {
        let stood = match plan.before {
            Before::Nothing | Before::Final(0) => return Ok(Base::Zeros),
            Before::Full => (plan.number, self.cipher.segment(), End::More),
            Before::Final(length) => (plan.number, length, End::Final),
        };
        let mut segment = Vec::new();
        match self.cipher.load_as(&*self.file, stood, &mut segment) {
            Ok(Form::Data) => Ok(Base::Bytes(segment)),
            Ok(Form::Zeros) => Ok(Base::Zeros),
            Err(error) if error.kind() == ErrorKind::Damaged && only_resealed => Ok(Base::Unreadable),
            Err(error) if error.kind() == ErrorKind::Damaged => {
                tracing::warn!(path = %self.cipher.path(), segment = plan.number, "what was lost here is written again");
                Ok(Base::Bytes(vec![0; HEAD]))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes bytes of one segment.
    fn write_part(&self, number: u64, within: usize, bytes: &[u8]) -> Result<()> {
        let mut ledger = self.ledger();
        while ledger.busy.contains(&number) {
            ledger = self.stored.wait(ledger).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(error) = &ledger.failed {
            return Err(error.clone());
        }
        ledger.unsettled = true;
        let size = self.cipher.segment();
        ledger.grow(number * size as u64 + (within + bytes.len()) as u64);
        if bytes.len() == size && ledger.is_certain(number) {
            ledger.gathered.remove(&number);
            ledger = self.store_unlocked(ledger, number, |file, end| {
                let mut segment = Vec::with_capacity(HEAD + size);
                segment.resize(HEAD, 0);
                segment.extend_from_slice(bytes);
                file.cipher.store(&*file.file, number, end.end, &mut segment)?;
                Ok(Stored::As(end.end))
            })?;
        } else {
            ledger.gathered.entry(number).or_default().put(within, bytes);
        }
        while let Some((number, pieces)) = ledger.take_ready() {
            ledger = self.store_unlocked(ledger, number, |file, plan| file.store_pieces(plan, pieces))?;
        }
        Ok(())
    }

    /// Runs `store` for a segment while others go on with other segments.
    fn store_unlocked<'a>(
        &'a self,
        mut ledger: MutexGuard<'a, Ledger>,
        number: u64,
        store: impl FnOnce(&Self, Plan) -> Result<Stored>,
    ) -> Result<MutexGuard<'a, Ledger>> {
        let plan = Plan::of(&ledger, number);
        ledger.busy.insert(number);
        drop(ledger);
        let result = store(self, plan);
        let mut ledger = self.ledger();
        ledger.busy.remove(&number);
        self.stored.notify_all();
        match result {
            Ok(stored) => {
                note(&mut ledger, plan, stored);
                Ok(ledger)
            }
            Err(error) => {
                // What stood there is gone, and what others gathered with it.
                ledger.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// See [`WriteFile::write_at`].
    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.checked_add(bytes.len() as u64);
        self.check_length(Operation::Write, end)?;
        let _shared = self.shape.read().unwrap_or_else(PoisonError::into_inner);
        for (number, within, part) in parts(offset, bytes.len(), self.cipher.segment()) {
            self.write_part(number, within, &bytes[part])?;
        }
        Ok(())
    }

    /// How long the stored file of this content is.
    pub(super) fn check_length(&self, operation: Operation, content: Option<u64>) -> Result<u64> {
        let stored = content.and_then(|content| self.cipher.stored_length(content));
        stored.ok_or_else(|| StorageError::new(ErrorKind::TooLarge, operation, self.cipher.path()))
    }

    /// See [`WriteFile::truncate`].
    pub(super) fn truncate(&self, length: u64) -> Result<()> {
        self.check_length(Operation::Truncate, Some(length))?;
        self.settled(Settle::Content, |ledger| {
            if length >= ledger.length {
                ledger.unsettled |= length > ledger.length;
                ledger.grow(length);
                return Ok(());
            }
            let number = last_segment(length, self.cipher.segment());
            let kept = length_of(number, length, self.cipher.segment());
            let mut pieces = Pieces::default();
            let mut segment = Vec::new();
            if kept > 0 && self.load(ledger, number, &mut segment)? == Form::Data {
                pieces.put(0, &segment[HEAD..][..kept]);
            }
            self.file.truncate(self.cipher.place(number))?;
            ledger.cut(length, number);
            ledger.gathered.insert(number, pieces);
            ledger.unsettled = true;
            Ok(())
        })
    }

    /// A segment as it is stored now, head first.
    fn load(&self, ledger: &Ledger, number: u64, segment: &mut Vec<u8>) -> Result<Form> {
        let stood = match ledger.before(number) {
            Before::Full => (number, self.cipher.segment(), End::More),
            Before::Final(length) => (number, length, End::Final),
            Before::Nothing => {
                segment.clear();
                segment.resize(HEAD + ledger.length_of(number), 0);
                return Ok(Form::Zeros);
            }
        };
        self.cipher.load_as(&*self.file, stood, segment)
    }

    /// See [`ReadFile::read_at`].
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.settled(Settle::Content, |ledger| {
            let extents = Extents { cipher: &self.cipher, length: ledger.length };
            extents.read_at(offset, buffer, |number, segment| self.load(ledger, number, segment).map(drop))
        })
    }

    /// See [`ReadFile::next_data`].
    pub(super) fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>> {
        self.settled(Settle::Content, |ledger| {
            let extents = Extents { cipher: &self.cipher, length: ledger.length };
            extents.next_data(&*self.file, offset, |number, segment| self.load(ledger, number, segment))
        })
    }

    /// What is known of the file.
    pub(super) fn metadata(&self) -> Result<Metadata> {
        self.settled(Settle::Content, |ledger| Ok(Metadata { size: ledger.length, ..self.file.metadata()? }))
    }
}

/// How a segment is to be stored.
#[derive(Clone, Copy, Debug)]
struct Plan {
    number: u64,
    length: usize,
    end: End,
    before: Before,
}

impl Plan {
    fn of(ledger: &Ledger, number: u64) -> Self {
        let length = ledger.length_of(number);
        let end = if ledger.is_final(number) { End::Final } else { End::More };
        Self { number, length, end, before: ledger.before(number) }
    }
}

/// What was found in a segment's place.
#[derive(Debug)]
enum Base {
    /// Zeros, stored as such or not at all.
    Zeros,
    /// A segment, head first.
    Bytes(Vec<u8>),
    /// Something that does not open.
    Unreadable,
}

/// What became of a segment.
#[derive(Clone, Copy, Debug)]
enum Stored {
    As(End),
    /// It was left as it is.
    Not,
}

fn note(ledger: &mut Ledger, plan: Plan, stored: Stored) {
    let Plan { number, length, .. } = plan;
    match stored {
        Stored::As(End::More) => ledger.note_stored(number),
        Stored::As(End::Final) => ledger.note_final(number, length),
        Stored::Not => {
            ledger.note_stored(number);
            ledger.suspect.insert(number);
        }
    }
}

/// Which of the first `count` segments have a head. Where holes are found, only
/// at their edges is a look needed: what is stored on both sides of a head is
/// the body of a segment that was written.
fn find_stored(file: &dyn ReadFile, cipher: &Cipher, count: u64, holes: Holes) -> Result<Segments> {
    let (header, stored) = (cipher.place(0), (cipher.segment() + HEAD) as u64);
    let mut found = Segments::default();
    let mut at = header;
    while let Some(run) = file.next_data(at)? {
        let first = (run.start - header) / stored;
        let past = (run.end - header).div_ceil(stored).min(count);
        let certain = match holes {
            Holes::Found => first + 1..past.saturating_sub(1),
            Holes::Unknown => 0..0,
        };
        for number in (first..past).filter(|number| !certain.contains(number)) {
            if has_head(file, cipher.place(number))? {
                found.insert(number..number + 1);
            }
        }
        found.insert(certain);
        at = run.end;
    }
    Ok(found)
}

fn has_head(file: &dyn ReadFile, place: u64) -> Result<bool> {
    let mut head = [0; HEAD];
    let read = file.read_at(place, &mut head)?;
    Ok(head[..read].iter().any(|byte| *byte != 0))
}
