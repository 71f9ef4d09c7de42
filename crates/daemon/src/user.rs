//! `limosad user`.

use std::fs::DirBuilder;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use limosa_node::authorized_key::AuthorizedKey;
use limosa_node::config::ConfigLayer;
use limosa_node::{NodeError, StoredUser, UserStore};
use limosa_policy::{SettingsLayer, UserName};
use limosa_seal::AlgorithmSet;
use limosa_seal::module::Module;
use limosa_wire::Code;

use crate::arguments::{KeyCommand, PlaceArguments, UserAddArguments, UserCommand, UserPasswdArguments};
use crate::failure::Failure;
use crate::password;

pub(crate) fn run(command: &UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add(arguments) => add(arguments),
        UserCommand::Passwd(arguments) => passwd(arguments),
        UserCommand::List { place } => list(&store(place)?, place),
        UserCommand::Remove { name, place } => {
            store(place)?.remove(name)?;
            println!("user `{name}` removed; files stay, sessions that run go on");
            Ok(())
        }
        UserCommand::Key(command) => key(command),
    }
}

fn store(place: &PlaceArguments) -> Result<UserStore, Failure> {
    Ok(UserStore::new(place.state()?))
}

/// What the node's FIPS mode leaves.
fn algorithms(place: &PlaceArguments) -> Result<AlgorithmSet, Failure> {
    let config = place.configuration(ConfigLayer::default())?;
    Ok(config.algorithms(Module::running()).map_err(NodeError::from)?)
}

fn add(arguments: &UserAddArguments) -> Result<(), Failure> {
    let name = &arguments.name;
    let users = store(&arguments.place)?;
    if users.record(name)?.is_some() {
        return Err(NodeError::UserExists(name.to_string()).into());
    }
    let mut keys = read_keys(&arguments.keys)?;
    for line in &arguments.key_lines {
        keys.push(line.parse().map_err(|error| Failure::new(Code::USAGE, format!("--key-line: {error}")))?);
    }
    let asks = arguments.password || arguments.password_stdin;
    let password = asks.then(|| password::ask(algorithms(&arguments.place)?, arguments.password_stdin)).transpose()?;
    let docroot = docroot(arguments)?;
    let settings = SettingsLayer {
        docroot: arguments.docroot.is_some().then(|| docroot.clone()),
        read: arguments.write_only.then_some(false),
        write: arguments.read_only.then_some(false),
        rate_cap: arguments.rate_cap,
        ..SettingsLayer::default()
    };
    let can_log_in = password.is_some() || !keys.is_empty();
    let keys = keys.iter().map(ToString::to_string).collect();
    users.add(name, StoredUser { password, keys, settings, locked: false })?;
    println!("user `{name}` added; files are below {}", docroot.display());
    if !can_log_in {
        println!("nothing logs them in yet: see `limosad user key add` and `limosad user passwd`");
    }
    Ok(())
}

/// The directory of a new user, made if it is missing.
fn docroot(arguments: &UserAddArguments) -> Result<PathBuf, Failure> {
    let config = arguments.place.configuration(ConfigLayer::default())?;
    let given = arguments.docroot.as_ref().map(std::path::absolute).transpose();
    let given = given.map_err(|error| Failure::new(Code::USAGE, format!("--docroot: {error}")))?;
    let of_all = config.settings_of_all().docroot.value;
    let Some(docroot) = given.or_else(|| (!of_all.as_os_str().is_empty()).then_some(of_all)) else {
        return Err(Failure::new(Code::USAGE, "give --docroot: the directory that the user's paths are below"));
    };
    let expanded = limosa_node::expand_docroot(&docroot, arguments.name.as_str(), None);
    let made = DirBuilder::new().recursive(true).mode(0o755).create(&expanded);
    made.map_err(|source| NodeError::State { action: "make the directory", path: expanded.clone(), source })?;
    // What is stored names one directory; what stands for all stays a pattern.
    Ok(if arguments.docroot.is_some() { docroot } else { expanded })
}

