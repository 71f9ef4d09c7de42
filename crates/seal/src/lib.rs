//! All cryptography: datagram protection, key schedule, digests, secrets.
#![forbid(unsafe_code)]
