//! Codes without a command: the tests that provoke them exist, and what is
//! kept for later is used nowhere.

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

#[test]
fn what_nothing_provokes_is_used_nowhere() {
    let sources = sources(&repository().join("crates"));
    assert!(sources.len() > 100, "{}", sources.len());
    for case in cases().filter(|case| matches!(case.by, Provocation::Nothing)) {
        let name = format!("Code::{}", case.code.name());
        let user = sources.iter().find(|path| fs::read_to_string(path).is_ok_and(|text| text.contains(&name)));
        assert_eq!(user, None, "{:?} is used: it needs a case", case.code);
    }
}

/// The source files of all crates, without their tests.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            found.push(path);
        }
    }
    found
}
