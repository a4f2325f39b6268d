//! Seeded random kernels with arguments, to compare whatever runs kernels: interpreter, passes, targets.
//!
//! A [`Case`] is a function of its seed and [`Config`]. Kernels are small but use every kind of op: ragged blocks, gathers of rows,
//! loops whose length is known only at launch, branches, products with transpositions, reductions, casts through every element type.
//!
//! Implementations may differ by rounding, so the generator follows a bound on the difference through every op (`bound`): decisions
//! (comparisons, casts to integers) are only made on values that all implementations agree on, and every output carries the difference
//! that is allowed. Faults are not generated: offsets are in range, divisors are not zero.
//!
//! Only tests use this; it is behind the feature `fuzz`.

mod attention;
mod bound;
mod case;
mod program;
mod rng;
mod soup;

pub use case::{Case, CaseArg, Config};
