//! `limosad config`.

use limosa_node::config::ConfigLayer;
use limosa_node::{Configuration, UserStore};
use limosa_policy::UserName;

use crate::arguments::{ConfigCommand, PlaceArguments};
use crate::failure::Failure;

pub(crate) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Show { user, place } = command;
    let config = place.configuration(ConfigLayer::default())?;
    match user {
        Some(user) => show_user(&config, user, place),
        None => {
            show_node(&config);
            Ok(())
        }
    }
}

fn show_node(config: &Configuration) {
    match &config.file {
        Some(file) => println!("# {}", file.display()),
        None => println!("# no configuration file; built-in values apply"),
    }
    for (section, lines) in config.sections() {
        println!("\n[{section}]");
        lines.iter().for_each(|(key, value, origin)| println!("{key} = {value}  # {origin}"));
    }
    println!("\n[defaults]");
    show(&config.settings(&limosa_policy::SettingsLayer::default()));
}

/// The settings of a user of the embedded server, or else of a login.
fn show_user(config: &Configuration, user: &UserName, place: &PlaceArguments) -> Result<(), Failure> {
    let record = UserStore::new(place.state()?).record(user)?;
    match record {
        Some(record) => {
            println!("# user `{user}` of the embedded SSH server");
            show(&config.settings(&record.settings));
        }
        None => {
            println!("# login `{user}` of this machine, by way of OpenSSH");
            show(&config.settings_of_login(user));
        }
    }
    Ok(())
}

fn show(settings: &limosa_policy::Settings) {
    for (key, value, origin) in settings.lines() {
        println!("{key} = {value}  # {origin}");
    }
}
