//! The keys of the configuration by name, for commands that read or change one
//! of them: for whom it is set, and where in the file it stands.

use std::fmt;

use limosa_policy::settings::suggestion;
use limosa_policy::{GroupName, Settings, UserName};
use serde::Deserialize;
use toml::{Table, Value};

use super::{ConfigLayer, KeyName, KeySource, SECTIONS, problem, section, section_keys, value};
use crate::error::NodeError;

/// For whom something is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// For the node and everybody.
    Node,
    /// For the members of a group.
    Group(GroupName),
    /// For one user.
    User(UserName),
}

/// A key that exists, for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    scope: Scope,
    /// The tables it stands in, from the outside.
    tables: Vec<String>,
    name: String,
}

/// What a group has beside the settings of its members.
const OF_GROUPS: [&str; 2] = ["members", "precedence"];

impl Key {
    /// Whether its table means nothing once the key is taken out: a master key
    /// has one source.
    pub(super) fn is_all_of_its_table(&self) -> bool {
        self.tables.first().is_some_and(|section| section == MASTER_KEYS)
    }

    /// The key that `text` names: of the node, `SECTION.KEY`, or a setting
    /// alone for one of `[defaults]`; of a group or a user, a setting.
    ///
    /// # Errors
    /// [`NodeError::Given`], with the key that was probably meant.
    pub fn parse(scope: Scope, text: &str) -> Result<Self, NodeError> {
        if let Some(key) = of_master_key(&scope, text) {
            return key;
        }
        let known = known(&scope);
        if !known.iter().any(|key| key == text) {
            return Err(NodeError::Given(match suggestion(text, known.iter().map(String::as_str)) {
                Some(meant) => format!("unknown key `{text}`; did you mean `{meant}`?"),
                None => format!("unknown key `{text}`; known here: {}", known.join(", ")),
            }));
        }
        let (section, name) = text.split_once('.').unwrap_or(("defaults", text));
        let tables = match &scope {
            Scope::Node => vec![section.to_owned()],
            Scope::Group(group) if OF_GROUPS.contains(&name) => vec!["groups".to_owned(), group.to_string()],
            Scope::Group(group) => vec!["groups".to_owned(), group.to_string(), "settings".to_owned()],
            Scope::User(user) => vec!["users".to_owned(), user.to_string()],
        };
        Ok(Self { scope, tables, name: name.to_owned() })
    }

    /// For whom it is.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The tables of the file that it stands in, from the outside.
    #[must_use]
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// The key itself, in the innermost table.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value that `text` stands for, checked to be one for this key.
    ///
    /// # Errors
    /// [`NodeError::Given`], with the reason.
    pub fn value(&self, text: &str) -> Result<Value, NodeError> {
        let accept = |value: &Value| ConfigLayer::deserialize(self.with(value.clone()));
        let read = value::read(text, accept).map(|(value, _)| value);
        read.map_err(|error| NodeError::Given(format!("{self}: {}", problem::explain(error.message()))))
    }

    /// A file in which nothing but this key is set.
    fn with(&self, value: Value) -> Table {
        let innermost = Table::from_iter([(self.name.clone(), value)]);
        self.tables.iter().rev().fold(innermost, |inner, name| Table::from_iter([(name.clone(), inner.into())]))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.tables.join("."), self.name)
    }
}

/// Where master keys stand.
const MASTER_KEYS: &str = "master-keys";

/// The source of a master key, `master-keys.NAME.KEY`, if it is meant.
fn of_master_key(scope: &Scope, text: &str) -> Option<Result<Key, NodeError>> {
    let rest = text.strip_prefix("master-keys.").filter(|_| *scope == Scope::Node)?;
    let given = |problem: String| Some(Err(NodeError::Given(problem)));
    let Some((name, key)) = rest.rsplit_once('.').filter(|(_, key)| KeySource::KEYS.contains(key)) else {
        return given(format!("unknown key `{text}`; known here: master-keys.NAME.{}", KeySource::KEYS.join(", .")));
    };
    match KeyName::try_from(name.to_owned()) {
        Ok(_) => {
            let tables = vec![MASTER_KEYS.to_owned(), name.to_owned()];
            Some(Ok(Key { scope: scope.clone(), tables, name: key.to_owned() }))
        }
        Err(error) => given(format!("`{name}`: {error}")),
    }
}

