//! `cargo xtask test`: set-up, then every test of every crate, those in the documentation included, and those of the library without its compiler.

use crate::command::{Outcome, cargo, show_and_run, step};
use crate::setup;
use std::path::Path;

/// `args` go to `cargo test`: the name of a test, for instance.
pub fn run(root: &Path, args: &[String]) -> Outcome {
    let tools = step("set-up", || setup::run(root))?;
    let mut tests = cargo(root);
    tests.args(["test", "--workspace"]).args(args);
    tools.name_to(&mut tests);
    step("build and tests", || show_and_run(&mut tests))
}
