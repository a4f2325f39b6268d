//! `cargo xtask bundle`: compiles the kernels that the library has where it has no compiler, into the files that it embeds. To be done before such a library is
//! built, and for every release: the files are made, not kept in the repository, so that they are never older than the kernels.

use crate::command::{Outcome, cargo, show_and_run, step};
use crate::setup;
use std::path::Path;

/// Hopper's machine code, and PTX for every GPU.
const TARGETS: [&str; 2] = ["sm_90a", "sm_80"];

/// `args` go to `sla bundle`.
pub fn run(root: &Path, args: &[String]) -> Outcome {
    let tools = step("set-up", || setup::run(root))?;
    let mut build = cargo(root);
    step("build", || show_and_run(build.args(["build", "--release", "--package", "sla"])))?;
    for target in TARGETS {
        let mut bundle = cargo(root);
        bundle.args(["run", "--quiet", "--release", "--package", "sla", "--", "bundle", "--target", target]);
        bundle.args(["--note", "shipped"]).arg("--out").arg(format!("src/shipped/{target}.slab")).args(args);
        tools.name_to(&mut bundle);
        step(target, || show_and_run(&mut bundle))?;
    }
    Ok(())
}
