//! The command-line client: what is typed, what it means, and how progress and
//! results are shown.
//!
//! Reading order: [`arguments`] and [`location`] for what is typed.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod location;
