//! Header and heads of a file that is opened as it arrives: with its content,
//! what its sealed form is made of again.
//!
//! ```text
//! "limosa-h" · length of the sealed file 8 · header of the envelope · heads, 32 bytes each
//! ```
//!
//! They stay in memory until the file is synced first, and are in a file beside
//! it from then on. Nothing is believed of that file but how long it says the
//! sealed one is: each head has to fit the content before that gets a name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use limosa_seal::envelope::{HEAD, Header, Sealed};

use crate::contract::{ReadFile, WriteFile};
use crate::error::Result;

const MAGIC: [u8; 8] = *b"limosa-h";
/// Before the header: magic and length.
const START: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Heads {
    header: Vec<u8>,
    length: Sealed,
    /// Those that are in memory alone.
    fresh: Mutex<BTreeMap<u64, [u8; HEAD]>>,
    file: OnceLock<Arc<dyn WriteFile>>,
}

impl Heads {
    /// Of a sealed file of this length that begins with this header.
    pub(super) fn new(header: Vec<u8>, length: Sealed) -> Self {
        Self { header, length, fresh: Mutex::default(), file: OnceLock::new() }
    }

    /// Those that an earlier session has left; `None` for a file that is none
    /// of these.
    pub(super) fn read(file: Arc<dyn WriteFile>) -> Result<Option<Self>> {
        let Some(length) = length_in(&*file)? else { return Ok(None) };
        let mut header = vec![0; super::super::LONGEST_HEADER];
        let read = file.read_at(START as u64, &mut header)?;
        let Some(past) = Header::length(&header[..read]).ok().filter(|past| *past <= read) else { return Ok(None) };
        header.truncate(past);
        Ok(Some(Self { file: OnceLock::from(file), ..Self::new(header, length) }))
    }

    /// How the sealed file begins.
    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    /// How long the sealed file is.
    pub(super) const fn length(&self) -> Sealed {
        self.length
    }

    fn fresh(&self) -> MutexGuard<'_, BTreeMap<u64, [u8; HEAD]>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, number: u64) -> u64 {
        (START + self.header.len()) as u64 + number * HEAD as u64
    }

    /// The head of a segment; zeros if it is not known.
    pub(super) fn get(&self, number: u64) -> Result<[u8; HEAD]> {
        if let Some(head) = self.fresh().get(&number) {
            return Ok(*head);
        }
        let mut head = [0; HEAD];
        if let Some(file) = self.file.get() {
            file.read_at(self.place(number), &mut head)?;
        }
        Ok(head)
    }

    /// The head of a segment has come.
    pub(super) fn set(&self, number: u64, head: [u8; HEAD]) {
        self.fresh().insert(number, head);
    }

    /// Brings them to stable storage, into a file that `make` makes the first
    /// time.
    ///
    /// # Errors
    /// What the store reports.
    pub(super) fn sync(&self, make: impl FnOnce() -> Result<Arc<dyn WriteFile>>) -> Result<()> {
        // Held, so that nobody looks for what is on its way.
        let mut fresh = self.fresh();
        let file = match self.file.get() {
            Some(file) => file,
            None => {
                let file = make()?;
                file.write_at(0, &[MAGIC.as_slice(), &self.length.0.to_be_bytes(), &self.header].concat())?;
                self.file.get_or_init(|| file)
            }
        };
        let mut run: Option<(u64, Vec<u8>)> = None;
        for (number, head) in &*fresh {
            match &mut run {
                Some((first, heads)) if *first + (heads.len() / HEAD) as u64 == *number => {
                    heads.extend_from_slice(head);
                }
                _ => {
                    if let Some((first, heads)) = run.replace((*number, head.to_vec())) {
                        file.write_at(self.place(first), &heads)?;
                    }
                }
            }
        }
        if let Some((first, heads)) = run {
            file.write_at(self.place(first), &heads)?;
        }
        fresh.clear();
        drop(fresh);
        file.sync_data()
    }
}

/// How long the sealed file is that this file has the heads of; `None` if it
/// has none.
pub(super) fn length_in(file: &dyn ReadFile) -> Result<Option<Sealed>> {
    let mut start = [0; START];
    let read = file.read_at(0, &mut start)?;
    let (magic, length) = start.split_at(MAGIC.len());
    let length = length.try_into().map(u64::from_be_bytes).unwrap_or_default();
    Ok((read == START && magic == MAGIC).then_some(Sealed(length)))
}

/// Whether there is no head where this is.
pub(super) fn is_missing(head: [u8; HEAD]) -> bool {
    // The nonce of a head is never all zeros, or as likely as any other.
    head == [0; HEAD]
}
