//! Message formats and limits of the Limosa protocol.
#![forbid(unsafe_code)]
