//! What a file with kernels imports: `use sla_dsl::prelude::*`.

pub use crate::lang::{KernelDef, OnlineSoftmax};
pub use crate::launch::{Element, Float, Half};
pub use half::{bf16, f16};
pub use sla_macros::{func, kernel, tiles};

/// `log2(e)`: `exp(x) = exp2(x * LOG2E)`.
pub const LOG2E: f64 = std::f64::consts::LOG2_E;

/// `ln(2)`: `log(x) = log2(x) * LN2`.
pub const LN2: f64 = std::f64::consts::LN_2;

/// Infinity.
pub const INF: f64 = f64::INFINITY;
