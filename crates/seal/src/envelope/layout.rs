//! Where what lies: between offsets in the content and offsets in the sealed
//! file. Pure arithmetic.

use limosa_wire::codec::DecodeError;

/// Bytes of a stored segment before its ciphertext: flags, nonce, tag.
pub const HEAD: usize = 32;

/// The header is a multiple of this, bytes.
pub(super) const HEADER_STEP: u32 = 512;
const LEAST_HEADER: u32 = 1024;
const MOST_HEADER: u32 = 64 * 1024;
const LEAST_SEGMENT: u32 = 256;
const MOST_SEGMENT: u32 = 1024 * 1024;

/// Bytes of content, as an offset or as a length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plain(pub u64);

/// Bytes of a sealed file, as an offset or as a length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sealed(pub u64);

/// Number of a segment, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u64);

/// Where one segment lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where its content begins.
    pub plain: Plain,
    /// How many bytes of content it holds.
    pub length: u32,
    /// Where it is stored, head first.
    pub sealed: Sealed,
    /// Whether it is the last.
    pub is_last: bool,
}

impl Extent {
    /// Bytes that are stored.
    #[must_use]
    pub const fn stored(self) -> usize {
        HEAD + self.length as usize
    }
}

/// The sizes that decide where what lies; fixed for the life of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    header: u32,
    segment: u32,
}

impl Layout {
    /// Segments that hold 64 KiB of content: power-of-two chunks of the content
    /// are whole segments. For files that are written at offsets of their
    /// content, and for files written in one go.
    pub const PLAIN_ALIGNED: Self = Self { header: 4096, segment: 64 * 1024 };
    /// Segments that take 64 KiB when stored, behind a header of 64 KiB:
    /// power-of-two chunks of the sealed file are whole segments. For sealed
    /// files that are themselves sent in chunks.
    pub const SEALED_ALIGNED: Self = Self { header: 64 * 1024, segment: 64 * 1024 - HEAD as u32 };

    /// A header of `header` bytes, and segments that hold `segment` bytes of
    /// content.
    ///
    /// # Errors
    /// [`DecodeError::Range`] unless the header is a multiple of 512 from 1 to
    /// 64 KiB, and the segment from 256 bytes to 1 MiB.
    pub const fn new(header: u32, segment: u32) -> Result<Self, DecodeError> {
        let header_fits = LEAST_HEADER <= header && header <= MOST_HEADER && header.is_multiple_of(HEADER_STEP);
        if header_fits && LEAST_SEGMENT <= segment && segment <= MOST_SEGMENT {
            Ok(Self { header, segment })
        } else {
            Err(DecodeError::Range("envelope layout"))
        }
    }

    /// Length of the header, which is where the first segment begins.
    #[must_use]
    pub const fn header(self) -> usize {
        self.header as usize
    }

    /// Content of a full segment, bytes.
    #[must_use]
    pub const fn segment(self) -> usize {
        self.segment as usize
    }

    /// The same segments behind a longer header, in steps of 4 KiB, if the
    /// present one is shorter than `least`; `None` above 64 KiB.
    #[must_use]
    pub fn with_header_of(self, least: usize) -> Option<Self> {
        let least = u32::try_from(least.next_multiple_of(4096)).ok()?;
        let header = least.max(self.header);
        (header <= MOST_HEADER).then_some(Self { header, ..self })
    }

    const fn stored(self) -> u64 {
        self.segment as u64 + HEAD as u64
    }

    /// How long the sealed file of so much content is; `None` if longer than
    /// any file.
    #[must_use]
    pub fn sealed_len(self, content: Plain) -> Option<Sealed> {
        let heads = self.segments(content).checked_mul(HEAD as u64)?;
        let length = content.0.checked_add(heads)?.checked_add(u64::from(self.header))?;
        i64::try_from(length).ok().map(|_| Sealed(length))
    }

    /// How much content a sealed file of this length holds; `None` if no
    /// sealed file is that long.
    #[must_use]
    pub fn plain_len(self, file: Sealed) -> Option<Plain> {
        let body = file.0.checked_sub(u64::from(self.header))?;
        i64::try_from(file.0).ok()?;
        let (full, rest) = (body / self.stored(), body % self.stored());
        let last = match rest.checked_sub(HEAD as u64) {
            _ if rest == 0 && full > 0 => 0,
            Some(last) if last > 0 || full == 0 => last,
            _ => return None,
        };
        Some(Plain(full * u64::from(self.segment) + last))
    }

    /// How many segments hold so much content; an empty file has one, without
    /// content.
    #[must_use]
    pub fn segments(self, content: Plain) -> u64 {
        content.0.div_ceil(u64::from(self.segment)).max(1)
    }

