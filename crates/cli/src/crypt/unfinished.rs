//! What the file keys of an upload follow from, kept until it is finished.
//!
//! Who encrypts for public keys alone cannot open what was sent of a stopped
//! upload, and so cannot go on with its file key. The seed of these keys is
//! therefore kept on this machine, where the source is too: readable by its
//! user alone, named by the transfer, until that has been done or nobody has
//! asked for it for a month. After that not even this machine can open what it
//! sent.
//!
//! Where it cannot be kept an upload begins anew, as it does on another
//! machine: nothing about it is ever an error.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use limosa_seal::envelope::FileKeySeed;
use limosa_seal::{Secret, identity};

/// How long a seed is kept that nobody asks for.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Bytes of a seed.
const LENGTH: usize = 32;

/// The place of one upload's seed.
#[derive(Debug)]
pub struct Unfinished {
    file: PathBuf,
}

impl Unfinished {
    /// That of the transfer so named, for this user; `None` if there is no
    /// place for it.
    pub(crate) fn of_user(transfer: &[u8; 16]) -> Option<Self> {
        Some(Self::below(&limosa_ssh::state_directory()?.join("limosa/unfinished"), transfer))
    }

    fn below(directory: &Path, transfer: &[u8; 16]) -> Self {
        Self { file: directory.join(identity::hex(transfer)) }
    }

    /// The seed that was kept, or a new one, which is kept from now on.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub(crate) fn seed(&self) -> io::Result<FileKeySeed> {
        let directory = self.file.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        forget_old(directory, SystemTime::now())?;
        match self.kept() {
            Ok(seed) => return Ok(seed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Others may have read it, or it is none.
            Err(_) => fs::remove_file(&self.file)?,
        }
        self.keep(&FileKeySeed::random(), directory)?;
        // Another process may have been first.
        self.kept()
    }

    /// Forgets it: the upload is done.
    pub(crate) fn finished(&self) {
        let _ = fs::remove_file(&self.file);
    }

    /// What was kept, which from now on is kept for another while.
    fn kept(&self) -> io::Result<FileKeySeed> {
        let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut file = OpenOptions::new().read(true).write(true).custom_flags(no_follow).open(&self.file)?;
        let found = file.metadata()?;
        let ours = found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0;
        if !found.is_file() || !ours || found.len() != LENGTH as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut read = Ok(());
        let seed = Secret::<LENGTH>::fill(|bytes| read = file.read_exact(bytes));
        read?;
        file.set_modified(SystemTime::now())?;
        Ok(FileKeySeed::kept(seed))
    }

    /// Keeps a seed, unless there is one. It has its name once it is whole.
    fn keep(&self, seed: &FileKeySeed, directory: &Path) -> io::Result<()> {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let staged = directory.join(format!(".{name}.{}", std::process::id()));
        let written = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
            file.write_all(seed.secret().expose())?;
            file.sync_all()?;
            fs::hard_link(&staged, &self.file)
        };
        let written = written();
        let _ = fs::remove_file(&staged);
        match written {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => File::open(directory)?.sync_all(),
        }
    }
}

/// Forgets what nobody has asked for since a month before `now`.
fn forget_old(directory: &Path, now: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let modified = entry.metadata().and_then(|found| found.modified());
        let unused = modified.ok().and_then(|modified| now.duration_since(modified).ok());
        if unused.is_some_and(|unused| unused > KEPT) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn name(unfinished: &Unfinished) -> [u8; 16] {
        unfinished.seed().unwrap().name()
    }

    #[test]
    fn a_seed_is_kept_until_the_upload_is_done() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("state/unfinished");
        let (one, other) = (Unfinished::below(&directory, &[1; 16]), Unfinished::below(&directory, &[2; 16]));
        let first = name(&one);
        assert_eq!(name(&Unfinished::below(&directory, &[1; 16])), first);
        assert_ne!(name(&other), first);
        let modes = [&directory, &one.file].map(|path| fs::metadata(path).unwrap().mode() & 0o777);
        assert_eq!(modes, [0o700, 0o600]);
        one.finished();
        let left: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [other.file]);
        assert_ne!(name(&one), first);
    }

    #[test]
    fn what_others_could_read_or_nobody_asks_for_is_no_longer_believed() {
        let home = tempfile::tempdir().unwrap();
        let one = Unfinished::below(home.path(), &[1; 16]);
        let mut before = name(&one);
        let spoilings: [fn(&Path); 4] = [
            |file| fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap(),
            |file| fs::write(file, [1; 31]).unwrap(),
            |file| {
                fs::rename(file, file.with_extension("away")).unwrap();
                std::os::unix::fs::symlink(file.with_extension("away"), file).unwrap();
            },
            |file| {
                let month_ago = SystemTime::now() - KEPT - Duration::from_secs(60);
                File::options().write(true).open(file).unwrap().set_modified(month_ago).unwrap();
            },
        ];
        for spoil in spoilings {
            spoil(&one.file);
            let now = name(&one);
            assert_ne!(now, before);
            before = now;
        }
    }

    #[test]
    fn where_nothing_can_be_kept_that_is_told() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("file"), "").unwrap();
        assert!(Unfinished::below(&home.path().join("file/unfinished"), &[1; 16]).seed().is_err());
    }
}
