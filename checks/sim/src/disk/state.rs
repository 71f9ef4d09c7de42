//! The whole state of a disk, and the gate that every operation passes.

use std::collections::BTreeMap;

use limosa_storage::{ErrorKind, Kind, Operation, Result, StorageError, StorePath, Timestamp};
use limosa_transport::Time;

use super::content::Content;
use super::fault::{Effect, Faults};
use super::inode::{Body, Inode, InodeNumber};
use super::names::Change;
use super::speed::Speed;

/// What an operation asks of the device.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// Bytes moved.
    pub(super) bytes: u64,
    /// Whether they have to reach stable storage.
    pub(super) syncs: bool,
}

/// A disk at a moment.
#[derive(Debug)]
pub(super) struct State {
    pub(super) inodes: BTreeMap<InodeNumber, Inode>,
    pub(super) root: InodeNumber,
    /// Changes of names that are not on stable storage for sure.
    pub(super) changes: Vec<Change>,
    /// Gives inode numbers and timestamps: each is greater than the one before.
    clock: u64,
    /// Bytes of storage in use, and how many there are.
    pub(super) used: u64,
    pub(super) capacity: u64,
    pub(super) operations: u64,
    /// The operation at which everything stops.
    pub(super) stop_at: Option<u64>,
    pub(super) stopped: bool,
    pub(super) faults: Faults,
    pub(super) speed: Speed,
    /// When the device is done with what it was asked to do.
    pub(super) busy_until: Time,
}

impl State {
    pub(super) fn new() -> Self {
        let mut state = Self {
            inodes: BTreeMap::new(),
            root: InodeNumber(0),
            changes: Vec::new(),
            clock: 0,
            used: 0,
            capacity: u64::MAX,
            operations: 0,
            stop_at: None,
            stopped: false,
            faults: Faults::default(),
            speed: Speed::INSTANT,
            busy_until: Time::ZERO,
        };
        state.root = state.add(Body::Directory(super::inode::Directory::default()));
        state
    }

    /// The disk of a machine that is switched off.
    pub(super) fn off() -> Self {
        Self { stopped: true, ..Self::new() }
    }

    /// The next timestamp.
    pub(super) fn tick(&mut self) -> Timestamp {
        self.clock += 1;
        Timestamp::new(i64::try_from(self.clock).unwrap_or(i64::MAX), 0)
    }

    pub(super) fn add(&mut self, body: Body) -> InodeNumber {
        let now = self.tick();
        let number = InodeNumber(self.clock);
        self.inodes.insert(number, Inode::new(body, now));
        number
    }

    pub(super) fn add_file(&mut self) -> InodeNumber {
        self.add(Body::File(Content::default()))
    }

    pub(super) fn content(&self, number: InodeNumber) -> std::result::Result<&Content, ErrorKind> {
        match self.inodes.get(&number).map(|inode| &inode.body) {
            Some(Body::File(content)) => Ok(content),
            _ => Err(ErrorKind::Io),
        }
    }

    /// Changes the content of a file.
    pub(super) fn change_content(
        &mut self,
        number: InodeNumber,
        change: impl FnOnce(&mut Content),
    ) -> std::result::Result<(), ErrorKind> {
        let now = self.tick();
        let inode = self.inodes.get_mut(&number).ok_or(ErrorKind::Io)?;
        inode.touch(now);
        let Body::File(content) = &mut inode.body else { return Err(ErrorKind::Io) };
        let before = content.allocated();
        change(content);
        self.used = self.used - before.min(self.used) + content.allocated();
        Ok(())
    }

    /// Every operation passes here before it does anything.
    pub(super) fn begin(&mut self, operation: Operation, path: &StorePath, load: Load) -> Result<Option<Effect>> {
        let fail = |kind| StorageError::new(kind, operation, path);
        if self.stopped {
            return Err(fail(ErrorKind::Io));
        }
        if self.stop_at == Some(self.operations) {
            self.stopped = true;
            return Err(fail(ErrorKind::Io));
        }
        self.operations += 1;
        self.busy_until = self.speed.end(self.busy_until, load.bytes, load.syncs);
        match self.faults.strike(operation, path) {
            Some(Effect::Fail(kind)) => Err(fail(kind)),
            effect => Ok(effect),
        }
    }

    /// What has the number is a regular file.
    pub(super) fn check_file(&self, number: InodeNumber) -> std::result::Result<(), ErrorKind> {
        match self.kind(number) {
            Some(Kind::File) => Ok(()),
            Some(Kind::Directory) => Err(ErrorKind::IsADirectory),
            Some(Kind::Symlink) => Err(ErrorKind::Loop),
            Some(Kind::Other(_)) | None => Err(ErrorKind::Unsupported),
        }
    }
}
