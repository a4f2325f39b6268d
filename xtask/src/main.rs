//! Chores of the workspace, run as `cargo xtask TASK`; one file a task. It depends on no other crate of the house and on
//! nothing from a registry, so that it builds where nothing is installed and can install the rest. It compiles no
//! kernels: that is the `sla` program.

mod autotune;
mod bundle;
mod chroot_check;
mod command;
mod demo;
mod setup;
mod start;
mod test;
mod tidy;

use command::Failed;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask setup               install what is missing: Debian packages, ptxas and nvdisasm
cargo xtask demo [ARGS]         setup, then `sla demo` (into out/demo)
cargo xtask test [ARGS]         setup, then every test of the workspace; ARGS go to `cargo test` (`embedded`: the library without a compiler)
cargo xtask autotune KERNEL...  setup, then `sla tune`; its options, such as --arch and --shape, may follow
cargo xtask bundle              setup, then the kernels that are embedded in a library without a compiler
cargo xtask tidy                the house rules that a program can check
cargo xtask chroot-check DIR    prove `demo` and `test` in an empty Debian 12 made in DIR; see --help there";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match task.as_str() {
        "setup" => setup::run(&root()).map(drop),
        "demo" => demo::run(&root(), &rest),
        "test" => test::run(&root(), &rest),
        "autotune" => autotune::run(&root(), &rest),
        "bundle" => bundle::run(&root(), &rest),
        "tidy" => tidy::run(&root()),
        "chroot-check" => chroot_check::run(&root(), &rest),
        "" | "help" | "--help" | "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => Err(Failed(format!("there is no task `{other}`; the tasks are\n{USAGE}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(why)) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace: where cargo says this package is, and one up.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let package = Path::new(&package);
    package.parent().unwrap_or(package).to_path_buf()
}
