//! Both ends insist on approved algorithms by the validated module, and on the
//! same of each other.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)] // support serves other tests too

#[path = "../../crates/cli/tests/support/mod.rs"]
mod support;

use std::fs;

use limosa_wire::Code;
use support::Lab;
use support::client::Client;
use support::remote::{Kind, Remote};
use support::tree::{self, Recipe};

#[test]
fn a_tree_crosses_both_ways_where_both_ends_require_it() {
    let lab = Lab::with_approved_keys();
    let Some(remote) = Remote::start(Kind::Administered, &lab) else { return };
    let machine = lab.path("machine.toml");
    let text = fs::read_to_string(&machine).unwrap();
    fs::write(&machine, format!("{text}fips = \"required\"\n")).unwrap();
    let source = lab.here().join("tree");
    tree::make(&source, Recipe { small: 200, medium: 3, sparse: true, seed: 3 });
    let client = |command: &str, mode: &str| Client::new(&lab, &remote, command).args(["--json", "--fips", mode]);

    let ordinary = client("send", "off").arg("tree").arg(remote.place(&lab, "")).run();
    assert_eq!(ordinary.summary()["code"], Code::PEER_NOT_APPROVED.number(), "{ordinary}");

    client("send", "required").arg("tree").arg(remote.place(&lab, "")).succeed();
    tree::assert_equal(&source, &lab.there().join("tree"));
    client("get", "required").arg(remote.place(&lab, "tree")).arg("back/").succeed();
    tree::assert_equal(&source, &lab.here().join("back/tree"));
}
