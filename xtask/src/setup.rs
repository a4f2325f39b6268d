//! `cargo xtask setup`: looks for everything the workspace builds and tests with, says what is missing, and installs it:
//! Debian packages for the whole machine ([`packages`]), NVIDIA's assembler and disassembler for this checkout only
//! ([`tools`]). Where it cannot install, it says what to provide. With all there it only looks at a few files.

mod packages;
mod tools;

use crate::command::Outcome;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the programs are that the tests and `sla` call by name.
pub struct Tools {
    found: Vec<(&'static str, PathBuf)>,
}

impl Tools {
    /// Tells `command` where they are, whatever folder it is run in.
    pub fn name_to(&self, command: &mut Command) {
        for (variable, path) in &self.found {
            command.env(variable, path);
        }
    }
}

/// Installs what is missing; returns only when everything is there.
pub fn run(root: &Path) -> Outcome<Tools> {
    let wanted = tools::missing(root)?;
    packages::install(!wanted.is_empty() && tools::python_with_pip().is_none())?;
    if !wanted.is_empty() {
        tools::install(root, &wanted)?;
    }
    let found = tools::locate(root)?;
    let list: Vec<_> = found.iter().map(|(_, path)| path.display().to_string()).collect();
    println!("setup: all is there: LLVM in {}, {}", packages::prefix().display(), list.join(", "));
    Ok(Tools { found })
}
