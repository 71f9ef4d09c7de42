//! Groups of users: settings that their members share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{GroupName, SettingsLayer, UserName};

/// A group: who belongs to it, and what is set for them. Its settings stand
/// behind those of each member and in front of the node's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Group {
    /// The members, by the name they log in with.
    pub members: Vec<UserName>,
    /// Which group wins for members of several: the one with the lowest number;
    /// of equal ones, the first by name.
    pub precedence: u32,
    /// What is set for the members.
    pub settings: SettingsLayer,
}

/// The groups of `user`, the one that wins first.
#[must_use]
pub fn groups_of<'a>(user: &UserName, groups: &'a BTreeMap<GroupName, Group>) -> Vec<(&'a GroupName, &'a Group)> {
    let mut own: Vec<_> = groups.iter().filter(|(_, group)| group.members.contains(user)).collect();
    own.sort_by_key(|(name, group)| (group.precedence, *name));
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::RateCap;
    use crate::{Origin, Settings};

    fn groups(text: &str) -> BTreeMap<GroupName, Group> {
        toml::from_str(text).unwrap()
    }

    fn names(user: &str, groups: &BTreeMap<GroupName, Group>) -> Vec<String> {
        groups_of(&user.parse().unwrap(), groups).into_iter().map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn precedence_orders_the_groups_of_a_user_and_the_name_what_is_equal() {
        let groups = groups(
            "[staff]\nmembers = [\"ada\", \"bob\"]\nprecedence = 1\n\
             [guests]\nmembers = [\"ada\"]\nprecedence = 2\n\
             [all]\nmembers = [\"bob\", \"ada\"]\nprecedence = 2\n",
        );
        assert_eq!(names("ada", &groups), ["staff", "all", "guests"]);
        assert_eq!(names("bob", &groups), ["staff", "all"]);
        assert!(names("eve", &groups).is_empty());
    }

    #[test]
    fn a_groups_value_stands_between_the_users_and_the_nodes_and_a_groups_lock_binds_the_user() {
        let groups = groups(
            "[staff]\nmembers = [\"ada\"]\n[staff.settings]\nrate-cap = \"2m\"\nwrite = false\nlocked = [\"write\"]",
        );
        let user: SettingsLayer = toml::from_str("read = false\nwrite = true").unwrap();
        let node: SettingsLayer = toml::from_str("rate-cap = \"1m\"\nmax-sessions = 3").unwrap();
        let (name, group) = groups.iter().next().unwrap();
        let of_group = Origin::Group(name.clone());
        let layers = [(Origin::User, &user), (of_group.clone(), &group.settings), (Origin::Node, &node)];
        let settings = Settings::resolve_layers(&layers);
        assert_eq!((settings.read.value, settings.read.origin), (false, Origin::User));
        assert_eq!((settings.rate_cap.value, settings.rate_cap.origin), (RateCap(2_000_000), of_group.clone()));
        assert_eq!((settings.write.value, settings.write.origin), (false, of_group));
        assert_eq!((settings.max_sessions.value, settings.max_sessions.origin), (3, Origin::Node));
    }
}
