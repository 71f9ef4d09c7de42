//! `limosad config`: what is in force and where it comes from, and changes to
//! it.

mod change;

use limosa_node::config::key::{Key, Scope};
use limosa_node::config::{ConfigLayer, Line};
use limosa_node::{Configuration, NodeError, UserStore};
use limosa_policy::{GroupName, Origin, SettingsLayer, UserName};
use limosa_wire::Code;

use crate::arguments::{ConfigCommand, PlaceArguments};
use crate::failure::Failure;

pub(crate) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show { scope, place } => show(&scope.scope(), place),
        ConfigCommand::Get { key, scope, place } => get(&Key::parse(scope.scope(), key)?, place),
        ConfigCommand::Set { key, value, scope, place } => change::set(&Key::parse(scope.scope(), key)?, value, place),
        ConfigCommand::Unset { key, scope, place } => change::unset(&Key::parse(scope.scope(), key)?, place),
        ConfigCommand::Check { place } => check(place),
    }
}

fn show(scope: &Scope, place: &PlaceArguments) -> Result<(), Failure> {
    let config = place.configuration(ConfigLayer::default())?;
    match scope {
        Scope::Node => {
            match &config.file {
                Some(file) => println!("# {}", file.display()),
                None => println!("# no configuration file; built-in values apply"),
            }
            for (section, lines) in config.sections() {
                println!("\n[{section}]");
                print(&lines);
            }
            println!("\n[defaults]");
        }
        Scope::Group(group) => println!("# members of the group `{group}`"),
        Scope::User(user) => match own_settings(user, place)? {
            Some(_) => println!("# user `{user}` of the embedded SSH server"),
            None => println!("# login `{user}` of this machine, by way of OpenSSH"),
        },
    }
    print(&settings(scope, &config, place)?);
    Ok(())
}

fn print(lines: &[Line]) {
    lines.iter().for_each(|(key, value, origin)| println!("{key} = {value}  # {origin}"));
}

/// Prints the value in force, text without its quotes; nothing for what is not
/// set.
fn get(key: &Key, place: &PlaceArguments) -> Result<(), Failure> {
    let config = place.configuration(ConfigLayer::default())?;
    let Some((value, _)) = in_force(key, &config, place)? else {
        let text = format!("`{}` is not one value but one of each place; see the file", key.name());
        return Err(Failure::new(Code::USAGE, text));
    };
    let read: Option<toml::Value> = value.parse().ok();
    match &read {
        Some(toml::Value::String(text)) => println!("{text}"),
        Some(value) => println!("{value}"),
        None => {}
    }
    Ok(())
}

/// The value of `key` in force and its origin; nothing for `locked`, of which
/// each place has its own.
fn in_force(key: &Key, config: &Configuration, place: &PlaceArguments) -> Result<Option<(String, Origin)>, Failure> {
    let section = key.tables().join(".");
    let of_section = config.sections().into_iter().find(|(name, _)| key.scope() == &Scope::Node && section == *name);
    let lines = match of_section {
        Some((_, lines)) => lines,
        None => settings(key.scope(), config, place)?,
    };
    Ok(lines.into_iter().find(|(name, ..)| name == key.name()).map(|(_, value, origin)| (value, origin)))
}

/// The settings in force for somebody; for nobody in particular, those of all.
fn settings(scope: &Scope, config: &Configuration, place: &PlaceArguments) -> Result<Vec<Line>, Failure> {
    Ok(match scope {
        Scope::Node => config.settings_of_all().lines(),
        Scope::Group(group) => of_group(group, config)?,
        Scope::User(user) => match own_settings(user, place)? {
            Some(own) => config.settings(user, &own).lines(),
            None => config.settings_of_login(user).lines(),
        },
    })
}

fn of_group(name: &GroupName, config: &Configuration) -> Result<Vec<Line>, Failure> {
    let group = config.group(name).zip(config.settings_of_group(name));
    let no_group = || {
        let text = format!("there is no group `{name}`; see `limosad config set members NAME,NAME --group {name}`");
        NodeError::Given(text)
    };
    let (group, settings) = group.ok_or_else(no_group)?;
    let members: Vec<_> = group.members.iter().map(|member| toml::Value::from(member.as_str())).collect();
    let origin = || Origin::Group(name.clone());
    let own = [
        ("members".to_owned(), toml::Value::Array(members).to_string(), origin()),
        ("precedence".to_owned(), group.precedence.to_string(), origin()),
    ];
    Ok(own.into_iter().chain(settings.lines()).collect())
}

/// What a user of the embedded server has set of their own; nothing if there is
/// no such user.
fn own_settings(user: &UserName, place: &PlaceArguments) -> Result<Option<SettingsLayer>, Failure> {
    Ok(UserStore::new(place.state()?).record(user)?.map(|record| record.settings))
}

/// That it can be read is all there is to it; the machine is `limosad check`'s.
fn check(place: &PlaceArguments) -> Result<(), Failure> {
    let config = place.configuration(ConfigLayer::default())?;
    match &config.file {
        Some(file) => println!("{}: every key and value is good", file.display()),
        None => println!("there is no configuration file; built-in values apply"),
    }
    Ok(())
}
