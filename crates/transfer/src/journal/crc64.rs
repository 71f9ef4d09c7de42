//! CRC-64 (ECMA-182, reflected, as in xz): finds what a crash or a bad sector
//! did to a journal. Not against intent: who can write a user's journal can
//! write the user's files.

/// The polynomial, reflected.
const POLYNOMIAL: u64 = 0xc96c_5795_d787_0f42;

const TABLE: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u64;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// The check of `bytes` behind what had the check `before` (0 for nothing).
pub(super) fn continued(before: u64, bytes: &[u8]) -> u64 {
    let mut value = !before;
    for byte in bytes {
        value = TABLE[((value ^ u64::from(*byte)) & 0xff) as usize] ^ (value >> 8);
    }
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_check_value() {
        assert_eq!(continued(0, b"123456789"), 0x995d_c9bb_df19_39fa);
        assert_eq!(continued(continued(0, b"1234"), b"56789"), continued(0, b"123456789"));
    }
}
