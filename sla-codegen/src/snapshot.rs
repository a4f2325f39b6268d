//! A kernel at a stage of its compilation, as text for snapshot tests: the same on every machine that has this compiler.
//!
//! How texts are kept and compared is the business of the crate that tests; here is only what goes in. Files, tools and versions have no part in it:
//! machine code, which depends on the version of ptxas, and the host's code, which depends on the processor, are refused.

use crate::{CodegenError, Options, Stage, Target, Tools, emit};
use sla_dsl::diag::Diagnostics;
use sla_dsl::ir::{Facts, Kernel};

/// The text of a kernel at a stage, for a target or for options of the caller's choice. `build` is the function of that name which `#[kernel]` gives every
/// kernel. The kernel is the one for contiguous, aligned tensors of any size; [`whole_blocks`](sla_dsl::lang::whole_blocks) makes that
/// for sizes without tails.
///
/// A test of a kernel's PTX is three lines, with `insta` among the dev-dependencies:
///
/// ```
/// use sla_codegen::{Arch, Stage, Target, snapshot};
/// use sla_dsl::prelude::*;
///
/// /// `y = 2 x`
/// #[kernel(dims(L), grid(p in L.div_ceil(N)))]
/// fn double<T: Float, const N: usize>(x: &Tensor<T, { [L] }>, y: &mut Tensor<T, { [L] }>) {
///     let x = x.block::<N>(p).load().cast::<f32>();
///     y.block::<N>(p).store((x * 2.0).cast::<T>());
/// }
///
/// # fn main() -> Result<(), sla_codegen::CodegenError> {
/// // In a test: let ptx = snapshot(…)?; insta::assert_snapshot!(ptx);
/// let ptx = snapshot(double::<bf16, 128>::build, Target::Cuda(Arch::Sm90a), Stage::Ptx)?;
/// assert!(ptx.contains(".target sm_90a") && ptx.contains(".entry double"));
///
/// // What is short can stand in the test itself.
/// let tile = snapshot(double::<f32, 4>::build, Target::Cpu, Stage::Tile)?;
/// insta::assert_snapshot!(tile, @r"
/// kernel double {
///   dims L
///   grid p in L.div_ceil(4)
///   even L by 4 = false
///   param %0 = x : tensor<f32, [L]>
///   param %1 = y : mut tensor<f32, [L]>
///   %2 = program_id {axis=0} : i32
///   %3 = const {value=4} : i32
///   %4 = mul %2, %3 : i32
///   %5 = load %0[%4] {box=[4], check=[1]} : tile<4xf32>
///   %6 = const {value=4} : i32
///   %7 = mul %2, %6 : i32
///   %8 = const {value=2.0} : tile<4xf32>
///   %9 = mul %5, %8 : tile<4xf32>
///   store %1[%7], %9 {box=[4], check=[1]}
/// }
/// ");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// What `build` or the compiler reports; [`CodegenError::NoSnapshot`] for a text that is not the same everywhere.
pub fn snapshot(
    build: impl Fn(&Facts) -> Result<Kernel, Diagnostics>,
    options: impl Into<Options>,
    stage: Stage,
) -> Result<String, CodegenError> {
    let options = options.into();
    let why = match (options.target, stage) {
        (_, Stage::Cubin | Stage::Sass) => Some("it depends on the version of ptxas"),
        (Target::Cpu, Stage::Mlir | Stage::Ll | Stage::Ptx) => Some("it depends on the processor"),
        _ => None,
    };
    if let Some(why) = why {
        return Err(CodegenError::NoSnapshot { target: options.target.to_string(), stage, why });
    }
    let bytes = emit(&build(&Facts::default())?, &options, &Tools::default(), stage)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arch;
    use sla_dsl::lang::whole_blocks;
    use sla_dsl::prelude::*;

    /// `y = 2 x`
    #[kernel(dims(L), grid(p in L.div_ceil(N)))]
    fn double<const N: usize>(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [L] }>) {
        y.block::<N>(p).store(x.block::<N>(p).load() * 2.0);
    }

    #[test]
    fn a_snapshot_names_no_place_and_no_version() {
        for arch in Arch::ALL {
            for stage in [Stage::Tile, Stage::Sched, Stage::Mlir, Stage::Ll, Stage::Ptx] {
                let text = snapshot(double::<128>::build, Target::Cuda(arch), stage).unwrap();
                assert!(text.contains("double"), "{arch:?} {stage}: {text}");
                for word in [env!("CARGO_MANIFEST_DIR"), "/src/", ".rs", "22.1", env!("CARGO_PKG_VERSION")] {
                    assert!(!text.contains(word), "{arch:?} {stage}: `{word}` in {text}");
                }
            }
        }
    }

    #[test]
    fn options_and_whole_blocks_are_seen() {
        let target = Target::Cuda(Arch::Sm80);
        let ptx = |options: Options| snapshot(double::<128>::build, options, Stage::Ptx).unwrap();
        assert_eq!(ptx(target.into()), ptx(Options::new(target)));
        assert_ne!(ptx(target.into()), ptx(Options { warps: Some(8), ..target.into() }));
        let whole = snapshot(whole_blocks(double::<128>::build), target, Stage::Tile).unwrap();
        assert!(whole.contains("even L by 128 = true"), "{whole}");
    }

    #[test]
    fn what_differs_between_machines_is_refused() {
        for (target, stage) in [(Target::Cpu, Stage::Ptx), (Target::Cuda(Arch::Sm80), Stage::Sass)] {
            let e = snapshot(double::<128>::build, target, stage).unwrap_err();
            assert!(matches!(e, CodegenError::NoSnapshot { .. }), "{e}");
        }
        assert!(snapshot(double::<128>::build, Target::Cpu, Stage::Sched).is_ok());
    }
}
