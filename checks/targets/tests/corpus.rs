//! Every file of the fuzzers' corpus goes through its target, and every target
//! has a corpus and a fuzzer.

use std::fs;
use std::path::PathBuf;

use limosa_targets::TARGETS;

fn fuzz() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

#[test]
fn the_corpus_passes() {
    for (name, target) in TARGETS {
        let folder = fuzz().join("corpus").join(name);
        let files: Vec<_> =
            fs::read_dir(&folder).unwrap_or_else(|_| panic!("no corpus {}", folder.display())).collect();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in files {
            target(&fs::read(file.unwrap().path()).unwrap());
        }
    }
}

#[test]
fn every_target_has_its_fuzzer() {
    for (name, _) in TARGETS {
        let source = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains(&format!("limosa_targets::{name}(")), "{name}");
    }
}
