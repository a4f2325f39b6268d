//! The program `sla`: hands over to [`sla::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    sla::cli::main()
}
