//! Kernels that between them need everything a GPU target can do, with sizes to run them at. They are compiled for every architecture here;
//! on a machine with a GPU the same list is run and compared with the interpreter.

mod attention;
mod basic;
mod products;

use sla_dsl::ir::{DimExpr, Facts, Kernel, MemFacts};
use sla_dsl::lang::{Consts, KernelDef};

/// What a parameter is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(dead_code)]
pub enum Fill {
    /// Numbers in [-1, 1).
    Random,
    /// Integers in [0, n).
    Below(i32),
    /// Zeros; also for outputs.
    Zero,
    /// A scalar.
    Scalar(f64),
}

/// A kernel with what it takes to run it.
#[allow(dead_code)]
pub struct Case {
    /// A name of its own.
    pub name: String,
    /// The kernel as written.
    pub def: &'static KernelDef,
    /// Its constants.
    pub consts: Consts,
    /// Sizes of its dims, in order.
    pub dims: Vec<i64>,
    /// One per parameter.
    pub fills: Vec<Fill>,
    /// Largest difference from the interpreter, relative to the largest element of the output.
    pub tolerance: f64,
    /// Attention-like: must not touch local memory.
    pub lean: bool,
    /// Whether strides are multiples of 16 bytes.
    pub aligned: bool,
}

impl Case {
    fn new(
        name: impl Into<String>,
        def: &'static KernelDef,
        consts: Consts,
        dims: &[i64],
        fills: &[Fill],
    ) -> Case {
        Case {
            name: name.into(),
            def,
            consts,
            dims: dims.to_vec(),
            fills: fills.to_vec(),
            tolerance: 1e-5,
            lean: false,
            aligned: true,
        }
    }

    fn tolerance(mut self, tolerance: f64) -> Case {
        self.tolerance = tolerance;
        self
    }

    fn lean(mut self) -> Case {
        self.lean = true;
        self
    }

    fn unaligned(mut self) -> Case {
        self.aligned = false;
        self
    }

    /// The facts that hold for its sizes.
    pub fn facts(&self) -> Facts {
        // The questions a kernel asks are recorded in it, so build once without answers.
        let memory = vec![MemFacts { aligned: self.aligned, ..MemFacts::default() }; self.fills.len()];
        let blind = Facts { memory: memory.clone(), ..Facts::default() };
        let Ok(kernel) = self.def.build(&self.consts, &blind) else { return blind };
        let even = kernel
            .even
            .keys()
            .map(|(dim, block)| ((dim.clone(), *block), self.size(dim).is_some_and(|s| s % block == 0)))
            .collect();
        Facts { even, memory }
    }

    /// A size under this case's dims.
    pub fn size(&self, e: &DimExpr) -> Option<i64> {
        e.eval(&|name| self.def.dims.iter().position(|d| *d == name).map(|i| self.dims[i]))
    }

    /// The tile IR.
    pub fn kernel(&self) -> Kernel {
        match self.def.build(&self.consts, &self.facts()) {
            Ok(kernel) => kernel,
            Err(e) => panic!("{}: {e}", self.name),
        }
    }
}

/// Every case.
pub fn cases() -> Vec<Case> {
    let mut all = basic::cases();
    all.extend(products::cases());
    all.extend(attention::cases());
    all
}
