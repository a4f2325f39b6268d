//! The checks that every launch passes, and what they learn: sizes, grid and facts.
//!
//! Nothing is compiled or run here, and no device is asked: a launch that is refused here is refused everywhere in the same words.

use super::memory::Reach;
use super::sizes::{Lent, Sizes};
use super::{Arg, LaunchError, Refusal, Space, memory};
use crate::diag::Diagnostics;
use crate::ir::{DimExpr, Elem, Facts, Kernel, MemFacts, Param, ParamKind, Scalar};
use crate::lang::{Consts, KernelDef};
use std::collections::BTreeMap;

/// A launch whose arguments are right.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The value of each runtime dim, in order of declaration.
    pub dims: Vec<i64>,
    /// Extent of each axis of the grid, fastest first. An extent of 0 means that there is nothing to do.
    pub grid: Vec<u64>,
    /// What a kernel may be specialised on. `memory` is complete; `even` is empty, see [`Bound::specialise`].
    pub facts: Facts,
    /// The memory that all tensors are in; `None` for a kernel without tensors.
    pub space: Option<Space>,
    sizes: Sizes,
    reach: Vec<Reach>,
}

impl Bound {
    /// The number of programs: the product of the grid's extents, below 2^31.
    pub fn programs(&self) -> u64 {
        // One extent may be large beside one of 0.
        if self.grid.contains(&0) { 0 } else { self.grid.iter().product() }
    }

    /// Whether arguments of the [`Form`](super::Form) that was bound may be launched as well: all that is left to ask of them is where they lie.
    /// Where not, [`bind`] says why.
    pub fn places(&self, args: &[Arg<'_>]) -> bool {
        memory::places(&self.reach, args)
    }

    /// Answers questions of the form "does this block size divide this size?". A size without a value is not divided.
    pub fn even<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k (DimExpr, i64)>,
    ) -> BTreeMap<(DimExpr, i64), bool> {
        let divides = |(dim, block): &(DimExpr, i64)| {
            *block > 0 && dim.eval(&|n| self.sizes.get(n)).is_some_and(|v| v % block == 0)
        };
        keys.into_iter().map(|key| (key.clone(), divides(key))).collect()
    }

    /// The kernel for this launch: built again until every question it asks of sizes has been answered.
    ///
    /// # Errors
    /// Whatever the kernel's body reports.
    pub fn specialise(&self, def: &KernelDef, consts: &Consts) -> Result<Kernel, Diagnostics> {
        let mut facts = self.facts.clone();
        loop {
            let kernel = def.build(consts, &facts)?;
            if kernel.even.keys().all(|key| facts.even.contains_key(key)) {
                return Ok(kernel);
            }
            facts.even.extend(self.even(kernel.even.keys()));
        }
    }
}

/// Checks a launch of `def` with the generics `consts` on `args`, in the order of its parameters.
///
/// # Errors
/// The first [`Refusal`] found: constants; the number, kinds, element types and ranks of arguments; sizes, unified by name; the
/// author's `require`s; strides, alignment, memory space, writability and overlap; the size of the grid.
pub fn bind(def: &KernelDef, consts: &Consts, args: &[Arg<'_>]) -> Result<Bound, LaunchError> {
    check(def, consts, args).map_err(|reason| LaunchError { kernel: def.name, reason: Box::new(reason) })
}

fn check(def: &KernelDef, consts: &Consts, args: &[Arg<'_>]) -> Result<Bound, Refusal> {
    def.check_consts(consts).map_err(Refusal::Consts)?;
    let params = (def.params)(consts);
    if params.len() != args.len() {
        return Err(Refusal::Count { found: args.len(), needed: params.len() });
    }
    let mut tensors = Vec::with_capacity(args.len());
    for (index, (param, arg)) in params.iter().zip(args).enumerate() {
        tensors.extend(check_kind(index, param, arg)?);
    }
    let sizes = Sizes::unify(def.dims, &tensors)?;
    for r in def.require {
        if (r.holds)(consts, &|n| sizes.get(n)) != Some(true) {
            return Err(Refusal::Require { text: r.text, values: values(consts, &sizes) });
        }
    }
    let (space, reach) = memory::check(&tensors)?;
    let grid = sizes.grid(&(def.grid)(consts))?;
    let mut facts = Facts { memory: vec![MemFacts::default(); params.len()], ..Facts::default() };
    for t in &tensors {
        facts.memory[t.index] = memory::facts(t);
    }
    for (fact, arg) in facts.memory.iter_mut().zip(args) {
        if let Arg::Scalar(Scalar::Float(v)) = arg {
            fact.positive = *v as f32 > 0.0;
        }
    }
    Ok(Bound { dims: sizes.values.clone(), grid, facts, space, sizes, reach })
}

/// Constants and dims for the message of a `require`.
fn values(consts: &Consts, sizes: &Sizes) -> String {
    let all = [consts.to_string(), sizes.all()];
    all.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Kind, element type and rank of one argument; the tensor if it is one.
fn check_kind<'l, 'a>(
    index: usize,
    param: &'l Param,
    arg: &'l Arg<'a>,
) -> Result<Option<Lent<'l, 'a>>, Refusal> {
    let name = || param.name.clone();
    match (&param.kind, arg) {
        (ParamKind::Tensor(ty), Arg::Tensor(arg)) => {
            if arg.elem() != ty.elem {
                return Err(Refusal::Element { param: name(), found: arg.elem(), needed: ty.elem });
            }
            let (found, needed) = (arg.shape().len(), ty.dims.len());
            if found != needed {
                let dims: Vec<_> = ty.dims.iter().map(|d| d.to_string()).collect();
                let shape = format!("[{}]", dims.join(", "));
                return Err(Refusal::Rank { param: name(), found, needed, shape });
            }
            if arg.strides().len() != found {
                let strides = arg.strides().len();
                return Err(Refusal::StrideCount { param: name(), axes: found, strides });
            }
            Ok(Some(Lent { index, name: &param.name, ty, arg }))
        }
        (ParamKind::Scalar(elem), Arg::Scalar(s)) if holds(*elem, *s) => Ok(None),
        (ParamKind::Scalar(elem), Arg::Scalar(s)) => {
            let found = match s {
                Scalar::Float(v) => format!("the float {v}"),
                Scalar::Int(v) => format!("the integer {v}"),
                Scalar::Bool(v) => v.to_string(),
            };
            Err(Refusal::Number { param: name(), found, needed: *elem })
        }
        (ParamKind::Tensor(_), Arg::Scalar(_)) => {
            Err(Refusal::Kind { param: name(), found: "a number", needed: "a tensor" })
        }
        (ParamKind::Scalar(_), Arg::Tensor(_)) => {
            Err(Refusal::Kind { param: name(), found: "a tensor", needed: "a number" })
        }
    }
}

/// Whether a number is a value of a type.
pub(super) fn holds(elem: Elem, s: Scalar) -> bool {
    match s {
        Scalar::Float(_) => elem.is_float(),
        Scalar::Int(v) => match elem {
            Elem::I32 => i32::try_from(v).is_ok(),
            Elem::I8 => i8::try_from(v).is_ok(),
            _ => false,
        },
        Scalar::Bool(_) => elem == Elem::Bool,
    }
}
