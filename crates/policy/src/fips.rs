//! FIPS mode: how far an end insists on approved cryptography.

use limosa_seal::AlgorithmSet;
use limosa_seal::module::Module;
use serde::{Deserialize, Serialize};

/// Whether only algorithms approved by FIPS 140-3 are used, and by which module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FipsMode {
    /// All that this software knows may be used.
    #[default]
    Off,
    /// Only approved algorithms are used, whatever module computes them.
    On,
    /// The same by the validated module; and a server serves only clients that
    /// offer nothing else.
    Required,
}

/// Only the validated module may be used, and this program has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("FIPS mode is `required`, but this program has {0}")]
pub struct NotValidated(pub Module);

impl FipsMode {
    /// What may be used in this mode.
    ///
    /// # Errors
    /// If `module` must be the validated one and is not.
    pub fn algorithms(self, module: Module) -> Result<AlgorithmSet, NotValidated> {
        match self {
            Self::Off => Ok(AlgorithmSet::Ordinary),
            Self::Required if !module.is_validated() => Err(NotValidated(module)),
            Self::On | Self::Required => Ok(AlgorithmSet::Approved),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_validated_module_serves_where_it_is_required() {
        for module in [Module::Ordinary, Module::Unvalidated(Some(4)), Module::Validated] {
            assert_eq!(FipsMode::Off.algorithms(module), Ok(AlgorithmSet::Ordinary));
            assert_eq!(FipsMode::On.algorithms(module), Ok(AlgorithmSet::Approved));
        }
        assert_eq!(FipsMode::Required.algorithms(Module::Validated), Ok(AlgorithmSet::Approved));
        for module in [Module::Ordinary, Module::Unvalidated(Some(4))] {
            assert_eq!(FipsMode::Required.algorithms(module), Err(NotValidated(module)));
        }
    }
}
