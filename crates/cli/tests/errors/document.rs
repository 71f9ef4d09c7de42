//! The table of provocations in `docs/ERRORS.md`, between two comments. The
//! rest of the page is compared with the table of codes by `limosa-wire`.

use std::fmt::Write;
use std::fs;

use crate::case::{Case, Provocation};
use crate::cases;
use crate::named::repository;

const BEGIN: &str = "<!-- provoked: begin -->\n";
const END: &str = "<!-- provoked: end -->\n";

const HEAD: &str = "
## How to provoke each

Every command below is run by a test (`crates/cli/tests/errors`), which compares exit status, message, advice
and, for transfers, the summary of `--json`. `HOST` is a host with Limosa, `PORT` a port; other names in
capitals are files and directories. Options that say how to reach the host are left out. What no command can
provoke has a test of its own that does.

| code | command | when |
| --- | --- | --- |
";

fn section() -> String {
    cases().fold(HEAD.to_owned(), |mut text, case| {
        let _ = writeln!(text, "{}", row(case));
        text
    })
}

fn row(case: &Case) -> String {
    let number = case.code.number();
    match &case.by {
        Provocation::Command { typed, when, .. } => format!("| {number} | `{}` | {when} |", typed.replace('|', "\\|")),
        Provocation::Test { file, name, when } => format!("| {number} | {} | {when} |", test_command(file, name)),
    }
}

/// `cargo test` for a test in a crate's `src` or `tests`.
fn test_command(file: &str, name: &str) -> String {
    let mut words = file.split('/').skip(1);
    let package = words.next().unwrap_or_default();
    let target = match (words.next(), words.next()) {
        (Some("tests"), Some(target)) => format!("--test {}", target.trim_end_matches(".rs")),
        _ => "--lib".to_owned(),
    };
    format!("`cargo test -p limosa-{package} {target} {name}`")
}

#[test]
fn the_document_says_how_to_provoke_each_code() {
    let path = repository().join("docs/ERRORS.md");
    let text = fs::read_to_string(&path).unwrap();
    let before = text.find(BEGIN).unwrap_or_else(|| panic!("docs/ERRORS.md has no {BEGIN}"));
    let expected = format!("{}{BEGIN}{}\n{END}", &text[..before], section());
    if std::env::var_os("LIMOSA_UPDATE_DOCUMENTS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written == expected, "docs/ERRORS.md is out of date; run with LIMOSA_UPDATE_DOCUMENTS=1");
}
