//! The log, on standard error.

use tracing_subscriber::EnvFilter;

use crate::arguments::LogFormat;

/// What is logged where `LIMOSA_LOG` does not say: everything of note.
const USUAL: &str = "info,russh=warn";

/// Starts writing the log.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("LIMOSA_LOG").unwrap_or_else(|_| EnvFilter::new(USUAL));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            use std::io::IsTerminal;
            log.with_ansi(std::io::stderr().is_terminal()).with_target(false).init();
        }
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
