//! One plain file becomes a sealed one.

use std::io::{BufWriter, Write};

use limosa_seal::EnvelopeSuite;
use limosa_seal::envelope::{Envelope, EnvelopeError, Layout, SealingWriter, StreamError};
use limosa_storage::{FollowLinks, ReadFile, Store};
use limosa_wire::Code;
use limosa_wire::setup::Suite;

use crate::arguments::ProtectArguments;
use crate::failure::CommandFailure;

use super::batch::{Watch, Work};
use super::keys::{SealingKeys, sealing_keys};
use super::staging::StagedFile;
use super::stream::FileWriter;
use super::walk::{Item, Place, failure};

/// Bytes read and written in one go.
pub(super) const PORTION: usize = 1 << 20;

/// Zeros skipped in one go: some thousand heads are written for them.
const HOLE: u64 = 64 << 20;

/// What `limosa protect` does.
#[derive(Debug)]
pub(super) struct Sealing {
    keys: SealingKeys,
    suite: EnvelopeSuite,
    layout: Layout,
    place: Place,
}

impl Sealing {
    /// As the options say.
    pub(super) fn new(arguments: &ProtectArguments) -> Result<Self, CommandFailure> {
        let place = Place::new(&arguments.place, arguments.paths.len())?;
        let set = arguments.fips.algorithms()?;
        let keys = sealing_keys(arguments, set)?;
        let suite = set.envelope_suite(Suite::from(arguments.cipher)).map_err(EnvelopeError::from)?;
        let layout = Envelope::layout_for(Layout::PLAIN_ALIGNED, keys.count()).ok_or(EnvelopeError::NoRoom)?;
        Ok(Self { keys, suite, layout, place })
    }
}

impl Work for Sealing {
    fn file(&mut self, store: &dyn Store, item: &Item, watch: &Watch) -> Result<u64, CommandFailure> {
        let to = self.place.of_sealed(item)?;
        let source = store.open(&item.path, FollowLinks::No).map_err(|error| failure(&error))?;
        let metadata = source.metadata().map_err(|error| failure(&error))?;
        let result = StagedFile::begin(store, &to.path, self.place.overwrite)?;
        let out = BufWriter::with_capacity(PORTION, FileWriter::new(result.file.clone()));
        let mut writer = SealingWriter::new(&self.keys.envelope(self.suite, self.layout)?, out)?;
        copy(&*source, metadata.size, &mut writer, watch)?;
        let (_, length) = writer.finish()?;
        let now = source.metadata().map_err(|error| failure(&error))?;
        if !now.same_content_as(&metadata) {
            return Err(CommandFailure::new(Code::SOURCE_CHANGED, ""));
        }
        result.publish(length.0, (item, &metadata), &to, self.place.overwrite)?;
        Ok(metadata.size)
    }

    fn directory(&mut self, store: &dyn Store, item: &Item) -> Result<(), CommandFailure> {
        self.place.mirror(store, item)
    }
}

/// Copies data as data and holes as holes.
fn copy(
    source: &dyn ReadFile,
    size: u64,
    writer: &mut SealingWriter<BufWriter<FileWriter>>,
    watch: &Watch,
) -> Result<(), CommandFailure> {
    let mut buffer = vec![0; PORTION];
    let mut at = 0;
    while at < size {
        let data = source.next_data(at).map_err(|error| failure(&error))?;
        let data = data.filter(|data| data.start < size).unwrap_or(size..size);
        while at < data.start {
            watch.go_on()?;
            let hole = (data.start - at).min(HOLE);
            writer.skip(hole)?;
            at += hole;
        }
        let end = data.end.min(size);
        while at < end {
            watch.go_on()?;
            let wanted = usize::try_from(end - at).map_or(PORTION, |left| left.min(PORTION));
            let read = source.read_at(at, &mut buffer[..wanted]).map_err(|error| failure(&error))?;
            if read == 0 {
                return Err(CommandFailure::new(Code::SOURCE_CHANGED, ""));
            }
            writer.write_all(&buffer[..read]).map_err(StreamError::from)?;
            at += read as u64;
            watch.moved(read as u64);
        }
    }
    // Some files do not know their own length.
    match source.read_at(size, &mut buffer[..1]).map_err(|error| failure(&error))? {
        0 => Ok(()),
        _ => Err(CommandFailure::new(Code::SOURCE_CHANGED, "it is longer than its length")),
    }
}
