//! The kernels that solve a case, one after the other, with the tensors that each is given.
//!
//! Tensors are known by name; who makes them is [`super::problem`]'s business. The operator as a whole is not here: it has its own order.

use sla_codegen::Target;
use sla_dsl::ir::Elem;
use sla_dsl::lang::{Const, Consts, KernelDef};

use super::case::{Case, Pass, Work};
use super::choices::{Choice, choose};
use crate::kernels::block_sparse::sparse_fwd;
use crate::kernels::delta::row_delta;
use crate::kernels::flash::flash_fwd;
use crate::kernels::flash_backward::{flash_bwd_dkdv, flash_bwd_dq};
use crate::kernels::fused_backward::{clear_sums, flash_bwd_fused, scale_sums, sparse_bwd_fused};
use crate::kernels::matmul::matmul;
use crate::kernels::sla_backward::{sla_bwd_dkdv, sla_bwd_dq};

/// An argument of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// A tensor to read.
    Read(&'static str),
    /// A tensor to write.
    Write(&'static str),
    /// A tensor that a kernel with a linear branch would write, and this one leaves alone.
    Unwritten(&'static str),
    /// What logits are multiplied by.
    Scale,
    /// 0.
    Zero,
}

use Given::{Read, Scale, Unwritten, Write, Zero};

/// One kernel.
#[derive(Clone, Copy)]
pub struct Step {
    /// What it is called in variants (`dq.stages=2`) and parts.
    pub name: &'static str,
    /// The kernel.
    pub kernel: &'static KernelDef,
    /// Its arguments.
    pub args: &'static [Given],
    /// Products of numbers that it computes for each feature of a pair of a query and a key.
    pub products: f64,
}

const FORWARD: &[Step] = &[Step {
    name: "fwd",
    kernel: &flash_fwd,
    args: &[Read("q"), Read("k"), Read("v"), Write("out"), Write("lse"), Scale],
    products: 2.0,
}];

const SPARSE_FORWARD: &[Step] = &[Step {
    name: "fwd",
    kernel: &sparse_fwd,
    args: &[Read("q"), Read("k"), Read("v"), Read("index"), Read("count"), Write("out"), Write("lse"), Scale],
    products: 2.0,
}];

const MATMUL: &[Step] =
    &[Step { name: "matmul", kernel: &matmul, args: &[Read("a"), Read("b"), Write("out")], products: 1.0 }];

/// Row sums, which the gradients' kernels need.
const DELTA: Step = Step {
    name: "delta",
    kernel: &row_delta,
    args: &[Read("out"), Read("grad"), Write("delta")],
    products: 0.0,
};

const BACKWARD: &[Step] = &[
    DELTA,
    Step {
        name: "dq",
        kernel: &flash_bwd_dq,
        args: &[
            Read("q"),
            Read("k"),
            Read("v"),
            Read("grad"),
            Read("lse"),
            Read("delta"),
            Write("grad_q"),
            Scale,
        ],
        products: 3.0,
    },
    Step {
        name: "dkdv",
        kernel: &flash_bwd_dkdv,
        args: &[
            Read("q"),
            Read("k"),
            Read("v"),
            Read("grad"),
            Read("lse"),
            Read("delta"),
            Write("grad_k"),
            Write("grad_v"),
            Scale,
        ],
        products: 4.0,
    },
];

/// What gradients of queries are added to is cleared before.
const CLEAR: Step = Step { name: "clear", kernel: &clear_sums, args: &[Write("sum_q")], products: 0.0 };

/// What was added is rounded after.
const SCALE: Step = Step {
    name: "scale",
    kernel: &scale_sums,
    args: &[Read("sum_q"), Write("grad_q"), Scale],
    products: 0.0,
};

const FUSED_BACKWARD: &[Step] = &[
    DELTA,
    CLEAR,
    Step {
        name: "fused",
        kernel: &flash_bwd_fused,
        args: &[
            Read("q"),
            Read("k"),
            Read("v"),
            Read("grad"),
            Read("lse"),
            Read("delta"),
            Write("sum_q"),
            Write("grad_k"),
            Write("grad_v"),
            Scale,
        ],
        products: 5.0,
    },
    SCALE,
];

const SPARSE_FUSED_BACKWARD: &[Step] = &[
    DELTA,
    CLEAR,
    Step {
        name: "fused",
        kernel: &sparse_bwd_fused,
        args: &[
            Read("q"),
            Read("k"),
            Read("v"),
            Read("grad"),
            Read("lse"),
            Read("delta"),
            Read("column_index"),
            Read("column_count"),
            Write("sum_q"),
            Write("grad_k"),
            Write("grad_v"),
            Scale,
        ],
        products: 5.0,
    },
    SCALE,
];

const SPARSE_BACKWARD: &[Step] = &[
    DELTA,
    Step {
        name: "dq",
        kernel: &sla_bwd_dq,
        args: &[
            Read("q"),
            Read("k"),
            Read("v"),
            Read("grad"),
            Read("lse"),
            Read("delta"),
            Read("index"),
            Read("count"),
            Read("no_weight"),
            Read("no_state"),
            Read("no_sums"),
            Unwritten("no_rows"),
            Unwritten("no_other_rows"),
            Write("grad_q"),
            Scale,
            Zero,
        ],
        products: 3.0,
    },
    Step {
        name: "dkdv",
        kernel: &sla_bwd_dkdv,
        args: &[
            Read("q"),
            Read("k"),
            Read("v"),
            Read("grad"),
            Read("lse"),
            Read("delta"),
            Read("column_index"),
            Read("column_count"),
            Write("grad_k"),
            Write("grad_v"),
            Scale,
        ],
        products: 4.0,
    },
];

/// The kernels of a piece of work; none for the operator as a whole. Of gradients, one that makes all of them if they are to be `fused`.
pub fn steps(work: &Work, pass: Pass, fused: bool) -> &'static [Step] {
    match (work, pass) {
        (Work::Dense(_), Pass::Bwd) if fused => FUSED_BACKWARD,
        (Work::Sparse(..), Pass::Bwd) if fused => SPARSE_FUSED_BACKWARD,
        (Work::Dense(_), Pass::Fwd) => FORWARD,
        (Work::Dense(_), Pass::Bwd) => BACKWARD,
        (Work::Sparse(..), Pass::Fwd) => SPARSE_FORWARD,
        (Work::Sparse(..), Pass::Bwd) => SPARSE_BACKWARD,
        (Work::Matmul(_), _) => MATMUL,
        (Work::Module(..), _) => &[],
    }
}

/// The kernels of a case.
pub fn steps_of(case: &Case) -> &'static [Step] {
    steps(&case.work, case.pass, case.fused)
}

