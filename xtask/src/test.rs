//! `cargo xtask test`: set-up, then every test of every crate, those in the documentation included, and those of the library without its compiler.

use crate::command::{Failed, Outcome, cargo, show_and_run, step};
use crate::setup::{self, Tools};
use std::path::Path;

/// What the tests of the library without a compiler have embedded: a few of the kernels that are shipped.
const SAMPLE: [&str; 8] = ["--note", "sample", "--scope", "all", "--blocks", "128,64", "--dim", "64"];

/// `args` go to `cargo test`: the name of a test, for instance. `embedded` alone means the tests of the library without a compiler.
pub fn run(root: &Path, args: &[String]) -> Outcome {
    let tools = step("set-up", || setup::run(root))?;
    if *args != ["embedded"] {
        let mut tests = cargo(root);
        tests.args(["test", "--workspace"]).args(args);
        tools.name_to(&mut tests);
        step("build and tests", || show_and_run(&mut tests))?;
    }
    if args.is_empty() || *args == ["embedded"] {
        step("the library without a compiler", || embedded(root, &tools))?;
    }
    Ok(())
}

/// In a folder of its own: with other features the same crates are other files.
fn embedded(root: &Path, tools: &Tools) -> Outcome {
    let place = root.join("target/embedded");
    let folder = place.join("shipped");
    std::fs::create_dir_all(&folder).map_err(Failed::io(format!("cannot make {}", folder.display())))?;
    for target in ["sm_90a", "sm_80"] {
        let mut bundle = cargo(root);
        bundle.args(["run", "--quiet", "--package", "sla", "--", "bundle", "--target", target]).args(SAMPLE);
        bundle.arg("--out").arg(folder.join(target).with_extension("slab"));
        tools.name_to(&mut bundle);
        show_and_run(&mut bundle)?;
    }
    let mut tests = cargo(root);
    tests.args(["test", "--package", "sla", "--no-default-features", "--test", "embedded"]);
    tests.arg("--target-dir").arg(&place).env("SLA_SHIPPED", &folder);
    show_and_run(&mut tests)
}
