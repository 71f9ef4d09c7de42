//! The textual form of keys (RFC 7468): one labelled block of base64, with
//! whatever people write around it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Longest key file that is looked at, bytes.
const MAX_TEXT: usize = 16 * 1024;
const LINE: usize = 64;

/// A block with this label.
pub(super) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, later) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = later;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// The content of the first block with this label.
pub(super) fn decode(label: &str, text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(text.get(..text.len().min(MAX_TEXT))?).ok()?;
    let (_, after) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = after.split_once(&format!("-----END {label}-----"))?;
    let base64: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    STANDARD.decode(base64.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_return(der: Vec<u8>) {
            let text = encode("THING", &der);
            prop_assert!(text.lines().all(|line| line.len() <= LINE));
            let decoded = decode("THING", format!("a word\n{}another", *text).as_bytes());
            prop_assert_eq!(decoded.unwrap().to_vec(), der);
            prop_assert!(decode("OTHER", text.as_bytes()).is_none());
        }
    }
}
