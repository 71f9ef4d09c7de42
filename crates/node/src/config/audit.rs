//! `[audit]`: the audit log.

use std::path::PathBuf;

use super::section::section;

section! {
    /// The audit log.
    Audit, AuditLayer {
        /// Whether it is written.
        enabled: bool = true;
        /// The file; `audit.log` in the state directory if not set.
        file: Option<PathBuf> = None;
    }
}
