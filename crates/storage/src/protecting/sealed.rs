//! One file that is sealed while it is read.
//!
//! What is read again is made again: the content encrypted under the nonce of
//! the head that was sent. That is given out only if the tag of that head fits,
//! so that no nonce ever serves two contents; a segment whose source has changed,
//! or whose head is forgotten, is sealed anew.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limosa_seal::envelope::{
    End, Envelope, EnvelopeError, HEAD, Header, Layout, Plain, Sealed, SegmentNumber, SegmentOpener, SegmentSealer,
};

use super::keys::ProtectionKeys;
use super::sent::SentHeads;
use super::unopened;
use crate::contract::ReadFile;
use crate::error::{ErrorKind, Operation, Result, StorageError};
use crate::metadata::{Metadata, Timestamp};
use crate::path::StorePath;
use crate::pool::Pool;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a source looks like once it is sealed.
///
/// # Errors
/// [`TooLarge`](ErrorKind::TooLarge) if it would be longer than any file.
pub(super) fn sealed_metadata(path: &StorePath, keys: &ProtectionKeys, source: &Metadata) -> Result<Metadata> {
    let content = Plain(source.size);
    let sealed = keys.layout(content).sealed_len(content);
    let Sealed(size) = sealed.ok_or_else(|| StorageError::new(ErrorKind::TooLarge, Operation::Metadata, path))?;
    // Its holes become encrypted zeros: it has none.
    Ok(Metadata { size, allocated: size, ..source.clone() })
}

/// A file open for reading that shows it sealed.
#[derive(Debug)]
pub(super) struct SealedFile {
    source: Arc<dyn ReadFile>,
    path: StorePath,
    keys: Arc<ProtectionKeys>,
    /// How the state of the source is sealed that was seen last.
    sealing: Mutex<Arc<Sealing>>,
}

impl SealedFile {
    /// Seals `source` from now on; with `earlier`, the header of what was sent
    /// of it before, under the file key of that.
    pub(super) fn new(
        source: Arc<dyn ReadFile>,
        path: &StorePath,
        keys: Arc<ProtectionKeys>,
        earlier: Option<&Header>,
    ) -> Result<Self> {
        let metadata = source.metadata()?;
        if !metadata.is_file() {
            return Err(StorageError::new(ErrorKind::Unsupported, Operation::Open, path));
        }
        let envelope = match earlier {
            Some(header) => keys.earlier(&metadata, header),
            None => keys.envelope(&metadata),
        };
        let envelope = envelope.map_err(|error| unopened(path, error))?;
        let sealing = Mutex::new(Arc::new(Sealing::new(envelope, &metadata)));
        Ok(Self { source, path: path.clone(), keys, sealing })
    }

    fn sealing(&self) -> Arc<Sealing> {
        locked(&self.sealing).clone()
    }
}

impl ReadFile for SealedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let failed = |error| unopened(&self.path, error);
        self.sealing().read(&*self.source, offset, buffer).map_err(|error| match error {
            Fault::Source(error) => error,
            Fault::Envelope(error) => failed(error),
        })
    }

    fn metadata(&self) -> Result<Metadata> {
        let metadata = self.source.metadata()?;
        let mut sealing = locked(&self.sealing);
        if !sealing.is_of(&metadata) {
            let envelope = self.keys.envelope(&metadata).map_err(|error| unopened(&self.path, error))?;
            *sealing = Arc::new(Sealing::new(envelope, &metadata));
        }
        drop(sealing);
        sealed_metadata(&self.path, &self.keys, &metadata)
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>> {
        let end = self.sealing().length();
        Ok((offset < end).then_some(offset..end))
    }
}

/// What can go wrong while a segment is made.
enum Fault {
    Source(StorageError),
    Envelope(EnvelopeError),
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        Self::Source(error)
    }
}

impl From<EnvelopeError> for Fault {
    fn from(error: EnvelopeError) -> Self {
        Self::Envelope(error)
    }
}

/// How one state of a source is sealed.
struct Sealing {
    modified: Timestamp,
    content: Plain,
    layout: Layout,
    envelope: Envelope,
    sealers: Pool<SegmentSealer>,
    openers: Pool<SegmentOpener>,
    sent: Mutex<SentHeads>,
    /// The last segment of which only a part was asked for: the next read goes
    /// on with the same.
    split: Mutex<Option<(SegmentNumber, Vec<u8>)>>,
}

