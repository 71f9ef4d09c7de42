//! Where results go, and what becomes of what is not a file.

use std::os::unix::fs::{MetadataExt, symlink};

use super::*;
use crate::support::{tree, until};

/// What trees hold that cannot be there twice: links, which are left out, and
/// a name that has no room for a suffix.
fn tree_without_links(root: &Path) {
    tree::make(root, tree::Recipe { small: 40, medium: 2, sparse: true, seed: 77 });
    fs::set_permissions(root.join("odd"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(root.join("odd").join("n".repeat(255))).unwrap();
    fs::remove_dir_all(root.join("links")).unwrap();
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn is_sealed(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b".aspera-env")
}

#[test]
fn a_tree_returns_from_another_place() {
    let lab = Lab::new();
    let root = lab.here().join("tree");
    tree_without_links(&root);
    let sealed = protect(&lab).args(["--json", "--output", "sealed", "tree"]).succeed();
    assert!(files(&lab.here().join("sealed")).iter().all(|file| is_sealed(file)));
    assert!(files(&root).iter().all(|file| !is_sealed(file)), "sources stay");
    let opened = unprotect(&lab).args(["--json", "--output", "back", "sealed"]).succeed();
    for field in ["settled", "bytes"] {
        assert_eq!(opened.summary()[field], sealed.summary()[field], "{opened}");
    }
    tree::assert_equal(&root, &lab.here().join("back"));
    for name in ["sealed/sparse.aspera-env", "back/sparse"] {
        assert!(tree::occupied(&lab.here().join(name)) < 80_000_000, "{name} has its holes");
    }
}

#[test]
fn a_tree_is_sealed_and_opened_in_place() {
    let lab = Lab::new();
    let root = lab.here().join("tree");
    tree_without_links(&root);
    limosa(&lab, "protect --output copy tree").args(CHEAP).env("LIMOSA_FILEPASS", "word").succeed();
    unprotect(&lab).arg("copy").succeed();
    let copy = lab.here().join("copy");
    tree::assert_same_content(&root, &copy);
    protect(&lab).arg("copy").succeed();
    assert!(files(&copy).iter().all(|file| is_sealed(file)), "nothing plain is left");
    let again = protect(&lab).args(["--json", "copy"]).succeed();
    assert_eq!(again.summary()["settled"], 0, "what is encrypted is left alone: {again}");
    unprotect(&lab).arg("copy").succeed();
    tree::assert_same_content(&root, &copy);
    let times =
        |root: &Path| fs::metadata(root.join("medium-0")).map(|data| (data.mtime(), data.mtime_nsec(), data.mode()));
    assert_eq!(times(&root).unwrap(), times(&copy).unwrap());
}

#[test]
fn results_are_named_as_typed() {
    for (typed, lands) in [
        ("a", ["a.aspera-env"].as_slice()),
        ("--keep a", &["a", "a.aspera-env"]),
        ("--suffix .enc a", &["a.enc"]),
        ("-o x a", &["a", "x"]),
        ("-o d a", &["a", "d/a.aspera-env"]),
        ("-o new/ a", &["a", "new/a.aspera-env"]),
    ] {
        let lab = Lab::new();
        write(&lab, "a", b"content");
        fs::create_dir(lab.here().join("d")).unwrap();
        protect(&lab).args(typed.split(' ')).succeed();
        let mut found: Vec<_> = files(&lab.here());
        found.sort();
        let found: Vec<_> = found.iter().map(|path| path.strip_prefix(lab.here()).unwrap().to_str().unwrap()).collect();
        assert_eq!(found, lands, "{typed}");
    }
}

#[test]
fn what_is_there_is_kept_unless_told_otherwise() {
    let lab = Lab::new();
    write(&lab, "a", b"content");
    write(&lab, "a.aspera-env", b"something else");
    let kept = protect(&lab).args(["--json", "a"]).run();
    assert_eq!(code(&kept), 507, "{kept}");
    assert_eq!(fs::read(lab.here().join("a")).unwrap(), b"content");
    assert_eq!(fs::read(lab.here().join("a.aspera-env")).unwrap(), b"something else");
    protect(&lab).args(["--overwrite", "always", "a"]).succeed();
    assert_eq!(names(&lab.here()), ["a.aspera-env"]);
    unprotect(&lab).arg("a.aspera-env").succeed();
    assert_eq!(fs::read(lab.here().join("a")).unwrap(), b"content");
}

#[test]
fn links_are_not_followed() {
    let lab = Lab::new();
    fs::create_dir(lab.here().join("d")).unwrap();
    let target = lab.there().join("target");
    fs::write(&target, b"elsewhere").unwrap();
    symlink(&target, lab.here().join("d/link")).unwrap();
    symlink(lab.there(), lab.here().join("d/directory")).unwrap();
    write(&lab, "d/a", b"content");
    let sealed = protect(&lab).args(["--json", "d", "d/link"]).succeed();
    assert_eq!((&sealed.summary()["settled"], &sealed.summary()["skipped"]), (&1.into(), &3.into()), "{sealed}");
    assert_eq!(fs::read(target).unwrap(), b"elsewhere");
    assert_eq!(names(&lab.here().join("d")), ["a.aspera-env", "directory", "link"]);
}

#[test]
fn one_bad_file_does_not_keep_others_from_being_opened() {
    let lab = Lab::new();
    for name in ["a", "b", "c"] {
        write(&lab, name, name.as_bytes());
    }
    protect(&lab).args(["a", "b", "c"]).succeed();
    write(&lab, "b.aspera-env", b"\x89LMSE\r\n\x1a\x01 and no more");
    let opened = unprotect(&lab).args(["--json", "."]).run();
    assert_eq!((code(&opened), opened.exit()), (602, Some(11)), "{opened}");
    assert_eq!(names(&lab.here()), ["a", "b.aspera-env", "c"]);
}

#[test]
fn a_file_left_by_a_crash_is_in_nobodys_way() {
    let lab = Lab::new();
    write(&lab, "a", b"content");
    write(&lab, ".limosa-0123456789abcdef.partial", b"half");
    protect(&lab).arg(".").succeed();
    assert_eq!(names(&lab.here()), [".limosa-0123456789abcdef.partial", "a.aspera-env"]);
}

#[test]
fn an_interrupted_command_leaves_nothing_half_done() {
    let lab = Lab::new();
    // A hole that takes minutes to seal, since each segment of it has a head.
    fs::File::create(lab.here().join("a")).unwrap().set_len(1 << 40).unwrap();
    let running = protect(&lab).args(["--json", "a"]).spawn();
    until("a file under way", || tree::leftovers(&lab.here()).pop());
    running.process().interrupt();
    let finished = running.finish();
    assert_eq!((code(&finished), finished.exit()), (1, Some(130)), "{finished}");
    assert_eq!(names(&lab.here()), ["a"]);
}
