//! Files that are whole in memory: checked, written, synced together, and
//! published one by one; their names are synced together too where that is
//! asked for.

use std::sync::Arc;

use limosa_storage::{Durability, Publish, Result, Staged, Store, WriteFile};

use super::super::operation::{WholeOutcome, WriteWhole};
use super::{Synced, forget, with_parents};

/// A file on its way to its name.
enum Stage {
    /// Written under its hidden name.
    Written(Arc<dyn WriteFile>),
    /// Over: nothing of it is there.
    Over(Result<WholeOutcome>),
}

/// Writes files; what became of each, in their order.
pub(super) fn write(store: &dyn Store, files: &[WriteWhole]) -> Vec<Result<WholeOutcome>> {
    let stages: Vec<Stage> = files.iter().map(|file| stage(store, file)).collect();
    let synced = sync_together(store, files, &stages);
    let mut outcomes: Vec<_> =
        files.iter().zip(stages).map(|(file, stage)| publish(store, file, stage, synced)).collect();
    sync_published(store, files, &mut outcomes);
    outcomes
}

/// Syncs the names that files were given, if they are to be there for good.
fn sync_published(store: &dyn Store, files: &[WriteWhole], outcomes: &mut [Result<WholeOutcome>]) {
    let pairs = files.iter().zip(outcomes);
    let published: Vec<_> = pairs
        .filter(|(file, outcome)| {
            file.publish.durability == Durability::Strict && matches!(outcome, Ok(WholeOutcome::Published))
        })
        .collect();
    let synced = Synced::with_those_above(store, published.iter().filter_map(|(file, _)| file.to.parent()));
    for (file, outcome) in published {
        if let Err(error) = synced.name(&file.to) {
            *outcome = Err(error);
        }
    }
}

fn stage(store: &dyn Store, whole: &WriteWhole) -> Stage {
    let mut hasher = whole.algorithm.hasher();
    hasher.update(&whole.bytes);
    if hasher.finish() != whole.digest {
        return Stage::Over(Ok(WholeOutcome::Mismatch));
    }
    match with_parents(store, &whole.staged, whole.parents, || store.create(&whole.staged)) {
        Ok(file) => match fill(&*file, whole) {
            Ok(()) => Stage::Written(file),
            Err(error) => {
                forget(store, &whole.staged);
                Stage::Over(Err(error))
            }
        },
        Err(error) => Stage::Over(Err(error)),
    }
}

fn fill(file: &dyn WriteFile, whole: &WriteWhole) -> Result<()> {
    file.expect_length(whole.bytes.len() as u64);
    if !whole.bytes.is_empty() {
        file.write_at(0, &whole.bytes)?;
    }
    file.set_attributes(&whole.attributes)
}

/// Syncs what was written in one step, where that is what the durability asks
/// for; says whether it did. If it fails each file is synced by itself, so
/// that only those fail that must.
fn sync_together(store: &dyn Store, files: &[WriteWhole], stages: &[Stage]) -> bool {
    let written: Vec<_> = stages
        .iter()
        .filter_map(|stage| match stage {
            Stage::Written(file) => Some(file.clone()),
            Stage::Over(_) => None,
        })
        .collect();
    let asked_for = files.iter().all(|file| file.publish.durability >= Durability::File);
    asked_for && written.len() > 1 && store.sync_files(&written).is_ok()
}

fn publish(store: &dyn Store, whole: &WriteWhole, stage: Stage, synced: bool) -> Result<WholeOutcome> {
    let file = match stage {
        Stage::Written(file) => file,
        Stage::Over(result) => return result,
    };
    // Its name is synced with those of the others.
    let durability = if synced { Durability::None } else { whole.publish.durability.min(Durability::File) };
    let how = Publish { durability, ..whole.publish };
    store
        .publish(Staged::File { path: &whole.staged, file: &*file }, &whole.to, how)
        .inspect_err(|_| forget(store, &whole.staged))?;
    Ok(WholeOutcome::Published)
}
