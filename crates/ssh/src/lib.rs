//! SSH client, embedded server, and the remote commands they run.
#![forbid(unsafe_code)]