impl Sealing {
    fn new(envelope: Envelope, source: &Metadata) -> Self {
        Self {
            modified: source.modified,
            content: Plain(source.size),
            layout: envelope.preamble().layout,
            envelope,
            sealers: Pool::default(),
            openers: Pool::default(),
            sent: Mutex::default(),
            split: Mutex::default(),
        }
    }

    fn is_of(&self, source: &Metadata) -> bool {
        self.content == Plain(source.size) && self.modified == source.modified
    }

    fn length(&self) -> u64 {
        self.layout.sealed_len(self.content).map_or(0, |length| length.0)
    }

    /// Reads what lies at `offset`; less than was asked for only at the end, or
    /// where the source has become shorter.
    fn read(&self, source: &dyn ReadFile, offset: u64, buffer: &mut [u8]) -> std::result::Result<usize, Fault> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let here = match self.read_part(source, offset + done as u64, rest)? {
                0 => break,
                here => here,
            };
            done += here;
        }
        Ok(done)
    }

    /// Reads to the end of the header or of one segment at most.
    fn read_part(&self, source: &dyn ReadFile, offset: u64, out: &mut [u8]) -> std::result::Result<usize, Fault> {
        let header = self.layout.header() as u64;
        let Some(behind) = offset.checked_sub(header) else {
            return Ok(copy(&self.envelope.header()?, offset, out));
        };
        let stored = (self.layout.segment() + HEAD) as u64;
        let (number, within) = (SegmentNumber(behind / stored), behind % stored);
        let Some(extent) = self.layout.extent(number, self.content) else { return Ok(0) };
        let length = extent.stored();
        if within == 0
            && let Some(segment) = out.get_mut(..length)
        {
            return Ok(if self.seal(source, number, segment)? { length } else { 0 });
        }
        if within >= length as u64 {
            return Ok(0);
        }
        let mut split = locked(&self.split);
        let kept = split.take().filter(|(kept, _)| within > 0 && *kept == number);
        let segment = match kept {
            Some((_, segment)) => segment,
            None => {
                let mut segment = vec![0; length];
                if !self.seal(source, number, &mut segment)? {
                    return Ok(0);
                }
                segment
            }
        };
        let here = copy(&segment, within, out);
        *split = Some((number, segment));
        Ok(here)
    }

    /// Fills `segment` with a segment; false if the source has become shorter.
    fn seal(
        &self,
        source: &dyn ReadFile,
        number: SegmentNumber,
        segment: &mut [u8],
    ) -> std::result::Result<bool, Fault> {
        let Some(extent) = self.layout.extent(number, self.content) else { return Ok(false) };
        let plain = segment.get_mut(HEAD..).unwrap_or_default();
        if source.read_at(extent.plain.0, plain)? < plain.len() {
            return Ok(false);
        }
        let sent = locked(&self.sent).get(number.0);
        if sent.is_some_and(|head| self.seal_again(number, head, segment)) {
            return Ok(true);
        }
        let end = if extent.is_last { End::Final } else { End::More };
        self.sealers.with(|| self.envelope.sealer(), |sealer| sealer.seal(number, end, segment))?;
        if let Some(head) = segment.first_chunk() {
            locked(&self.sent).put(number.0, *head);
        }
        Ok(true)
    }

    /// Makes the segment once more that was sent with this head; false, and the
    /// content left as it is, if that was of another content.
    fn seal_again(&self, number: SegmentNumber, head: [u8; HEAD], segment: &mut [u8]) -> bool {
        let Some((room, body)) = segment.split_first_chunk_mut() else { return false };
        self.openers.with(
            || self.envelope.opener(),
            |opener| {
                opener.restore(number, &head, body);
                let mut copy = body.to_vec();
                let is_same = opener.open_body(number, &head, &mut copy).is_ok();
                if is_same {
                    *room = head;
                } else {
                    // Counter mode undoes itself.
                    opener.restore(number, &head, body);
                }
                is_same
            },
        )
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("content", &self.content).field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// Copies what lies at `offset` of `bytes`, as much as there is and fits.
fn copy(bytes: &[u8], offset: u64, out: &mut [u8]) -> usize {
    let from = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
    let here = from.len().min(out.len());
    out[..here].copy_from_slice(&from[..here]);
    here
}
