//! Which files are meant, and where their results go.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use limosa_storage::protecting::STAGED_PREFIX;
use limosa_storage::{Attributes, ErrorKind, FollowLinks, Kind, Overwrite, Store, StorePath, make_directories};
use limosa_transfer::failure::code_of;
use limosa_wire::Code;

use crate::arguments::{PlaceArguments, ReplaceChoice};
use crate::failure::CommandFailure;
use crate::local;

/// Entries of a directory that are looked at in one go.
const PAGE: usize = 512;

/// How results are called while they are written.
pub(super) const STAGED: (&[u8], &[u8]) = (STAGED_PREFIX, b".partial");
/// How else names of files under way end, transfers' among them.
const UNDER_WAY: [&[u8]; 3] = [b".journal", b".partial.opening", b".partial.heads"];

/// Which files a command is about, by their names.
#[derive(Clone, Debug)]
pub(super) enum Named {
    /// Those that do not end in this.
    Plain(OsString),
    /// Those that end in this; others only if they are named themselves.
    Sealed(OsString),
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Where it is.
    pub(super) path: StorePath,
    /// What it is called in the operand's directory: the operand's own name,
    /// and the way from there.
    pub(super) below: StorePath,
    /// What people see.
    pub(super) shown: String,
}

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    /// A file to work on.
    File(Item),
    /// One that is as it should be already.
    Done(String),
    /// A link, which is left out.
    Link(String),
    /// A directory that was walked through.
    Directory(Item),
    /// What cannot be worked on.
    Failed(String, CommandFailure),
}

/// What is still to be done with a directory.
#[derive(Debug)]
enum Step {
    /// List it.
    Enter(Item),
    /// Tell of it, now that all below it was told.
    Leave(Item),
}

/// Finds the files below one operand, and hands each over as it is found:
/// what is remembered is directories still to be listed.
pub(super) fn walk(store: &dyn Store, operand: &Path, named: &Named, found: &mut dyn FnMut(Found)) {
    let shown = printable(operand);
    let path = match local::store_path(operand) {
        Ok(path) => path,
        Err(error) => return found(Found::Failed(shown, CommandFailure::new(Code::NOT_FOUND, error))),
    };
    let below = path.name().and_then(|name| StorePath::root().join(&name).ok()).unwrap_or_else(StorePath::root);
    let root = Item { path, below, shown };
    match store.metadata(&root.path, FollowLinks::No) {
        Ok(data) if data.kind == Kind::Directory => {
            let mut steps = vec![Step::Enter(root)];
            while let Some(step) = steps.pop() {
                match step {
                    Step::Enter(directory) => {
                        steps.push(Step::Leave(directory.clone()));
                        if let Err(failure) = list(store, &directory, named, &mut steps, found) {
                            found(Found::Failed(directory.shown, failure));
                        }
                    }
                    Step::Leave(directory) => found(Found::Directory(directory)),
                }
            }
        }
        Ok(data) => found(sort(root, data.kind, named, true)),
        Err(error) => found(Found::Failed(root.shown, failure(&error))),
    }
}

/// An operand as it is shown: nothing in it speaks to a terminal.
fn printable(operand: &Path) -> String {
    let root = if operand.is_absolute() { "/" } else { "" };
    match StorePath::from_typed(operand) {
        Ok(path) if path.is_root() => operand.display().to_string(),
        Ok(path) => format!("{root}{}", path.printable()),
        Err(_) => operand.display().to_string().escape_debug().to_string(),
    }
}

/// A failure of the store.
pub(super) fn failure(error: &limosa_storage::StorageError) -> CommandFailure {
    CommandFailure::new(code_of(error), error)
}

