//! Virtual network, clock and disk; runs transport and transfer whole.
#![forbid(unsafe_code)]
