//! Finding what there is to send: depth first, a page of a directory at a time.
//!
//! The walk holds one page for each directory between a source and the place
//! it has reached, so its memory follows the depth of the tree and not its
//! size; beside them, about a page of directories that were entered before it is
//! their turn, and the page that follows the one at its end. It has one
//! operation outstanding at most; reading the files it finds goes on beside it,
//! and so does the walk itself where that operation lists the next page or
//! enters directories ahead. Without the latter a tree of many small directories
//! would cost a way to a file thread and back for each, one after the other.

use std::collections::{HashMap, VecDeque};
use std::vec;

use limosa_storage::{Cursor, DirectoryEntry, ErrorKind, FollowLinks, Kind, Metadata, Name, StorageError, StorePath};
use limosa_wire::Code;
use limosa_wire::setup::Symlinks;

use super::config::{Source, SourceExtent};
use super::operation::{Entered, Listing, Scouted, SourceOutcome, SourceWork};
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
    Inspect {
        located: Located,
        links: FollowLinks,
        extent: SourceExtent,
    },
    Enter {
        located: Located,
        extent: SourceExtent,
    },
    /// The next page of the directory at this depth.
    Page {
        depth: usize,
    },
    /// Directories on the page of the directory at this depth, ahead of their
    /// turn.
    Ahead {
        depth: usize,
    },
}

impl Question {
    /// Whether the answer is what the walk finds next: until it comes, anything
    /// else would be found too early, or behind the end of a directory.
    const fn is_next(&self) -> bool {
        matches!(self, Self::Inspect { .. } | Self::Enter { .. })
    }
}

/// A directory the walk is in.
#[derive(Debug)]
struct Frame {
    located: Located,
    /// Device and inode.
    identity: (u64, u64),
    entries: vec::IntoIter<DirectoryEntry>,
    /// How many of them come before the first directory that nobody tried to
    /// enter ahead of its turn; all, if there is none.
    scouted: usize,
    /// Directories among them that were entered, in the same order.
    below: VecDeque<(Name, Entered)>,
    next: Option<Cursor>,
    /// The next page, or why there is none, ahead of its turn.
    coming: Option<Result<Listing, Failure>>,
    /// Its entries are named at the top of the destination.
    top: bool,
}

impl Frame {
    /// Goes on with the page that came, if this one is used up.
    fn turn_page(&mut self) -> Result<(), Failure> {
        if self.entries.len() > 0 {
            return Ok(());
        }
        if let Some(coming) = self.coming.take() {
            let Listing { page, scouted } = coming?;
            self.entries = page.entries.into_iter();
            self.next = page.next;
            self.scouted = 0;
            self.pass_files();
            self.take_scouted(scouted);
        }
        Ok(())
    }

    /// The next entry.
    fn advance(&mut self) -> Option<DirectoryEntry> {
        let entry = self.entries.next()?;
        match self.scouted.checked_sub(1) {
            Some(left) => self.scouted = left,
            None => self.pass_files(),
        }
        Some(entry)
    }

    /// Counts what is no directory as tried, up to the next one that is.
    fn pass_files(&mut self) {
        let rest = self.entries.as_slice().iter().skip(self.scouted);
        self.scouted += rest.take_while(|entry| entry.kind != Some(Kind::Directory)).count();
    }

    /// Whether there are directories that nobody tried to enter.
    fn has_unscouted(&self) -> bool {
        self.scouted < self.entries.len()
    }

    /// The first of them.
    fn unscouted(&self, most: usize) -> Vec<Name> {
        let rest = self.entries.as_slice().iter().skip(self.scouted);
        let directories = rest.filter(|entry| entry.kind == Some(Kind::Directory));
        directories.take(most).map(|entry| entry.name.clone()).collect()
    }

    /// The first of those directories were tried.
    fn take_scouted(&mut self, Scouted { tried, below }: Scouted) {
        for _ in 0..tried {
            self.scouted += 1;
            self.pass_files();
        }
        self.below.extend(below);
    }

    /// Whether it is time to ask for the next page.
    fn ask_ahead(&self, page: usize) -> bool {
        self.next.is_some() && self.coming.is_none() && self.entries.len() <= page / 2
    }

    /// Whether nothing is left of it, but for a page that was asked for.
    fn is_over(&self) -> bool {
        self.entries.len() == 0 && self.next.is_none() && self.coming.is_none()
    }

    /// Whether the next entry needs no operation.
    fn goes_on(&self, symlinks: Symlinks) -> bool {
        self.entries.as_slice().first().is_some_and(|entry| match entry.kind {
            Some(Kind::File | Kind::Other(_)) => true,
            Some(Kind::Symlink) => symlinks != Symlinks::Follow,
            Some(Kind::Directory) => self.below.front().is_some_and(|(name, _)| *name == entry.name),
            None => false,
        })
    }

    /// Entries held, but for those of directories entered ahead of their turn.
    fn held(&self) -> usize {
        let coming = self.coming.iter().flatten().map(|listing| listing.page.entries.len()).sum::<usize>();
        self.entries.len() + coming
    }
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
    /// Entries held of directories that were entered ahead of their turn.
    ahead: usize,
    symlinks: Symlinks,
    page: usize,
}

impl Walk {
    pub(super) fn new(sources: Vec<Source>, symlinks: Symlinks, page: usize) -> Self {
        let named = sources.iter().filter(|source| source.extent == SourceExtent::Itself);
        let names = named.filter_map(|source| source.path.name()).map(|name| (name, false)).collect();
        let (sources, frames) = (sources.into_iter(), Vec::new());
        Self { sources, names, frames, question: None, ahead: 0, symlinks, page: page.max(1) }
    }

