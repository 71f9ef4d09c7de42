//! The transfer server: ssh host, sessions, takeover, port broker.
#![forbid(unsafe_code)]