fn list(
    store: &dyn Store,
    directory: &Item,
    named: &Named,
    steps: &mut Vec<Step>,
    found: &mut dyn FnMut(Found),
) -> Result<(), CommandFailure> {
    let mut from = None;
    loop {
        let page = store.list(&directory.path, from.as_ref(), PAGE).map_err(|error| failure(&error))?;
        for entry in page.entries {
            let joined = |path: &StorePath| {
                path.join(&entry.name).map_err(|error| CommandFailure::new(Code::NAME_TOO_LONG, error))
            };
            let (path, below) = (joined(&directory.path)?, joined(&directory.below)?);
            let name = path.name().and_then(|name| StorePath::root().join(&name).ok()).unwrap_or_else(StorePath::root);
            let shown = format!("{}/{}", directory.shown.trim_end_matches('/'), name.printable());
            let kind = match entry.kind {
                Some(kind) => kind,
                None => match store.metadata(&path, FollowLinks::No) {
                    Ok(data) => data.kind,
                    // Gone since it was listed: another's staged file, say.
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => return Err(failure(&error)),
                },
            };
            let item = Item { path, below, shown };
            if kind == Kind::Directory {
                steps.push(Step::Enter(item));
            } else if !is_under_way(entry.name.as_bytes()) {
                match sort(item, kind, named, false) {
                    // Of what else is in a tree nothing is said.
                    Found::Done(_) if matches!(named, Named::Sealed(_)) => {}
                    other => found(other),
                }
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(()),
        }
    }
}

/// Such a file is nobody's source.
fn is_under_way(name: &[u8]) -> bool {
    let ends = UNDER_WAY.iter().chain([&STAGED.1]);
    name.starts_with(STAGED.0) && { ends }.any(|end| name.ends_with(end))
}

fn sort(item: Item, kind: Kind, named: &Named, is_operand: bool) -> Found {
    let ends = |suffix: &OsStr| item.path.as_bytes().ends_with(suffix.as_bytes());
    match (kind, named) {
        (Kind::Symlink, _) => Found::Link(item.shown),
        (Kind::File, Named::Plain(suffix)) if ends(suffix) => Found::Done(item.shown),
        (Kind::File, Named::Sealed(suffix)) if !ends(suffix) && !is_operand => Found::Done(item.shown),
        (Kind::File, _) => Found::File(item),
        _ => Found::Failed(item.shown, CommandFailure::new(Code::SPECIAL_FILE, "")),
    }
}

/// Where results go.
#[derive(Debug)]
pub(super) struct Place {
    output: Option<Output>,
    suffix: OsString,
    keep: bool,
    /// What becomes of files that have a result's name.
    pub(super) overwrite: Overwrite,
}

#[derive(Debug)]
enum Output {
    /// The result itself; of a directory, what holds its results.
    Itself(StorePath),
    /// A directory for it.
    Within(StorePath),
}

/// Where one result goes, and whether it takes its source's place.
#[derive(Debug)]
pub(super) struct Destination {
    /// The path.
    pub(super) path: StorePath,
    /// Whether the source is removed once the result is there.
    pub(super) removes_source: bool,
}

impl Place {
    /// The place that the options say, for so many operands.
    pub(super) fn new(arguments: &PlaceArguments, operands: usize) -> Result<Self, CommandFailure> {
        if arguments.suffix.is_empty() || arguments.suffix.as_bytes().contains(&b'/') {
            return Err(CommandFailure::usage("--suffix must be part of a name"));
        }
        let overwrite = match arguments.overwrite {
            ReplaceChoice::Always => Overwrite::Replace,
            ReplaceChoice::Never => Overwrite::MustNotExist,
        };
        let output = match &arguments.output {
            None => None,
            Some(typed) => {
                let path = local::store_path(typed);
                let path = path.map_err(|error| CommandFailure::new(Code::DIRECTORY_NOT_FOUND, error))?;
                let is_directory = operands > 1 || local::names_directory(typed) || typed.is_dir();
                Some(if is_directory { Output::Within(path) } else { Output::Itself(path) })
            }
        };
        Ok(Self { output, suffix: arguments.suffix.clone(), keep: arguments.keep, overwrite })
    }

    /// Where the sealed file of `item` goes.
    pub(super) fn of_sealed(&self, item: &Item) -> Result<Destination, CommandFailure> {
        let longer = |path: &StorePath| [path.as_bytes(), self.suffix.as_bytes()].concat();
        self.of(item, |path| Ok(longer(path)))
    }

    /// Where the content of the sealed file `item` goes.
    pub(super) fn of_plain(&self, item: &Item) -> Result<Destination, CommandFailure> {
        self.of(item, |path| {
            let shorter = path.as_bytes().strip_suffix(self.suffix.as_bytes());
            let named = shorter.filter(|rest| !rest.is_empty() && !rest.ends_with(b"/")).map(<[u8]>::to_vec);
            named.ok_or_else(|| {
                let suffix = self.suffix.display();
                CommandFailure::new(Code::BAD_NAME, format_args!("it does not end in {suffix}: give --output"))
            })
        })
    }

    /// Makes the directory that takes the results of one, and gives it that
    /// one's attributes; nothing where the results stand beside their sources.
    pub(super) fn mirror(&self, store: &dyn Store, directory: &Item) -> Result<(), CommandFailure> {
        if self.output.is_none() {
            return Ok(());
        }
        let to = self.of(directory, |path| Ok(path.as_bytes().to_vec()))?.path;
        make_directories(store, &to).map_err(|error| failure(&error))?;
        let found = store.metadata(&directory.path, FollowLinks::No).map_err(|error| failure(&error))?;
        let attributes = Attributes::default().with_mode(found.mode).with_modified(found.modified);
        store.set_attributes(&to, &attributes).map_err(|error| failure(&error))
    }

    fn of(
        &self,
        item: &Item,
        renamed: impl Fn(&StorePath) -> Result<Vec<u8>, CommandFailure>,
    ) -> Result<Destination, CommandFailure> {
        let parse =
            |bytes: Vec<u8>| StorePath::parse(&bytes).map_err(|error| CommandFailure::new(Code::NAME_TOO_LONG, error));
        let within = |directory: &StorePath, below: Vec<u8>| {
            directory.join_path(&parse(below)?).map_err(|error| CommandFailure::new(Code::NAME_TOO_LONG, error))
        };
        let path = match &self.output {
            None => parse(renamed(&item.path)?)?,
            Some(Output::Within(directory)) => within(directory, renamed(&item.below)?)?,
            Some(Output::Itself(path)) => {
                // The first component is the operand, whose name this is.
                let mut components = item.below.components();
                components.next();
                let rest: Vec<&[u8]> = components.collect();
                if rest.is_empty() { path.clone() } else { within(path, renamed(&parse(rest.join(&b'/'))?)?)? }
            }
        };
        Ok(Destination { path, removes_source: self.output.is_none() && !self.keep })
    }
}
