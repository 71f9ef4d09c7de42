//! What groups, users and logins have set otherwise than the node: FIPS modes
//! and keys for files at rest that would have their sessions refused.

use limosa_policy::{FipsMode, Settings, UserName};
use limosa_seal::module::Module;

use super::{Finding, Level, no_such_key};
use crate::config::Configuration;
use crate::state::StateDirectory;
use crate::users::{StoredUser, UserStore};

/// What is wrong with any of them.
pub(super) fn members(config: &Configuration, state: &StateDirectory) -> Vec<Finding> {
    let of_all = config.settings_of_all();
    let mut findings = Vec::new();
    for Member { about, settings, access } in each(config, state) {
        if settings.fips.value != of_all.fips.value {
            let problem = fips(&settings, access, Module::running());
            findings.extend(problem.map(|(level, text)| Finding::new(level, &about, text)));
        }
        if settings.seal_at_rest.value != of_all.seal_at_rest.value {
            let problem = no_such_key(config, &settings);
            findings.extend(problem.map(|text| Finding::new(Level::Wrong, &about, text)));
        }
    }
    findings
}

/// Whose settings are examined.
struct Member {
    about: String,
    settings: Settings,
    access: Access,
}

/// Which SSH server lets them in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Embedded,
    OpenSsh,
    /// Users of the one, logins of the other.
    Both,
}

/// Groups, users of the embedded server, and logins.
fn each(config: &Configuration, state: &StateDirectory) -> Vec<Member> {
    let has_front = config.ssh.enabled.value;
    let of_groups = match (has_front, super::serves_logins(config)) {
        (true, true) => Access::Both,
        (true, false) => Access::Embedded,
        (false, _) => Access::OpenSsh,
    };
    let member = |about, settings, access| Member { about, settings, access };
    let groups = config.groups().filter_map(|name| Some((name, config.settings_of_group(name)?)));
    let mut each: Vec<_> =
        groups.map(|(name, settings)| member(format!("group {name}"), settings, of_groups)).collect();
    if has_front {
        // That they cannot be read is a finding of its own.
        let users = UserStore::new(state.clone()).all().unwrap_or_default();
        let settings = |(name, user): (&UserName, &StoredUser)| {
            member(format!("user {name}"), config.settings(name, &user.settings), Access::Embedded)
        };
        each.extend(users.iter().map(settings));
    }
    // Session programs obey what is set for logins, whatever else runs here.
    let logins = config.logins().map(|name| (name, config.settings_of_login(name)));
    each.extend(logins.map(|(name, settings)| member(format!("login {name}"), settings, Access::OpenSsh)));
    each
}

fn fips(settings: &Settings, access: Access, module: Module) -> Option<(Level, String)> {
    let mode = settings.fips.value;
    if mode == FipsMode::Off {
        return None;
    }
    match (mode.algorithms(module), access) {
        (_, Access::Embedded) => {
            let text = "FIPS mode is set, and the embedded SSH server is not approved: sessions are refused; \
                        run behind OpenSSH";
            Some((Level::Wrong, text.to_owned()))
        }
        (Err(error), _) => Some((Level::Wrong, error.to_string())),
        (Ok(_), Access::Both) => {
            let text = "FIPS mode is set, and the embedded SSH server is not approved: sessions of members who come \
                        through it are refused; those of logins, who come through OpenSSH, are not";
            Some((Level::Advice, text.to_owned()))
        }
        (Ok(_), Access::OpenSsh) => None,
    }
}

#[cfg(test)]
mod tests {
    use limosa_policy::SettingsLayer;

    use super::*;
    use crate::config::Sources;

    fn found(text: &str) -> Vec<(Level, String)> {
        let outer = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(outer.path().join("s")).unwrap();
        let settings: SettingsLayer = toml::from_str("fips = \"on\"").unwrap();
        let user = StoredUser { settings, ..StoredUser::default() };
        UserStore::new(state.clone()).add(&"ada".parse().unwrap(), user).unwrap();
        let file = outer.path().join("limosad.toml");
        std::fs::write(&file, text).unwrap();
        let config = Configuration::load(Sources { file: Some(file), ..Sources::default() }).unwrap();
        members(&config, &state).into_iter().map(|finding| (finding.level, finding.about)).collect()
    }

    #[test]
    fn modes_and_keys_that_have_sessions_refused_are_found() {
        let wrong = |about: &[&str]| -> Vec<_> { about.iter().map(|&name| (Level::Wrong, name.to_owned())).collect() };
        let groups = "[groups.audited.settings]\nfips = \"on\"\n[groups.kept.settings]\nseal-at-rest = \"none-such\"\n";
        assert_eq!(found(groups), wrong(&["group audited", "group kept", "user ada"]));
        let logins = "[users.eve]\nfips = \"on\"\n[users.kim]\nseal-at-rest = \"none-such\"\n";
        assert_eq!(found(&format!("[ssh]\nenabled = false\n{logins}")), wrong(&["login kim"]));
        assert_eq!(found(logins), wrong(&["user ada", "login kim"]), "logins are there beside the embedded server");
        assert_eq!(found("[ssh]\nenabled = false\n"), []);
    }

    #[test]
    fn a_group_of_users_and_logins_may_be_in_fips_mode_for_the_logins() {
        let both = "[broker]\nenabled = true\n[groups.audited.settings]\nfips = \"on\"\n";
        let expected = [(Level::Advice, "group audited".to_owned()), (Level::Wrong, "user ada".to_owned())];
        assert_eq!(found(both), expected);
        // No other is asked for that this program may not have.
        let required = both.replace("\"on\"", "\"required\"");
        let level = if Module::running().is_validated() { Level::Advice } else { Level::Wrong };
        assert_eq!(found(&required)[0], (level, "group audited".to_owned()));
    }
}