    /// Directory entries held now.
    pub(super) fn held(&self) -> usize {
        self.frames.iter().map(Frame::held).sum::<usize>() + self.ahead
    }

    /// Goes on to whatever is next.
    pub(super) fn step(&mut self) -> Step {
        if self.question.as_ref().is_some_and(Question::is_next) {
            return Step::Waiting;
        }
        while let Some(depth) = self.frames.len().checked_sub(1) {
            let listing = matches!(&self.question, Some(Question::Page { depth: asked }) if *asked == depth);
            let frame = &mut self.frames[depth];
            if let Err(failure) = frame.turn_page() {
                return failed(frame.located.clone(), failure);
            }
            if frame.is_over() && !listing {
                self.frames.pop();
                continue;
            }
            match &self.question {
                Some(_) if !frame.goes_on(self.symlinks) => return Step::Waiting,
                Some(_) => {}
                None if frame.ask_ahead(self.page) => return self.list(depth),
                None => {
                    if let Some(step) = self.enter_ahead() {
                        return step;
                    }
                }
            }
            return match self.frames[depth].advance() {
                Some(entry) => self.child(&entry),
                None => Step::Waiting,
            };
        }
        if self.question.is_some() { Step::Waiting } else { self.next_source() }
    }

    /// Asks for a further page of the directory at `depth`.
    fn list(&mut self, depth: usize) -> Step {
        let Some(from) = self.frames[depth].next.take() else { return Step::Waiting };
        let path = self.frames[depth].located.path.clone();
        self.question = Some(Question::Page { depth });
        Step::Ask(SourceWork::List { path, from, limit: self.page, ahead: self.room_ahead() })
    }

    /// Entries that may still be held of directories entered ahead of their turn.
    fn room_ahead(&self) -> usize {
        self.page.saturating_sub(self.ahead)
    }

    /// Asks for directories to be entered whose turn comes soon, once half of
    /// what may be held of such is used up: the nearest that nobody tried.
    fn enter_ahead(&mut self) -> Option<Step> {
        let ahead = self.room_ahead();
        if ahead < self.page.div_ceil(2) {
            return None;
        }
        let depth = self.frames.iter().rposition(Frame::has_unscouted)?;
        let parent = self.frames[depth].located.path.clone();
        let names = self.frames[depth].unscouted(ahead);
        self.question = Some(Question::Ahead { depth });
        Some(Step::Ask(SourceWork::EnterAhead { parent, names, limit: self.page, ahead }))
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
        let entered = frame.below.pop_front_if(|(name, _)| *name == entry.name).map(|(_, entered)| entered);
        self.ahead -= entered.as_ref().map_or(0, |entered| entered.listing.entries());
        let (parent, top) = (frame.located.clone(), frame.top);
        let located = match parent.child(&entry.name) {
            Ok(located) => located,
            Err(failure) => return failed(parent, failure),
        };
        if top && !self.claim(&entry.name) {
            return failed(located, same_name(&entry.name));
        }
        let own = SourceExtent::Itself;
        if let Some(entered) = entered {
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
        Step::Ask(SourceWork::EnterDirectory { path, links, limit: self.page, ahead: self.room_ahead() })
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
            // Whether there is room for what is on it is not known here.
            (Some(Question::Page { depth }), Ok(SourceOutcome::Listing(listing))) => self.listed(depth, Ok(listing)),
            (Some(Question::Page { depth }), Err(error)) => self.listed(depth, Err(Failure::from(&error))),
            (Some(Question::Ahead { depth }), Ok(SourceOutcome::Scouted(scouted))) => self.scouted(depth, scouted),
            // Trying cannot fail, but if it did the walk would go on without.
            (Some(Question::Ahead { depth }), Err(_)) => self.scouted(depth, Scouted { tried: 1, below: Vec::new() }),
            (Some(Question::Inspect { located, .. } | Question::Enter { located, .. }), Err(error)) => {
                let failure = self.lost(&error);
                failed(located, failure)
            }
            // The driver handed back the result of something else.
            (Some(_), Ok(_)) | (None, _) => self.step(),
        }
    }

    /// The next page of the directory at `depth` came, or cannot be had.
    fn listed(&mut self, depth: usize, listing: Result<Listing, Failure>) -> Step {
        if let Some(frame) = self.frames.get_mut(depth) {
            self.ahead += listing.as_ref().map_or(0, |listing| listing.scouted.entries());
            frame.coming = Some(listing);
        }
        Step::Waiting
    }

    /// Directories on the page of the one at `depth` were tried. It is still
    /// there: the walk waits before the first of them.
    fn scouted(&mut self, depth: usize, scouted: Scouted) -> Step {
        if let Some(frame) = self.frames.get_mut(depth) {
            self.ahead += scouted.entries();
            frame.take_scouted(scouted);
        }
        Step::Waiting
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
        let Entered { metadata, listing: Listing { page, scouted } } = entered;
        let identity = (metadata.device, metadata.inode);
        if self.symlinks == Symlinks::Follow && self.frames.iter().any(|frame| frame.identity == identity) {
            let failure = Failure::because(Code::LINK_LOOP, "the link leads back to a directory that holds it");
            return failed(located, failure);
        }
        let top = extent == SourceExtent::Contents;
        self.ahead += scouted.entries();
        let mut frame = Frame {
            located: located.clone(),
            identity,
            entries: page.entries.into_iter(),
            scouted: 0,
            below: VecDeque::new(),
            next: page.next,
            coming: None,
            top,
        };
        frame.pass_files();
        frame.take_scouted(scouted);
        self.frames.push(frame);
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
