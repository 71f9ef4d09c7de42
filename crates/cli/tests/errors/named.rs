//! Codes without a command: the tests that provoke them exist.

use std::fs;
use std::path::{Path, PathBuf};

use crate::case::Provocation;
use crate::cases;

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_test_that_is_named_exists_and_names_its_code() {
    for case in cases() {
        let Provocation::Test { file, name, .. } = case.by else { continue };
        let text = fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let start = text.find(&format!("fn {name}()")).unwrap_or_else(|| panic!("{file} has no test {name}"));
        let attribute = text[..start].trim_end_matches("async ").trim_end().lines().last().unwrap_or_default();
        assert!(attribute.trim().starts_with("#[test]") || attribute.contains("::test"), "{name} is no test");
        assert!(text.contains(&format!("Code::{}", case.code.name())), "{file} does not name {:?}", case.code);
    }
}
