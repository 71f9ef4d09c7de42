//! A file that is opened segment by segment as it arrives.
//!
//! Who writes and reads it sees the sealed file; what is stored is its content,
//! in its place, and the heads of the segments apart. A segment whose bytes are
//! all there is opened and stored as content; until then its ciphertext stands
//! in the same place, which is as long. Reading makes the sealed file again, by
//! encrypting the content under the nonces of the heads.
//!
//! Only segments that came whole, or in pieces since they were synced last, are
//! ever written over. So the file must be laid out such that nobody counts on a
//! part of a segment after a crash: chunks of the sealed file are whole
//! segments.
//!
//! Nothing counts as content that was not found authentic by this process: what
//! an earlier one has left is opened once more when the file is finished.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use limosa_seal::envelope::{
    End, Envelope, EnvelopeError, Extent, Form, HEAD, Layout, Plain, Sealed, SegmentNumber, SegmentOpener,
};

use super::super::unopened;
use super::heads::{Heads, is_missing};
use crate::contract::WriteFile;
use crate::coverage::Coverage;
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Attributes, Metadata};
use crate::path::StorePath;
use crate::pool::Pool;
use crate::segments::Segments;

/// So many whole segments that do not open are remembered of a file: bytes that
/// were changed on the way are sent again, so there are hardly ever any.
const MOST_UNOPENED: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct UnsealedFile {
    /// The content.
    pub(super) file: Arc<dyn WriteFile>,
    pub(super) heads: Heads,
    /// For messages.
    path: StorePath,
    envelope: Envelope,
    content: Plain,
    openers: Pool<SegmentOpener>,
    buffers: Pool<Vec<u8>>,
    /// Shared by who writes whole segments or reads, alone for who writes parts
    /// or finishes.
    shape: RwLock<()>,
    known: Mutex<Known>,
}

/// What is known of the segments.
#[derive(Debug, Default)]
struct Known {
    /// Content in its place, found authentic.
    opened: Segments,
    /// Ciphertext in its place, as far as it is covered, heads included.
    torn: BTreeMap<u64, Coverage>,
    /// How many segments came whole and did not open.
    unopened: usize,
    /// Whether the file is as it will be.
    finished: bool,
}

/// A segment that came whole.
struct Came<'a> {
    number: u64,
    head: &'a [u8; HEAD],
    /// Nothing if it does not open.
    form: Option<Form>,
    /// Where its content is among that of those that came with it.
    content: Range<usize>,
}

/// What stands in a segment's place.
enum Stands {
    /// Its content, found authentic or left by an earlier session.
    Content,
    /// Its ciphertext, as far as it has come.
    Ciphertext(Coverage),
}

impl UnsealedFile {
    /// Opens what is written of a sealed file into `file`. `None` if no sealed
    /// file is as long as the heads say.
    pub(super) fn new(file: Arc<dyn WriteFile>, path: &StorePath, envelope: Envelope, heads: Heads) -> Option<Self> {
        let content = envelope.preamble().layout.plain_len(heads.length())?;
        let path = path.clone();
        let (openers, buffers, shape, known) = Default::default();
        Some(Self { file, heads, path, envelope, content, openers, buffers, shape, known })
    }

