//! What is tuned: one kernel of a case at its sizes, for one target; and the key by which its best is remembered.

use std::sync::{Mutex, PoisonError};

use sla_codegen::{Options, Target};
use sla_dsl::diag::Diagnostics;
use sla_dsl::ir::{Facts, Kernel, MemFacts};
use sla_dsl::lang::{Consts, KernelDef};

use super::model::Tiles;
use super::space::{Candidate, Space};
use crate::bench::case::{Case, Work};
use crate::bench::lists::BlockLists;
use crate::bench::shape::{Lists, Shape};
use crate::bench::steps::{Given, Step, steps_of};
use crate::bench::variant::{Variant, VariantError};
use crate::tuned::Key;

/// A kernel of a case.
#[derive(Clone, Copy)]
pub struct Job {
    /// The case, at the sizes asked for.
    pub case: Case,
    /// Which of its kernels.
    pub index: usize,
    /// What it is compiled for; `None` for the interpreter.
    pub target: Option<Target>,
}

impl Job {
    /// Every kernel of a case that has a space on a target.
    pub fn of(case: Case, target: Option<Target>) -> Vec<Job> {
        let all = (0..steps_of(&case).len()).map(|index| Job { case, index, target });
        all.filter(|job| job.space().size() > 1).collect()
    }

    /// The kernel's place among those of the case.
    pub fn step(&self) -> &'static Step {
        &steps_of(&self.case)[self.index]
    }

    /// The kernel.
    pub fn def(&self) -> &'static KernelDef {
        self.step().kernel
    }

    /// The candidates.
    pub fn space(&self) -> Space {
        let step = self.step();
        let several = steps_of(&self.case).len() > 1;
        let before = if several { format!("{}.", step.name) } else { String::new() };
        let (_, choice) = step.consts(&self.case.work, self.target);
        Space::new(&step.kernel.tune, &choice, self.target, &before)
    }

    /// The key of its problem.
    pub fn key(&self) -> Key {
        let (consts, _) = self.step().consts(&self.case.work, self.target);
        Key::new(self.def(), &consts, |name| self.dim(name))
    }

    /// Constants and options of a candidate; of the default for an empty name.
    ///
    /// # Errors
    /// As [`Variant::apply`].
    pub fn prepared(&self, set: &str, plain: &Options) -> Result<(Consts, Options), VariantError> {
        let mut all = set.parse::<Variant>()?.apply(&self.case, plain)?;
        Ok(all.swap_remove(self.index))
    }

    /// The constants of a candidate.
    pub fn consts(&self, space: &Space, candidate: &Candidate) -> Result<(Consts, Options), VariantError> {
        self.prepared(&space.name(candidate), &self.plain())
    }

    /// The options that candidates change.
    pub fn plain(&self) -> Options {
        Options::new(self.target.unwrap_or(Target::Cpu))
    }

    /// The tile IR of the kernel with some constants, specialised as a launch at the case's sizes would have it.
    ///
    /// # Errors
    /// As [`KernelDef::build`].
    pub fn kernel(&self, consts: &Consts) -> Result<Kernel, Diagnostics> {
        let memory = |given: &Given| match given {
            Given::Zero => MemFacts { positive: false, ..MemFacts::default() },
            Given::Scale => MemFacts::default(),
            Given::Read(name) | Given::Write(name) | Given::Unwritten(name) => {
                MemFacts { aligned: self.is_aligned(name), ..MemFacts::default() }
            }
        };
        let mut facts = Facts { memory: self.step().args.iter().map(memory).collect(), ..Facts::default() };
        loop {
            let kernel = self.def().build(consts, &facts)?;
            if kernel.even.keys().all(|asked| facts.even.contains_key(asked)) {
                return Ok(kernel);
            }
            let answer = |(dim, block): &(sla_dsl::ir::DimExpr, i64)| {
                *block > 0 && dim.eval(&|name| self.dim(name)).is_some_and(|size| size % block == 0)
            };
            facts.even.extend(kernel.even.keys().map(|asked| (asked.clone(), answer(asked))));
        }
    }

    /// How many programs a launch with some constants has; nothing where that is not known before.
    pub fn programs(&self, consts: &Consts) -> Option<f64> {
        let extents =
            (self.def().grid)(consts).into_iter().map(|axis| axis.extent.eval(&|name| self.dim(name)));
        extents.map(|extent| extent.map(|n| n as f64)).product()
    }

    /// The limit of the default by the [`model`](super::model), in 10^12 operations per second; 0 where there is no model.
    pub fn limit(&self, space: &Space) -> f64 {
        let Some(Target::Cuda(arch)) = self.target else { return 0.0 };
        let Ok((consts, options)) = self.consts(space, &space.default_candidate()) else { return 0.0 };
        let Ok(kernel) = self.kernel(&consts) else { return 0.0 };
        Tiles::of(&kernel).rate(arch, self.programs(&consts).unwrap_or(0.0), options.schedule)
    }

    /// Whether rows of a tensor begin at multiples of 16 bytes, as tensors are that nobody cut out of others.
    fn is_aligned(&self, name: &str) -> bool {
        let Some(Shape { batch, heads, length, dim }) = self.case.work.shape() else { return self.is_even() };
        let lists = |turned: bool| {
            let Work::Sparse(shape, of) = self.case.work else { return (1, 1) };
            let (rows, columns) = (length.div_ceil(of.bq), length.div_ceil(of.bk));
            if turned { (columns, longest_column(shape, of)) } else { (rows, of.counts(columns).1) }
        };
        let (bytes, shape) = match name {
            "lse" | "delta" | "no_rows" | "no_other_rows" => (4, vec![batch, heads, length]),
            "index" => (4, vec![batch, heads, lists(false).0, lists(false).1]),
            "count" => (4, vec![batch, heads, lists(false).0]),
            "column_index" => (4, vec![batch, heads, lists(true).0, lists(true).1]),
            "column_count" => (4, vec![batch, heads, lists(true).0]),
            _ => (2, vec![batch, heads, length, dim]),
        };
        // The stride of every axis but the last, where that axis has more than one place.
        (0..shape.len() - 1).all(|axis| {
            let stride: usize = shape[axis + 1..].iter().product();
            shape[axis] == 1 || (stride * bytes).is_multiple_of(16)
        })
    }

    /// The same of a matrix product's tensors: rows of all three.
    fn is_even(&self) -> bool {
        let Work::Matmul([_, n, k]) = self.case.work else { return true };
        n % 8 == 0 && k % 8 == 0
    }

    /// A runtime dim by the name that every kernel has for it; nothing for sizes of lists.
    fn dim(&self, name: &str) -> Option<i64> {
        let size = match (self.case.work, name) {
            (Work::Matmul([m, _, _]), "M") => m,
            (Work::Matmul([_, n, _]), "N") => n,
            (Work::Matmul([_, _, k]), "K") => k,
            (Work::Matmul(_), _) => return None,
            (work, name) => {
                let shape = work.shape()?;
                match name {
                    "B" => shape.batch,
                    "H" => shape.heads,
                    "LQ" | "LK" | "L" => shape.length,
                    _ => return None,
                }
            }
        };
        i64::try_from(size).ok()
    }
}

