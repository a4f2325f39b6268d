//! What the driver is given to load: a cubin where ptxas is known, so that code does not depend on the driver's own assembler; PTX otherwise.
//!
//! A cubin runs on GPUs of its architecture's generation only, and an old ptxas may not know what the code generator writes: then it is the
//! driver's turn, and why is kept.

use sla_codegen::ptxas::{Report, assemble};
use sla_codegen::{Arch, Tools};

/// Code for the driver.
pub(super) struct Code {
    /// A cubin, or PTX.
    pub bytes: Vec<u8>,
    /// What ptxas said, if it made this.
    pub report: Option<Report>,
    /// Why ptxas did not make it, though there is one.
    pub refused: Option<String>,
}

impl Code {
    /// PTX for the driver to assemble.
    pub fn ptx(ptx: &str, refused: Option<String>) -> Code {
        Code { bytes: ptx.into(), report: None, refused }
    }

    /// Assembles PTX with the same options as `sla emit --stage cubin`, if there is a ptxas and the GPU runs what it makes.
    pub fn best(ptx: &str, arch: Arch, capability: (u32, u32), tools: &Tools) -> Code {
        if tools.ptxas.is_none() || !runs_on(arch, capability) {
            return Code::ptx(ptx, None);
        }
        match assemble(tools, ptx, arch) {
            Ok(made) => Code { bytes: made.cubin, report: Some(made.report), refused: None },
            Err(e) => Code::ptx(ptx, Some(e.to_string())),
        }
    }
}

/// The version that ptxas leaves in its code; nothing in PTX.
pub(super) fn assembler(code: &[u8]) -> Option<String> {
    const BEFORE: &[u8] = b"Cuda compilation tools, release ";
    let code = code.starts_with(b"\x7fELF").then_some(code)?;
    let at = code.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let text: Vec<u8> =
        code[at..].iter().copied().take_while(|b| (b' '..=b'~').contains(b)).take(40).collect();
    let text = String::from_utf8(text).ok()?;
    Some(text.rsplit_once('V').map_or(text.clone(), |(_, version)| version.to_owned()))
}

/// Whether machine code for an architecture runs on a GPU: the same generation and no newer; exactly the same for the `a` architectures.
fn runs_on(arch: Arch, (major, minor): (u32, u32)) -> bool {
    match arch {
        Arch::Sm80 => major == 8,
        Arch::Sm89 => major == 8 && minor >= 9,
        Arch::Sm90a => (major, minor) == (9, 0),
        Arch::Sm100a => (major, minor) == (10, 0),
        Arch::Sm120a => (major, minor) == (12, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const PTX: &str = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k() {\n    ret;\n}\n";

    #[test]
    fn cubins_are_for_their_generation() {
        assert!(runs_on(Arch::Sm80, (8, 0)) && runs_on(Arch::Sm80, (8, 9)) && !runs_on(Arch::Sm80, (9, 0)));
        assert!(runs_on(Arch::Sm89, (8, 9)) && !runs_on(Arch::Sm89, (8, 6)));
        assert!(
            runs_on(Arch::Sm90a, (9, 0)) && !runs_on(Arch::Sm100a, (10, 3)) && !runs_on(Arch::Sm120a, (9, 0))
        );
    }

    #[test]
    fn without_a_ptxas_that_works_it_is_ptx() {
        let code = Code::best(PTX, Arch::Sm80, (8, 0), &Tools::default());
        assert_eq!((code.bytes.as_slice(), code.report, code.refused), (PTX.as_bytes(), None, None));
        let nowhere = Tools { ptxas: Some("/nowhere/ptxas".into()), ..Tools::default() };
        let code = Code::best(PTX, Arch::Sm80, (8, 0), &nowhere);
        assert_eq!(code.bytes, PTX.as_bytes());
        assert!(code.refused.unwrap().contains("/nowhere/ptxas"));
        // One that is not for this GPU is not even started.
        assert_eq!(Code::best(PTX, Arch::Sm80, (9, 0), &nowhere).refused, None);
    }

    #[test]
    fn with_ptxas_it_is_a_cubin_and_a_report() {
        let tools = crate::env::tools();
        if !tools.ptxas.as_deref().is_some_and(Path::is_file) {
            eprintln!("skipped: no ptxas; `cargo xtask setup` installs it");
            return;
        }
        let code = Code::best(PTX, Arch::Sm80, (8, 6), &tools);
        assert!(code.bytes.starts_with(b"\x7fELF"), "{:?}", code.refused);
        assert_eq!(code.report.map(|r| (r.spill_stores, r.notes.len())), Some((0, 0)));
        let version = assembler(&code.bytes).unwrap();
        assert!(
            version.split('.').count() == 3 && version.split('.').all(|n| n.parse::<u32>().is_ok()),
            "{version}"
        );
        assert_eq!(assembler(b"Cuda compilation tools, release 13.0, V13.0.88"), None);
    }
}
