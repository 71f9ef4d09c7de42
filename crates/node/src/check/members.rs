//! What groups, users and logins have set otherwise than the node: FIPS modes
//! and keys for files at rest that would have their sessions refused.

use limosa_policy::{FipsMode, Settings};
use limosa_seal::module::Module;

use super::{Finding, Level, no_such_key};
use crate::config::Configuration;
use crate::state::StateDirectory;
use crate::users::UserStore;

/// What is wrong with any of them.
pub(super) fn members(config: &Configuration, state: &StateDirectory) -> Vec<Finding> {
    let of_all = config.settings_of_all();
    let mut findings = Vec::new();
    for (about, settings) in settings_of_each(config, state) {
        if settings.fips.value != of_all.fips.value {
            let problem = fips(&settings, config, Module::running());
            findings.extend(problem.map(|text| Finding::new(Level::Wrong, &about, text)));
        }
        if settings.seal_at_rest.value != of_all.seal_at_rest.value {
            let problem = no_such_key(config, &settings);
            findings.extend(problem.map(|text| Finding::new(Level::Wrong, &about, text)));
        }
    }
    findings
}

/// Groups, and who can log in here: users of the embedded server, or logins.
fn settings_of_each(config: &Configuration, state: &StateDirectory) -> Vec<(String, Settings)> {
    let groups = config.groups().filter_map(|name| Some((format!("group {name}"), config.settings_of_group(name)?)));
    let mut each: Vec<_> = groups.collect();
    if config.ssh.enabled.value {
        // That they cannot be read is a finding of its own.
        let users = UserStore::new(state.clone()).all().unwrap_or_default();
        each.extend(users.iter().map(|(name, user)| (format!("user {name}"), config.settings(name, &user.settings))));
    } else {
        each.extend(config.logins().map(|name| (format!("login {name}"), config.settings_of_login(name))));
    }
    each
}

fn fips(settings: &Settings, config: &Configuration, module: Module) -> Option<String> {
    let mode = settings.fips.value;
    if mode != FipsMode::Off && config.ssh.enabled.value {
        let text = "FIPS mode is set, and the embedded SSH server is not approved: sessions are refused; \
                    run behind OpenSSH";
        return Some(text.to_owned());
    }
    mode.algorithms(module).err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use limosa_policy::SettingsLayer;

    use super::*;
    use crate::config::Sources;
    use crate::users::StoredUser;

    fn about(text: &str) -> Vec<String> {
        let outer = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(outer.path().join("s")).unwrap();
        let settings: SettingsLayer = toml::from_str("fips = \"on\"").unwrap();
        let user = StoredUser { settings, ..StoredUser::default() };
        UserStore::new(state.clone()).add(&"ada".parse().unwrap(), user).unwrap();
        let file = outer.path().join("limosad.toml");
        std::fs::write(&file, text).unwrap();
        let config = Configuration::load(Sources { file: Some(file), ..Sources::default() }).unwrap();
        members(&config, &state).into_iter().map(|finding| finding.about).collect()
    }

    #[test]
    fn modes_and_keys_that_have_sessions_refused_are_found() {
        let groups = "[groups.audited.settings]\nfips = \"on\"\n[groups.kept.settings]\nseal-at-rest = \"none-such\"\n";
        assert_eq!(about(groups), ["group audited", "group kept", "user ada"]);
        let logins = "[ssh]\nenabled = false\n[users.eve]\nfips = \"on\"\n[users.kim]\nseal-at-rest = \"none-such\"\n";
        assert_eq!(about(logins), ["login kim"]);
        assert_eq!(about("[ssh]\nenabled = false\n"), Vec::<String>::new());
    }
}
