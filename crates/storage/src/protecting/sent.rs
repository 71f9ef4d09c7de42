//! The heads of segments that were sealed to be sent, by which the very same
//! bytes are made of the source again.

use std::collections::VecDeque;

use limosa_seal::envelope::HEAD;

/// So many are remembered of one file: 16 GiB of it, in 8 MiB of memory.
const MOST: usize = 1 << 18;

/// The heads of consecutive segments, those in between that were not sealed
/// left out.
#[derive(Debug, Default)]
pub(super) struct SentHeads {
    /// The number of the first.
    first: u64,
    heads: VecDeque<Option<[u8; HEAD]>>,
}

impl SentHeads {
    /// The head of a segment, if it is remembered.
    pub(super) fn get(&self, number: u64) -> Option<[u8; HEAD]> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.heads.get(at).copied().flatten()
    }

    /// Remembers a head, and forgets those that lie furthest in front of it.
    /// Reads come nearly in order: one that lies further in front than can be
    /// remembered is not.
    pub(super) fn put(&mut self, number: u64, head: [u8; HEAD]) {
        let past = self.first + self.heads.len() as u64;
        if self.heads.is_empty() || number >= past + MOST as u64 {
            self.heads.clear();
            self.first = number;
        }
        while self.first > number && self.heads.len() < MOST {
            self.heads.push_front(None);
            self.first -= 1;
        }
        let Some(at) = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()) else { return };
        if at >= self.heads.len() {
            self.heads.resize(at + 1, None);
        }
        self.heads[at] = Some(head);
        let forgotten = self.heads.len().saturating_sub(MOST);
        self.heads.drain(..forgotten);
        self.first += forgotten as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered() {
        let mut sent = SentHeads::default();
        let head = |number: u64| [number as u8; HEAD];
        let most = MOST as u64;
        for number in [5, 7, 6, 2, most + 5, most + 6] {
            sent.put(number, head(number));
        }
        let known = |sent: &SentHeads, number| sent.get(number) == Some(head(number));
        let mut late = SentHeads::default();
        [9, 4, 3].iter().for_each(|number| late.put(*number, head(*number)));
        assert!([9, 4, 3].iter().all(|number| known(&late, *number)) && late.get(5).is_none());
        assert!(known(&sent, 7) && known(&sent, most + 5) && known(&sent, most + 6));
        assert!([2, 5, 6, 8, most + 7].iter().all(|number| sent.get(*number).is_none()));
        sent.put(10 * most, head(3));
        assert_eq!((sent.get(10 * most), sent.get(7)), (Some(head(3)), None));
        assert!(sent.heads.len() == 1, "nothing is kept of what lies between");
    }
}
