//! System calls for a mebibyte from file to file, both ends together, against
//! what was reviewed last. Those for files are counted by strace, in a transfer
//! on one thread and in virtual time; those that send are counted where the data
//! path would make them. Both are the same in every run.

use std::collections::BTreeMap;
use std::process::Command;
use std::{fs, io};

use limosa_bench::scratch::{Scratch, write_noise};

const MIB: u64 = 1 << 20;
/// Sizes of the two files whose difference is counted, MiB: from the smaller one
/// on all memory is in use.
const SIZES: (u64, u64) = (96, 224);
/// Calls for one MiB when last reviewed, by name.
const REVIEWED: [(&str, f64); 5] = [
    ("pread64", 8.0),
    ("pwrite64", 8.0),
    ("all on files", 16.5),
    ("sending datagrams", 36.8),
    ("sending reports", 1.75),
];
/// Share by which a figure may differ, and what may differ however small it is.
const TOLERANCE: f64 = 0.05;
const LEAST: f64 = 0.2;

#[test]
fn a_mebibyte_takes_as_many_system_calls_as_reviewed() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: strace is not installed");
        let required = std::env::var_os("LIMOSA_REQUIRE_COUNTERPARTS").is_some_and(|value| value == "1");
        assert!(!required, "strace is required");
        return;
    }
    let (fewer, more) = (calls(SIZES.0).unwrap(), calls(SIZES.1).unwrap());
    let mebibytes = (SIZES.1 - SIZES.0) as f64;
    let each = |name: &str| (more.get(name).unwrap_or(&0.0) - fewer.get(name).unwrap_or(&0.0)) / mebibytes;
    let table: Vec<String> = more.keys().map(|name| format!("{name} {:.2}", each(name))).collect();
    println!("{}", table.join(", "));
    for (name, reviewed) in REVIEWED {
        let each = each(name);
        assert!(
            (each - reviewed).abs() <= LEAST.max(TOLERANCE * reviewed),
            "{name}: {each:.2} calls for 1 MiB where {reviewed} were reviewed last; if that is meant, say why and \
             change the figure in {}",
            file!(),
        );
    }
}

/// The calls of a transfer of so many MiB, by name.
fn calls(mebibytes: u64) -> io::Result<BTreeMap<String, f64>> {
    let scratch = Scratch::below(env!("CARGO_TARGET_TMPDIR").as_ref(), "system-calls")?;
    write_noise(&scratch.path("source"), mebibytes * MIB)?;
    fs::create_dir(scratch.path("in"))?;
    let table = scratch.path("table");
    let output = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&table)
        .arg(env!("CARGO_BIN_EXE_file-megabytes"))
        .arg(scratch.path(""))
        .output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut calls = by_name(&fs::read_to_string(table)?);
    let files = calls.values().sum();
    calls.insert("all on files".to_owned(), files);
    let text = String::from_utf8_lossy(&output.stdout);
    let counted: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [sends, _, returns] = counted[..] else { return Err(io::Error::other(format!("not three figures: {text:?}"))) };
    calls.insert("sending datagrams".to_owned(), sends);
    calls.insert("sending reports".to_owned(), returns);
    Ok(calls)
}

/// strace's table: share, seconds, microseconds a call, calls, errors if any, name.
fn by_name(table: &str) -> BTreeMap<String, f64> {
    let rows = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let calls = words.get(3)?.parse().ok()?;
        let name = words.last().filter(|name| **name != "total")?;
        words.first()?.parse::<f64>().ok()?;
        Some(((*name).to_owned(), calls))
    });
    rows.collect()
}
