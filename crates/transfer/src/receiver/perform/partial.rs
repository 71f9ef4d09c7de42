//! Partial files and their journals: found, opened under a lock, checkpointed,
//! published or let go.

use std::collections::BTreeMap;
use std::sync::Arc;

use limosa_seal::envelope::MAGIC;
use limosa_storage::{
    Attributes, Durability, ErrorKind, Metadata, Operation, Publish, ReadFile, Result, Staged, StorageError, Store,
    StorePath, WriteFile, read_whole,
};
use limosa_wire::Code;
use limosa_wire::front::{FRONT, Front};
use limosa_wire::layout::Digest;
use limosa_wire::setup::Overwrite;
use limosa_wire::verdict::MAX_MISSING;

use super::super::error::is_misfit;
use super::super::operation::{
    DestinationOutput, Earlier, Fate, Inspect, Inspection, Journal, OpenJournal, OpenPartial, Partial, Promise,
    PublishPartial, ResumeFrom,
};
use super::{find, forget, sync_name, with_parents};
use crate::failure::Failure;
use crate::journal::{Chain, JournalHeader, MAX_JOURNAL, Replay};

/// The mode of a partial file.
const OWNER_ONLY: u32 = 0o600;

pub(super) fn checkpoint(partial: &Partial, records: &[u8]) -> Result<()> {
    partial.file.sync_data()?;
    match &partial.journal {
        Some(journal) if !records.is_empty() => {
            journal.file.append(records)?;
            journal.file.sync_data()
        }
        _ => Ok(()),
    }
}

pub(super) fn publish(store: &dyn Store, request: PublishPartial) -> Result<()> {
    let PublishPartial { partial, to, size, attributes, publish, envelopes_only, otherwise } = request;
    if envelopes_only && !begins_as_envelope(&*partial.file)? {
        let _ = close(store, &partial, &Fate::Remove);
        return Err(StorageError::new(ErrorKind::Unprotected, Operation::Publish, &to));
    }
    name_partial(store, &partial, &to, size, &attributes, publish).inspect_err(|error| {
        // It may have got a name all the same: then there is nothing to continue.
        let is_gone = matches!(find(store, &partial.path), Ok(None));
        // What is damaged would be as damaged for whoever continued it.
        let is_useless = is_gone || error.kind() == ErrorKind::Damaged || is_misfit(error);
        let _ = close(store, &partial, if is_useless { &Fate::Remove } else { &otherwise });
    })?;
    if let Some(journal) = &partial.journal {
        forget(store, &journal.path);
    }
    Ok(())
}

fn begins_as_envelope(file: &dyn ReadFile) -> Result<bool> {
    let mut magic = [0; MAGIC.len()];
    Ok(file.read_at(0, &mut magic)? == magic.len() && magic == MAGIC)
}

fn name_partial(
    store: &dyn Store,
    partial: &Partial,
    to: &StorePath,
    size: u64,
    attributes: &Attributes,
    publish: Publish,
) -> Result<()> {
    if partial.file.metadata()?.size != size {
        partial.file.truncate(size)?;
    }
    partial.file.set_attributes(attributes)?;
    // Its name is synced here, with those above.
    let how = Publish { durability: publish.durability.min(Durability::File), ..publish };
    store.publish(Staged::File { path: &partial.path, file: &*partial.file }, to, how)?;
    if publish.durability == Durability::Strict { sync_name(store, to) } else { Ok(()) }
}

pub(super) fn close(store: &dyn Store, partial: &Partial, fate: &Fate) -> Result<()> {
    match fate {
        Fate::Keep(records) => checkpoint(partial, records),
        Fate::Remove => {
            forget(store, &partial.path);
            if let Some(journal) = &partial.journal {
                forget(store, &journal.path);
            }
            Ok(())
        }
    }
}

