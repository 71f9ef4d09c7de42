use proptest::prelude::*;

use super::*;

fn path(bytes: &[u8]) -> StorePath {
    StorePath::parse(bytes).expect("a path")
}

#[test]
fn refuses_what_is_not_a_relative_path() {
    let long_name = [b'a'; MAX_NAME + 1];
    let long_path = b"a/".repeat(MAX_PATH / 2 + 1);
    for (bytes, error) in [
        (&b"/"[..], PathError::Absolute),
        (b"/etc/passwd", PathError::Absolute),
        (b"a//b", PathError::EmptyComponent),
        (b"a/", PathError::EmptyComponent),
        (b".", PathError::DotComponent),
        (b"..", PathError::DotComponent),
        (b"a/../b", PathError::DotComponent),
        (b"a/.", PathError::DotComponent),
        (b"a\0b", PathError::Nul),
        (&long_name, PathError::NameTooLong),
        (&long_path, PathError::PathTooLong),
    ] {
        assert_eq!(StorePath::parse(bytes), Err(error), "{:?}", bytes.escape_ascii().to_string());
    }
    assert_eq!(Name::parse(b"a/b"), Err(PathError::Slash));
    assert_eq!(Name::parse(b""), Err(PathError::EmptyComponent));
}

#[test]
fn accepts_odd_but_legal_names() {
    for bytes in [&b""[..], b"a", b"...", b".hidden", b"-rf", b"a b/\n", b"\xff\xfe/x", b"~"] {
        assert_eq!(path(bytes).as_bytes(), bytes);
    }
    assert!(StorePath::parse(&[b'a'; MAX_NAME]).is_ok());
}

#[test]
fn goes_up_and_down() {
    let deep = path(b"a/bc/d");
    assert_eq!(deep.parent(), Some(path(b"a/bc")));
    assert_eq!(deep.name(), Some(Name::parse(b"d").expect("a name")));
    assert_eq!(path(b"a").parent(), Some(StorePath::root()));
    assert_eq!(StorePath::root().parent(), None);
    assert_eq!(StorePath::root().name(), None);
    assert_eq!(StorePath::root().components().count(), 0);
    assert_eq!(deep.below(&path(b"a")), Some(path(b"bc/d")));
    assert_eq!(deep.below(&deep), Some(StorePath::root()));
    assert_eq!(deep.below(&StorePath::root()), Some(deep.clone()));
    assert_eq!(deep.below(&path(b"a/b")), None);
    assert_eq!(path(b"a").join_path(&path(b"bc/d")), Ok(deep));
}

#[test]
fn takes_typed_paths() {
    for (typed, expected) in [("/", ""), (".", ""), ("//a/./b//", "a/b"), ("/tmp/x", "tmp/x")] {
        assert_eq!(StorePath::from_typed(Path::new(typed)), Ok(path(expected.as_bytes())));
    }
    assert_eq!(StorePath::from_typed(Path::new("a/..")), Err(PathError::DotComponent));
}

#[test]
fn prints_without_acting_on_the_terminal() {
    assert_eq!(path(b"a\x1b[2J\n\\\xff").printable(), "a\\u{1b}[2J\\n\\\\\\xff");
    assert_eq!(path("gr\u{fc}n/\u{202e}x".as_bytes()).printable(), "grün/\\u{202e}x");
    assert_eq!(StorePath::root().printable(), ".");
    assert_eq!(StorePath::from_printable("\\q"), Err(PathError::Escape));
    assert_eq!(StorePath::from_printable("\\"), Err(PathError::Escape));
}

proptest! {
    #[test]
    fn parsed_paths_hold_their_invariants(bytes in hostile_bytes()) {
        if let Ok(path) = StorePath::parse(&bytes) {
            prop_assert_eq!(path.as_bytes(), &bytes[..]);
            prop_assert!(bytes.len() <= MAX_PATH && !bytes.starts_with(b"/") && !bytes.contains(&0));
            for component in path.components() {
                prop_assert!(Name::parse(component).is_ok());
            }
            let rejoined: Vec<&[u8]> = path.components().collect();
            prop_assert_eq!(rejoined.join(&b'/'), bytes);
        }
    }

    #[test]
    fn printable_form_loses_nothing(bytes in hostile_bytes()) {
        if let Ok(path) = StorePath::parse(&bytes) {
            let text = path.printable();
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert_eq!(StorePath::from_printable(&text), Ok(path));
        }
    }

    #[test]
    fn split_and_join_are_inverse(bytes in hostile_bytes()) {
        if let Ok(path) = StorePath::parse(&bytes) {
            match path.split() {
                Some((parent, name)) => prop_assert_eq!(parent.join(&name), Ok(path)),
                None => prop_assert!(path.is_root()),
            }
        }
    }

    #[test]
    fn foreign_printable_forms_never_panic(text in ".*") {
        let _ = StorePath::from_printable(&text);
    }
}

/// Bytes that look enough like paths to reach every check.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"/".to_vec()),
        1 => Just(b".".to_vec()),
        1 => Just(b"..".to_vec()),
        1 => Just(vec![0]),
        1 => Just(vec![b'n'; 254]),
        6 => proptest::collection::vec(any::<u8>(), 1..4),
        3 => "\\PC{1,3}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

#[test]
fn a_directory_holds_itself_and_what_is_below() {
    let path = |text: &str| StorePath::parse(text.as_bytes()).unwrap();
    for (inner, outer, within) in [
        ("a", "", true),
        ("", "", true),
        ("a/b", "a/b", true),
        ("a/b/c", "a", true),
        ("a", "a/b", false),
        ("ab", "a", false),
        ("a-b/c", "a", false),
        ("", "a", false),
    ] {
        assert_eq!(path(inner).is_within(&path(outer)), within, "{inner:?} in {outer:?}");
    }
}
