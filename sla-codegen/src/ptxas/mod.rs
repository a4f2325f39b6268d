//! NVIDIA's assembler and disassembler as functions: PTX to a cubin with a report, a cubin to SASS.
//!
//! The places of the programs come from [`Tools`]; nothing is searched for here. The same text gives the same bytes.

mod gate;
mod process;
mod report;

pub use gate::{Counts, GateError, hopper_gate};
pub use process::ToolError;
pub use report::Report;

use crate::{Arch, Tools};
use process::{Scratch, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Far beyond what a kernel takes, and short enough that a hanging program is noticed.
const LIMIT: Duration = Duration::from_secs(300);

/// Machine code of a GPU and what its assembler said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The cubin, an ELF file.
    pub cubin: Vec<u8>,
    /// Registers, memory and remarks.
    pub report: Report,
}

/// Assembles PTX for an architecture with ptxas.
///
/// # Errors
/// No ptxas in `tools`, or one that cannot be started, fails, or runs longer than five minutes.
pub fn assemble(tools: &Tools, ptx: &str, arch: Arch) -> Result<Assembled, ToolError> {
    let program = known("ptxas", &tools.ptxas)?;
    let scratch = Scratch::new()?;
    scratch.write("kernel.ptx", ptx.as_bytes())?;
    let mut command = Command::new(program);
    command.arg(format!("-arch={}", arch.name())).args(["-O3", "-v", "-o", "kernel.cubin", "kernel.ptx"]);
    let output = run(command, &scratch, LIMIT)?;
    // ptxas writes its report to standard error.
    Ok(Assembled { cubin: scratch.read("kernel.cubin")?, report: Report::parse(&output.stderr) })
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
    fn a_missing_tool_is_an_error() {
        let e = assemble(&Tools::default(), PTX, Arch::Sm80).unwrap_err();
        assert!(matches!(e, ToolError::Unknown { tool: "ptxas" }), "{e}");
        let tools = Tools { ptxas: Some("/nowhere/ptxas".into()), ..Tools::default() };
        let e = assemble(&tools, PTX, Arch::Sm80).unwrap_err().to_string();
        assert!(e.contains("/nowhere/ptxas") && e.contains("could not be started"), "{e}");
    }
}