pub(super) fn inspect(store: &dyn Store, inspect: &Inspect) -> Result<Inspection> {
    if let Some(found) = find(store, &inspect.to)?
        && let Some(inspection) = judge(&found, inspect)
    {
        return Ok(inspection);
    }
    let Some(from) = &inspect.resume else { return Ok(Inspection::Take) };
    let held = read_journal(store, &from.journal, &from.header)?.map(|replay| replay.held).unwrap_or_default();
    if held.is_empty() || !holds(store, from, &held)? {
        return Ok(Inspection::Take);
    }
    let missing = missing_chunks(&held, from.header.chunks());
    if !from.by_front {
        return Ok(Inspection::Resume(Promise { missing, front: None }));
    }
    let front = if held.contains_key(&0) { front_at_rest(store, from)? } else { None };
    Ok(front.map_or(Inspection::Take, |front| Inspection::Resume(Promise { missing, front: Some(front) })))
}

/// How the partial file of an earlier session begins, if that can be told.
///
/// It is opened as by who goes on with it, under its lock: a store that seals
/// shows nobody else what is not finished.
fn front_at_rest(store: &dyn Store, from: &ResumeFrom) -> Result<Option<Front>> {
    let Ok(_lock) = store.lock(&from.journal) else { return Ok(None) };
    let Some(file) = reopen(store, &from.partial)? else { return Ok(None) };
    file.expect_length(from.header.size);
    Ok(front_of(&*file))
}

/// How a partial file begins, if that can be told.
fn front_of(file: &dyn ReadFile) -> Option<Front> {
    let mut bytes = vec![0; FRONT];
    let read = file.read_at(0, &mut bytes).ok()?;
    Front::of(&bytes[..read])
}

/// What follows from what stands there; `None` if it may be replaced.
fn judge(found: &Metadata, inspect: &Inspect) -> Option<Inspection> {
    if found.is_directory() {
        return Some(Inspection::Refuse(Failure::new(Code::IS_A_DIRECTORY)));
    }
    match (inspect.overwrite, inspect.same) {
        (Overwrite::Never, _) => Some(Inspection::Refuse(Failure::new(Code::ALREADY_EXISTS))),
        (Overwrite::Different, Some((size, modified)))
            if found.is_file() && found.size == size && found.modified == modified =>
        {
            Some(Inspection::Skip)
        }
        _ => None,
    }
}

