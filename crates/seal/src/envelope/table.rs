//! The slot table: all slots of a file, and the number that rises with each
//! change of them.

use limosa_wire::codec::{DecodeError, Reader, Sink};

use super::slot::{MAX_PASSPHRASE_SLOTS, MAX_SLOTS, Slot};

/// Generation, count, reserved and length: what stands before the slots.
pub(super) const TABLE_HEAD: usize = 16;

/// All slots of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTable {
    /// From 1; rises with each change, so that of two copies the newer one is
    /// known.
    pub generation: u64,
    /// In the order in which they were added.
    pub slots: Vec<Slot>,
}

impl SlotTable {
    /// Appends the table, without what fills it up.
    ///
    /// # Panics
    /// When there are more than [`MAX_SLOTS`].
    #[allow(clippy::cast_possible_truncation)]
    pub fn encode(&self, sink: &mut Vec<u8>) {
        assert!(self.slots.len() <= MAX_SLOTS, "slots are counted when they are added");
        let mut slots = Vec::new();
        self.slots.iter().for_each(|slot| slot.encode(&mut slots));
        sink.put_u64(self.generation);
        sink.put_u16(self.slots.len() as u16);
        sink.put_u16(0);
        sink.put_u32(slots.len() as u32);
        sink.put(&slots);
    }

    /// Reads a table and the zeros that fill it up.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("envelope slot table", bytes);
        let (generation, count, reserved) = (reader.u64()?, usize::from(reader.u16()?), reader.u16()?);
        let length = usize::try_from(reader.u32()?).map_err(|_| reader.range())?;
        let mut records = Reader::new("envelope slot table", reader.take(length)?);
        if generation == 0 || count == 0 || count > MAX_SLOTS || reserved != 0 {
            return Err(reader.range());
        }
        if reader.rest().iter().any(|byte| *byte != 0) {
            return Err(reader.range());
        }
        let slots = (0..count).map(|_| Slot::decode(&mut records)).collect::<Result<Vec<_>, _>>()?;
        records.end()?;
        if slots.iter().filter(|slot| slot.is_passphrase()).count() > MAX_PASSPHRASE_SLOTS {
            return Err(reader.range());
        }
        Ok(Self { generation, slots })
    }
}
