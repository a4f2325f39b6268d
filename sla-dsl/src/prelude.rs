//! What a file with kernels imports: `use sla_dsl::prelude::*`. And what may be said in one.
//!
//! # Values
//! * *Constants* are known when the kernel is built: generics (`BM`, `CAUSAL`, `T`), literals, Rust `const`s, [`LOG2E`], [`LN2`], [`INF`], counters of
//!   `unroll`, `usize` parameters of functions, and arithmetic among them. Beside a tile or scalar a constant takes its element type.
//! * *Scalars* exist when it runs: dims, program ids, scalar parameters, loop counters, elements that were loaded.
//! * *Tiles* are arrays of rank 1 or 2 whose shape is constant. Operators broadcast by numpy's rules.
//! * *Tensors* are parameters, and views of them: nothing is read before `load`, nothing written but by `store` and `atomic_add`.
//!
//! # Operations
//! | written | means |
//! |---|---|
//! | `+ - * / % & \| ^ << >> ! && \|\| == != < <= > >=`, `+=` and so on | element by element; `&&` and `\|\|` evaluate both sides |
//! | `dot(a, b)`, `dot_acc(a, b, acc)` | matrix product in f32 of tiles of one float type |
//! | `exp2 exp log2 log sqrt rsqrt abs`, `fma(a, b, c)` | functions or methods, f32; `abs` also i32 |
//! | `a.minimum(b)`, `a.maximum(b)`, `select(c, a, b)` | element by element |
//! | `x.sum(axis)`, `x.min(axis)`, `x.max(axis)` | along an axis, which becomes 1 |
//! | `a.min(b)`, `a.max(b)`, `a.div_ceil(b)` | of scalars and constants |
//! | `x.cast::<f32>()` | another element type |
//! | `zeros::<f32>([M, N])`, `full::<f32>([M, N], v)`, `iota([M, N], axis)` | new tiles; `iota` counts in i32 |
//! | `x.t()`, `x.reshape([..])`, `x.broadcast([..])`, `x.unsqueeze(axis)`, `x.squeeze(axis)` | shapes |
//! | `x.pack(keep)` | the elements of each row (along the last axis) where `keep` holds, from the row's start on; zeros behind them |
//! | `t.at(i, j)` | fixes the leading axes |
//! | `t.block::<N>(i)`, `t.block::<M, N>(i, j)` | block `i` along the next axes; ragged at the end if the block does not divide the size |
//! | `t.window::<N>(start)` | as `block`, from any element |
//! | `v.load()`, `v.store(x)`, `v.atomic_add(x)` | reads and writes a view; axes that are left whole need a constant size |
//! | `t.blocks::<N>()`, `list.len()`, `list[j]` | all blocks along the next axis; `list[j]` loads one |
//! | `x.mask_tail(list, j, v)`, `x.mask_rows(list, j, v)` | columns (rows) past the end of block `j` become `v`; nothing where there is no tail |
//! | `t.dim(axis)` | a size |
//! | `assert!(c, "text")`, `print!("text", a, b)` | for people, on the interpreter, the host, and a GPU with checks (`SLA_CHECKS=1`); elsewhere they have no effect |
//!
//! # Control
//! `for i in lo..hi`, `(lo..hi).step_by(C)` and `(lo..hi).rev()` count; `for j in list.gather(n)` runs over the first `n` entries of an i32 axis; `for i in
//! unroll(lo..hi)` repeats its body when the kernel is built. An `if` on constants is decided when the kernel is built, and its dead branch is not; any other
//! happens when it runs, and both its branches give the same types. Variables declared `mut` may change in loops and branches, but keep their types.

pub use crate::lang::{KernelDef, OnlineSoftmax};
pub use crate::launch::{Element, Float, Half};
pub use half::{bf16, f16};

/// Makes a kernel of a function.
///
/// The function's name becomes two things: a static [`KernelDef`] that can be built for any
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
