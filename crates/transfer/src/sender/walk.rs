//! Finding what there is to send: depth first, a page of a directory at a time.
//!
//! The walk holds one page for each directory between a source and the place
//! it has reached, so its memory follows the depth of the tree and not its
//! size; beside them, about a page of directories that were entered on the way.
//! It has one operation outstanding at most; reading the files it finds goes on
//! beside it.

use std::collections::{HashMap, VecDeque};
use std::vec;

use limosa_storage::{Cursor, DirectoryEntry, ErrorKind, FollowLinks, Kind, Metadata, Name, StorageError, StorePath};
use limosa_wire::Code;
use limosa_wire::setup::Symlinks;

use super::config::{Source, SourceExtent};
use super::operation::{Entered, Listing, SourceOutcome, SourceWork};
use crate::failure::Failure;

/// Where an entry is at the source, and which part of that path is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) path: StorePath,
    /// Bytes in front that are not announced.
    cut: u16,
}

impl Located {
    /// The path below the destination.
    pub(super) fn announced(&self) -> &[u8] {
        self.path.as_bytes().get(usize::from(self.cut)..).unwrap_or_default()
    }

    /// The path below the destination.
    pub(super) fn announced_path(&self) -> StorePath {
        if self.cut == 0 {
            return self.path.clone();
        }
        // The cut is at a separator, so this is a path.
        StorePath::parse(self.announced()).unwrap_or_else(|_| self.path.clone())
    }

    /// A source under its own name announces its last component; one whose
    /// contents are meant announces nothing of its own path.
    fn source(source: &Source) -> Self {
        let whole = source.path.as_bytes().len();
        let cut = match (source.extent, source.path.name()) {
            (SourceExtent::Itself, Some(name)) => whole - name.as_bytes().len(),
            (_, None) => 0,
            (SourceExtent::Contents, Some(_)) => whole + 1,
        };
        Self { path: source.path.clone(), cut: u16::try_from(cut).unwrap_or(u16::MAX) }
    }

    /// With a name also for a source whose contents alone were meant, to speak
    /// of it.
    fn named(self) -> Self {
        if self.announced().is_empty() { Self::source(&Source::itself(self.path)) } else { self }
    }

    fn child(&self, name: &Name) -> Result<Self, Failure> {
        match self.path.join(name) {
            Ok(path) => Ok(Self { path, cut: self.cut }),
            Err(error) => Err(Failure::because(Code::NAME_TOO_LONG, format!("{}/{name}: {error}", self.path))),
        }
    }
}

/// Something the walk came across.
#[derive(Debug)]
pub(super) enum Found {
    /// A regular file; not looked at yet.
    File { located: Located, links: FollowLinks },
    /// A symbolic link to be sent as one.
    Link { located: Located },
    /// A directory, which the walk has entered.
    Directory { located: Located, metadata: Metadata },
    /// A symbolic link to be left out.
    LeftOut { located: Located },
    /// Something that cannot be sent.
    Failed { located: Located, failure: Failure },
}

/// What the walk wants next.
#[derive(Debug)]
pub(super) enum Step {
    /// An operation; the walk stands still until [`Walk::resume`].
    Ask(SourceWork),
    /// Nothing: this was found.
    Found(Found),
    /// The operation asked for has not ended.
    Waiting,
    /// Nothing is left.
    Finished,
}

/// What the outstanding operation is for.
#[derive(Debug)]
enum Question {
    Inspect { located: Located, links: FollowLinks, extent: SourceExtent },
    Enter { located: Located, extent: SourceExtent },
    Page,
}

/// A directory the walk is in.
#[derive(Debug)]
struct Frame {
    located: Located,
    /// Device and inode.
    identity: (u64, u64),
    entries: vec::IntoIter<DirectoryEntry>,
    /// Directories among them that were entered, in the same order.
    below: VecDeque<(Name, Entered)>,
    next: Option<Cursor>,
    /// Its entries are named at the top of the destination.
    top: bool,
}

