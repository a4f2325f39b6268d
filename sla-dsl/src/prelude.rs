//! What a file with kernels imports: `use sla_dsl::prelude::*`.

pub use crate::lang::{KernelDef, OnlineSoftmax};
pub use crate::launch::{Element, Float, Half};
pub use half::{bf16, f16};

/// Makes a kernel of a function.
///
/// The function's name becomes two things: a static [`KernelDef`](crate::lang::KernelDef) that can be built for any
/// constants, and a struct whose generics are the function's, with `launch` (the typed way to run it), `build` and `consts`.
///
/// * `dims(..)` names the runtime sizes that tensor shapes are written in; they are found from the arguments at launch and are `i32` scalars in the body.
/// * `grid(i in .., ..)` says how many programs run; `i` is this program's place.
/// * `require(..)` states what must hold of constants (checked when an instance is compiled, and when a kernel is built) and of dims (checked at launch).
///
/// ```
/// use sla_dsl::ir::Facts;
/// use sla_dsl::prelude::*;
///
/// /// `y = a x + y`, block by block; the last block may be ragged.
/// #[kernel(dims(N), require(BLOCK % 4 == 0), grid(i in N.div_ceil(BLOCK)))]
/// pub fn axpy<const BLOCK: usize>(x: &Tensor<f32, { [N] }>, y: &mut Tensor<f32, { [N] }>, a: f32) {
///     let old = y.block::<BLOCK>(i).load();
///     y.block::<BLOCK>(i).store(a * x.block::<BLOCK>(i).load() + old);
/// }
///
/// let kernel = axpy::<64>::build(&Facts::default()).unwrap();
/// assert_eq!(kernel.params.len(), 3);
/// ```
///
/// A condition on constants that does not hold is a compile error where the instance is used:
///
/// ```compile_fail
/// # use sla_dsl::ir::Facts;
/// # use sla_dsl::prelude::*;
/// #[kernel(dims(N), require(BLOCK % 4 == 0), grid(i in N.div_ceil(BLOCK)))]
/// fn zero<const BLOCK: usize>(y: &mut Tensor<f32, { [N] }>) {
///     y.block::<BLOCK>(i).store(0.0);
/// }
/// zero::<63>::build(&Facts::default()); // evaluation panicked: zero requires BLOCK % 4 == 0
/// ```
pub use sla_macros::kernel;

/// Makes a device function of a function, or of every function of an `impl` block of a struct marked `#[tiles]`.
///
/// Device functions are called from kernels and from each other, across modules and crates. Their generics are found from the arguments'
/// shapes and element types; `f::<64, _>(x)` gives them by hand. A `&mut` parameter lends a variable of the caller.
///
/// ```
/// use sla_dsl::ir::Facts;
/// use sla_dsl::prelude::*;
///
/// /// Rows scaled to length 1, and their lengths.
/// #[func]
/// fn normalise<const M: usize, const N: usize>(
///     x: Tile<f32, { [M, N] }>,
/// ) -> (Tile<f32, { [M, N] }>, Tile<f32, { [M, 1] }>) {
///     let length = sqrt((x * x).sum(1));
///     (x / length, length)
/// }
///
/// #[kernel(dims(N), grid(i in N.div_ceil(16)))]
/// fn unit_rows(x: &mut Tensor<f32, { [N, 32] }>) {
///     let (unit, _) = normalise(x.block::<16>(i).load());
///     x.block::<16>(i).store(unit);
/// }
/// assert!(unit_rows::build(&Facts::default()).is_ok());
/// ```
pub use sla_macros::func;

/// Makes a struct of tiles and scalars that loops can carry.
///
/// ```
/// use sla_dsl::ir::Facts;
/// use sla_dsl::prelude::*;
///
/// /// Running extremes of columns.
/// #[tiles]
/// struct Extremes<const N: usize> {
///     least: Tile<f32, { [1, N] }>,
///     most: Tile<f32, { [1, N] }>,
/// }
///
/// #[func]
/// impl<const N: usize> Extremes<N> {
///     fn new() -> Self {
///         Extremes { least: full::<f32>([1, N], INF), most: full::<f32>([1, N], -INF) }
///     }
///     fn see<const M: usize>(&mut self, x: Tile<f32, { [M, N] }>) {
///         self.least = self.least.minimum(x.min(0));
///         self.most = self.most.maximum(x.max(0));
///     }
/// }
///
/// #[kernel(dims(L), require(L % 16 == 0), grid(i in 1))]
/// fn range(x: &Tensor<f32, { [L, 32] }>, out: &mut Tensor<f32, { [32] }>) {
///     let mut seen = Extremes::<32>::new();
///     for j in i..L / 16 {
///         seen.see(x.block::<16>(j).load());
///     }
///     out.store((seen.most - seen.least).squeeze(0));
/// }
/// assert!(range::build(&Facts::default()).is_ok());
/// ```
pub use sla_macros::tiles;

/// `log2(e)`: `exp(x) = exp2(x * LOG2E)`.
pub const LOG2E: f64 = std::f64::consts::LOG2_E;

/// `ln(2)`: `log(x) = log2(x) * LN2`.
pub const LN2: f64 = std::f64::consts::LN_2;

/// Infinity.
pub const INF: f64 = f64::INFINITY;