fn passwd(arguments: &UserPasswdArguments) -> Result<(), Failure> {
    let users = store(&arguments.place)?;
    let name = &arguments.name;
    if users.record(name)?.is_none() {
        return Err(NodeError::NoSuchUser(name.to_string()).into());
    }
    let password = if arguments.remove {
        None
    } else {
        Some(password::ask(algorithms(&arguments.place)?, arguments.password_stdin)?)
    };
    let done = if password.is_some() { "set" } else { "removed" };
    users.edit(name, |user| {
        user.password = password;
        Ok(())
    })?;
    println!("password of `{name}` {done}");
    Ok(())
}

fn list(users: &UserStore, place: &PlaceArguments) -> Result<(), Failure> {
    let config = place.configuration(ConfigLayer::default())?;
    let all = users.all()?;
    if all.is_empty() {
        println!("no users; add one with `limosad user add NAME --docroot DIR --key FILE`");
    }
    for (name, user) in all.iter() {
        let settings = config.settings(name, &user.settings);
        let rights = match (settings.read.value, settings.write.value) {
            (true, true) => "read, write",
            (true, false) => "read only",
            (false, true) => "write only",
            (false, false) => "nothing",
        };
        let password = if user.password.is_some() { ", password" } else { "" };
        let locked = if user.locked { ", locked" } else { "" };
        let docroot = limosa_node::expand_docroot(&settings.docroot.value, name.as_str(), None);
        println!("{name}: {} ({rights}; {} keys{password}{locked})", docroot.display(), user.keys.len());
    }
    Ok(())
}

fn key(command: &KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Add { name, files, place } => add_keys(&store(place)?, name, files),
        KeyCommand::List { name, place } => {
            let users = store(place)?;
            let all = users.all()?;
            let user = all.get(name).ok_or_else(|| NodeError::NoSuchUser(name.to_string()))?;
            for key in users.keys_of(user)? {
                println!("{} {} {}", key.fingerprint(), key.key.kind, key.comment);
            }
            Ok(())
        }
        KeyCommand::Remove { name, key, place } => remove_key(&store(place)?, name, key),
    }
}

fn add_keys(users: &UserStore, name: &UserName, files: &[PathBuf]) -> Result<(), Failure> {
    let keys = read_keys(files)?;
    let added = users.edit(name, |user| {
        let known = users.keys_of(user)?;
        let new = keys.iter().filter(|key| known.iter().all(|known| known.key != key.key));
        let new: Vec<String> = new.map(ToString::to_string).collect();
        let count = new.len();
        user.keys.extend(new);
        Ok(count)
    })?;
    println!("{added} keys added to `{name}`, {} were there already", keys.len() - added);
    Ok(())
}

fn remove_key(users: &UserStore, name: &UserName, wanted: &str) -> Result<(), Failure> {
    users.edit(name, |user| {
        let keys = users.keys_of(user)?;
        let is_wanted = |key: &AuthorizedKey| key.fingerprint() == wanted || key.comment == wanted;
        let kept: Vec<String> = keys.iter().filter(|key| !is_wanted(key)).map(ToString::to_string).collect();
        match keys.len() - kept.len() {
            0 => Err(NodeError::Given(format!("`{name}` has no key `{wanted}`; see `limosad user key list {name}`"))),
            1 => {
                user.keys = kept;
                Ok(())
            }
            several => Err(NodeError::Given(format!("{several} keys are called `{wanted}`; give the fingerprint"))),
        }
    })?;
    println!("key removed from `{name}`; sessions that run go on");
    Ok(())
}

fn read_keys(files: &[PathBuf]) -> Result<Vec<AuthorizedKey>, Failure> {
    let mut keys = Vec::new();
    for file in files {
        let text = read_text(file)?;
        let parsed = AuthorizedKey::parse_all(&text);
        let parsed = parsed.map_err(|error| Failure::new(Code::USAGE, format!("{}: {error}", file.display())))?;
        if parsed.is_empty() {
            return Err(Failure::new(Code::USAGE, format!("{}: there is no key in it", file.display())));
        }
        keys.extend(parsed);
    }
    Ok(keys)
}

fn read_text(file: &Path) -> Result<String, NodeError> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map(|_| text).map_err(|source| NodeError::State { action: "read", path: file.to_owned(), source })
}