/// The walk over all sources.
#[derive(Debug)]
pub(super) struct Walk {
    sources: vec::IntoIter<Source>,
    /// Names of sources at the top of the destination, and whether one was
    /// taken. Contents of several directories may meet there as well: then the
    /// destination's rule for what exists decides.
    names: HashMap<Name, bool>,
    frames: Vec<Frame>,
    question: Option<Question>,
    symlinks: Symlinks,
    page: usize,
}

impl Walk {
    pub(super) fn new(sources: Vec<Source>, symlinks: Symlinks, page: usize) -> Self {
        let named = sources.iter().filter(|source| source.extent == SourceExtent::Itself);
        let names = named.filter_map(|source| source.path.name()).map(|name| (name, false)).collect();
        Self { sources: sources.into_iter(), names, frames: Vec::new(), question: None, symlinks, page: page.max(1) }
    }

    /// Directory entries held now.
    pub(super) fn held(&self) -> usize {
        self.frames.iter().map(|frame| frame.entries.len()).sum::<usize>() + self.ahead()
    }

    /// Entries held of directories entered before it was their turn.
    fn ahead(&self) -> usize {
        self.frames.iter().flat_map(|frame| &frame.below).map(|(_, entered)| entered.listing.entries()).sum()
    }

    /// Whether it stands still until an operation ends.
    pub(super) fn is_waiting(&self) -> bool {
        self.question.is_some()
    }

    /// Goes on to whatever is next.
    pub(super) fn step(&mut self) -> Step {
        if self.question.is_some() {
            return Step::Waiting;
        }
        while let Some(frame) = self.frames.last_mut() {
            if let Some(entry) = frame.entries.next() {
                return self.child(&entry);
            }
            if let Some(from) = frame.next.take() {
                let path = frame.located.path.clone();
                self.question = Some(Question::Page);
                let ahead = self.page.saturating_sub(self.ahead());
                return Step::Ask(SourceWork::List { path, from, limit: self.page, ahead });
            }
            self.frames.pop();
        }
        self.next_source()
    }

    fn next_source(&mut self) -> Step {
        let Some(source) = self.sources.next() else { return Step::Finished };
        let located = Located::source(&source);
        if source.extent == SourceExtent::Itself
            && let Some(name) = source.path.name()
            && !self.claim(&name)
        {
            return failed(located, same_name(&name));
        }
        let follow = source.extent == SourceExtent::Contents || self.symlinks == Symlinks::Follow;
        self.inspect(located, if follow { FollowLinks::Yes } else { FollowLinks::No }, source.extent)
    }

    /// Takes a name at the top of the destination; false if it is taken.
    fn claim(&mut self, name: &Name) -> bool {
        self.names.get_mut(name).is_none_or(|taken| !std::mem::replace(taken, true))
    }

    fn child(&mut self, entry: &DirectoryEntry) -> Step {
        let Some(frame) = self.frames.last_mut() else { return Step::Waiting };
        let entered = frame.below.pop_front_if(|(name, _)| *name == entry.name);
        let (parent, top) = (frame.located.clone(), frame.top);
        let located = match parent.child(&entry.name) {
            Ok(located) => located,
            Err(failure) => return failed(parent, failure),
        };
        if top && !self.claim(&entry.name) {
            return failed(located, same_name(&entry.name));
        }
        let own = SourceExtent::Itself;
        if let Some((_, entered)) = entered {
            return self.entered(located, own, entered);
        }
        match (entry.kind, self.symlinks) {
            (Some(Kind::File), _) => Step::Found(Found::File { located, links: FollowLinks::No }),
            (Some(Kind::Directory), _) => self.enter(located, FollowLinks::No, own),
            (Some(Kind::Symlink), Symlinks::Copy) => Step::Found(Found::Link { located }),
            (Some(Kind::Symlink), Symlinks::Skip) => Step::Found(Found::LeftOut { located }),
            (Some(Kind::Symlink), Symlinks::Follow) => self.inspect(located, FollowLinks::Yes, own),
            (Some(kind @ Kind::Other(_)), _) => special(located, kind),
            (None, Symlinks::Follow) => self.inspect(located, FollowLinks::Yes, own),
            (None, _) => self.inspect(located, FollowLinks::No, own),
        }
    }

