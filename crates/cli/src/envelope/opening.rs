//! One sealed file becomes a plain one.

use std::cell::RefCell;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::sync::Arc;

use limosa_seal::AlgorithmSet;
use limosa_seal::envelope::{Header, Keyring, OpeningReader, Sealed, StreamError};
use limosa_storage::{FollowLinks, ReadFile, Store};

use crate::arguments::UnprotectArguments;
use crate::failure::CommandFailure;

use super::batch::{Watch, Work};
use super::keys::opening_keys;
use super::sealing::PORTION;
use super::staging::StagedFile;
use super::stream::{FileReader, FileWriter};
use super::walk::{Item, Place, failure};

/// Longest header.
const LONGEST_HEADER: usize = 64 * 1024;

/// The header of an open file.
pub(super) fn header(file: &dyn ReadFile, set: AlgorithmSet) -> Result<Header, CommandFailure> {
    let mut bytes = vec![0; LONGEST_HEADER];
    let read = file.read_at(0, &mut bytes).map_err(|error| failure(&error))?;
    Ok(Header::decode(&bytes[..read], set)?)
}

/// What `limosa unprotect` does.
#[derive(Debug)]
pub(super) struct Opening {
    keyring: Keyring,
    place: Place,
}

impl Opening {
    /// As the options say.
    pub(super) fn new(arguments: &UnprotectArguments) -> Result<Self, CommandFailure> {
        let place = Place::new(&arguments.place, arguments.paths.len())?;
        Ok(Self { keyring: opening_keys(&arguments.keys, arguments.fips.algorithms()?)?, place })
    }
}

impl Work for Opening {
    fn file(&mut self, store: &dyn Store, item: &Item, watch: &Watch) -> Result<u64, CommandFailure> {
        let source: Arc<dyn ReadFile> = store.open(&item.path, FollowLinks::No).map_err(|error| failure(&error))?;
        let metadata = source.metadata().map_err(|error| failure(&error))?;
        let envelope = self.keyring.open(&header(&*source, self.keyring.set())?)?;
        let mut reader = OpeningReader::new(&envelope, FileReader::new(source), Sealed(metadata.size))?;
        let length = reader.content().0;
        let to = self.place.of_plain(item)?;
        let result = StagedFile::begin(store, &to.path, self.place.overwrite)?;
        copy(&mut reader, FileWriter::new(result.file.clone()), watch)?;
        result.publish(length, (item, &metadata), &to, self.place.overwrite)?;
        Ok(length)
    }

    fn directory(&mut self, store: &dyn Store, item: &Item) -> Result<(), CommandFailure> {
        self.place.mirror(store, item)
    }
}

/// Copies data as data and holes as holes.
fn copy(reader: &mut OpeningReader<FileReader>, out: FileWriter, watch: &Watch) -> Result<(), CommandFailure> {
    let out = RefCell::new(BufWriter::with_capacity(PORTION, out));
    reader.copy::<CommandFailure>(
        |bytes| {
            watch.go_on()?;
            watch.moved(bytes.len() as u64);
            Ok(out.borrow_mut().write_all(bytes).map_err(StreamError::from)?)
        },
        |zeros| {
            watch.go_on()?;
            let by = i64::try_from(zeros).expect("a segment is at most a mebibyte");
            out.borrow_mut().seek(SeekFrom::Current(by)).map_err(StreamError::from)?;
            Ok(())
        },
    )?;
    out.into_inner().flush().map_err(StreamError::from)?;
    Ok(())
}