/// Blocks of queries in the longest list of a block of keys, for the lists that are measured unless another seed is asked for.
fn longest_column(shape: Shape, lists: Lists) -> usize {
    static KNOWN: Mutex<Vec<((Shape, Lists), usize)>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, width)) = known.iter().find(|(of, _)| *of == (shape, lists)) {
        return *width;
    }
    let (rows, columns) = (shape.length.div_ceil(lists.bq), shape.length.div_ceil(lists.bk));
    let factors = [shape.batch, shape.heads, rows, lists.counts(columns).1];
    let entries = factors.into_iter().try_fold(1_usize, |all, n| all.checked_mul(n));
    // Lists that large are nowhere launched.
    let small = entries.is_some_and(|n| n <= LARGEST);
    let width = if small { BlockLists::random(shape, lists, SEED).turned().width() } else { 1 };
    known.push(((shape, lists), width));
    width
}

/// Entries of lists that are made to learn how long they are.
const LARGEST: usize = 1 << 28;

/// The seed of lists, unless another is asked for.
const SEED: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::case::Sizes;
    use crate::bench::cases::ALL;
    use sla_codegen::Arch;

    fn jobs(name: &str, sizes: &Sizes) -> Vec<Job> {
        let case = ALL.iter().find(|c| c.name == name).unwrap().at(sizes);
        Job::of(case, Some(Target::Cuda(Arch::Sm90a)))
    }

    #[test]
    fn keys_have_what_is_not_tuned() {
        let job = jobs("sparse", &Sizes::default())[0];
        assert_eq!(job.key().to_string(), "BK=64 BQ=128 D=128 T=bf16 LK~32768 LQ~32768");
        let dense = jobs("dense", &Sizes::default())[0];
        assert_eq!(dense.key().to_string(), "CAUSAL=false D=128 T=bf16 LK~32768 LQ~32768");
    }

    #[test]
    fn every_setting_that_kernels_declare_is_one_of_the_compiler() {
        let mut kernels = Vec::new();
        for case in ALL {
            for job in Job::of(*case, Some(Target::Cuda(Arch::Sm90a))) {
                let space = job.space();
                for candidate in space.neighbours(&space.default_candidate()) {
                    job.consts(&space, &candidate).unwrap();
                }
                kernels.push(job.def().name);
            }
        }
        kernels.sort_unstable();
        kernels.dedup();
        let needed = [
            "flash_bwd_dkdv",
            "flash_bwd_dq",
            "flash_bwd_fused",
            "flash_fwd",
            "matmul",
            "sla_bwd_dkdv",
            "sla_bwd_dq",
            "sparse_bwd_fused",
            "sparse_fwd",
        ];
        assert_eq!(kernels, needed);
    }

    #[test]
    fn kernels_are_specialised_as_launches_are() {
        let even = jobs("sparse", &Sizes::default())[0];
        let ragged = jobs("sparse-ragged", &Sizes::default())[0];
        let consts = |job: &Job| job.prepared("", &job.plain()).unwrap().0;
        assert!(even.kernel(&consts(&even)).unwrap().even.values().all(|&even| even));
        assert!(ragged.kernel(&consts(&ragged)).unwrap().even.values().any(|&even| !even));
    }
}
