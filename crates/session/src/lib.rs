//! One running session on a real machine, either role.
#![forbid(unsafe_code)]
