//! The program `sla`: one file a command. Errors are one line on stderr; the exit status is 0 only when the work was done.

mod attend;
mod bench;
mod bundle;
mod cache;
mod check;
mod demo;
mod emit;
mod error;
mod explain;
mod nearest;
mod progress;
mod report;
mod tune;
mod tune_worker;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::CliError;

/// Sparse-linear attention, compiled from a tile DSL.
#[derive(Parser)]
#[command(name = "sla", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Apply the operator to the tensors of a safetensors file.
    Attend(attend::Attend),
    /// Time kernels on a device, beside what others have for the same.
    Bench(bench::Bench),
    /// Compile the operator's kernels into one file, for programs without a compiler.
    Bundle(bundle::MakeBundle),
    /// Show or clear the compiled kernels that are kept on disk.
    Cache(cache::Cache),
    /// Compare devices with the float64 reference on random problems.
    Check(check::Check),
    /// Denoise the bundled clip by dense attention, by SLA, and by each half of SLA alone.
    Demo(demo::Demo),
    /// Print a kernel at a stage of its compilation.
    Emit(emit::Emit),
    /// Say what a kernel is made of on a GPU.
    Explain(explain::Explain),
    /// Find out how kernels are run best, and keep it.
    Tune(tune::Tune),
    /// Measure for `tune`.
    #[command(hide = true)]
    TuneWorker(tune_worker::TuneWorker),
}

/// Parses the command line and runs the command: status 0 when it is done, 2 for an error of the user's, 1 for another.
pub fn main() -> ExitCode {
    let done = match Cli::try_parse() {
        Ok(Cli { command: Command::Attend(attend) }) => attend.run(),
        Ok(Cli { command: Command::Bench(bench) }) => bench.run(),
        Ok(Cli { command: Command::Bundle(bundle) }) => bundle.run(),
        Ok(Cli { command: Command::Cache(cache) }) => cache.run(),
        Ok(Cli { command: Command::Check(check) }) => check.run(),
        Ok(Cli { command: Command::Demo(demo) }) => demo.run(),
        Ok(Cli { command: Command::Emit(emit) }) => emit.run(),
        Ok(Cli { command: Command::Explain(explain) }) => explain.run(),
        Ok(Cli { command: Command::Tune(tune) }) => tune.run(),
        Ok(Cli { command: Command::TuneWorker(worker) }) => worker.run(),
        Err(error) if error::is_help(&error) => error.exit(),
        Err(error) => Err(CliError::usage(&error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {}", error::one_line(&error.to_string()));
            ExitCode::from(error.status())
        }
    }
}