    fn layout(&self) -> Layout {
        self.envelope.preamble().layout
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn extent(&self, number: u64) -> Option<Extent> {
        self.layout().extent(SegmentNumber(number), self.content)
    }

    fn failed(&self, error: EnvelopeError) -> StorageError {
        unopened(&self.path, error)
    }

    /// The segment at an offset behind the header, and where in it.
    fn segment_at(&self, offset: u64) -> (u64, usize) {
        let behind = offset - self.layout().header() as u64;
        let stored = self.layout().segment() + HEAD;
        #[allow(clippy::cast_possible_truncation)]
        (behind / stored as u64, (behind % stored as u64) as usize)
    }

    /// Opens a segment whose ciphertext `body` is. Its end must be the file's.
    fn open(&self, number: u64, head: &[u8; HEAD], body: &mut [u8]) -> std::result::Result<Form, EnvelopeError> {
        let opened =
            self.openers.with(|| self.envelope.opener(), |opener| opener.open_body(SegmentNumber(number), head, body));
        let is_last = self.extent(number).is_some_and(|extent| extent.is_last);
        match (opened?, is_last) {
            ((_, End::More), true) => Err(EnvelopeError::Truncated),
            ((_, End::Final), false) => Err(EnvelopeError::SegmentNotAuthentic(SegmentNumber(number))),
            ((form, _), _) => Ok(form),
        }
    }

    /// Makes the ciphertext of a segment again.
    fn restore(&self, number: u64, head: &[u8; HEAD], body: &mut [u8]) {
        let make = || self.envelope.opener();
        self.openers.with(make, |opener| opener.restore(SegmentNumber(number), head, body));
    }

    fn stands(&self, number: u64) -> Result<Stands> {
        let known = self.known();
        if known.opened.contains(number) {
            return Ok(Stands::Content);
        }
        if let Some(coverage) = known.torn.get(&number) {
            return Ok(Stands::Ciphertext(coverage.clone()));
        }
        drop(known);
        // What an earlier session has left has a head.
        let is_missing = is_missing(self.heads.get(number)?);
        Ok(if is_missing { Stands::Ciphertext(Coverage::default()) } else { Stands::Content })
    }

    /// Writes what belongs at `offset` of the sealed file.
    ///
    /// # Errors
    /// [`Damaged`](ErrorKind::Damaged) if it begins otherwise than it did, and
    /// what the store reports.
    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= self.heads.length().0);
        if end.is_none() {
            return Err(StorageError::new(ErrorKind::TooLarge, Operation::Write, &self.path));
        }
        let header = self.heads.header();
        let known = usize::try_from(offset).ok().and_then(|offset| header.get(offset..)).unwrap_or_default();
        let (front, mut rest) = bytes.split_at(known.len().min(bytes.len()));
        if known[..front.len()] != *front {
            return Err(self.failed(EnvelopeError::HeaderNotAuthentic));
        }
        let mut at = offset + front.len() as u64;
        while !rest.is_empty() {
            let (number, within) = self.segment_at(at);
            let here = match self.whole(number, within, rest.len()) {
                whole @ 1.. => {
                    self.write_whole(number, &rest[..whole])?;
                    whole
                }
                0 => {
                    let stored = self.extent(number).map_or(0, Extent::stored);
                    let here = (stored - within).min(rest.len());
                    self.write_part(number, within, &rest[..here])?;
                    here
                }
            };
            rest = &rest[here..];
            at += here as u64;
        }
        Ok(())
    }

    /// How many of `length` bytes, that begin in this segment, are whole
    /// segments.
    fn whole(&self, number: u64, within: usize, length: usize) -> usize {
        if within > 0 {
            return 0;
        }
        let lengths = (number..).map_while(|number| self.extent(number)).map(Extent::stored);
        let ends = lengths.scan(0, |end, stored| {
            *end += stored;
            Some(*end)
        });
        ends.take_while(|end| *end <= length).last().unwrap_or(0)
    }

    /// Opens whole segments and stores their content, that of all that lie side
    /// by side at once. Nobody else writes the same at the same time.
    fn write_whole(&self, first: u64, stored: &[u8]) -> Result<()> {
        let _shared = self.shape.read().unwrap_or_else(PoisonError::into_inner);
        self.buffers.with(Vec::new, |content| {
            content.clear();
            let mut segments = Vec::new();
            for (number, segment) in (first..).zip(stored.chunks(self.layout().segment() + HEAD)) {
                let Some((head, body)) = segment.split_first_chunk::<HEAD>() else { continue };
                let start = content.len();
                content.extend_from_slice(body);
                let form = self.open(number, head, &mut content[start..]).ok();
                if form.is_none() {
                    // Whether it is what was sent is for the digests to say.
                    content[start..].copy_from_slice(body);
                }
                segments.push(Came { number, head, form, content: start..content.len() });
            }
            self.forget(&segments);
            self.store(&segments, content)?;
            self.remember(&segments)
        })
    }

    /// What stood in these places is about to be written over: whether that
    /// succeeds or not, it is not what was found authentic.
    fn forget(&self, segments: &[Came<'_>]) {
        let mut known = self.known();
        known.finished = false;
        for came in segments {
            known.opened.remove(came.number);
        }
    }

    /// Notes what now stands in these places.
    fn remember(&self, segments: &[Came<'_>]) -> Result<()> {
        let mut known = self.known();
        for Came { number, head, form, content } in segments {
            self.heads.set(*number, **head);
            known.torn.remove(number);
            if form.is_some() {
                known.opened.insert(*number..*number + 1);
                continue;
            }
            known.unopened += 1;
            if known.unopened > MOST_UNOPENED {
                return Err(self.failed(EnvelopeError::SegmentNotAuthentic(SegmentNumber(*number))));
            }
            known.torn.insert(*number, Coverage::whole(HEAD + content.len()));
        }
        Ok(())
    }

    /// Stores consecutive segments, but not the zeros of those that have
    /// nothing but a hole in their place.
    fn store(&self, segments: &[Came<'_>], content: &[u8]) -> Result<()> {
        let mut run: Option<(u64, Range<usize>)> = None;
        for came in segments {
            let at = self.extent(came.number).map_or(0, |extent| extent.plain.0);
            let is_hole = came.form == Some(Form::Zeros) && self.is_hole(at, came.content.len())?;
            match &mut run {
                Some((_, known)) if !is_hole => known.end = came.content.end,
                _ if !is_hole => run = Some((at, came.content.clone())),
                _ => {
                    if let Some((at, known)) = run.take() {
                        self.file.write_at(at, &content[known])?;
                    }
                }
            }
        }
        run.map_or(Ok(()), |(at, range)| self.file.write_at(at, &content[range]))
    }

    /// Whether nothing was ever stored there, by whomever.
    fn is_hole(&self, at: u64, length: usize) -> Result<bool> {
        let data = self.file.next_data(at)?;
        Ok(data.is_none_or(|data| data.start >= at + length as u64))
    }

    /// Writes a part of a segment, and opens the segment if that completes it.
    fn write_part(&self, number: u64, within: usize, part: &[u8]) -> Result<()> {
        let _alone = self.shape.write().unwrap_or_else(PoisonError::into_inner);
        let Some(extent) = self.extent(number) else { return Ok(()) };
        let (mut head, mut coverage) = (self.heads.get(number)?, Coverage::default());
        match self.stands(number)? {
            Stands::Ciphertext(covered) => coverage = covered,
            Stands::Content => {
                let mut body = self.body(extent)?;
                self.restore(number, &head, &mut body);
                self.file.write_at(extent.plain.0, &body)?;
                coverage.add(0..extent.stored());
            }
        }
        let mut known = self.known();
        known.finished = false;
        known.opened.remove(number);
        coverage.add(within..within + part.len());
        let is_complete = coverage.fills(extent.stored());
        known.torn.insert(number, coverage);
        drop(known);
        let (of_head, of_body) = part.split_at(HEAD.saturating_sub(within).min(part.len()));
        if !of_head.is_empty() {
            head[within..][..of_head.len()].copy_from_slice(of_head);
            self.heads.set(number, head);
        }
        if !of_body.is_empty() {
            self.file.write_at(extent.plain.0 + within.saturating_sub(HEAD) as u64, of_body)?;
        }
        if is_complete {
            // If it does not open it stays as it came.
            let _ = self.open_in_place(number, extent)?;
        }
        Ok(())
    }

    /// The bytes that stand in a segment's place.
    fn body(&self, extent: Extent) -> Result<Vec<u8>> {
        let mut body = vec![0; extent.length as usize];
        self.file.read_at(extent.plain.0, &mut body)?;
        Ok(body)
    }

    /// Opens a segment whose ciphertext stands in its place.
    fn open_in_place(&self, number: u64, extent: Extent) -> Result<std::result::Result<(), EnvelopeError>> {
        let mut body = self.body(extent)?;
        match self.open(number, &self.heads.get(number)?, &mut body) {
            Ok(Form::Data) => self.file.write_at(extent.plain.0, &body)?,
            Ok(Form::Zeros) => {}
            Err(error) => return Ok(Err(error)),
        }
        let mut known = self.known();
        known.torn.remove(&number);
        known.opened.insert(number..number + 1);
        Ok(Ok(()))
    }

    /// Reads what belongs at `offset` of the sealed file.
    ///
    /// # Errors
    /// What the store reports.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let _shared = self.shape.read().unwrap_or_else(PoisonError::into_inner);
        let header = self.heads.header();
        let known = usize::try_from(offset).ok().and_then(|offset| header.get(offset..)).unwrap_or_default();
        let mut done = known.len().min(buffer.len());
        buffer[..done].copy_from_slice(&known[..done]);
        while done < buffer.len() {
            let (number, within) = self.segment_at(offset + done as u64);
            let Some(extent) = self.extent(number).filter(|extent| within < extent.stored()) else { break };
            let segment = self.sealed(number, extent)?;
            let here = (segment.len() - within).min(buffer.len() - done);
            buffer[done..][..here].copy_from_slice(&segment[within..][..here]);
            done += here;
        }
        Ok(done)
    }

    /// A segment as it came, head first.
    fn sealed(&self, number: u64, extent: Extent) -> Result<Vec<u8>> {
        let head = self.heads.get(number)?;
        let mut segment = vec![0; extent.stored()];
        segment[..HEAD].copy_from_slice(&head);
        self.file.read_at(extent.plain.0, &mut segment[HEAD..])?;
        if matches!(self.stands(number)?, Stands::Content) {
            self.restore(number, &head, &mut segment[HEAD..]);
        }
        Ok(segment)
    }

    /// What is known of the sealed file.
    pub(super) fn metadata(&self) -> Result<Metadata> {
        let Sealed(size) = self.heads.length();
        Ok(Metadata { size, ..self.file.metadata()? })
    }

    /// Makes sure that all of the content is there and authentic, and nothing
    /// else.
    ///
    /// # Errors
    /// [`Damaged`](ErrorKind::Damaged), and what the store reports.
    pub(super) fn finish(&self) -> Result<()> {
        let _alone = self.shape.write().unwrap_or_else(PoisonError::into_inner);
        if self.known().finished {
            return Ok(());
        }
        let segments = self.layout().segments(self.content);
        loop {
            let Some(gap) = self.known().opened.gap(segments) else { break };
            for number in gap {
                self.prove(number)?;
            }
        }
        // Space that was reserved behind the end goes too.
        let found = self.file.metadata()?;
        if found.size != self.content.0 || found.allocated > found.size.next_multiple_of(4096) {
            self.file.truncate(self.content.0)?;
            self.file.set_attributes(&Attributes::default().with_modified(found.modified))?;
        }
        self.known().finished = true;
        Ok(())
    }

    /// Opens a segment that was not opened since it came.
    fn prove(&self, number: u64) -> Result<()> {
        let Some(extent) = self.extent(number) else { return Ok(()) };
        let opened = match self.stands(number)? {
            // What did not come of it is a hole, if it is authentic.
            Stands::Ciphertext(_) => self.open_in_place(number, extent)?,
            Stands::Content => {
                let (head, mut body) = (self.heads.get(number)?, self.body(extent)?);
                self.restore(number, &head, &mut body);
                let opened = self.open(number, &head, &mut body);
                if opened.is_ok() {
                    self.known().opened.insert(number..number + 1);
                }
                opened.map(drop)
            }
        };
        opened.map_err(|error| self.failed(error))
    }
}
