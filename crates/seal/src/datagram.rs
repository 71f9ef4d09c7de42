//! Protection of datagrams, in place, without allocation.
//!
//! What is done to one datagram is the suite's ([`mod@epoch_key`]): AES in GCM,
//! AES in CFB and a MAC over header and ciphertext, or that MAC alone. Each
//! takes as many bytes as it is given and puts a tag of [`TAG_LEN`] bytes behind
//! them. What is here is the same for all: a
//! number is sealed once, so the sealer refuses any that does not rise. The
//! opener holds the keys of the epoch before the newest authentic datagram's
//! up to the eighth behind it; numbers beyond cost a comparison, no
//! cryptography. It does not look for replays: that is for the one who keeps
//! the numbers.

use std::collections::VecDeque;
use std::fmt;

use aws_lc_rs::cipher::{DecryptingKey, EncryptingKey};
use limosa_wire::PacketNumber;
use limosa_wire::datagram::TAG_LEN;

use crate::schedule::{Epoch, KeyChain};

mod cfb;
mod epoch_key;
mod mac;

pub(crate) use cfb::CfbWay;
pub(crate) use epoch_key::EpochKey;

/// Epochs kept behind the newest authentic datagram's.
const EPOCHS_BEHIND: u32 = 1;
/// Epochs held ready before it.
pub const EPOCHS_AHEAD: u32 = 8;

/// A datagram cannot be sealed: a fault of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The number was used before, or a higher one was.
    #[error("packet number {0:?} was used before")]
    NumberReused(PacketNumber),
    /// The buffer has no room for the tag.
    #[error("no room for the tag")]
    NoRoom,
}

/// A datagram is not authentic: dropped, counted, never answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its number is too far from those seen.
    #[error("packet number outside the epochs held")]
    OutsideEpochs,
    /// It is too short, or its tag is wrong.
    #[error("not authentic")]
    NotAuthentic,
}

/// Protects what one direction sends.
pub struct DatagramSealer {
    chain: KeyChain,
    key: EpochKey<EncryptingKey>,
    /// The lowest number that may still be used; `None` when all are used up.
    lowest: Option<PacketNumber>,
}

impl DatagramSealer {
    pub(crate) fn new(mut chain: KeyChain) -> Self {
        let key = chain.step();
        Self { chain, key, lowest: Some(PacketNumber::default()) }
    }

    /// Seals one datagram in place: `body` holds the frames and, behind them,
    /// [`TAG_LEN`] bytes of room for the tag.
    ///
    /// # Errors
    /// If `number` is not above all used before, or `body` has no room for the
    /// tag.
    pub fn seal(&mut self, number: PacketNumber, header: &[u8], body: &mut [u8]) -> Result<(), SealError> {
        if self.lowest.is_none_or(|lowest| number < lowest) {
            return Err(SealError::NumberReused(number));
        }
        let frames = body.len().checked_sub(TAG_LEN).ok_or(SealError::NoRoom)?;
        while self.chain.next_epoch() <= Epoch::of(number) {
            self.key = self.chain.step();
        }
        self.lowest = number.next();
        let (frames, room) = body.split_at_mut(frames);
        self.key.seal(number, header, frames, room);
        Ok(())
    }
}

impl fmt::Debug for DatagramSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramSealer").field("lowest", &self.lowest).finish_non_exhaustive()
    }
}

/// Opens what the other direction sends.
pub struct DatagramOpener {
    chain: KeyChain,
    /// Keys of consecutive epochs, up to the one before the chain's next.
    keys: VecDeque<EpochKey<DecryptingKey>>,
    /// Epoch of the newest authentic datagram.
    current: Epoch,
}

impl DatagramOpener {
    pub(crate) fn new(chain: KeyChain) -> Self {
        let keys = VecDeque::with_capacity((EPOCHS_BEHIND + EPOCHS_AHEAD + 2) as usize);
        let mut opener = Self { chain, keys, current: Epoch(0) };
        opener.derive();
        opener
    }

    /// Opens one datagram in place: `body` holds the ciphertext and the tag.
    /// Returns the frames, which are the front of `body`. When it fails, what
    /// `body` holds has no meaning.
    ///
    /// # Errors
    /// If the number is outside the epochs held, or the datagram is not
    /// authentic.
    pub fn open<'b>(
        &mut self,
        number: PacketNumber,
        header: &[u8],
        body: &'b mut [u8],
    ) -> Result<&'b mut [u8], OpenError> {
        let epoch = Epoch::of(number);
        let key = self.key(epoch).ok_or(OpenError::OutsideEpochs)?;
        let frames = key.open(number, header, body).ok_or(OpenError::NotAuthentic)?;
        if epoch > self.current {
            self.current = epoch;
            self.derive();
        }
        Ok(frames)
    }

    fn key(&self, epoch: Epoch) -> Option<&EpochKey<DecryptingKey>> {
        let behind_newest = self.chain.next_epoch().0.checked_sub(epoch.0 + 1)?;
        self.keys.get(self.keys.len().checked_sub(behind_newest as usize + 1)?)
    }

    /// Brings the keys held to those around the current epoch.
    fn derive(&mut self) {
        while self.chain.next_epoch().0 <= self.current.0 + EPOCHS_AHEAD {
            self.keys.push_back(self.chain.step());
        }
        let wanted = self.current.0.min(EPOCHS_BEHIND) + 1 + EPOCHS_AHEAD;
        self.keys.drain(..self.keys.len() - wanted as usize);
    }
}

impl fmt::Debug for DatagramOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramOpener").field("current", &self.current).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
