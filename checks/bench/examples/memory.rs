//! `memory files COUNT | sparse GIBIBYTES [DIRECTORY]`: sends a tree of COUNT
//! files, or one sparse file, through OpenSSH on loopback, fetches it back, and
//! prints the peak memory of both ends each way. Needs `sshd`, `ssh-keygen` and
//! the release build of `limosa`; works in DIRECTORY, or in memory.

use std::error::Error;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use limosa_bench::memory::watch;
use limosa_bench::network::Place;
use limosa_bench::scratch::{Scratch, beside};
use limosa_bench::server::Sshd;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// TCP port of this run's `sshd`.
const PORT: u16 = 2297;
/// Files in a directory.
const PER_DIRECTORY: u64 = 1000;
/// Data in the sparse file: a stretch every so many bytes.
const DATA_EVERY: u64 = 1 << 30;
const DATA: usize = 1 << 20;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, amount, rest @ ..] = &words[..] else {
        return Err("memory files COUNT | sparse GIBIBYTES [DIRECTORY]".into());
    };
    let amount: u64 = amount.parse()?;
    let scratch = match rest.first() {
        Some(parent) => Scratch::below(Path::new(parent), "memory")?,
        None => Scratch::in_memory("memory")?,
    };
    let source = scratch.path("source");
    match what.as_str() {
        "files" => make_files(&source, amount)?,
        "sparse" => make_sparse(&source, amount << 30)?,
        _ => return Err(format!("{what}: neither files nor sparse").into()),
    }
    let limosa = beside("limosa")?;
    let _sshd = Sshd::start(&Place::loopback(), PORT, &scratch)?;
    let place = |name: &str| scratch.path(name).display().to_string();
    // Of a tree, what is in it.
    let slash = if source.is_dir() { "/" } else { "" };
    let here = |name: &str| place(name) + slash;
    let there = |name: &str| format!("root@127.0.0.1:{}{slash}", place(name));
    for (command, from, to) in [("send", here("source"), there("sent")), ("get", there("sent"), here("back"))] {
        let mut client = Command::new(&limosa);
        client.args([command, "--port", &PORT.to_string(), "--ssh", "builtin", "--quiet"]);
        client.args(["--identity", &place("id"), "--known-hosts", &place("known_hosts"), "--accept-new"]);
        client.args(["--remote-command", &format!("{} session", limosa.display()), &from, &to]);
        let began = Instant::now();
        let watched = watch(&limosa, client.stdin(Stdio::null()).spawn()?)?;
        println!("{command} of {what} {amount}: {:.1} s", began.elapsed().as_secs_f64());
        for process in watched {
            println!("  {}: {:.1} MB at its peak", process.name, process.peak as f64 / 1e6);
        }
    }
    let same = Command::new("diff").arg("-r").arg(scratch.path("source")).arg(scratch.path("back")).status()?;
    if same.success() { Ok(()) } else { Err("what came back is not what was sent".into()) }
}

/// Files of a few bytes, a thousand in a directory.
fn make_files(root: &Path, count: u64) -> Result<()> {
    for number in 0..count {
        let directory = root.join(format!("{:05}", number / PER_DIRECTORY));
        if number % PER_DIRECTORY == 0 {
            fs::create_dir_all(&directory)?;
        }
        fs::write(directory.join(format!("file-{number}")), number.to_string())?;
    }
    Ok(())
}

fn make_sparse(path: &Path, length: u64) -> Result<()> {
    let file = fs::File::create(path)?;
    file.set_len(length)?;
    for offset in (0..length).step_by(usize::try_from(DATA_EVERY)?) {
        file.write_all_at(&vec![u8::try_from(offset >> 30 & 0xff)?; DATA], offset)?;
    }
    Ok(())
}
