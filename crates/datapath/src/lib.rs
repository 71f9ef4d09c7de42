//! UDP sockets and the thread that pumps a connection.
#![forbid(unsafe_code)]
