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
            RuntimeError::Compiling { source, kernel, consts, how }
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
