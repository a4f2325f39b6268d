//! Every form that a kernel takes while it is compiled, for people who look for the step that went wrong. What is done with the texts is the
//! caller's business: nothing here writes a file.

use crate::pipeline::{emit, optimise_seen};
use crate::{CodegenError, Options, Stage, Tools};
use sla_dsl::ir::Kernel;

/// Calls `each` with a file's name and text for the kernel as it was built (`00-built.tile`), after each pass (`NN-PASS.tile`), and at each
/// later stage up to assembly (`NAME.sched`, `NAME.mlir`, `NAME.ll`, `NAME.ptx`). Stages that the target does not have are left out.
///
/// # Errors
/// As [`emit`]; what came before has been given to `each`.
pub fn dump(
    kernel: &Kernel,
    options: &Options,
    each: &mut dyn FnMut(&str, &[u8]),
) -> Result<(), CodegenError> {
    each("00-built.tile", kernel.to_string().as_bytes());
    optimise_seen(kernel, &mut |number, pass, kernel| {
        each(&format!("{number:02}-{pass}.tile"), kernel.to_string().as_bytes());
    })?;
    for stage in [Stage::Sched, Stage::Mlir, Stage::Ll, Stage::Ptx] {
        match emit(kernel, options, &Tools::default(), stage) {
            Ok(text) => each(&format!("{}.{stage}", kernel.name), &text),
            Err(CodegenError::NoStage { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::dump;
    use crate::pipeline::PASSES;
    use crate::{Arch, Options, Target, optimise};
    use sla_dsl::ir::{Facts, parse};
    use sla_dsl::prelude::*;

    /// `y = 2 x`
    #[kernel(dims(L), grid(p in L.div_ceil(64)))]
    fn double(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [L] }>) {
        y.block::<64>(p).store(x.block::<64>(p).load() * 2.0);
    }

    #[test]
    fn every_step_is_there_once_and_in_order() {
        let kernel = double::build(&Facts::default()).unwrap();
        for target in [Target::Cpu, Target::Cuda(Arch::Sm80)] {
            let mut seen: Vec<(String, String)> = Vec::new();
            dump(&kernel, &Options::new(target), &mut |name, text| {
                seen.push((name.to_string(), String::from_utf8(text.to_vec()).unwrap()));
            })
            .unwrap();
            let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
            let passes: Vec<String> =
                PASSES.iter().enumerate().map(|(n, (pass, _))| format!("{:02}-{pass}.tile", n + 1)).collect();
            assert_eq!(names[0], "00-built.tile");
            assert_eq!(names[1..=passes.len()], passes);
            assert_eq!(names[passes.len() + 1..], ["double.sched", "double.mlir", "double.ll", "double.ptx"]);
            for (name, text) in &seen[..=passes.len()] {
                assert!(parse(text).is_ok(), "{name}");
            }
            assert_eq!(seen[passes.len()].1, optimise(&kernel).unwrap().to_string());
            assert!(seen.iter().all(|(_, text)| !text.is_empty()));
        }
    }
}
