//! `docs/ERRORS.md` says what the table of codes says. After a change of the
//! table: `LIMOSA_UPDATE_DOCUMENTS=1 cargo test -p limosa-wire`. What follows
//! the tables is compared by the tests of the command line.

use std::fmt::Write;
use std::path::PathBuf;

use limosa_wire::{Code, Fault};

const HEAD: &str = "# Errors

Every failure of Limosa has a number, which never changes its meaning and is never reused: on the wire, in
`--json`, in logs, and in brackets at the end of a message: `[212]` by `limosa`, `(code 212)` by `limosad`. The
first digit says whose matter it is. *Exit* is the exit status of a program that ends with the code; *again* says
whether the same command may succeed later without anything being changed.

This page is compared with the table in `crates/wire/src/code.rs` by a test.
";

/// From here on the page says how to provoke each code.
const PROVOKED: &str = "\n<!-- provoked: begin -->\n";

/// The tables, and what follows them.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(PROVOKED).unwrap_or(text.len()))
}

fn heading(fault: Fault) -> &'static str {
    match fault {
        Fault::None => "0xx: no fault",
        Fault::Usage => "1xx: the command as given",
        Fault::Network => "2xx: the network between the ends",
        Fault::Authentication => "3xx: who somebody is",
        Fault::Policy => "4xx: what the administrator allows",
        Fault::Storage => "5xx: files and disks",
        Fault::Integrity => "6xx: content that is not what it should be",
        Fault::Peer => "7xx: the other end",
        Fault::Internal => "9xx: this software and this machine",
    }
}

fn document() -> String {
    let mut text = HEAD.to_owned();
    let mut section = None;
    for code in Code::ALL {
        if section != Some(code.fault()) {
            section = Some(code.fault());
            let _ = writeln!(
                text,
                "\n## {}\n\n| code | name | exit | again | what happened | what to do |",
                heading(code.fault())
            );
            text.push_str("| --- | --- | --- | --- | --- | --- |\n");
        }
        let again = if code.may_retry() { "yes" } else { "" };
        let (number, exit) = (code.number(), code.exit_status());
        let _ = writeln!(
            text,
            "| {number} | `{}` | {exit} | {again} | {} | {} |",
            code.name(),
            code.summary(),
            code.advice()
        );
    }
    text
}

#[test]
fn the_document_says_what_the_table_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/ERRORS.md");
    let read = || std::fs::read_to_string(&path).expect("docs/ERRORS.md is there");
    if std::env::var_os("LIMOSA_UPDATE_DOCUMENTS").is_some() {
        let text = document() + split(&read()).1;
        std::fs::write(&path, text).expect("the document can be written");
    }
    assert!(split(&read()).0 == document(), "docs/ERRORS.md is out of date; run with LIMOSA_UPDATE_DOCUMENTS=1");
}
