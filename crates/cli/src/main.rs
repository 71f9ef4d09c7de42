//! The `limosa` program.

fn main() -> std::process::ExitCode {
    limosa_cli::main()
}