/// What the journal says, if there is one of this file.
fn read_journal(store: &dyn Store, path: &StorePath, header: &JournalHeader) -> Result<Option<Replay>> {
    match read_whole(store, path, MAX_JOURNAL) {
        Ok(bytes) => Ok(Replay::of(&bytes, header)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::TooLarge) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the partial file reaches as far as its journal says.
fn holds(store: &dyn Store, from: &ResumeFrom, held: &BTreeMap<u32, Digest>) -> Result<bool> {
    let Some(found) = find(store, &from.partial)? else { return Ok(false) };
    Ok(found.is_file() && found.size >= end_of(held, &from.header))
}

/// Where the last held chunk ends, bytes.
fn end_of(held: &BTreeMap<u32, Digest>, header: &JournalHeader) -> u64 {
    let last = held.last_key_value().map_or(0, |(&chunk, _)| u64::from(chunk) + 1);
    last.saturating_mul(1 << header.chunk_log2).min(header.size)
}

/// The stretches between what is held, the smallest gaps between them closed
/// where there are more than a verdict can name.
fn missing_chunks(held: &BTreeMap<u32, Digest>, chunks: u64) -> Vec<(u64, u64)> {
    let mut missing = Vec::new();
    let mut next = 0;
    for &chunk in held.keys() {
        let chunk = u64::from(chunk);
        if chunk > next {
            missing.push((next, chunk - next));
        }
        next = chunk + 1;
    }
    if next < chunks {
        missing.push((next, chunks - next));
    }
    while missing.len() > MAX_MISSING {
        missing = halve(&missing);
    }
    missing
}

/// Joins every stretch with its neighbour.
fn halve(missing: &[(u64, u64)]) -> Vec<(u64, u64)> {
    missing
        .chunks(2)
        .map(|pair| {
            let ((first, _), (last, count)) = (pair[0], pair[pair.len() - 1]);
            (first, last + count - first)
        })
        .collect()
}

pub(super) fn open(store: &dyn Store, open: &OpenPartial) -> Result<DestinationOutput> {
    let output = match &open.journal {
        None => {
            let file = with_parents(store, &open.path, open.parents, || store.create(&open.path))?;
            let partial = Arc::new(Partial::new(open.path.clone(), file, None));
            DestinationOutput::Opened { partial, chain: None, held: BTreeMap::new() }
        }
        Some(journal) => open_journaled(store, open, journal)?,
    };
    if let (DestinationOutput::Opened { partial, .. }, Some(size)) = (&output, open.size) {
        // What the journal speaks of must not be written over to end the file.
        partial.file.expect_length(size);
    }
    if let (DestinationOutput::Opened { partial, held, .. }, Some(length)) = (&output, open.preallocate)
        && held.is_empty()
        && let Err(error) = partial.file.preallocate(length)
    {
        let _ = close(store, partial, &Fate::Remove);
        return Err(error);
    }
    Ok(output)
}

fn open_journaled(store: &dyn Store, open: &OpenPartial, plan: &OpenJournal) -> Result<DestinationOutput> {
    let lock = with_parents(store, &plan.path, open.parents, || store.lock(&plan.path))?;
    let journal = Journal { path: plan.path.clone(), file: store.open_append(&plan.path)?, _lock: lock };
    let (file, chain, held) = match resumable(store, &open.path, plan)? {
        Some((file, replay)) => {
            let chain = tidy(&journal, &replay, &plan.header)?;
            (file, chain, replay.held)
        }
        None => {
            let chain = begin(&journal, &plan.header)?;
            let file = store.create(&open.path)?;
            // The journal must never speak of a file that had this name before,
            // nor what it says be lost with a directory above.
            sync_name(store, &open.path)?;
            (file, chain, BTreeMap::new())
        }
    };
    let partial = Arc::new(Partial::new(open.path.clone(), file, Some(journal)));
    Ok(DestinationOutput::Opened { partial, chain: Some(chain), held })
}

/// The partial file of an earlier session and its journal, if both are there
/// and fit; under the journal's lock.
fn resumable(store: &dyn Store, path: &StorePath, plan: &OpenJournal) -> Result<Option<(Arc<dyn WriteFile>, Replay)>> {
    if plan.earlier == Earlier::Nothing {
        return Ok(None);
    }
    let Some(replay) = read_journal(store, &plan.path, &plan.header)? else { return Ok(None) };
    let Some(file) = reopen(store, path)? else { return Ok(None) };
    let long_enough = file.metadata()?.size >= end_of(&replay.held, &plan.header);
    let begins_so = match &plan.earlier {
        Earlier::Nothing => false,
        Earlier::Any => true,
        Earlier::Beginning(front) => replay.held.contains_key(&0) && front_of(&*file).as_ref() == Some(front),
    };
    Ok((begins_so && long_enough && !replay.held.is_empty()).then_some((file, replay)))
}

/// Opens a partial file to go on writing it; `None` if it is gone or out of
/// reach. A session that was killed while it published the file may have given
/// it a mode that forbids its owner to write.
fn reopen(store: &dyn Store, path: &StorePath) -> Result<Option<Arc<dyn WriteFile>>> {
    let opened = match store.reopen(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            store.set_attributes(path, &Attributes::default().with_mode(OWNER_ONLY)).and_then(|()| store.reopen(path))
        }
        result => result,
    };
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Starts the journal anew: empty on disk before anything is written to a new
/// partial file, so that old records never speak of it.
fn begin(journal: &Journal, header: &JournalHeader) -> Result<Chain> {
    let (bytes, chain) = header.start();
    if journal.file.length()? > 0 {
        journal.file.truncate(0)?;
    }
    journal.file.append(&bytes)?;
    // Also where it was empty: a session that was killed may have emptied it
    // and not synced that.
    journal.file.sync_data()?;
    Ok(chain)
}

/// Takes away what is torn, or writes the journal shorter. A crash in between
/// costs a restart of the file.
fn tidy(journal: &Journal, replay: &Replay, header: &JournalHeader) -> Result<Chain> {
    if replay.is_worth_compacting() {
        let (bytes, chain) = replay.compacted(header);
        journal.file.truncate(0)?;
        journal.file.append(&bytes)?;
        journal.file.sync_data()?;
        return Ok(chain);
    }
    if journal.file.length()? > replay.length {
        journal.file.truncate(replay.length)?;
    }
    Ok(replay.chain)
}