impl Step {
    /// The tensors that it writes.
    pub fn writes(&self) -> impl Iterator<Item = &'static str> {
        self.args.iter().filter_map(|given| match given {
            Write(name) => Some(*name),
            _ => None,
        })
    }

    /// The tensors that are lent to be written: those, and what is left alone.
    pub fn lends(&self) -> impl Iterator<Item = &'static str> {
        self.args.iter().filter_map(|given| match given {
            Write(name) | Unwritten(name) => Some(*name),
            _ => None,
        })
    }

    /// Values of the kernel's constants that follow from the work: those of the sparse gradients without a linear branch among them.
    pub fn fixed(&self, work: &Work) -> Vec<(&'static str, Const)> {
        let mut named = vec![
            ("T", Const::Elem(Elem::BF16)),
            ("S", Const::Elem(Elem::F32)),
            ("CAUSAL", Const::Bool(false)),
            ("LINEAR", Const::Bool(false)),
            ("SHIFTED", Const::Bool(false)),
        ];
        if let Work::Sparse(shape, lists) = work {
            named.push(("WHOLE", Const::Bool(shape.length % lists.bq == 0)));
        }
        let mut size = |name, n: usize| named.push((name, Const::Int(n as i64)));
        ["RQ", "RK", "PHI", "P"].into_iter().for_each(|name| size(name, 1));
        if let Some(shape) = work.shape() {
            size("D", shape.dim);
        }
        if let Work::Sparse(_, lists) = work
            && ![DELTA.name, CLEAR.name, SCALE.name].contains(&self.name)
        {
            size("BQ", lists.bq);
            size("BK", lists.bk);
        }
        named
    }
    /// The constants that follow from the work, and those of the table of choices.
    pub fn consts(&self, work: &Work, target: Option<Target>) -> (Consts, Choice) {
        let choice = choose(work, self.name, target);
        let mut named = self.fixed(work);
        named.extend(choice.consts.iter().map(|&(name, n)| (name, Const::Int(n))));
        let generics = self.kernel.generics.iter();
        let chosen = generics.filter_map(|g| named.iter().find(|(name, _)| *name == g.name).copied());
        (Consts::named(chosen), choice)
    }
}
