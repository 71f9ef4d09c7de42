//! 5xx: files and disks.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use limosa_wire::Code;

use crate::case::Case;
use crate::scene::{LARGE, Scene, small_upload};
use crate::support::client::Finished;
use crate::support::embedded::limosad_or_skip;
use crate::support::skip;

pub const CASES: &[Case] = &[
    Case::command(Code::NOT_FOUND, "limosa send MISSING HOST:", "there is no MISSING", small_upload),
    Case::command(
        Code::DIRECTORY_NOT_FOUND,
        "limosa get HOST:FILE MISSING/../DIR",
        "there is no MISSING",
        small_download,
    ),
    Case::command(Code::PERMISSION_DENIED, "limosa send FILE HOST:", "FILE has mode 000", unreadable),
    Case::command(Code::NO_SPACE, "limosa get HOST:FILE DIR", "FILE does not fit on the disk of DIR", no_space),
    Case::command(Code::READ_ONLY, "limosa get HOST:FILE DIR", "the disk of DIR is mounted read-only", read_only),
    Case::command(Code::NOT_A_DIRECTORY, "limosa send FILE/ HOST:", "FILE is a file", small_upload),
    Case::command(Code::IS_A_DIRECTORY, "limosa send FILE HOST:", "a directory FILE is at HOST", in_the_way),
    Case::command(
        Code::ALREADY_EXISTS,
        "limosa send --overwrite never FILE HOST:",
        "a file FILE is at HOST",
        already_there,
    ),
    Case::command(Code::NAME_TOO_LONG, "limosa send FILE HOST:NAME", "NAME has 300 letters", long_name),
    Case::command(
        Code::BAD_NAME,
        "limosa send .limosa-0123456789abcdef.partial HOST:",
        "such names are kept for files under way",
        reserved_name,
    ),
    Case::command(Code::OUTSIDE_ROOT, "limosa get HOST:../FILE DIR", "always", small_download),
    Case::command(Code::LINK_LOOP, "limosa send --links follow LINK HOST:", "LINK is a link to itself", link_loop),
    Case::command(Code::SPECIAL_FILE, "limosa send /dev/null HOST:", "always", small_upload),
    Case::command(
        Code::SOURCE_VANISHED,
        "limosa send --rate 200m FILE HOST:",
        "FILE is removed while it is sent",
        vanishing,
    ),
    Case::command(Code::SOURCE_CHANGED, "limosa send --rate 200m FILE HOST:", "FILE grows all the time", changing),
    Case::command(
        Code::READ_FAILED,
        "limosa send /sys/class/net/lo/speed HOST:",
        "the kernel fails to read this file, as it does when a disk is broken",
        unreadable_disk,
    ),
    Case::command(Code::WRITE_FAILED, "limosa get HOST:FILE DIR", "something is mounted at DIR/FILE", unwritable_disk),
    Case::command(Code::IN_USE, "limosad serve", "a server runs with the same state directory", served_already),
    Case::command(
        Code::TOO_LARGE,
        "trap '' XFSZ; ulimit -f 100; limosa get HOST:FILE DIR",
        "FILE is larger than 100 blocks",
        large_download,
    ),
    Case::command(
        Code::AT_REST_KEY,
        "limosa send FILE HOST:",
        "the user has `seal-at-rest = \"main\"`, and the server no key `main`",
        no_master_key,
    ),
];

/// More bytes than a sender reads ahead: for a while it has not seen the end.
const HUGE: usize = 90_000_000;

fn no_master_key(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.set("seal-at-rest = \"main\"");
    scene.file("FILE", 1000);
    Some(scene.run())
}

fn small_download(scene: &mut Scene) -> Option<Finished> {
    download(scene, 1000)
}

fn large_download(scene: &mut Scene) -> Option<Finished> {
    scene.directory("DIR");
    download(scene, LARGE)
}

fn download(scene: &mut Scene, length: usize) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.file_there("FILE", length);
    Some(scene.run())
}

fn unreadable(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    scene.as_nobody_special()?;
    let file = scene.file("FILE", 1000);
    fs::set_permissions(file, fs::Permissions::from_mode(0o000)).unwrap();
    Some(scene.run())
}

fn no_space(scene: &mut Scene) -> Option<Finished> {
    scene.mounting("mount -t tmpfs -o size=1m tmpfs DIR && ")?;
    large_download(scene)
}

fn read_only(scene: &mut Scene) -> Option<Finished> {
    scene.mounting("mount -t tmpfs -o ro tmpfs DIR && ")?;
    large_download(scene)
}

fn unwritable_disk(scene: &mut Scene) -> Option<Finished> {
    scene.mounting("touch DIR/FILE && mount --bind /dev/null DIR/FILE && ")?;
    large_download(scene)
}

fn in_the_way(scene: &mut Scene) -> Option<Finished> {
    fs::create_dir(scene.lab.there().join("FILE")).unwrap();
    small_upload(scene)
}

fn already_there(scene: &mut Scene) -> Option<Finished> {
    scene.file_there("FILE", 10);
    small_upload(scene)
}

fn long_name(scene: &mut Scene) -> Option<Finished> {
    scene.fill("NAME", "n".repeat(300));
    small_upload(scene)
}

fn reserved_name(scene: &mut Scene) -> Option<Finished> {
    scene.file(".limosa-0123456789abcdef.partial", 10);
    small_upload(scene)
}

fn link_loop(scene: &mut Scene) -> Option<Finished> {
    symlink("LINK", scene.lab.here().join("LINK")).unwrap();
    small_upload(scene)
}

fn vanishing(scene: &mut Scene) -> Option<Finished> {
    let _server = scene.limosad()?;
    let file = scene.file("FILE", HUGE);
    let running = scene.spawn();
    scene.until_it_flows();
    fs::remove_file(file).unwrap();
    Some(running.finish())
}

fn changing(scene: &mut Scene) -> Option<Finished> {
    /// Often enough for every attempt to see it.
    const OFTEN: Duration = Duration::from_millis(5);
    let _server = scene.limosad()?;
    let path = scene.file("FILE", HUGE);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::File::options().append(true).open(path).unwrap();
            while !over.load(Ordering::Relaxed) {
                file.write_all(b"more").unwrap();
                std::thread::park_timeout(OFTEN);
            }
        });
        let finished = scene.run();
        over.store(true, Ordering::Relaxed);
        Some(finished)
    })
}

fn unreadable_disk(scene: &mut Scene) -> Option<Finished> {
    if fs::metadata("/sys/class/net/lo/speed").is_err() {
        skip("/sys/class/net/lo/speed");
        return None;
    }
    small_upload(scene)
}

fn served_already(scene: &mut Scene) -> Option<Finished> {
    limosad_or_skip()?;
    let _server = scene.limosad()?;
    Some(scene.run())
}
