//! Trees of small files: made at the source, compared at the destination, and
//! what making them costs at least.
//!
//! The floor makes the same directories and files as a receiving end has to,
//! with nothing around it: under a temporary name, written, synced in batches as
//! the durability asks for, renamed. It receives nothing, checks nothing, sets
//! no modes and times, and is given the names by a formula.

use std::fs::{self, File};
use std::io::{self, Error, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};

/// Bytes that do not repeat, of which every file holds a stretch.
const NOISE: usize = 8 << 20;
/// Files that the floor syncs together.
const BATCH: usize = 1024;

/// A tree: directories with as many files each, all of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Directories in all.
    pub directories: usize,
    /// Directories nested in each other; 1 if they lie side by side.
    pub depth: usize,
    /// Files in each directory.
    pub files: usize,
    /// Bytes of each file.
    pub size: usize,
}

/// The trees that are measured.
pub const SHAPES: [Shape; 8] = [
    Shape { name: "4k", directories: 100, depth: 1, files: 1000, size: 4096 },
    Shape { name: "100k", directories: 100, depth: 1, files: 100, size: 100_000 },
    Shape { name: "empty", directories: 1000, depth: 1, files: 1000, size: 0 },
    Shape { name: "deep", directories: 10_000, depth: 100, files: 2, size: 4096 },
    Shape { name: "wide", directories: 20_000, depth: 1, files: 1, size: 4096 },
    Shape { name: "flat", directories: 1, depth: 1, files: 100_000, size: 4096 },
    Shape { name: "10000x4k", directories: 10, depth: 1, files: 1000, size: 4096 },
    Shape { name: "2000x100k", directories: 20, depth: 1, files: 100, size: 102_400 },
];

/// What has reached stable storage when a file has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing.
    None,
    /// The file; names are synced at the end.
    File,
    /// The file and its name.
    Strict,
}

impl Durability {
    /// All of them, weakest first.
    pub const ALL: [Self; 3] = [Self::None, Self::File, Self::Strict];

    /// As on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::File => "file",
            Self::Strict => "strict",
        }
    }
}

impl Shape {
    /// The shape of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        SHAPES.into_iter().find(|shape| shape.name == name)
    }

    /// Bytes of all files.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        (self.directories * self.files * self.size) as u64
    }

    /// The directory of this number below the root.
    fn directory(&self, number: usize) -> PathBuf {
        let mut path = PathBuf::from(format!("d{:05}", number / self.depth));
        (0..number % self.depth).for_each(|_| path.push("n"));
        path
    }

    /// Content of the file `number` of all, out of [`NOISE`] bytes.
    fn content<'n>(&self, noise: &'n [u8], number: usize) -> &'n [u8] {
        let start = number.wrapping_mul(4099) % (noise.len() - self.size);
        &noise[start..start + self.size]
    }

    /// Makes the tree.
    ///
    /// # Errors
    /// If anything of it cannot be made.
    pub fn make(&self, root: &Path, noise: &Noise) -> io::Result<()> {
        for directory in 0..self.directories {
            let path = root.join(self.directory(directory));
            fs::create_dir_all(&path)?;
            for file in 0..self.files {
                fs::write(path.join(name(file)), self.content(&noise.0, directory * self.files + file))?;
            }
        }
        Ok(())
    }

    /// Compares a tree that arrived with the source: names, content, modes and
    /// times, and that nothing else is there.
    ///
    /// # Errors
    /// What differs.
    pub fn compare(&self, source: &Path, arrived: &Path, noise: &Noise) -> io::Result<()> {
        let differs = |path: &Path| Error::other(format!("{} is not as it was", path.display()));
        let mut content = Vec::with_capacity(self.size);
        for directory in 0..self.directories {
            let path = self.directory(directory);
            let there = arrived.join(&path);
            let nested = usize::from((directory + 1) % self.depth != 0);
            if fs::read_dir(&there)?.count() != self.files + nested {
                return Err(differs(&there));
            }
            for file in 0..self.files {
                let (here, there) = (source.join(&path).join(name(file)), there.join(name(file)));
                content.clear();
                let mut opened = File::open(&there)?;
                opened.read_to_end(&mut content)?;
                let same = content == self.content(&noise.0, directory * self.files + file);
                if !same || kept(&fs::metadata(&here)?) != kept(&opened.metadata()?) {
                    return Err(differs(&there));
                }
            }
        }
        Ok(())
    }

    /// Makes the tree as a receiving end has to; the time it took.
    ///
    /// # Errors
    /// If anything of it cannot be made.
    pub fn floor(&self, root: &Path, noise: &Noise, durability: Durability, threads: usize) -> io::Result<Duration> {
        let began = Instant::now();
        fs::create_dir(root)?;
        let file_system = File::open(root)?;
        // Whole chains of nested directories for each.
        let share = self.directories.div_ceil(threads).next_multiple_of(self.depth);
        let result: io::Result<()> = thread::scope(|scope| {
            let shares = (0..self.directories).step_by(share).map(|first| {
                let floor = Floor { shape: self, root, noise: &noise.0, durability, file_system: &file_system };
                scope.spawn(move || floor.run(first..self.directories.min(first + share)))
            });
            let running: Vec<_> = shares.collect();
            running.into_iter().try_for_each(|thread| thread.join().map_err(|_| Error::other("panicked"))?)
        });
        result?;
        if durability != Durability::None {
            file_system.sync_all()?;
        }
        Ok(began.elapsed())
    }
}

