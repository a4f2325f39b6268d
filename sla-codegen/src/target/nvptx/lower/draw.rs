//! Programs drawn from a counter in global memory, and handed from the role that draws to the others through a ring of numbers in shared memory.
//!
//! The numbers lie beside their ring's barriers. Nothing but threads reads and writes them, so an arrival is all that orders them.

use super::Lower;
use super::roles::RingPlace;
use crate::target::nvptx::text::{Ssa, Ty};
use sla_dsl::ir::OpId;

impl Lower<'_> {
    /// What is to be added to the address of a stage's barrier for the address of its number.
    fn number(ring: &RingPlace) -> usize {
        ring.barriers + 16 * ring.stages
    }

    /// The counter's address, an argument of the launch.
    fn counter(&mut self) -> Ssa {
        if let Some(v) = self.roles.counter {
            return v;
        }
        let v = self.t.fresh();
        self.roles.counter = Some(v);
        v
    }

    pub(super) fn draw(&mut self, id: OpId) {
        let op = self.k.op(id);
        let ((_, ring), (stage, phase)) = (self.ring_of(op.operands[0]), self.cursor_of(op.operands[1]));
        let total = self.scalar(op.operands[2]);
        let counter = self.counter();
        let (one, none) = (self.t.i32(1), self.t.i32(-1));
        let last = self.t.bin("arith.subi", total, one, Ty::I32);
        // The counter wraps to 0 after as many draws as a launch makes.
        let args = [(counter, Ty::Global), (last, Ty::I32)];
        let drawn = self.t.asm("atom.global.inc.u32 $0, [$1], $2;", &args, &[Ty::I32], true)[0];
        let ctas = self.ctas();
        let program = self.t.bin("arith.addi", drawn, ctas, Ty::I32);
        let some = self.t.def(format_args!("arith.cmpi ult, {program}, {total} : i32"));
        let program = self.t.select(some, program, none, Ty::I32);
        let barrier = self.barrier_of(&ring, stage);
        let parity = self.t.bin("arith.xori", phase, one, Ty::I32);
        self.wait(barrier, ring.barriers + 8 * ring.stages, parity);
        let code = format!("st.shared.b32 [$0+{}], $1;", Self::number(&ring));
        self.t.asm(&code, &[(barrier, Ty::I32), (program, Ty::I32)], &[], true);
        // The arrival releases the write before it to whoever waits for the stage.
        let code = format!("mbarrier.arrive.shared::cta.b64 _, [$0+{}];", ring.barriers);
        self.t.asm(&code, &[(barrier, Ty::I32)], &[], true);
        self.set(op.results[0], vec![program]);
    }

    pub(super) fn take(&mut self, id: OpId) {
        let op = self.k.op(id);
        let ((_, ring), (stage, phase)) = (self.ring_of(op.operands[0]), self.cursor_of(op.operands[1]));
        let barrier = self.barrier_of(&ring, stage);
        self.wait(barrier, ring.barriers, phase);
        let number = Self::number(&ring);
        // The shuffle has the numbers of all lanes, so every lane has read before one arrives for its warp; and it tells ptxas that all have the same.
        let (shuffle, speaker) = if self.lone() {
            ("", None)
        } else {
            let (lane, zero) = (self.thread_bits(0, 5), self.t.i32(0));
            let first = self.t.head(format_args!("arith.cmpi eq, {lane}, {zero} : i32"));
            (" shfl.sync.idx.b32 $0, $0, 0, 31, -1;", Some(first))
        };
        let code = format!("ld.shared.b32 $0, [$1+{number}];{shuffle}");
        let program = self.t.asm(&code, &[(barrier, Ty::I32)], &[Ty::I32], true)[0];
        let code = format!("mbarrier.arrive.shared::cta.b64 _, [$0+{}];", ring.barriers + 8 * ring.stages);
        self.t.asm_if(speaker, &code, &[(barrier, Ty::I32)]);
        self.set(op.results[0], vec![program]);
    }
}
