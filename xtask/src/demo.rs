//! `cargo xtask demo`: set-up, then the main job of the `sla` program, built for speed.

use crate::command::{Outcome, cargo, show_and_run, step};
use crate::setup;
use std::path::Path;

/// `args` go to `sla demo`; without `--out` among them the results go to out/demo.
pub fn run(root: &Path, args: &[String]) -> Outcome {
    let tools = step("set-up", || setup::run(root))?;
    let mut build = cargo(root);
    step("build", || show_and_run(build.args(["build", "--release", "--package", "sla"])))?;
    let mut demo = cargo(root);
    demo.args(["run", "--quiet", "--release", "--package", "sla", "--", "demo"]);
    if !args.iter().any(|arg| arg == "--out" || arg.starts_with("--out=")) {
        demo.args(["--out", "out/demo"]);
    }
    tools.name_to(&mut demo);
    step("demo", || show_and_run(demo.args(args)))
}
