//! What a compiled kernel takes of a GPU, and which code it is, as it is written to journals and compared with records.

use serde::{Deserialize, Serialize};
use sla_runtime::Resources;

/// What a compiled candidate takes of a GPU; nothing is known on other devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Registers a thread.
    pub registers: u32,
    /// Bytes of shared memory a block of threads.
    pub shared: u32,
    /// Bytes a thread that live in memory: spills and arrays.
    pub local: u32,
    /// What ptxas remarked.
    pub notes: Vec<String>,
    /// A number of its code; the same for two candidates that are compiled alike. Empty where it is not known.
    pub code: String,
    /// The version of ptxas that assembled it.
    pub ptxas: Option<String>,
}

impl From<Resources> for Made {
    fn from(r: Resources) -> Made {
        Made {
            registers: r.registers,
            shared: r.shared_bytes,
            local: r.local_bytes,
            notes: r.report.map_or_else(Vec::new, |report| report.notes),
            code: code(r.fingerprint),
            ptxas: r.assembler,
        }
    }
}

/// A fingerprint as it is written.
pub fn code(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

impl Made {
    /// Why a candidate is not worth a launch, whoever runs it: registers in memory, products that run one by one.
    pub fn refusal(&self) -> Option<String> {
        if self.local > 0 {
            return Some(format!("{} bytes a thread are spilled or live in memory, needed none", self.local));
        }
        let note = self.notes.iter().find(|n| n.contains("(C75") || n.contains("setmaxnreg"))?;
        Some(format!("ptxas remarks: {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ptxas_cannot_keep_is_refused() {
        let good = Made { registers: 168, notes: vec!["warning : unused label".into()], ..Made::default() };
        assert_eq!(good.refusal(), None);
        let spilled = Made { local: 24, ..good.clone() };
        assert!(spilled.refusal().unwrap().contains("24 bytes"));
        let serial = Made { notes: vec!["info : (C7510) wgmma serialized".into()], ..good };
        assert!(serial.refusal().unwrap().contains("C7510"));
    }
}
