//! The protocol core, sans-IO: sender, receiver, loss recovery, rate control.
#![forbid(unsafe_code)]
