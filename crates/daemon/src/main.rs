//! The `limosad` program.

fn main() -> std::process::ExitCode {
    limosa_daemon::run()
}
