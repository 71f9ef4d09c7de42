//! `checks/envelope/decode.py`, which was written from `docs/ENVELOPE.md`
//! alone, opens what the product seals.

use std::process::Command;

use super::*;
use crate::support::{find, skip};

/// The interpreter: the one named by `LIMOSA_PYTHON`, or the system's.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("LIMOSA_PYTHON").map(PathBuf::from);
    let Some(python) = named.or_else(|| find("python3")) else {
        skip("python3");
        return None;
    };
    let modules = Command::new(&python).args(["-c", "import argon2, cryptography"]).output();
    if !modules.is_ok_and(|done| done.status.success()) {
        skip("the modules of checks/envelope/requirements.txt, for the python that LIMOSA_PYTHON names");
        return None;
    }
    Some(python)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checks/envelope").join(name)
}

fn decode(python: &Path, lab: &Lab, key: &[&str], file: &str) -> Result<Vec<u8>, String> {
    let mut command = Command::new(python);
    command.current_dir(lab.here()).arg(script("decode.py")).args(key).arg(file);
    let done = command.output().unwrap();
    if done.status.success() { Ok(done.stdout) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

/// How a file is sealed, and the key by which the decoder opens it.
const KINDS: &[(&str, &[&str])] = &[
    ("--kdf-cost 64,1,1 --passphrase-file WORD", &["--passphrase", "word"]),
    ("--kdf-cost 1024,2,4 --passphrase-file WORD", &["--passphrase", "word"]),
    ("--kdf pbkdf2 --kdf-cost 1000 --passphrase-file WORD", &["--passphrase", "word"]),
    ("--kdf-cost 64,1,1 --cipher aes-128 --passphrase-file WORD", &["--passphrase", "word"]),
    ("--recipient id.pub", &["--identity", "id"]),
    ("--master-key site-1=MASTER", &["--master-key", MASTER]),
    ("--kdf-cost 64,1,1 --passphrase-file WORD --recipient id.pub --master-key site-1=MASTER", &["--identity", "id"]),
    (
        "--kdf-cost 64,1,1 --passphrase-file WORD --recipient id.pub --master-key site-1=MASTER",
        &["--passphrase", "word"],
    ),
    ("--cipher aes-128 --recipient other.pub --master-key site-1=MASTER", &["--master-key", MASTER]),
];

const MASTER: &str = "site-1=0707070707070707070707070707070707070707070707070707070707070707";

/// What keys there are.
fn keys(lab: &Lab) {
    write(lab, "WORD", b"word\n");
    write(lab, "MASTER", &[7; 32]);
    limosa(lab, "envelope keygen id").succeed();
    limosa(lab, "envelope keygen other").succeed();
}

#[test]
fn it_opens_every_kind_of_file() {
    let Some(python) = python() else { return };
    let lab = Lab::new();
    keys(&lab);
    let content: Vec<u8> = (0..150_000_u32).map(|at| (at % 253) as u8).collect();
    write(&lab, "a", &content);
    for (options, key) in KINDS {
        limosa(&lab, "protect -o sealed --overwrite always a").args(options.split(' ')).succeed();
        assert_eq!(decode(&python, &lab, key, "sealed").as_ref(), Ok(&content), "{options}");
        let wrong = decode(&python, &lab, &["--passphrase", "other"], "sealed");
        assert!(wrong.is_err_and(|said| said.contains("no slot for this key, or a wrong passphrase")), "{options}");
    }
}

#[test]
fn it_opens_files_of_every_length() {
    let Some(python) = python() else { return };
    let lab = Lab::new();
    keys(&lab);
    for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 1_048_576 + 7] {
        let content = vec![3; length];
        write(&lab, "a", &content);
        limosa(&lab, "protect -o sealed --overwrite always --master-key site-1=MASTER a").succeed();
        assert_eq!(decode(&python, &lab, &["--master-key", MASTER], "sealed").as_ref(), Ok(&content), "{length}");
    }
}

#[test]
fn it_opens_files_with_holes_and_with_long_headers() {
    let Some(python) = python() else { return };
    let lab = Lab::new();
    keys(&lab);
    let file = fs::File::create(lab.here().join("a")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"far", 1 << 20).unwrap();
    file.set_len(2 << 20).unwrap();
    let recipients = vec!["--recipient=other.pub"; 20];
    limosa(&lab, "protect -o sealed --master-key site-1=MASTER a").args(recipients).succeed();
    assert_eq!(info(&lab, "sealed")["header_bytes"], 8192);
    let content = fs::read(lab.here().join("a")).unwrap();
    assert_eq!(decode(&python, &lab, &["--master-key", MASTER], "sealed"), Ok(content));
}

#[test]
fn it_opens_rewrapped_files() {
    let Some(python) = python() else { return };
    let lab = Lab::new();
    keys(&lab);
    write(&lab, "a", b"content");
    write(&lab, "NEW", b"better");
    limosa(&lab, "protect --kdf-cost 64,1,1 --passphrase-file WORD a").succeed();
    let rewrap =
        "envelope rewrap --passphrase-file WORD --new-passphrase-file NEW --kdf-cost 64,1,1 --add-recipient id.pub";
    limosa(&lab, rewrap).arg("a.aspera-env").succeed();
    let content = Ok(b"content".to_vec());
    assert_eq!(decode(&python, &lab, &["--passphrase", "better"], "a.aspera-env"), content);
    assert_eq!(decode(&python, &lab, &["--identity", "id"], "a.aspera-env"), content);
    assert!(decode(&python, &lab, &["--passphrase", "word"], "a.aspera-env").is_err());
}

#[test]
fn it_refuses_what_was_changed() {
    let Some(python) = python() else { return };
    let lab = Lab::new();
    keys(&lab);
    write(&lab, "a", &vec![3; 200_000]);
    limosa(&lab, "protect -o sealed --master-key site-1=MASTER a").succeed();
    let good = fs::read(lab.here().join("sealed")).unwrap();
    for at in [0, 8, 9, 13, 40, 5000, 4096, 4096 + 65_568, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        write(&lab, "sealed", &bytes);
        assert!(decode(&python, &lab, &["--master-key", MASTER], "sealed").is_err(), "byte {at}");
    }
    for length in [100, 4096, 4096 + 65_568, good.len() - 1] {
        write(&lab, "sealed", &good[..length]);
        assert!(decode(&python, &lab, &["--master-key", MASTER], "sealed").is_err(), "cut to {length}");
    }
}

#[test]
fn it_opens_the_published_vectors() {
    let Some(python) = python() else { return };
    let done = Command::new(python).arg(script("test_vectors.py")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
