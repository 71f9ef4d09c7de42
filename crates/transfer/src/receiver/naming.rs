//! Names of files under way: hidden, short enough for any file system, and
//! found again by whoever continues the same transfer.

use limosa_seal::identity::partial_name;
use limosa_storage::path::MAX_NAME;
use limosa_storage::protecting::{BESIDE_STAGED, STAGED_PREFIX};
use limosa_storage::{Name, PathError, StorePath};
use limosa_wire::EntryId;
use limosa_wire::layout::SourceIdentity;

/// What every name of a file under way starts with.
pub const PARTIAL_PREFIX: &[u8] = STAGED_PREFIX;
/// What the name of a partial file ends with, unless set otherwise.
pub const DEFAULT_SUFFIX: &str = ".partial";
/// What the name of a journal ends with.
const JOURNAL_SUFFIX: &[u8] = b".journal";
/// Hexadecimal digits between prefix and suffix.
const DIGITS: usize = 16;

/// Makes the names of partial files and journals of one user and transfer.
///
/// A file with a journal is named after destination name, user and source, so
/// that any later session of that user finds it, and is held by a lock. A
/// file without one is named after session, transfer and entry: no two
/// sessions share that, so it needs no lock.
#[derive(Clone, Debug)]
pub struct PartialNames {
    user: Vec<u8>,
    transfer: [u8; 16],
    /// Where the numbers begin of files that no other session continues.
    first: u64,
    suffix: Vec<u8>,
}

impl PartialNames {
    /// Names for `user` (any bytes that tell users apart) and `transfer` (see
    /// [`Request::transfer`](limosa_wire::setup::Request::transfer)).
    #[must_use]
    pub fn new(user: &[u8], transfer: [u8; 16]) -> Self {
        let names = Self { user: user.to_vec(), transfer, first: 0, suffix: DEFAULT_SUFFIX.as_bytes().to_vec() };
        names.with_session([0; 16])
    }

    /// Sets random bytes of this session: the same transfer may run twice at a
    /// time.
    #[must_use]
    pub fn with_session(mut self, session: [u8; 16]) -> Self {
        let digits = partial_name(&[&self.user, &self.transfer, &session]);
        self.first = u64::from_str_radix(&digits, 16).expect("partial names are sixteen hexadecimal digits");
        self
    }

    /// Sets what names of partial files end with. A dot is not implied.
    ///
    /// # Errors
    /// If no file could have such a name, or it were that of a journal.
    pub fn with_suffix(mut self, suffix: &[u8]) -> Result<Self, PathError> {
        let room = MAX_NAME - PARTIAL_PREFIX.len() - DIGITS;
        if suffix.len() > room {
            return Err(PathError::NameTooLong);
        }
        let mut name = PARTIAL_PREFIX.to_vec();
        name.extend_from_slice(suffix);
        Name::parse(&name)?;
        self.suffix = if suffix == JOURNAL_SUFFIX { DEFAULT_SUFFIX.as_bytes().to_vec() } else { suffix.to_vec() };
        Ok(self)
    }

    /// Partial file and journal of a large file.
    pub(crate) fn journaled(
        &self,
        to: &StorePath,
        identity: &SourceIdentity,
    ) -> Result<(StorePath, StorePath), PathError> {
        let (parent, name) = split(to)?;
        let digits = partial_name(&[name.as_bytes(), &self.user, identity]);
        Ok((self.sibling(&parent, &digits, &self.suffix)?, self.sibling(&parent, &digits, JOURNAL_SUFFIX)?))
    }

    /// Partial file of one without a journal.
    pub(crate) fn unjournaled(&self, to: &StorePath, entry: EntryId) -> Result<StorePath, PathError> {
        let (parent, _) = split(to)?;
        // Of a million files, so nothing is digested for each.
        let digits = format!("{:016x}", self.first.wrapping_add(entry.0));
        self.sibling(&parent, &digits, &self.suffix)
    }