/// Random bytes, the same for all trees of a run.
#[derive(Debug)]
pub struct Noise(Vec<u8>);

impl Noise {
    /// New ones.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn new() -> io::Result<Self> {
        let mut bytes = vec![0; NOISE];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(bytes))
    }
}

fn name(file: usize) -> String {
    format!("file-{file:06}")
}

/// What a transfer keeps of a file's attributes.
fn kept(metadata: &fs::Metadata) -> (u32, i64, i64) {
    (metadata.mode(), metadata.mtime(), metadata.mtime_nsec())
}

/// One thread of the floor.
struct Floor<'a> {
    shape: &'a Shape,
    root: &'a Path,
    noise: &'a [u8],
    durability: Durability,
    file_system: &'a File,
}

/// A file that is written and has not got its name.
struct Staged {
    directory: std::rc::Rc<OwnedFd>,
    number: usize,
}

impl Floor<'_> {
    fn run(&self, directories: std::ops::Range<usize>) -> io::Result<()> {
        let batch = if self.durability == Durability::None { 1 } else { BATCH };
        let mut staged = Vec::with_capacity(batch);
        for directory in directories {
            let path = self.root.join(self.shape.directory(directory));
            fs::create_dir(&path)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let handle = std::rc::Rc::new(rustix::fs::openat(CWD, &path, flags, Mode::empty())?);
            for file in 0..self.shape.files {
                self.stage(&handle, directory, file)?;
                staged.push(Staged { directory: handle.clone(), number: file });
                if staged.len() == batch {
                    self.publish(&mut staged)?;
                }
            }
        }
        self.publish(&mut staged)
    }

    fn stage(&self, directory: &OwnedFd, number: usize, file: usize) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(directory, temporary(file), flags, Mode::from_raw_mode(0o600))?;
        let content = self.shape.content(self.noise, number * self.shape.files + file);
        if !content.is_empty() && rustix::io::pwrite(&handle, content, 0)? != content.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    fn publish(&self, staged: &mut Vec<Staged>) -> io::Result<()> {
        if staged.is_empty() {
            return Ok(());
        }
        if self.durability != Durability::None {
            rustix::fs::syncfs(self.file_system)?;
        }
        for Staged { directory, number } in staged.iter() {
            rustix::fs::renameat(&**directory, temporary(*number), &**directory, name(*number))?;
        }
        if self.durability == Durability::Strict {
            rustix::fs::syncfs(self.file_system)?;
        }
        staged.clear();
        Ok(())
    }
}

fn temporary(file: usize) -> String {
    format!(".{file:016x}.partial")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_floor_makes_the_tree_that_is_sent() {
        let scratch = Scratch::in_memory("trees").unwrap();
        let noise = Noise::new().unwrap();
        let shape = Shape { name: "test", directories: 9, depth: 3, files: 5, size: 100 };
        let source = scratch.path("source");
        shape.make(&source, &noise).unwrap();
        shape.compare(&source, &source, &noise).unwrap();
        for durability in Durability::ALL {
            let made = scratch.path(durability.name());
            shape.floor(&made, &noise, durability, 2).unwrap();
            for number in 0..9 {
                let directory = shape.directory(number);
                for file in 0..5 {
                    let path = directory.join(name(file));
                    assert_eq!(fs::read(source.join(&path)).unwrap(), fs::read(made.join(&path)).unwrap());
                }
            }
        }
        fs::write(scratch.path("source/d00001/n/file-000002"), "other").unwrap();
        assert!(shape.compare(&source, &source, &noise).is_err());
    }
}