fn known(scope: &Scope) -> Vec<String> {
    let settings = Settings::KEYS.iter().map(|key| section::file_key(key)).chain(["locked".to_owned()]);
    match scope {
        Scope::Node => {
            let of_section = |name: &'static str| {
                section_keys(name).unwrap_or_default().into_iter().map(move |key| format!("{name}.{key}"))
            };
            let sections = SECTIONS.into_iter().flat_map(of_section);
            settings.chain(sections).chain(["defaults.locked".to_owned()]).collect()
        }
        Scope::Group(_) => settings.chain(OF_GROUPS.map(str::to_owned)).collect(),
        Scope::User(_) => settings.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Result<Key, NodeError> {
        Key::parse(Scope::Node, text)
    }

    fn group(text: &str) -> Result<Key, NodeError> {
        Key::parse(Scope::Group("staff".parse().unwrap()), text)
    }

    #[test]
    fn a_key_knows_its_place() {
        let shown = |key: Result<Key, NodeError>| key.unwrap().to_string();
        assert_eq!(shown(node("ssh.listen")), "ssh.listen");
        assert_eq!(shown(node("rate-cap")), "defaults.rate-cap");
        assert_eq!(shown(node("defaults.locked")), "defaults.locked");
        assert_eq!(shown(group("rate-cap")), "groups.staff.settings.rate-cap");
        assert_eq!(shown(group("members")), "groups.staff.members");
        assert_eq!(shown(Key::parse(Scope::User("ada".parse().unwrap()), "write")), "users.ada.write");
    }

    #[test]
    fn master_keys_have_sources() {
        let file = node("master-keys.2026.main.file").unwrap();
        assert_eq!((file.to_string(), file.tables().len()), ("master-keys.2026.main.file".to_owned(), 2));
        assert_eq!(file.value("/etc/limosa/main.key").unwrap().as_str(), Some("/etc/limosa/main.key"));
        assert_eq!(
            node("master-keys.main.command").unwrap().value("fetch,main").unwrap().to_string(),
            "[\"fetch\", \"main\"]"
        );
        for wrong in ["master-keys.main", "master-keys.main.path", "master-keys.none.file", "master-keys.a b.file"] {
            assert!(node(wrong).is_err(), "{wrong}");
        }
        assert!(group("master-keys.main.file").is_err());
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_was_meant() {
        for (wrong, meant) in [("ssh.lissten", "ssh.listen"), ("rate_cap", "rate-cap"), ("defaults.docrot", "docroot")]
        {
            let error = node(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("unknown key `{wrong}`")) && error.contains(meant), "{error}");
        }
        assert!(group("ssh.listen").is_err() && group("member").unwrap_err().to_string().contains("`members`"));
        assert!(node("members").is_err());
    }

    #[test]
    fn values_are_checked_before_they_are_written() {
        let value = |key: Result<Key, NodeError>, text| key.unwrap().value(text).map_err(|error| error.to_string());
        assert_eq!(value(node("ssh.listen"), "22"), Ok(Value::Integer(22)));
        assert_eq!(value(node("rate-cap"), "100m"), Ok(Value::String("100m".into())));
        assert_eq!(value(group("members"), "ada,bob").unwrap().to_string(), "[\"ada\", \"bob\"]");
        assert!(value(node("rate-cap"), "fast").unwrap_err().starts_with("defaults.rate-cap: `fast` is not a rate"));
        assert!(value(group("members"), "../x").unwrap_err().contains("not a user name"));
        let typo = value(node("locked"), "read,wirte").unwrap_err();
        assert!(typo.contains("unknown key `wirte`; did you mean `write`?"), "{typo}");
    }
}
