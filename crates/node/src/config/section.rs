//! Sections of the configuration file: one list of keys makes the layer that
//! is read, the effective section with the origin of each value, and what is
//! shown of it.

use limosa_policy::{Origin, Sourced};
use serde::Serialize;

/// A setting as it is shown: key, value as the file would have it, origin.
pub type Line = (String, String, Origin);

/// Writes a layer, the effective section and their combination from one list.
macro_rules! section {
    (
        $(#[$meta:meta])*
        $name:ident, $layer:ident {
            $($(#[$key_meta:meta])* $key:ident: $type:ty = $default:expr;)+
        }
    ) => {
        /// What is set in one place.
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub struct $layer {
            $($(#[$key_meta])* pub $key: Option<$type>,)+
        }

        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[$key_meta])* pub $key: limosa_policy::Sourced<$type>,)+
        }

        impl $name {
            /// The keys, as they are written in the file.
            #[must_use]
            pub fn keys() -> Vec<String> {
                vec![$(crate::config::section::file_key(stringify!($key)),)+]
            }

            /// Combines layers, the one that wins first.
            pub(crate) fn resolve(layers: &[(limosa_policy::Origin, &$layer)]) -> Self {
                Self {
                    $($key: crate::config::section::first_set(layers, |layer| layer.$key.as_ref(), || $default),)+
                }
            }

            /// Every value with its origin.
            #[must_use]
            pub fn lines(&self) -> Vec<crate::config::section::Line> {
                vec![$(crate::config::section::line(stringify!($key), &self.$key),)+]
            }
        }
    };
}
pub(crate) use section;

/// A key as it is written in the file.
pub(crate) fn file_key(key: &str) -> String {
    key.replace('_', "-")
}

pub(crate) fn first_set<L, T: Clone>(
    layers: &[(Origin, &L)],
    value: impl Fn(&L) -> Option<&T>,
    built_in: impl FnOnce() -> T,
) -> Sourced<T> {
    let set = layers.iter().find_map(|(origin, layer)| Some((origin.clone(), value(layer)?)));
    match set {
        Some((origin, value)) => Sourced { value: value.clone(), origin },
        None => Sourced { value: built_in(), origin: Origin::BuiltIn },
    }
}

pub(crate) fn line<T: Serialize>(key: &str, setting: &Sourced<T>) -> Line {
    (file_key(key), shown(&setting.value), setting.origin.clone())
}

/// A value as the file would have it; `(not set)` where there is none.
fn shown(value: &impl Serialize) -> String {
    toml::Value::try_from(value).map_or_else(|_| "(not set)".into(), |value| value.to_string())
}
