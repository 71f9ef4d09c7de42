//! `limosa envelope rewrap`: who can open a file changes, its content does not.

use super::*;

const HEADER: usize = 4096;

fn rewrap(lab: &Lab, options: &str) -> Client {
    let client = limosa(lab, "envelope rewrap --json").args(CHEAP).env("LIMOSA_FILEPASS", "word");
    client.args(options.split(' '))
}

fn sealed(lab: &Lab) -> Vec<u8> {
    write(lab, "a", &vec![5; 100_000]);
    protect(lab).arg("a").succeed();
    fs::read(lab.here().join("a.aspera-env")).unwrap()
}

fn opens(lab: &Lab, options: &[&str]) -> u64 {
    let opened = limosa(lab, "unprotect --json --keep --overwrite always a.aspera-env").args(options).run();
    if opened.exit() == Some(0) {
        assert_eq!(fs::read(lab.here().join("a")).unwrap(), vec![5; 100_000]);
    }
    code(&opened)
}

#[test]
fn a_passphrase_changes_without_the_content() {
    let lab = Lab::new();
    let before = sealed(&lab);
    write(&lab, "OLD", b"word\n");
    write(&lab, "NEW", b"better\n");
    rewrap(&lab, "--new-passphrase-file NEW a.aspera-env").succeed();
    let after = fs::read(lab.here().join("a.aspera-env")).unwrap();
    assert_eq!(after[HEADER..], before[HEADER..]);
    assert_eq!([opens(&lab, &["--passphrase-file", "OLD"]), opens(&lab, &["--passphrase-file", "NEW"])], [305, 0]);
    let told = info(&lab, "a.aspera-env");
    assert_eq!((&told["generation"], told["slots"].as_array().unwrap().len()), (&2.into(), 1));
    let wrong = rewrap(&lab, "--remove-passphrases a.aspera-env").run();
    assert_eq!(code(&wrong), 305, "the old one changes nothing: {wrong}");
}

#[test]
fn recipients_and_master_keys_come_and_go() {
    let lab = Lab::new();
    sealed(&lab);
    write(&lab, "MASTER", &[200; 32]);
    limosa(&lab, "envelope keygen one").succeed();
    limosa(&lab, "envelope keygen two").succeed();
    rewrap(&lab, "--add-recipient one.pub --add-recipient two.pub --add-master-key m=MASTER a.aspera-env").succeed();
    assert_eq!(opens(&lab, &["-i", "one"]), 0);
    assert_eq!(opens(&lab, &["-i", "two"]), 0);
    assert_eq!(opens(&lab, &["--master-key", "m=MASTER"]), 0);
    let fingerprint = info(&lab, "a.aspera-env")["slots"][2]["fingerprint"].as_str().unwrap().to_owned();
    let gone = format!("--remove-recipient one.pub --remove-recipient {fingerprint} --remove-passphrases a.aspera-env");
    rewrap(&lab, &gone).succeed();
    assert_eq!(opens(&lab, &["-i", "one"]), 306);
    assert_eq!(opens(&lab, &["-i", "two"]), 306);
    assert_eq!(opens(&lab, &["--master-key", "m=MASTER"]), 0);
    let last = limosa(&lab, "envelope rewrap --json --master-key m=MASTER --remove-master-key m a.aspera-env").run();
    assert_eq!(code(&last), 100, "somebody must be able to open it: {last}");
    assert_eq!(opens(&lab, &["--master-key", "m=MASTER"]), 0);
}

#[test]
fn a_damaged_copy_of_the_header_is_told_and_repaired() {
    let lab = Lab::new();
    let mut bytes = sealed(&lab);
    for at in [100, 3000] {
        bytes[at] ^= 1;
        write(&lab, "a.aspera-env", &bytes);
        assert_eq!(info(&lab, "a.aspera-env")["header_whole"], false);
        rewrap(&lab, "a.aspera-env").succeed();
        assert_eq!(info(&lab, "a.aspera-env")["header_whole"], true);
        bytes[at] ^= 1;
    }
    write(&lab, "WORD", b"word\n");
    assert_eq!(opens(&lab, &["--passphrase-file", "WORD"]), 0);
}

#[test]
fn times_stay() {
    let lab = Lab::new();
    sealed(&lab);
    let modified = || fs::metadata(lab.here().join("a.aspera-env")).unwrap().modified().unwrap();
    let before = modified();
    rewrap(&lab, "a.aspera-env").succeed();
    assert_eq!(modified(), before);
}
