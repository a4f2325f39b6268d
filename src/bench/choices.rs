//! The constants and settings that each kernel is measured with, unless the user names others: the one place for tuned choices.

use sla_codegen::{Arch, Target};

use super::case::Work;

/// How one kernel is best run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Constants by name. Those that follow from the case (`BQ`, `BK` of block-sparse kernels) are not here.
    pub consts: &'static [(&'static str, i64)],
    /// Settings of the compiler, as `sla bench --set` takes them.
    pub settings: &'static [(&'static str, &'static str)],
}

const fn consts(consts: &'static [(&'static str, i64)]) -> Choice {
    Choice { consts, settings: &[] }
}

/// The choice for a kernel of a piece of work on a target, the kernel named as in [`super::steps`]; `None` is the interpreter.
pub fn choose(work: &Work, step: &str, target: Option<Target>) -> Choice {
    let hopper = target == Some(Target::Cuda(Arch::Sm90a));
    let gpu = matches!(target, Some(Target::Cuda(_)));
    match (work, step) {
        (_, "delta" | "clear" | "scale") => consts(&[("BQ", 64)]),
        (Work::Dense(_), "fused") if hopper => consts(&[("BQ", 64), ("BK", 128)]),
        (Work::Dense(_), "dq") if hopper => consts(&[("BQ", 128), ("BK", 64)]),
        (Work::Dense(_), "dkdv") if hopper => consts(&[("BQ", 64), ("BK", 128)]),
        (Work::Dense(_), "dq" | "dkdv" | "fused") => consts(&[("BQ", 64), ("BK", 64)]),
        (Work::Dense(shape), _) if hopper && shape.dim == 64 => consts(&[("BQ", 192), ("BK", 128)]),
        // Queries read from shared memory and programs drawn from a counter are 2.6 % faster than neither, as `sla tune` found.
        (Work::Dense(_), _) if hopper => Choice {
            consts: &[("BQ", 128), ("BK", 128)],
            settings: &[("held_in_registers", "false"), ("order", "queue")],
        },
        (Work::Dense(_), _) if gpu => consts(&[("BQ", 128), ("BK", 64)]),
        (Work::Dense(_), _) => consts(&[("BQ", 64), ("BK", 64)]),
        (Work::Sparse(..), "dkdv" | "fused") => consts(&[("SUB", 64)]),
        (Work::Sparse(_, lists), "dq") if lists.bk == 128 => consts(&[("SUB", 128)]),
        (Work::Sparse(..), "dq") => consts(&[("SUB", 64)]),
        (Work::Sparse(..) | Work::Module(..), _) => consts(&[]),
        (Work::Matmul(_), _) if hopper => consts(&[("BM", 128), ("BN", 256), ("BK", 64)]),
        (Work::Matmul(_), _) => consts(&[("BM", 128), ("BN", 128), ("BK", 32)]),
    }
}
