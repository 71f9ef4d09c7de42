//! Settings, identities and decisions; pure.
#![forbid(unsafe_code)]
