//! A case on a device: its tensors, its kernel and the arguments of a launch.

use std::collections::HashMap;

use sla_codegen::{Options, Target};
use sla_dsl::ir::{Elem, Scalar};
use sla_dsl::lang::{Const, Consts, KernelDef};
use sla_dsl::launch::Arg;
use sla_runtime::{Device, DynTensor, Resources, RuntimeError};

use super::case::{Case, Shape, Work};
use super::choices::{Choice, choose};
use super::inputs::normal;
use super::lists::BlockLists;
use crate::kernels::block_sparse::sparse_fwd;
use crate::kernels::flash::flash_fwd;
use crate::kernels::matmul::matmul;

/// Inputs that cases of equal sizes share.
pub struct Operands<'d> {
    device: &'d Device,
    seed: u64,
    made: HashMap<Vec<usize>, Vec<DynTensor>>,
}

impl<'d> Operands<'d> {
    /// Inputs on a device, drawn from a seed.
    pub fn new(device: &'d Device, seed: u64) -> Operands<'d> {
        Operands { device, seed, made: HashMap::new() }
    }

    /// Tensors of these shapes; the same ones for the same shapes.
    fn get(&mut self, shapes: &[&[usize]]) -> Result<Vec<DynTensor>, RuntimeError> {
        let key = shapes.concat();
        if let Some(made) = self.made.get(&key) {
            return Ok(made.clone());
        }
        let make = |(i, shape): (usize, &&[usize])| normal(self.device, shape, self.seed + i as u64);
        let made = shapes.iter().enumerate().map(make).collect::<Result<Vec<_>, _>>()?;
        self.made.insert(key, made.clone());
        Ok(made)
    }
}

/// A case on a device.
pub struct Problem {
    /// The case.
    pub case: Case,
    /// The kernel that solves it.
    pub kernel: &'static KernelDef,
    /// `q`, `k`, `v` as `[B, H, L, D]`, or the operands of a product.
    pub inputs: Vec<DynTensor>,
    /// The lists of a block-sparse problem.
    pub lists: Option<BlockLists>,
    list_tensors: Vec<DynTensor>,
    /// `out` and `lse`, or the product.
    pub outputs: Vec<DynTensor>,
    device: Device,
}

impl Problem {
    /// Makes inputs and room for outputs.
    ///
    /// # Errors
    /// A device that fails, or no memory left.
    pub fn new(case: Case, operands: &mut Operands<'_>) -> Result<Problem, RuntimeError> {
        let device = operands.device.clone();
        let mut problem = Problem {
            case,
            kernel: &matmul,
            inputs: Vec::new(),
            lists: None,
            list_tensors: Vec::new(),
            outputs: Vec::new(),
            device,
        };
        match case.work {
            Work::Matmul([m, n, k]) => problem.inputs = operands.get(&[&[m, k], &[k, n]])?,
            Work::Dense(Shape { batch, heads, length, dim })
            | Work::Sparse(Shape { batch, heads, length, dim }, _) => {
                problem.kernel = &flash_fwd;
                let shape = [batch, heads, length, dim];
                problem.inputs = operands.get(&[&shape, &shape, &shape])?;
            }
        }
        if let Work::Sparse(shape, lists) = case.work {
            let made = BlockLists::random(shape, lists, operands.seed);
            problem.kernel = &sparse_fwd;
            problem.list_tensors = made.tensors(&problem.device)?.into();
            problem.lists = Some(made);
        }
        problem.clear()?;
        Ok(problem)
    }

    /// Fills the outputs with zeros, which no right answer has where it is looked for.
    ///
    /// # Errors
    /// A device that fails, or no memory left.
    pub fn clear(&mut self) -> Result<(), RuntimeError> {
        self.outputs.clear();
        let mut zeros = |elem, shape: &[usize]| {
            self.outputs.push(DynTensor::zeros(&self.device, elem, shape)?);
            Ok::<(), RuntimeError>(())
        };
        match self.case.work {
            Work::Matmul([m, n, _]) => zeros(Elem::BF16, &[m, n]),
            Work::Dense(s) | Work::Sparse(s, _) => {
                zeros(Elem::BF16, &[s.batch, s.heads, s.length, s.dim])?;
                zeros(Elem::F32, &[s.batch, s.heads, s.length])
            }
        }
    }

    /// Floating-point operations: two for each product of numbers that the result depends on.
    pub fn flops(&self) -> f64 {
        let attention = |pairs: u64, shape: &Shape| 4.0 * pairs as f64 * shape.dim as f64;
        match (&self.case.work, &self.lists) {
            (Work::Matmul(sizes), _) => 2.0 * sizes.iter().map(|&n| n as f64).product::<f64>(),
            (Work::Sparse(shape, _), Some(lists)) => attention(lists.pairs(), shape),
            (Work::Dense(s) | Work::Sparse(s, _), _) => {
                attention((s.batch * s.heads * s.length * s.length) as u64, s)
            }
        }
    }

    /// What the logits are multiplied by.
    pub fn scale(&self) -> f64 {
        match self.case.work {
            Work::Matmul(_) => 1.0,
            Work::Dense(s) | Work::Sparse(s, _) => 1.0 / (s.dim as f64).sqrt(),
        }
    }

    /// The constants that follow from the case, and those of the table of choices.
    pub fn consts(&self, target: Option<Target>) -> (Consts, Choice) {
        let mut named = vec![("T", Const::Elem(Elem::BF16)), ("CAUSAL", Const::Bool(false))];
        let mut size = |name, n: usize| named.push((name, Const::Int(n as i64)));
        match self.case.work {
            Work::Matmul(_) => {}
            Work::Dense(shape) => size("D", shape.dim),
            Work::Sparse(shape, lists) => {
                size("D", shape.dim);
                size("BQ", lists.bq);
                size("BK", lists.bk);
            }
        }
        let choice = choose(&self.case.work, target);
        named.extend(choice.consts.iter().map(|&(name, n)| (name, Const::Int(n))));
        let generics = self.kernel.generics.iter();
        let chosen = generics.filter_map(|g| named.iter().find(|(name, _)| *name == g.name).copied());
        (Consts::new(&chosen.collect::<Vec<_>>()), choice)
    }

    /// Enqueues one launch.
    ///
    /// # Errors
    /// A kernel that cannot be compiled or launched.
    pub fn launch(&mut self, consts: &Consts, options: &Options) -> Result<(), RuntimeError> {
        let (kernel, device) = (self.kernel, self.device.clone());
        device.launch_with(kernel, consts, &self.args(), options)
    }

    /// What a compiled kernel takes of a GPU.
    ///
    /// # Errors
    /// As [`Problem::launch`].
    pub fn resources(
        &mut self,
        consts: &Consts,
        options: &Options,
    ) -> Result<Option<Resources>, RuntimeError> {
        let (kernel, device) = (self.kernel, self.device.clone());
        device.resources(kernel, consts, &self.args(), options)
    }

    fn args(&mut self) -> Vec<Arg<'_>> {
        let scale = self.scale();
        let read = self.inputs.iter().chain(&self.list_tensors).map(|t| Arg::Tensor(t.lend()));
        let mut args: Vec<Arg<'_>> = read.collect();
        args.extend(self.outputs.iter_mut().map(|t| Arg::Tensor(t.lend_mut())));
        if !matches!(self.case.work, Work::Matmul(_)) {
            args.push(Arg::Scalar(Scalar::Float(scale)));
        }
        args
    }
}
