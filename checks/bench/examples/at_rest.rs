//! `at_rest [MEBIBYTES [RUNS [DIRECTORY]]]`: what sealing files at rest costs
//! the file threads of a server.
//!
//! Writes a file as a receiver does, in portions and by one or more threads,
//! syncs it and reads it back as a sender does; by turns straight to the disk
//! and by way of the store that seals. Files are in memory unless a directory is
//! named. Prints the median of each, in MB/s.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limosa_bench::lab::median;
use limosa_bench::scratch::Scratch;
use limosa_seal::envelope::MasterKey;
use limosa_seal::{AlgorithmSet, Secret};
use limosa_storage::{Confinement, FollowLinks, LocalStore, MasterKeys, SealedStore, Store, StorePath, WriteFile};
use limosa_transfer::content::PORTION;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Numbers of threads that write and read.
const THREADS: [usize; 2] = [1, 2];
/// What a thread writes or reads in one go: a chunk.
const CHUNK: usize = 1 << 20;

/// How files are kept.
#[derive(Clone, Copy, Debug)]
enum Kept {
    InClear,
    Sealed,
}

impl Kept {
    const BOTH: [Self; 2] = [Self::InClear, Self::Sealed];

    fn store(self, directory: &Path) -> Result<Arc<dyn Store>> {
        let disk = Arc::new(LocalStore::open(directory, Confinement::Inside)?);
        Ok(match self {
            Self::InClear => disk,
            Self::Sealed => {
                let key = MasterKey::new("main".parse()?, Secret::random());
                let keys = MasterKeys::opening(AlgorithmSet::Ordinary, Vec::new()).sealing_for(key);
                Arc::new(SealedStore::new(disk, keys))
            }
        })
    }
}

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mebibytes: usize = words.next().map_or(Ok(512), |word| word.parse())?;
    let runs: usize = words.next().map_or(Ok(5), |word| word.parse())?;
    let parent = words.next().unwrap_or_else(|| "/dev/shm".to_owned());
    println!("{mebibytes} MiB, {runs} runs, in {parent}");
    for threads in THREADS {
        let mut figures = [(); 2].map(|()| [Vec::new(), Vec::new()]);
        for _ in 0..runs {
            for (kept, figures) in Kept::BOTH.into_iter().zip(&mut figures) {
                let times = measure(Path::new(&parent), kept, mebibytes, threads)?;
                let megabytes = (mebibytes << 20) as f64 / 1e6;
                figures.iter_mut().zip(times).for_each(|(all, time)| all.push(megabytes / time.as_secs_f64()));
            }
        }
        for (kept, figures) in Kept::BOTH.into_iter().zip(figures) {
            let [written, read] = figures.map(|all| median(all).unwrap_or_default());
            println!("{threads} threads, {kept:?}: written and synced at {written:.0} MB/s, read at {read:.0} MB/s");
        }
    }
    Ok(())
}

/// How long it takes to write a file and sync it, and to read it.
fn measure(parent: &Path, kept: Kept, mebibytes: usize, threads: usize) -> Result<[Duration; 2]> {
    let scratch = Scratch::below(parent, "at-rest")?;
    let directory = scratch.path("files");
    std::fs::create_dir_all(&directory)?;
    let store = kept.store(&directory)?;
    let path = StorePath::parse(b"file")?;
    let began = Instant::now();
    let file = store.create(&path)?;
    file.expect_length((mebibytes * CHUNK) as u64);
    each_chunk(mebibytes, threads, |chunk, bytes| write(&*file, chunk, bytes));
    file.sync_all()?;
    drop(file);
    let written = began.elapsed();
    let began = Instant::now();
    let file = store.open(&path, FollowLinks::No)?;
    each_chunk(mebibytes, threads, |chunk, bytes| {
        let read = file.read_at((chunk * CHUNK) as u64, bytes).expect("what was written is read");
        assert_eq!((read, bytes[0]), (CHUNK, chunk as u8), "another content");
    });
    Ok([written, began.elapsed()])
}

fn write(file: &dyn WriteFile, chunk: usize, bytes: &mut [u8]) {
    bytes.fill(chunk as u8);
    for (portion, part) in bytes.chunks(PORTION).enumerate() {
        let offset = chunk * CHUNK + portion * PORTION;
        file.write_at(offset as u64, part).expect("there is room");
    }
}

/// Hands out the chunks to threads, each with a buffer of its own.
fn each_chunk(chunks: usize, threads: usize, work: impl Fn(usize, &mut [u8]) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let work = &work;
            scope.spawn(move || {
                let mut bytes = vec![0; CHUNK];
                (thread..chunks).step_by(threads).for_each(|chunk| work(chunk, &mut bytes));
            });
        }
    });
}