    fn inspect(&mut self, located: Located, links: FollowLinks, extent: SourceExtent) -> Step {
        let path = located.path.clone();
        self.question = Some(Question::Inspect { located, links, extent });
        Step::Ask(SourceWork::Metadata { path, links })
    }

    fn enter(&mut self, located: Located, links: FollowLinks, extent: SourceExtent) -> Step {
        let path = located.path.clone();
        self.question = Some(Question::Enter { located, extent });
        let ahead = self.page.saturating_sub(self.ahead());
        Step::Ask(SourceWork::EnterDirectory { path, links, limit: self.page, ahead })
    }

    /// Takes the result of the operation asked for, and says what is next.
    pub(super) fn resume(&mut self, result: Result<SourceOutcome, StorageError>) -> Step {
        match (self.question.take(), result) {
            (Some(Question::Inspect { located, links, extent }), Ok(SourceOutcome::Metadata(metadata))) => {
                self.inspected(located, links, extent, &metadata)
            }
            (Some(Question::Enter { located, extent }), Ok(SourceOutcome::Directory(entered))) => {
                self.entered(located, extent, entered)
            }
            (Some(Question::Page), Ok(SourceOutcome::Listing(Listing { page, below }))) => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.entries = page.entries.into_iter();
                    frame.below = below.into();
                    frame.next = page.next;
                }
                self.step()
            }
            (Some(Question::Page), Err(error)) => {
                let Some(frame) = self.frames.pop() else { return self.step() };
                failed(frame.located, Failure::from(&error))
            }
            (Some(Question::Inspect { located, .. } | Question::Enter { located, .. }), Err(error)) => {
                let failure = self.lost(&error);
                failed(located, failure)
            }
            // The driver handed back the result of something else.
            (Some(_), Ok(_)) | (None, _) => self.step(),
        }
    }

    /// A source that is not there was named wrongly; what a directory listed
    /// and is not there any more has vanished. A link that is followed may
    /// always have led nowhere.
    fn lost(&self, error: &StorageError) -> Failure {
        let mut failure = Failure::from(error);
        let listed = !self.frames.is_empty() && self.symlinks != Symlinks::Follow;
        if error.kind() == ErrorKind::NotFound && listed {
            failure.code = Code::SOURCE_VANISHED;
        }
        failure
    }

    fn inspected(&mut self, located: Located, links: FollowLinks, extent: SourceExtent, metadata: &Metadata) -> Step {
        match (metadata.kind, extent) {
            (Kind::Directory, _) => self.enter(located, links, extent),
            (_, SourceExtent::Contents) => failed(
                located,
                Failure::because(Code::NOT_A_DIRECTORY, "only a directory may be named with a slash at its end"),
            ),
            (Kind::File, _) => Step::Found(Found::File { located, links }),
            (Kind::Symlink, _) if self.symlinks == Symlinks::Skip => Step::Found(Found::LeftOut { located }),
            (Kind::Symlink, _) => Step::Found(Found::Link { located }),
            (kind @ Kind::Other(_), _) => special(located, kind),
        }
    }

    fn entered(&mut self, located: Located, extent: SourceExtent, entered: Entered) -> Step {
        let Entered { metadata, listing: Listing { page, below } } = entered;
        let identity = (metadata.device, metadata.inode);
        if self.symlinks == Symlinks::Follow && self.frames.iter().any(|frame| frame.identity == identity) {
            let failure = Failure::because(Code::LINK_LOOP, "the link leads back to a directory that holds it");
            return failed(located, failure);
        }
        let top = extent == SourceExtent::Contents;
        self.frames.push(Frame {
            located: located.clone(),
            identity,
            entries: page.entries.into_iter(),
            below: below.into(),
            next: page.next,
            top,
        });
        if top { self.step() } else { Step::Found(Found::Directory { located, metadata }) }
    }
}

fn failed(located: Located, failure: Failure) -> Step {
    Step::Found(Found::Failed { located: located.named(), failure })
}

fn special(located: Located, kind: Kind) -> Step {
    failed(located, Failure::because(Code::SPECIAL_FILE, kind.to_string()))
}

fn same_name(name: &Name) -> Failure {
    Failure::because(Code::ALREADY_EXISTS, format!("another source is sent under the name {name} already"))
}
