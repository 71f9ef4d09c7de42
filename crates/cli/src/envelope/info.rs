//! What a sealed file says of itself to somebody without any key. Nothing of
//! it is authentic yet.

use std::path::Path;
use std::process::ExitCode;

use limosa_seal::envelope::{Copies, Header, Sealed, Slot, VERSION};
use limosa_seal::identity::hex;
use limosa_seal::{AlgorithmSet, Stretch};
use limosa_storage::local::{Confinement, LocalStore};
use limosa_storage::{FollowLinks, Store};
use limosa_wire::Code;
use serde_json::{Value, json};

use crate::arguments::{InfoArguments, TellingArguments};
use crate::failure::CommandFailure;
use crate::local;
use crate::report::SCHEMA;

use super::opening::header;
use super::telling::Telling;
use super::walk::failure;

/// Runs to an exit status.
pub(super) fn run(arguments: &InfoArguments) -> ExitCode {
    let telling = Telling::new(TellingArguments { quiet: false, verbose: false, json: arguments.json });
    for file in &arguments.files {
        match look(file) {
            Ok((header, length)) if arguments.json => println!("{}", as_json(file, &header, length)),
            Ok((header, length)) => print(file, &header, length),
            Err(mut failure) => {
                failure.detail = format!("{}: {}", file.display(), failure.detail);
                return telling.failed(&failure);
            }
        }
    }
    ExitCode::SUCCESS
}

fn look(file: &Path) -> Result<(Header, Sealed), CommandFailure> {
    let path = local::store_path(file).map_err(|error| CommandFailure::new(Code::NOT_FOUND, error))?;
    let store = LocalStore::open(Path::new("/"), Confinement::Anywhere).map_err(|error| failure(&error))?;
    let open = store.open(&path, FollowLinks::Yes).map_err(|error| failure(&error))?;
    let size = open.metadata().map_err(|error| failure(&error))?.size;
    Ok((header(&*open, AlgorithmSet::Ordinary)?, Sealed(size)))
}

fn cipher(header: &Header) -> &'static str {
    header.preamble().suite.suite().name()
}

fn copies(header: &Header) -> &'static str {
    match header.copies() {
        Copies::Both => "good",
        Copies::OnlyFirst => "only the first copy is good: `limosa envelope rewrap` repairs it",
        Copies::OnlySecond => "only the second copy is good: `limosa envelope rewrap` repairs it",
    }
}

fn slot_text(slot: &Slot) -> String {
    if let Some(stretch) = slot.stretch() {
        format!("passphrase ({stretch})")
    } else if let Some(recipient) = slot.recipient() {
        format!("recipient {recipient}")
    } else if let Some(master) = slot.master() {
        format!("master key {master}")
    } else {
        format!("of a kind this version does not know ({})", slot.unknown().unwrap_or_default())
    }
}

fn print(file: &Path, header: &Header, length: Sealed) {
    let preamble = header.preamble();
    println!("{}", file.display());
    println!("  version   {VERSION}, {}", cipher(header));
    match preamble.layout.plain_len(length) {
        Some(content) => println!("  content   {} bytes", content.0),
        None => println!("  content   unknown: the file is cut short"),
    }
    println!("  layout    header {} bytes, segments {} bytes", preamble.layout.header(), preamble.layout.segment());
    println!("  file id   {}", hex(&preamble.file.0));
    println!("  header    generation {}, {}", header.table().generation, copies(header));
    for slot in &header.table().slots {
        println!("  slot      {}", slot_text(slot));
    }
}

fn slot_json(slot: &Slot) -> Value {
    if let Some(stretch) = slot.stretch() {
        let kdf = match stretch {
            Stretch::Argon2id { memory_kib, passes, lanes } => {
                json!({ "name": "argon2id", "memory_kib": memory_kib, "passes": passes, "lanes": lanes })
            }
            Stretch::Pbkdf2 { rounds } => json!({ "name": "pbkdf2-sha256", "rounds": rounds }),
        };
        json!({ "kind": "passphrase", "kdf": kdf })
    } else if let Some(recipient) = slot.recipient() {
        json!({ "kind": "recipient", "fingerprint": recipient.to_string() })
    } else if let Some(master) = slot.master() {
        json!({ "kind": "master", "name": master.as_str() })
    } else {
        json!({ "kind": "unknown", "number": slot.unknown() })
    }
}

fn as_json(file: &Path, header: &Header, length: Sealed) -> Value {
    let preamble = header.preamble();
    let slots: Vec<Value> = header.table().slots.iter().map(slot_json).collect();
    json!({
        "schema": SCHEMA,
        "path": file.display().to_string(),
        "version": VERSION,
        "cipher": cipher(header),
        "bytes": preamble.layout.plain_len(length).map(|content| content.0),
        "header_bytes": preamble.layout.header(),
        "segment_bytes": preamble.layout.segment(),
        "file_id": hex(&preamble.file.0),
        "context": hex(&preamble.context),
        "generation": header.table().generation,
        "header_whole": header.copies() == Copies::Both,
        "slots": slots,
    })
}
