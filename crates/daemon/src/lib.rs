//! The server program and its administration; home of the demo.
#![forbid(unsafe_code)]
