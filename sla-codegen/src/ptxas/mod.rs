//! NVIDIA's assembler and disassembler as functions: PTX to a cubin with a report, a cubin to SASS.
//!
//! The places of the programs come from [`Tools`]; nothing is searched for here. The same text gives the same bytes. Versions that are known to make wrong
//! code are refused by [`policy`].

mod gate;
pub mod policy;
mod process;
mod report;

pub use gate::{Counts, GateError, hopper_gate};
pub use policy::{Finding, Verdict, Version};
pub use process::ToolError;
pub use report::Report;

use crate::{Arch, Tools};
use process::{Scratch, run};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Far beyond what a kernel takes, and short enough that a hanging program is noticed.
const LIMIT: Duration = Duration::from_secs(300);

/// The section of a cubin that says which instruction is of which line.
const LINES: &[u8] = b".debug_line";

/// Machine code of a GPU and what its assembler said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The cubin, an ELF file.
    pub cubin: Vec<u8>,
    /// Registers, memory and remarks.
    pub report: Report,
    /// Which ptxas made it, if it says so.
    pub version: Option<Version>,
}

/// The version of the ptxas in `tools`; `None` for one that says something else than ptxas does. A program is asked once.
///
/// # Errors
/// No ptxas in `tools`, or one that cannot be started or fails.
pub fn version(tools: &Tools) -> Result<Option<Version>, ToolError> {
    // By path, and by what changes when another program is put there. What PATH finds may be any.
    static KNOWN: Mutex<BTreeMap<(PathBuf, SystemTime, u64), Option<Version>>> = Mutex::new(BTreeMap::new());
    let program = known("ptxas", &tools.ptxas)?;
    let file = program.metadata().ok().filter(|_| program.is_absolute());
    let key = file.and_then(|f| Some((program.clone(), f.modified().ok()?, f.len())));
    let asked = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(version) = key.as_ref().and_then(|key| asked().get(key).copied()) {
        return Ok(version);
    }
    let mut command = Command::new(program);
    command.arg("--version");
    let version = Version::parse(&run(command, &Scratch::new()?, LIMIT)?.stdout);
    if let Some(key) = key {
        asked().insert(key, version);
    }
    Ok(version)
}

/// Assembles PTX for an architecture with ptxas.
///
/// # Errors
/// No ptxas in `tools`, or one that cannot be started, fails, or runs longer than five minutes; a version that is known to make wrong code for the
/// architecture.
pub fn assemble(tools: &Tools, ptx: &str, arch: Arch) -> Result<Assembled, ToolError> {
    let program = known("ptxas", &tools.ptxas)?;
    let version = version(tools)?;
    if let Some(version) = version
        && let Some(finding) = Finding::of(version, arch).filter(|f| f.verdict == Verdict::Refused)
    {
        return Err(ToolError::Refused { program, version, arch, finding });
    }
    let scratch = Scratch::new()?;
    scratch.write("kernel.ptx", ptx.as_bytes())?;
    let mut command = Command::new(program);
    command.arg(format!("-arch={}", arch.name())).args(["-O3", "-v", "-o", "kernel.cubin", "kernel.ptx"]);
    if ptx.contains("\t.loc\t") || ptx.contains("\t.loc ") {
        command.arg("-lineinfo");
    }
    let output = run(command, &scratch, LIMIT)?;
    // ptxas writes its report to standard error.
    Ok(Assembled { cubin: scratch.read("kernel.cubin")?, report: Report::parse(&output.stderr), version })
}

/// Disassembles a cubin to SASS with nvdisasm.
///
/// # Errors
/// No nvdisasm in `tools`, or one that cannot be started, fails, or runs longer than five minutes.
pub fn disassemble(tools: &Tools, cubin: &[u8]) -> Result<String, ToolError> {
    let program = known("nvdisasm", &tools.nvdisasm)?;
    let scratch = Scratch::new()?;
    scratch.write("kernel.cubin", cubin)?;
    let mut command = Command::new(program);
    command.args(["-c", "kernel.cubin"]);
    // Lines of the source, where the code knows them.
    if cubin.windows(LINES.len()).any(|w| w == LINES) {
        command.arg("-g");
    }
    Ok(run(command, &scratch, LIMIT)?.stdout)
}

