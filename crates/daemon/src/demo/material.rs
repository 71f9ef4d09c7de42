//! What the demo sends, and where it puts what it sent and fetched.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// Bytes of the generated large file.
const LARGE: usize = 200_000_000;
/// Generated small files.
const SMALL: usize = 2_000;

/// The demo's directories.
#[derive(Debug)]
pub(super) struct Material {
    /// What is sent.
    pub(super) source: PathBuf,
    /// The server's docroot below which it lands, and `sent` in it.
    pub(super) docroot: PathBuf,
    /// Where it is sent to.
    pub(super) sent: PathBuf,
    /// Where it is fetched to.
    pub(super) fetched: PathBuf,
    /// State of server and client.
    pub(super) state: PathBuf,
    generated: bool,
    _scratch: TempDir,
}

impl Material {
    /// Makes the directories, and the data where none is given.
    pub(super) fn prepare(given: Option<&Path>, keep: Option<&Path>) -> anyhow::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("limosa-demo-").tempdir().context("no temporary directory")?;
        let base = match keep {
            Some(keep) => {
                fs::create_dir_all(keep).with_context(|| keep.display().to_string())?;
                let empty = fs::read_dir(keep).with_context(|| keep.display().to_string())?.next().is_none();
                ensure!(empty, "{} is not empty; choose another directory for --keep", keep.display());
                keep.canonicalize().with_context(|| keep.display().to_string())?
            }
            None => scratch.path().to_owned(),
        };
        let (docroot, fetched, state) = (base.join("docroot"), base.join("fetched"), scratch.path().join("state"));
        for directory in [&docroot, &fetched, &state] {
            fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        let (source, generated) = match given {
            Some(path) => (path.canonicalize().with_context(|| path.display().to_string())?, false),
            None => (generate(&base.join("source/flight"))?, true),
        };
        ensure!(source.file_name().is_some(), "{} has no name of its own", source.display());
        let sent = docroot.join("sent");
        Ok(Self { source, docroot, sent, fetched, state, generated, _scratch: scratch })
    }

    /// What is sent, for people.
    pub(super) fn describe(&self) -> String {
        if self.generated {
            format!("a file of {} MB and {SMALL} small ones", LARGE / 1_000_000)
        } else {
            self.source.display().to_string()
        }
    }

    /// Name under which the source appears at both destinations.
    pub(super) fn name_at_destination(&self) -> anyhow::Result<PathBuf> {
        Ok(self.source.file_name().context("the source has no name")?.into())
    }

    /// The destination of the fetch as an argument.
    pub(super) fn fetched_argument(&self) -> OsString {
        let mut argument = self.fetched.clone().into_os_string();
        argument.push("/");
        argument
    }

    /// What both results are compared with.
    pub(super) fn compared(&self) -> PathBuf {
        self.source.clone()
    }
}

/// Writes a large file and a tree of small ones below `root`.
fn generate(root: &Path) -> anyhow::Result<PathBuf> {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    fs::create_dir_all(root.join("small"))?;
    let mut large = BufWriter::new(File::create(root.join("large.bin"))?);
    let mut block = vec![0; 1 << 20];
    let mut left = LARGE;
    while left > 0 {
        let part = left.min(block.len());
        noise.fill(&mut block[..part]);
        large.write_all(&block[..part])?;
        left -= part;
    }
    large.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    for index in 0..SMALL {
        let folder = root.join(format!("small/{:02}", index % 40));
        fs::create_dir_all(&folder)?;
        let size = usize::try_from(noise.next() % 16_384)?;
        noise.fill(&mut block[..size]);
        fs::write(folder.join(format!("{index:04}.dat")), &block[..size])?;
    }
    Ok(root.to_owned())
}

/// Bytes that do not compress: xorshift64*, which is plenty for a demo.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }
}
