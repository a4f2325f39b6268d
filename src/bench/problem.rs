//! A case on a device: its tensors, and how it is solved: by kernels one after the other, or by a call of the operator.

use std::collections::HashMap;

use sla_codegen::{Options, Target};
use sla_dsl::ir::{Elem, Scalar};
use sla_dsl::lang::Consts;
use sla_dsl::launch::{Arg, Bound};
use sla_runtime::{Device, DynTensor, Resources, RuntimeError};

use super::case::{Case, Pass, Work};
use super::choices::Choice;
use super::inputs::normal;
use super::lists::BlockLists;
use super::shape::Shape;
use super::steps::{Given, Step, steps};
use super::whole::Whole;
use crate::tuned::pick::pick;

/// Inputs that cases of equal sizes share.
pub struct Operands<'d> {
    device: &'d Device,
    seed: u64,
    made: HashMap<(Vec<usize>, u64), DynTensor>,
}

impl<'d> Operands<'d> {
    /// Inputs on a device, drawn from a seed.
    pub fn new(device: &'d Device, seed: u64) -> Operands<'d> {
        Operands { device, seed, made: HashMap::new() }
    }

    /// The tensor of this shape and number; the same one for the same two.
    fn get(&mut self, shape: &[usize], number: u64) -> Result<DynTensor, RuntimeError> {
        let key = (shape.to_vec(), number);
        if let Some(made) = self.made.get(&key) {
            return Ok(made.clone());
        }
        let made = normal(self.device, shape, self.seed + number)?;
        self.made.insert(key, made.clone());
        Ok(made)
    }
}

/// Constants and options of each kernel of a problem.
pub type Prepared = Vec<(Consts, Options)>;

/// A case on a device.
pub struct Problem {
    /// The case.
    pub case: Case,
    /// The kernels that solve it; none for the operator as a whole.
    pub steps: &'static [Step],
    /// The lists of a block-sparse problem.
    pub lists: Option<BlockLists>,
    /// Every tensor by name: `q`, `k`, `v`, `grad` as `[B, H, L, D]`, or `a` and `b`, and what kernels write.
    tensors: HashMap<&'static str, DynTensor>,
    whole: Option<Whole>,
    device: Device,
    /// Whether the forward, whose results the gradients start from, has run.
    started: bool,
}

impl Problem {
    /// Makes inputs and room for outputs.
    ///
    /// # Errors
    /// A device that fails, or no memory left.
    pub fn new(case: Case, operands: &mut Operands<'_>) -> Result<Problem, RuntimeError> {
        let device = operands.device.clone();
        let mut tensors = HashMap::new();
        if let Work::Matmul([m, n, k]) = case.work {
            tensors.insert("a", operands.get(&[m, k], 0)?);
            tensors.insert("b", operands.get(&[k, n], 1)?);
        }
        if let Some(Shape { batch, heads, length, dim }) = case.work.shape() {
            let names = ["q", "k", "v", "grad"].into_iter().zip(0..);
            let needed = if case.pass == Pass::Fwd { 3 } else { 4 };
            for (name, number) in names.take(needed) {
                tensors.insert(name, operands.get(&[batch, heads, length, dim], number)?);
            }
        }
        let mut lists = None;
        if let Work::Sparse(shape, of) = case.work {
            let made = BlockLists::random(shape, of, operands.seed);
            let [index, count] = made.tensors(&device)?;
            tensors.extend([("index", index), ("count", count)]);
            if case.pass == Pass::Bwd {
                let [index, count] = made.turned().tensors(&device)?;
                tensors.extend([("column_index", index), ("column_count", count)]);
            }
            lists = Some(made);
        }
        let whole = match case.work {
            Work::Module(shape, call) => Some(Whole::new(&device, shape, call, case.pass, operands.seed)?),
            _ => None,
        };
        let steps = steps(&case.work, case.pass, case.fused);
        let mut problem = Problem { case, steps, lists, tensors, whole, device, started: false };
        if case.pass == Pass::Bwd && problem.whole.is_none() {
            problem.make(&["out", "lse", "no_weight", "no_state", "no_sums", "no_rows", "no_other_rows"])?;
        }
        problem.clear()?;
        Ok(problem)
    }

