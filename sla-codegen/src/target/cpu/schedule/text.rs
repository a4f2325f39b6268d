//! The `sched` stage: the kernel's ops, each value with its home.

use super::{Home, Schedule};
use sla_dsl::ir::{BlockId, Kernel, Value};
use std::fmt::Write;

impl Schedule {
    /// The kernel with its schedule, for people.
    pub fn text(&self, kernel: &Kernel) -> String {
        let mut out = format!("kernel {} on cpu: {} bytes of scratch memory\n", kernel.name, self.scratch);
        self.block(kernel, kernel.body, 1, &mut out);
        out
    }

    fn block(&self, kernel: &Kernel, block: BlockId, indent: usize, out: &mut String) {
        let pad = "  ".repeat(indent);
        for &arg in &kernel.block(block).args {
            let _ = writeln!(out, "{pad}{arg}: {} {}", kernel.ty(arg), self.note(arg));
        }
        for &id in &kernel.block(block).ops {
            let op = kernel.op(id);
            let list = |vs: &[Value]| vs.iter().map(|v| v.to_string()).collect::<Vec<_>>().join(", ");
            let results =
                if op.results.is_empty() { String::new() } else { format!("{} = ", list(&op.results)) };
            let _ = write!(out, "{pad}{results}{} {}", op.code.name(), list(&op.operands));
            for &r in &op.results {
                let _ = write!(out, " : {} {}", kernel.ty(r), self.note(r));
            }
            if let Some(form) = self.forms.get(&id) {
                let _ = write!(out, " {form:?}");
            }
            if let Some((dot, other)) = self.fused.get(&id) {
                let _ = write!(out, " accumulates {dot} onto {other}");
            }
            out.push('\n');
            for &region in &op.regions {
                self.block(kernel, region, indent + 1, out);
            }
        }
    }

    fn note(&self, v: Value) -> String {
        match self.home(v) {
            Home::Scalar => "[scalar]".into(),
            Home::Tensor => "[tensor]".into(),
            Home::Inline => "[inline]".into(),
            Home::Fused => "[fused]".into(),
            Home::Buffer => {
                let places: Vec<String> = (0..2)
                    .filter_map(|axis| self.tile(v, axis).map(|id| (axis, self.buffer(id))))
                    .map(|(axis, b)| format!("@{}+{} axis {axis}", b.offset, b.bytes()))
                    .collect();
                format!("[{}]", places.join("; "))
            }
        }
    }
}
