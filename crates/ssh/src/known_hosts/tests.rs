//! Tests of the matcher, also against `ssh-keygen -F` where it is installed.

use super::*;
use proptest::prelude::*;
use std::process::Command;

fn key(key_type: &str, seed: u8) -> HostKey {
    let mut blob = u32::try_from(key_type.len()).unwrap().to_be_bytes().to_vec();
    blob.extend(key_type.as_bytes());
    blob.extend([0, 0, 0, 32]);
    blob.extend([seed; 32]);
    HostKey::from_blob(blob).unwrap()
}

fn ed(seed: u8) -> HostKey {
    key("ssh-ed25519", seed)
}

fn known(content: &str) -> KnownHosts {
    KnownHosts::from_content(Path::new("kh"), content.as_bytes())
}

fn at(line: usize) -> Place {
    Place { file: "kh".into(), line }
}

#[test]
fn lists_wildcards_negation_ports_and_tabs() {
    let text = |hosts: &str| format!("{hosts} ssh-ed25519 {}", ed(1).base64());
    let hosts = known(
        &[
            "# comment".to_owned(),
            text("alpha,Beta.example"),
            text("*.net,!bad.net"),
            format!("[gamma]:33001\tssh-ed25519\t{}\tcomment\r", ed(1).base64()),
        ]
        .join("\n"),
    );
    let check = |host: &str, port| hosts.check(&HostName::new(host, port), &ed(1));
    assert_eq!(check("alpha", 22), Verdict::Known);
    assert_eq!(check("BETA.example", 22), Verdict::Known);
    assert_eq!(check("a.net", 22), Verdict::Known);
    assert_eq!(check("bad.net", 22), Verdict::Unknown);
    assert_eq!(check("gamma", 33001), Verdict::Known);
    assert_eq!(check("gamma", 22), Verdict::Unknown);
    // A key of the plain name is good at any port; another key says nothing.
    assert_eq!(check("alpha", 33001), Verdict::Known);
    assert_eq!(hosts.check(&HostName::new("alpha", 33001), &ed(2)), Verdict::Unknown);
}

#[test]
fn changed_also_when_the_type_differs() {
    let hosts = known(&format!("h ssh-ed25519 {}", ed(1).base64()));
    let host = HostName::new("h", 22);
    assert_eq!(hosts.check(&host, &ed(2)), Verdict::Changed(at(1)));
    assert_eq!(hosts.check(&host, &key("ssh-rsa", 9)), Verdict::Changed(at(1)));
    assert_eq!(hosts.key_types(&host), ["ssh-ed25519"]);
}

#[test]
fn revoked_outweighs_everything() {
    let b64 = ed(1).base64();
    let hosts = known(&format!("h ssh-ed25519 {b64}\n@revoked\t* ssh-ed25519 {b64}\n"));
    assert_eq!(hosts.check(&HostName::new("h", 22), &ed(1)), Verdict::Revoked(at(2)));
    assert_eq!(hosts.check(&HostName::new("x", 33001), &ed(1)), Verdict::Revoked(at(2)));
}

#[test]
fn a_certificate_authority_is_no_host_key() {
    let hosts = known(&format!("@cert-authority *.org ssh-ed25519 {}", ed(1).base64()));
    let host = HostName::new("a.org", 22);
    assert_eq!(hosts.check(&host, &ed(1)), Verdict::Unknown);
    assert_eq!(hosts.cert_authority(&host), Some(at(1)));
}

#[test]
fn unreadable_is_an_error_and_missing_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    assert!(KnownHosts::load(&[dir.path().join("none")]).is_ok());
    // A directory cannot be read as a file, whoever runs the test.
    assert!(KnownHosts::load(&[dir.path().to_owned()]).is_err());
}

#[test]
fn appended_keys_are_found_even_after_a_torn_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new/known_hosts");
    append(&file, &HostName::new("a", 33001), &ed(1)).unwrap();
    let torn = std::fs::read_to_string(&file).unwrap() + "# no line end";
    std::fs::write(&file, torn).unwrap();
    append(&file, &HostName::new("b", 22), &ed(2)).unwrap();
    let hosts = KnownHosts::load(&[file]).unwrap();
    assert_eq!(hosts.check(&HostName::new("a", 33001), &ed(1)), Verdict::Known);
    assert_eq!(hosts.check(&HostName::new("b", 22), &ed(2)), Verdict::Known);
}

/// What `ssh-keygen -F name` says: whether any line of the file names it.
fn found_by_ssh_keygen(file: &Path, name: &str) -> Option<bool> {
    let output = Command::new("ssh-keygen").arg("-F").arg(name).arg("-f").arg(file).output();
    Some(output.ok()?.status.success())
}

#[test]
fn agrees_with_ssh_keygen() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known_hosts");
    let b64 = ed(1).base64();
    let content: String = [
        "alpha",
        "beta,gamma",
        "*.example.org,!no.example.org",
        "[port]:33001",
        "h?st",
        "[*]:2222",
        "192.0.2.1",
        "2001:db8::1",
    ]
    .iter()
    .map(|hosts| format!("{hosts} ssh-ed25519 {b64}\n"))
    .collect();
    std::fs::write(&file, &content).unwrap();
    if found_by_ssh_keygen(&file, "alpha").is_none() {
        assert!(std::env::var_os("LIMOSA_REQUIRE_COUNTERPARTS").is_none_or(|v| v != "1"));
        println!("skipped: ssh-keygen is not installed");
        return;
    }
    let names = [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "a.example.org",
        "no.example.org",
        "[port]:33001",
        "port",
        "host",
        "hst",
        "[x]:2222",
        "192.0.2.1",
        "2001:db8::1",
    ];
    for hashed in [false, true] {
        if hashed {
            assert!(Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file).output().unwrap().status.success());
            assert!(std::fs::read_to_string(&file).unwrap().contains("|1|"));
        }
        let entries = parse(&std::fs::read(&file).unwrap());
        for name in names {
            let ours = entries.iter().any(|entry| entry.matches(&name.to_lowercase()));
            assert_eq!(Some(ours), found_by_ssh_keygen(&file, name), "{name}, hashed: {hashed}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_parse(content in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&content);
    }

    #[test]
    fn any_lines_parse(content in "([@|#!a-z1*?,: \\t\\[\\]=\\r\\n]{0,20}( ssh-rsa )?){0,6}") {
        let _ = parse(content.as_bytes());
    }

    #[test]
    fn what_is_rendered_is_known(host in "[a-z0-9.-]{1,20}", port: u16, seed: u8) {
        let host = HostName::new(&host, port);
        let hosts = known(&render(&host, &ed(seed)));
        prop_assert_eq!(hosts.check(&host, &ed(seed)), Verdict::Known);
        prop_assert_eq!(hosts.check(&host, &ed(seed.wrapping_add(1))), Verdict::Changed(at(1)));
    }
}