/// The program's path, made absolute because it is started in another directory. A bare name is left to PATH.
fn known(tool: &'static str, path: &Option<PathBuf>) -> Result<PathBuf, ToolError> {
    let path: &Path = path.as_deref().ok_or(ToolError::Unknown { tool })?;
    if path.components().count() == 1 {
        return Ok(path.to_path_buf());
    }
    std::path::absolute(path).map_err(|e| ToolError::Files { what: format!("{}: {e}", path.display()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTX: &str = "
.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 p) {
    .reg .b64 %rd<3>;
    .reg .b32 %r<2>;
    ld.param.u64 %rd1, [p];
    cvta.to.global.u64 %rd2, %rd1;
    mov.u32 %r1, %tid.x;
    st.global.u32 [%rd2], %r1;
    ret;
}
";

    /// The tools that `cargo xtask setup` puts beside the workspace; `None`, with a printed reason, where they are not.
    fn tools() -> Option<Tools> {
        let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin");
        let tools = Tools { ptxas: Some(bin.join("ptxas")), nvdisasm: Some(bin.join("nvdisasm")) };
        if bin.join("ptxas").exists() && bin.join("nvdisasm").exists() {
            return Some(tools);
        }
        eprintln!("skipped: no ptxas and nvdisasm in {}; `cargo xtask setup` installs them", bin.display());
        None
    }

    #[test]
    fn assembles_reports_and_disassembles() {
        let Some(tools) = tools() else { return };
        let a = assemble(&tools, PTX, Arch::Sm80).unwrap();
        assert!(a.cubin.starts_with(b"\x7fELF"));
        assert!(a.report.registers > 0, "{:?}", a.report);
        assert_eq!((a.report.spill_stores, a.report.spill_loads, a.report.stack), (0, 0, 0));
        assert_eq!(assemble(&tools, PTX, Arch::Sm80).unwrap(), a);
        assert!(a.version.is_some_and(|v| v >= Version(12, 9, 0)), "{:?}", a.version);
        let sass = disassemble(&tools, &a.cubin).unwrap();
        assert!(sass.contains("STG.E"), "{sass}");
    }

    #[test]
    fn a_rejected_text_is_an_error_with_the_tool_s_words() {
        let Some(tools) = tools() else { return };
        let e =
            assemble(&tools, &PTX.replace("st.global", "st.nowhere"), Arch::Sm80).unwrap_err().to_string();
        assert!(e.contains("kernel.ptx, line 11"), "{e}");
        assert!(e.contains("-arch=sm_80 -O3 -v -o kernel.cubin kernel.ptx"), "{e}");
    }

    #[test]
    fn a_version_that_makes_wrong_code_is_refused_for_the_architecture_that_it_is_wrong_for() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("sla-ptxas-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join("ptxas");
        // It says a version, and assembles to a file that is no cubin.
        let script =
            "#!/bin/sh\n[ \"$1\" = --version ] && echo 'release 12.9, V12.9.41' || echo x > kernel.cubin\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let tools = Tools { ptxas: Some(program), ..Tools::default() };
        assert_eq!(version(&tools).unwrap(), Some(Version(12, 9, 41)));
        assert_eq!(assemble(&tools, PTX, Arch::Sm80).unwrap().cubin, b"x\n");
        let e = assemble(&tools, PTX, Arch::Sm90a).unwrap_err();
        assert!(matches!(e, ToolError::Refused { version: Version(12, 9, 41), .. }), "{e}");
        let e = e.to_string();
        assert!(e.contains("12.9.41") && e.contains("sm_90a") && e.contains("warpgroups"), "{e}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_missing_tool_is_an_error() {
        let e = assemble(&Tools::default(), PTX, Arch::Sm80).unwrap_err();
        assert!(matches!(e, ToolError::Unknown { tool: "ptxas" }), "{e}");
        let tools = Tools { ptxas: Some("/nowhere/ptxas".into()), ..Tools::default() };
        let e = assemble(&tools, PTX, Arch::Sm80).unwrap_err().to_string();
        assert!(e.contains("/nowhere/ptxas") && e.contains("could not be started"), "{e}");
    }
}
