//! `limosad config set` and `unset`: one key in `limosad.toml`, or in the
//! settings of a user of the embedded server, and what the change takes to
//! have an effect.

use std::path::PathBuf;

use limosa_node::config::key::{Key, Scope};
use limosa_node::config::{ConfigLayer, edit, usual_file};
use limosa_node::{Configuration, UserStore};
use limosa_policy::{Origin, UserName};
use limosa_wire::Code;

use super::in_force;
use crate::arguments::PlaceArguments;
use crate::failure::Failure;

/// Where a change was made.
enum Changed {
    /// In the configuration file.
    File(PathBuf),
    /// In the record of a user of the embedded server.
    User,
}

pub(super) fn set(key: &Key, value: &str, place: &PlaceArguments) -> Result<(), Failure> {
    let value = key.value(value)?;
    let changed = match embedded_user(key, place)? {
        Some((users, user)) => {
            users.edit(&user, |stored| stored.set(key.name(), Some(value.clone())))?;
            Changed::User
        }
        None => {
            let file = file(place)?;
            edit::set(&file, key, &value)?;
            Changed::File(file)
        }
    };
    println!("{}: {} = {value}", changed.name(), key.name());
    println!("{}", changed.takes_effect(key));
    tell_what_stands_in_the_way(key, place, &changed)
}

pub(super) fn unset(key: &Key, place: &PlaceArguments) -> Result<(), Failure> {
    let (changed, was_set) = match embedded_user(key, place)? {
        Some((users, user)) => {
            let was_set = users.edit(&user, |stored| {
                let before = stored.settings.clone();
                stored.set(key.name(), None)?;
                Ok(stored.settings != before)
            })?;
            (Changed::User, was_set)
        }
        None => {
            let file = file(place)?;
            let was_set = edit::unset(&file, key)?;
            (Changed::File(file), was_set)
        }
    };
    if !was_set {
        println!("{}: {} was not set; nothing is changed", changed.name(), key.name());
        return Ok(());
    }
    println!("{}: {} is no longer set", changed.name(), key.name());
    println!("{}", changed.takes_effect(key));
    Ok(())
}

impl Changed {
    fn name(&self) -> String {
        match self {
            Self::File(file) => file.display().to_string(),
            Self::User => "users of the embedded SSH server".to_owned(),
        }
    }

    /// Who reads what was changed, and when.
    fn takes_effect(&self, key: &Key) -> &'static str {
        const NEXT_START: &str = "a running `limosad serve` has to be restarted for it";
        const NEXT_START_OR_SESSION: &str =
            "a running `limosad serve` has to be restarted for it; under OpenSSH it applies from the next session on";
        match self {
            Self::User => "it applies from the user's next session on; sessions that run keep what they have",
            Self::File(_) if matches!(key.scope(), Scope::User(_)) => {
                "it applies from the login's next session through OpenSSH on; sessions that run keep what they have"
            }
            Self::File(_) => match key.tables().first().map(String::as_str) {
                Some("ssh" | "sessions" | "audit") => NEXT_START,
                _ => NEXT_START_OR_SESSION,
            },
        }
    }
}

/// Says why what was set is not what is in force, or for whom it is not.
fn tell_what_stands_in_the_way(key: &Key, place: &PlaceArguments, changed: &Changed) -> Result<(), Failure> {
    let config = place.configuration(ConfigLayer::default())?;
    match (key.scope(), changed) {
        (Scope::User(user), Changed::File(_)) if config.ssh.enabled.value => {
            println!("note: the embedded SSH server has no user `{user}`; this is for logins through OpenSSH");
        }
        (Scope::Group(group), _) if config.group(group).is_some_and(|group| group.members.is_empty()) => {
            println!("note: `{group}` has no members; see `limosad config set members NAME,NAME --group {group}`");
        }
        _ => {}
    }
    tell_what_wins(key, place, &config)
}

fn tell_what_wins(key: &Key, place: &PlaceArguments, config: &Configuration) -> Result<(), Failure> {
    let set_here = match key.scope() {
        Scope::Node => Origin::Node,
        Scope::Group(group) => Origin::Group(group.clone()),
        Scope::User(_) => Origin::User,
    };
    match in_force(key, config, place)? {
        Some((value, origin)) if origin != set_here => {
            println!("note: in force is {value}, which wins or is locked ({origin})");
        }
        _ => {}
    }
    Ok(())
}

/// The user of the embedded server whom `key` is for. Whoever is none is a
/// login of the machine, whose settings are in the file.
fn embedded_user(key: &Key, place: &PlaceArguments) -> Result<Option<(UserStore, UserName)>, Failure> {
    let Scope::User(user) = key.scope() else { return Ok(None) };
    let users = UserStore::new(place.state()?);
    let is_there = users.all()?.contains_key(user);
    Ok(is_there.then(|| (users, user.clone())))
}

fn file(place: &PlaceArguments) -> Result<PathBuf, Failure> {
    let none = || Failure::new(Code::USAGE, "give --config: there is no home directory to keep the file in");
    place.config.clone().or_else(usual_file).ok_or_else(none)
}
