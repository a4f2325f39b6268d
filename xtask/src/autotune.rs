//! `cargo xtask autotune`: `sla tune`, built for speed. Without a GPU it is to name the architecture (`--arch sm_90a`) and a folder for the bundle
//! that a machine with one measures (`--bundle DIR`).

use crate::command::{Outcome, cargo, show_and_run, step};
use crate::setup;
use std::path::Path;

/// `args` go to `sla tune`: kernels, `--arch`, `--case`, `--shape`, `--budget` and the rest of its options.
pub fn run(root: &Path, args: &[String]) -> Outcome {
    let tools = step("set-up", || setup::run(root))?;
    let mut build = cargo(root);
    step("build", || show_and_run(build.args(["build", "--release", "--package", "sla"])))?;
    let mut tune = cargo(root);
    tune.args(["run", "--quiet", "--release", "--package", "sla", "--", "tune"]).args(args);
    tools.name_to(&mut tune);
    step("autotune", || show_and_run(&mut tune))
}