    /// Makes tensors of zeros in place of those of these names.
    fn make(&mut self, names: &[&'static str]) -> Result<(), RuntimeError> {
        for &name in names {
            // What is replaced makes room first.
            self.tensors.remove(name);
            let Some((elem, shape)) = self.form(name) else { continue };
            self.tensors.insert(name, DynTensor::zeros(&self.device, elem, &shape)?);
        }
        Ok(())
    }

    /// Element type and sizes of what is not an input.
    fn form(&self, name: &str) -> Option<(Elem, Vec<usize>)> {
        if let Work::Matmul([m, n, _]) = self.case.work {
            return Some((Elem::BF16, vec![m, n]));
        }
        let Shape { batch: b, heads: h, length: l, dim: d } = self.case.work.shape()?;
        Some(match name {
            "lse" | "delta" | "no_rows" | "no_other_rows" => (Elem::F32, vec![b, h, l]),
            "sum_q" => (Elem::F32, vec![b, h, l, d]),
            "no_weight" => (Elem::F32, vec![h, d, d]),
            "no_state" => (Elem::F32, vec![b, h, 1, d, d]),
            "no_sums" => (Elem::F32, vec![b, h, 1, 1, d]),
            _ => (Elem::BF16, vec![b, h, l, d]),
        })
    }

    /// Fills the outputs with zeros, which no right answer has where it is looked for.
    ///
    /// # Errors
    /// A device that fails, or no memory left.
    pub fn clear(&mut self) -> Result<(), RuntimeError> {
        if let Some(whole) = &mut self.whole {
            whole.clear();
        }
        let written: Vec<_> = self.steps.iter().flat_map(Step::writes).collect();
        self.make(&written)
    }

    /// A tensor by name: an input, or an output.
    pub fn tensor(&self, name: &str) -> Option<&DynTensor> {
        self.tensors.get(name).or_else(|| self.whole.as_ref().and_then(|whole| whole.output(name)))
    }

    /// Puts a tensor in an output's place.
    #[cfg(test)]
    pub(super) fn replace(&mut self, name: &'static str, tensor: DynTensor) {
        self.tensors.insert(name, tensor);
    }

    /// The operator, where it is what is measured.
    pub fn whole(&self) -> Option<&Whole> {
        self.whole.as_ref()
    }

    /// Runs what comes before the part that is measured: the forward, for gradients.
    ///
    /// # Errors
    /// As [`Problem::launch`].
    pub fn start(&mut self) -> Result<(), RuntimeError> {
        if self.started || self.case.pass == Pass::Fwd {
            return Ok(());
        }
        if let Some(whole) = &mut self.whole {
            whole.forward(&self.tensors)?;
        } else {
            let options = self.device.options();
            for step in steps(&self.case.work, Pass::Fwd, false) {
                let (consts, choice) = self.consts(step, Some(options.target));
                let mut options = options.clone();
                for (name, value) in choice.settings {
                    // The table of choices has settings that there are.
                    let _ = options.set(name, value);
                }
                self.launch_kernel(step, &consts, &options)?;
            }
        }
        self.started = true;
        Ok(())
    }

    /// Bytes that a forward and a backward of the operator take beyond inputs and results; `None` for other cases, and where nobody counts.
    /// Forgets what was computed before.
    ///
    /// # Errors
    /// As [`Problem::launch`].
    pub fn extra_bytes(&mut self) -> Result<Option<u64>, RuntimeError> {
        match &mut self.whole {
            Some(whole) if self.case.pass == Pass::Bwd => {
                whole.forget();
                self.started = false;
                whole.extra_bytes(&self.tensors)
            }
            _ => Ok(None),
        }
    }

    /// Floating-point operations: two for each product of numbers that the result depends on; five products of a pair for gradients. Of the
    /// operator those of critical blocks.
    pub fn flops(&self) -> f64 {
        let products = match self.case.pass {
            Pass::Fwd => 2.0,
            Pass::Bwd => 5.0,
        };
        match self.case.work {
            Work::Matmul(sizes) => 2.0 * sizes.iter().map(|&n| n as f64).product::<f64>(),
            _ => products * self.pair_flops(),
        }
    }

    /// Floating-point operations of one kernel, which may compute products again that another one has.
    pub fn step_flops(&self, step: &Step) -> f64 {
        match self.case.work {
            Work::Matmul(_) => self.flops(),
            _ => step.products * self.pair_flops(),
        }
    }

    /// Floating-point operations of one product for all pairs of a query and a key that it attends to.
    fn pair_flops(&self) -> f64 {
        let Some(s) = self.case.work.shape() else { return 0.0 };
        let pairs = match (&self.lists, &self.whole) {
            (Some(lists), _) => lists.pairs(),
            (None, Some(whole)) => whole.pairs(),
            (None, None) => (s.batch * s.heads * s.length * s.length) as u64,
        };
        2.0 * pairs as f64 * s.dim as f64
    }

    /// What the logits are multiplied by.
    pub fn scale(&self) -> f64 {
        self.case.work.shape().map_or(1.0, |s| 1.0 / (s.dim as f64).sqrt())
    }

    /// The constants of a kernel that follow from the case, and those of the table of choices.
    pub fn consts(&self, step: &Step, target: Option<Target>) -> (Consts, Choice) {
        step.consts(&self.case.work, target)
    }

    /// Gives kernels that have a record of tuning its constants and options; tells which.
    pub fn by_record(&mut self, prepared: &mut Prepared) -> Vec<bool> {
        let (device, mut tuned) = (self.device.clone(), Vec::new());
        for (step, prepared) in self.steps.iter().zip(prepared) {
            let choice = pick(&device, step.kernel, &prepared.0, &self.args(step));
            tuned.push(choice.is_some());
            if let Some(choice) = choice {
                *prepared = (*choice).clone();
            }
        }
        tuned
    }

    /// Enqueues one solution: all kernels, or the operator's call.
    ///
    /// # Errors
    /// A kernel that cannot be compiled or launched.
    pub fn launch(&mut self, prepared: &Prepared) -> Result<(), RuntimeError> {
        if let Some(whole) = &mut self.whole {
            return whole.call(&self.tensors);
        }
        (0..self.steps.len()).try_for_each(|i| self.launch_step(i, prepared))
    }

    /// Enqueues one of the kernels alone.
    ///
    /// # Errors
    /// As [`Problem::launch`].
    pub fn launch_step(&mut self, step: usize, prepared: &Prepared) -> Result<(), RuntimeError> {
        let (consts, options) = &prepared[step];
        self.launch_kernel(&self.steps[step], consts, options)
    }

    fn launch_kernel(&mut self, step: &Step, consts: &Consts, options: &Options) -> Result<(), RuntimeError> {
        let device = self.device.clone();
        device.launch_with(step.kernel, consts, &self.args(step), options)
    }

    /// Checks a launch of one of the kernels with some constants.
    ///
    /// # Errors
    /// Constants that the arguments do not fit.
    pub fn bind(&mut self, step: usize, consts: &Consts) -> Result<Bound, RuntimeError> {
        let step = &self.steps[step];
        Ok(sla_dsl::launch::bind(step.kernel, consts, &self.args(step))?)
    }

    /// What a compiled kernel takes of a GPU.
    ///
    /// # Errors
    /// As [`Problem::launch`].
    pub fn resources(&mut self, step: usize, prepared: &Prepared) -> Result<Option<Resources>, RuntimeError> {
        let (device, step, (consts, options)) = (self.device.clone(), &self.steps[step], &prepared[step]);
        device.resources(step.kernel, consts, &self.args(step), options)
    }

    fn args(&mut self, step: &Step) -> Vec<Arg<'_>> {
        let scale = self.scale();
        let mut written: HashMap<&str, &mut DynTensor> = HashMap::new();
        let mut read: HashMap<&str, &DynTensor> = HashMap::new();
        for (&name, tensor) in &mut self.tensors {
            if step.lends().any(|w| w == name) {
                written.insert(name, tensor);
            } else {
                read.insert(name, tensor);
            }
        }
        let arg = |given: &Given| match given {
            Given::Read(name) => read.get(name).map(|t| Arg::Tensor(t.lend())),
            Given::Write(name) | Given::Unwritten(name) => {
                written.remove(name).map(|t| Arg::Tensor(t.lend_mut()))
            }
            Given::Scale => Some(Arg::Scalar(Scalar::Float(scale))),
            Given::Zero => Some(Arg::Scalar(Scalar::Float(0.0))),
        };
        step.args.iter().filter_map(arg).collect()
    }
}