    fn sibling(&self, parent: &StorePath, digits: &str, suffix: &[u8]) -> Result<StorePath, PathError> {
        parent.join(&Name::parse(&[PARTIAL_PREFIX, digits.as_bytes(), suffix].concat())?)
    }

    /// Whether an entry of this name could be taken for a file under way; such
    /// entries are refused.
    pub(crate) fn reserves(&self, name: &[u8]) -> bool {
        let Some((digits, suffix)) = name.strip_prefix(PARTIAL_PREFIX).and_then(|rest| rest.split_at_checked(DIGITS))
        else {
            return false;
        };
        let is_partial = |suffix: &[u8]| suffix == self.suffix;
        let is_beside = BESIDE_STAGED.iter().any(|end| suffix.strip_suffix(*end).is_some_and(is_partial));
        digits.iter().all(u8::is_ascii_hexdigit) && (is_partial(suffix) || is_beside || suffix == JOURNAL_SUFFIX)
    }
}

/// The root of a store is a directory: no file can stand for it.
fn split(path: &StorePath) -> Result<(StorePath, Name), PathError> {
    path.split().ok_or(PathError::EmptyComponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> StorePath {
        StorePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_depend_on_destination_user_and_source_and_are_found_again() {
        let anna = PartialNames::new(b"anna", [1; 16]);
        let same = anna.journaled(&path("d/film"), &[7; 16]).unwrap();
        assert_eq!(anna.journaled(&path("d/film"), &[7; 16]).unwrap(), same);
        let later = PartialNames::new(b"anna", [2; 16]);
        assert_eq!(later.journaled(&path("d/film"), &[7; 16]).unwrap(), same, "found by another transfer");
        assert_ne!(anna.journaled(&path("d/film2"), &[7; 16]).unwrap(), same);
        assert_ne!(anna.journaled(&path("d/film"), &[8; 16]).unwrap(), same);
        assert_ne!(PartialNames::new(b"bert", [1; 16]).journaled(&path("d/film"), &[7; 16]).unwrap(), same);
        assert_ne!(anna.unjournaled(&path("d/f"), EntryId(1)), later.unjournaled(&path("d/f"), EntryId(1)));
        assert_ne!(anna.unjournaled(&path("d/f"), EntryId(1)), anna.unjournaled(&path("d/f"), EntryId(2)));
        let beside = anna.clone().with_session([3; 16]);
        assert_ne!(anna.unjournaled(&path("d/f"), EntryId(1)), beside.unjournaled(&path("d/f"), EntryId(1)));
        assert_eq!(beside.journaled(&path("d/film"), &[7; 16]).unwrap(), same, "found by another session");
    }

    #[test]
    fn the_longest_name_still_has_a_partial_beside_it() {
        let names = PartialNames::new(b"anna", [1; 16]).with_suffix(&[b's'; 231]).unwrap();
        let long = path(&"n".repeat(255));
        let (partial, journal) = names.journaled(&long, &[0; 16]).unwrap();
        assert_eq!(partial.as_bytes().len(), 255);
        assert!(names.reserves(partial.as_bytes()) && names.reserves(journal.as_bytes()));
        assert!(!names.reserves(b".limosa-notes"));
        let usual = PartialNames::new(b"anna", [1; 16]);
        let (partial, _) = usual.journaled(&path("film"), &[0; 16]).unwrap();
        for (end, is_reserved) in [("", true), (".opening", true), (".heads", true), (".notes", false)] {
            let name = [partial.as_bytes(), end.as_bytes()].concat();
            assert_eq!(usual.reserves(&name), is_reserved, "{end}");
        }
        assert!(PartialNames::new(b"", [0; 16]).with_suffix(&[b's'; 232]).is_err());
        assert!(PartialNames::new(b"", [0; 16]).with_suffix(b"a/b").is_err());
        assert!(names.journaled(&StorePath::root(), &[0; 16]).is_err());
    }
}
