//! Whether machine code for Hopper keeps its matrix products asynchronous: what its assembler said, and what is in it.
//!
//! ptxas accepts a kernel whose products it must run one by one, or whose registers it must keep in memory, and makes it several times slower. A
//! schedule that ends so is no schedule; whoever chose it takes another.

use super::{Assembled, Report, ToolError, disassemble};
use crate::Tools;
use thiserror::Error;

/// Instructions of a kernel that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Matrix products of a warpgroup.
    pub products: usize,
    /// Waits for them.
    pub waits: usize,
}

/// Why a kernel's machine code is not what its schedule meant.
#[derive(Debug, Error)]
pub enum GateError {
    /// Registers live in memory.
    #[error(
        "ptxas keeps {stack} bytes a thread in memory, with {stores} bytes of spilled stores and {loads} of loads; needed are none"
    )]
    Spills {
        /// Bytes of stack per thread.
        stack: u32,
        /// Bytes of spilled stores per thread.
        stores: u32,
        /// Bytes of spilled loads per thread.
        loads: u32,
    },
    /// A remark on products that had to be serialised, or on registers that could not be given to a role.
    #[error("ptxas remarks: {0}")]
    Note(String),
    /// As many waits as products.
    #[error("{waits} waits for {products} matrix products; needed are fewer waits than products")]
    Serialised {
        /// Matrix products of a warpgroup.
        products: usize,
        /// Waits for them.
        waits: usize,
    },
    /// The disassembler could not be run.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// Judges a kernel for Hopper by its assembler's report and, where `tools` has a disassembler, by its instructions; without one there are no counts.
///
/// # Errors
/// What is wrong with it, the most telling first.
pub fn hopper_gate(tools: &Tools, assembled: &Assembled) -> Result<Option<Counts>, GateError> {
    judge(&assembled.report)?;
    match tools.nvdisasm {
        Some(_) => count(&disassemble(tools, &assembled.cubin)?).map(Some),
        None => Ok(None),
    }
}

fn judge(report: &Report) -> Result<(), GateError> {
    let Report { stack, spill_stores: stores, spill_loads: loads, .. } = *report;
    if stack + stores + loads > 0 {
        return Err(GateError::Spills { stack, stores, loads });
    }
    match report.notes.iter().find(|n| n.contains("(C75") || n.contains("setmaxnreg")) {
        Some(note) => Err(GateError::Note(note.clone())),
        None => Ok(()),
    }
}

fn count(sass: &str) -> Result<Counts, GateError> {
    let lines = |what: &str| sass.lines().filter(|l| l.contains(what)).count();
    let (products, waits) = (lines("HGMMA"), lines("WARPGROUP.DEPBAR"));
    if products > 0 && waits >= products {
        return Err(GateError::Serialised { products, waits });
    }
    Ok(Counts { products, waits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spills_and_remarks_are_refused() {
        assert!(judge(&Report { registers: 168, ..Report::default() }).is_ok());
        let spilled = Report { spill_stores: 8, spill_loads: 12, stack: 16, ..Report::default() };
        assert!(matches!(judge(&spilled), Err(GateError::Spills { stack: 16, stores: 8, loads: 12 })));
        let note =
            "ptxas info : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized";
        let serial = Report { notes: vec![note.to_string()], ..Report::default() };
        assert!(matches!(judge(&serial), Err(GateError::Note(n)) if n == note));
        let other = Report { notes: vec!["warning : unused label".to_string()], ..Report::default() };
        assert!(judge(&other).is_ok());
    }

    #[test]
    fn a_wait_for_every_product_is_refused() {
        let sass = |products: usize, waits: usize| {
            let product = "    HGMMA.64x128x16.F32.BF16 R24, gdesc[UR4], RZ, !UPT, gsb0 ;\n";
            product.repeat(products) + &"    WARPGROUP.DEPBAR.LE gsb0, 0x0 ;\n".repeat(waits)
        };
        assert_eq!(count(&sass(8, 2)).unwrap(), Counts { products: 8, waits: 2 });
        assert_eq!(count("").unwrap(), Counts { products: 0, waits: 0 });
        assert!(matches!(count(&sass(4, 4)), Err(GateError::Serialised { products: 4, waits: 4 })));
    }
}
