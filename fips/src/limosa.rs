//! The `limosa` program with the FIPS-validated module.

fn main() -> std::process::ExitCode {
    limosa_cli::main()
}
