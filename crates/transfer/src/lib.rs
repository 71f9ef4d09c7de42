//! One transfer job, sans-IO: layout, plan, journal, verification, events.
#![forbid(unsafe_code)]
