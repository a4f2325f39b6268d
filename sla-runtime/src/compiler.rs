//! The compiler, or its absence: the only file here that the feature `compile` decides about what can be compiled.
//!
//! Without it kernels come out of bundles, and what is in none is an error that says so.

#[cfg(feature = "compile")]
mod present {
    use crate::RuntimeError;
    use sla_codegen::{Artifact, Options};
    use sla_dsl::ir::Kernel;
    use sla_dsl::lang::Consts;

    pub(crate) use sla_codegen::dump;

    /// Compiles a kernel, built with these constants.
    pub(crate) fn compile(
        kernel: &Kernel,
        consts: &Consts,
        options: &Options,
    ) -> Result<Artifact, RuntimeError> {
        sla_codegen::compile(kernel, options).map_err(|source| {
            let settings = options.chosen().into_iter().map(|(name, value)| format!(" --set {name}={value}"));
            let how = format!("--target {}{}", options.target, settings.collect::<String>());
            let (kernel, consts) = (kernel.name.clone(), consts.to_string());
            RuntimeError::Compiling { source: Box::new(source), kernel, consts, how }
        })
    }
}

#[cfg(not(feature = "compile"))]
mod absent {
    use crate::RuntimeError;
    use sla_codegen::{Artifact, CodegenError, Options};
    use sla_dsl::ir::Kernel;
    use sla_dsl::lang::Consts;

    /// Refuses.
    pub(crate) fn compile(kernel: &Kernel, _: &Consts, options: &Options) -> Result<Artifact, RuntimeError> {
        Err(RuntimeError::NoCompiler { kernel: kernel.name.clone(), target: options.target })
    }

    /// Has nothing to show.
    pub(crate) fn dump(_: &Kernel, _: &Options, _: &mut dyn FnMut(&str, &[u8])) -> Result<(), CodegenError> {
        Ok(())
    }
}

#[cfg(not(feature = "compile"))]
pub(crate) use absent::{compile, dump};
#[cfg(feature = "compile")]
pub(crate) use present::{compile, dump};

#[cfg(all(test, feature = "compile"))]
mod tests {
    use sla_codegen::{Arch, Options, Target};
    use sla_dsl::ir::Facts;
    use sla_dsl::prelude::*;

    /// `y = 2 x`
    #[kernel(dims(L), grid(p in L.div_ceil(N)))]
    fn double<const N: usize>(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [L] }>) {
        y.block::<N>(p).store(x.block::<N>(p).load() * 2.0);
    }

    #[test]
    fn a_failure_names_kernel_and_constants_and_how_to_see_it_again() {
        let options = Options { warps: Some(3), ..Options::new(Target::Cuda(Arch::Sm80)) };
        let kernel = double::<64>::build(&Facts::default()).unwrap();
        let e = super::compile(&kernel, &double::<64>::consts(), &options).err().unwrap().to_string();
        assert!(e.starts_with("sm_80 cannot run this kernel: double: 3 warps; "), "{e}");
        let again = "`sla emit --from DIR/double-…/00-built.tile --stage ptx --target sm_80 --set warps=3`";
        assert!(e.contains(" (with N=64); ") && e.ends_with(again), "{e}");
    }
}
