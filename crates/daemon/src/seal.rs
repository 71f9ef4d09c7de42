//! `limosad seal`: the files that the server has sealed at rest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use limosa_node::NodeError;
use limosa_node::config::ConfigLayer;
use limosa_node::master_keys::transit::{Renewed, TransitError, TransitKey};
use limosa_node::master_keys::{KeyError, KeySources, Trust};
use limosa_seal::AlgorithmSet;
use limosa_seal::envelope::MasterKey;
use limosa_seal::module::Module;
use limosa_storage::sealed::{Rewrapped, rewrap};
use limosa_storage::{Confinement, Kind, LocalStore, MasterKeys, StorageError, Store, StorePath};
use limosa_wire::Code;

use crate::arguments::{NewKeyArguments, PlaceArguments, RotateArguments, SealCommand};
use crate::failure::Failure;

/// Entries asked for at a time.
const PAGE: usize = 1024;
/// What is locked in the directory while it is gone through, and removed then.
const LOCK: &[u8] = b".limosa-seal-rotate";

pub(crate) fn run(command: &SealCommand) -> Result<(), Failure> {
    match command {
        SealCommand::Rotate(arguments) => rotate(arguments),
        SealCommand::NewKey(arguments) => new_key(arguments),
        SealCommand::RenewKey { file, place } => renew_key(file, place),
    }
}

fn new_key(arguments: &NewKeyArguments) -> Result<(), Failure> {
    // They are read by a server that is started elsewhere.
    let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let key = TransitKey {
        address: arguments.address.clone(),
        mount: arguments.mount.clone(),
        key: arguments.key.clone(),
        namespace: arguments.namespace.clone(),
        token_file: arguments.token_file.as_ref().map(whole),
        ca_file: arguments.ca_file.as_ref().map(whole),
        wrapped: String::new(),
        check: None,
    };
    key.create(&arguments.file, algorithms(&arguments.place)?).map_err(|error| unavailable(&error))?;
    println!("{} holds a new master key, wrapped by `{}`", arguments.file.display(), arguments.key);
    Ok(())
}

fn renew_key(file: &Path, place: &PlaceArguments) -> Result<(), Failure> {
    let renewed = TransitKey::renew(file, algorithms(place)?).map_err(|error| unavailable(&error))?;
    let file = file.display();
    match renewed {
        Renewed::Changed { from, to } => {
            println!("{file} is wrapped anew, by {to} of the key server's key; before, by {from}");
        }
        Renewed::Newest(version) => {
            println!("{file} is wrapped by {version} of the key server's key already, its newest; nothing was changed");
        }
    }
    Ok(())
}

fn algorithms(place: &PlaceArguments) -> Result<AlgorithmSet, Failure> {
    let config = place.configuration(ConfigLayer::default())?;
    Ok(config.algorithms(Module::running()).map_err(NodeError::from)?)
}

fn unavailable(error: &TransitError) -> Failure {
    Failure::new(Code::AT_REST_KEY, error.to_string())
}

fn rotate(arguments: &RotateArguments) -> Result<(), Failure> {
    let config = arguments.place.configuration(ConfigLayer::default())?;
    let set = config.algorithms(Module::running()).map_err(NodeError::from)?;
    let sources = KeySources::of(&config, Trust::Administered);
    let failed =
        |error: Arc<KeyError>| Failure::new(Code::AT_REST_KEY, format!("master key {}: {error}", arguments.to));
    let to = sources.key(&arguments.to).map_err(failed)?;
    let mut rotation = Rotation { keys: sources.opening(set), to, tally: Tally::default() };
    for directory in &arguments.directories {
        rotation.tree(directory);
    }
    let Tally { done, already, not_sealed, failed } = rotation.tally;
    println!("{done} rewrapped, {already} done before, {not_sealed} not sealed, {failed} failed");
    if failed == 0 { Ok(()) } else { Err(Failure::told(Code::SOME_FAILED)) }
}

/// What became of the files so far.
#[derive(Debug, Default)]
struct Tally {
    done: u64,
    already: u64,
    not_sealed: u64,
    failed: u64,
}

#[derive(Debug)]
struct Rotation {
    keys: MasterKeys,
    to: MasterKey,
    tally: Tally,
}

impl Rotation {
    /// Every file below `directory`, hidden ones too; links are not followed.
    fn tree(&mut self, directory: &Path) {
        let store = match LocalStore::open(directory, Confinement::Inside) {
            Ok(store) => store,
            Err(error) => return self.fail(&error),
        };
        // Two at a time would each write the header that the other has read.
        let lock = StorePath::parse(LOCK).expect("it is a name");
        let alone = match store.lock(&lock) {
            Ok(guard) => guard,
            Err(error) => return self.fail(&error),
        };
        let mut ahead = vec![StorePath::root()];
        while let Some(place) = ahead.pop() {
            if let Err(error) = self.directory(&store, &place, &mut ahead) {
                self.fail(&error);
            }
        }
        if let Err(error) = store.remove(&lock) {
            self.fail(&error);
        }
        drop(alone);
    }

    fn directory(
        &mut self,
        store: &LocalStore,
        place: &StorePath,
        ahead: &mut Vec<StorePath>,
    ) -> Result<(), StorageError> {
        let mut from = None;
        loop {
            let page = store.list(place, from.as_ref(), PAGE)?;
            for entry in page.entries {
                let Ok(path) = place.join(&entry.name) else { continue };
                if path.as_bytes() == LOCK {
                    continue;
                }
                match entry.kind {
                    Some(Kind::Directory) => ahead.push(path),
                    Some(Kind::File) => self.file(store, &path),
                    Some(_) => {}
                    None => match store.metadata(&path, limosa_storage::FollowLinks::No)?.kind {
                        Kind::Directory => ahead.push(path),
                        Kind::File => self.file(store, &path),
                        _ => {}
                    },
                }
            }
            match page.next {
                None => return Ok(()),
                next => from = next,
            }
        }
    }

    fn file(&mut self, store: &LocalStore, path: &StorePath) {
        match rewrap(store, path, &self.keys, &self.to) {
            Ok(Rewrapped::Done) => self.tally.done += 1,
            Ok(Rewrapped::Already) => self.tally.already += 1,
            Ok(Rewrapped::NotSealed) => self.tally.not_sealed += 1,
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &StorageError) {
        eprintln!("limosad: {error}");
        self.tally.failed += 1;
    }
}