    /// The segment that holds the byte at `offset`, and where in it.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn segment_at(self, offset: Plain) -> (SegmentNumber, usize) {
        let segment = u64::from(self.segment);
        (SegmentNumber(offset.0 / segment), (offset.0 % segment) as usize)
    }

    /// Where a segment of a file with so much content lies; `None` behind the
    /// last.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn extent(self, number: SegmentNumber, content: Plain) -> Option<Extent> {
        self.sealed_len(content)?;
        let last = self.segments(content) - 1;
        if number.0 > last {
            return None;
        }
        let plain = number.0 * u64::from(self.segment);
        let length = (content.0 - plain).min(u64::from(self.segment)) as u32;
        let sealed = Sealed(u64::from(self.header) + number.0 * self.stored());
        Some(Extent { plain: Plain(plain), length, sealed, is_last: number.0 == last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layouts() -> impl Strategy<Value = Layout> {
        let any = (2..=128u32, LEAST_SEGMENT..=MOST_SEGMENT)
            .prop_map(|(steps, segment)| Layout::new(steps * HEADER_STEP, segment).unwrap());
        prop_oneof![Just(Layout::PLAIN_ALIGNED), Just(Layout::SEALED_ALIGNED), any]
    }

    proptest! {
        #[test]
        fn lengths_return(layout in layouts(), content in prop_oneof![0..1u64 << 24, 0..1u64 << 62]) {
            let sealed = layout.sealed_len(Plain(content)).unwrap();
            prop_assert_eq!(layout.plain_len(sealed), Some(Plain(content)));
        }

        #[test]
        fn a_length_is_of_one_content_or_of_none(layout in layouts(), file in 0..1u64 << 22) {
            if let Some(content) = layout.plain_len(Sealed(file)) {
                prop_assert_eq!(layout.sealed_len(content), Some(Sealed(file)));
            }
        }

        #[test]
        fn segments_lie_side_by_side(layout in layouts(), content in 0..1u64 << 23) {
            let content = Plain(content);
            let (mut plain, mut sealed) = (0, layout.header() as u64);
            for number in 0..layout.segments(content) {
                let extent = layout.extent(SegmentNumber(number), content).unwrap();
                prop_assert_eq!((extent.plain, extent.sealed), (Plain(plain), Sealed(sealed)));
                prop_assert_eq!(extent.is_last, number + 1 == layout.segments(content));
                plain += u64::from(extent.length);
                sealed += extent.stored() as u64;
            }
            prop_assert_eq!((Plain(plain), Some(Sealed(sealed))), (content, layout.sealed_len(content)));
            prop_assert_eq!(layout.extent(SegmentNumber(layout.segments(content)), content), None);
        }
    }

    #[test]
    fn chunks_are_whole_segments() {
        const CHUNK: u64 = 1 << 20;
        let far = Plain(1 << 40);
        let layout = Layout::PLAIN_ALIGNED;
        assert_eq!(layout.segment_at(Plain(7 * CHUNK)), (SegmentNumber(7 * 16), 0));
        let layout = Layout::SEALED_ALIGNED;
        for (chunk, first) in [(1, 15), (2, 31), (100, 1599)] {
            assert_eq!(layout.extent(SegmentNumber(first), far).unwrap().sealed, Sealed(chunk * CHUNK));
        }
    }

    #[test]
    fn what_is_no_length_of_a_sealed_file() {
        let layout = Layout::PLAIN_ALIGNED;
        assert_eq!(layout.plain_len(Sealed(4096 + 32)), Some(Plain(0)));
        let full = 4096 + 65536 + 32;
        assert_eq!(layout.plain_len(Sealed(full)), Some(Plain(65536)));
        for length in [0, 4095, 4096, 4096 + 31, full + 1, full + 32, u64::MAX] {
            assert_eq!(layout.plain_len(Sealed(length)), None, "{length}");
        }
        assert_eq!(layout.sealed_len(Plain(u64::MAX)), None);
        assert_eq!(layout.extent(SegmentNumber(0), Plain(u64::MAX)), None);
    }

    #[test]
    fn sizes_have_bounds() {
        for (header, segment) in [(512, 65536), (1025, 65536), (66048, 65536), (4096, 255), (4096, (1 << 20) + 1)] {
            assert!(Layout::new(header, segment).is_err(), "{header} {segment}");
        }
        let long = |least| Layout::PLAIN_ALIGNED.with_header_of(least).map(Layout::header);
        assert_eq!([long(0), long(4097), long(65536), long(65537)], [Some(4096), Some(8192), Some(65536), None]);
    }
}
