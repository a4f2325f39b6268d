//! Every form that a kernel takes while it is compiled, for people who look for the step that went wrong. What is done with the texts is the
//! caller's business: nothing here writes a file.

use crate::trace::trace;
use crate::{CodegenError, Options, Report, Stage};
use sla_dsl::ir::Kernel;

/// Calls `each` with a file's name and text for the kernel as it was built (`00-built.tile`), after each pass (`NN-PASS.tile`), and at each
/// later stage up to assembly (`NAME.sched`, `NAME.mlir`, `NAME.ll`, `NAME.ptx`); last for a page that says what each pass changed (`report.html`).
///
/// # Errors
/// As [`compile`](crate::compile); what came before has been given to `each`, and the page.
pub fn dump(
    kernel: &Kernel,
    options: &Options,
    each: &mut dyn FnMut(&str, &[u8]),
) -> Result<(), CodegenError> {
    let mut steps = Vec::new();
    let done = trace(kernel, options, &mut |step| {
        // Of the languages behind tile IR one form each: MLIR before its passes, so that one can go on from it, LLVM IR after them.
        let name = match (step.stage, step.name.as_str()) {
            (Stage::Tile, name) => Some(format!("{:02}-{}.tile", steps.len(), name.replace(' ', "-"))),
            (stage @ (Stage::Sched | Stage::Ptx), _) => Some(format!("{}.{stage}", kernel.name)),
            (stage, "lower" | "default<O3>") => Some(format!("{}.{stage}", kernel.name)),
            _ => None,
        };
        if let Some(name) = name.filter(|_| step.given_up.is_none()) {
            each(&name, step.text.as_bytes());
        }
        steps.push(step);
    });
    let report = Report::of(kernel, options, steps, done.err());
    each("report.html", report.html(None).as_bytes());
    report.failed().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::dump;
    use crate::pipeline::PASSES;
    use crate::{Arch, Options, Target, Tools, emit, optimise};
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
            assert_eq!(
                names[passes.len() + 1..],
                ["double.sched", "double.mlir", "double.ll", "double.ptx", "report.html"]
            );
            for (name, text) in &seen[..=passes.len()] {
                assert!(parse(text).is_ok(), "{name}");
            }
            assert_eq!(seen[passes.len()].1, optimise(&kernel).unwrap().to_string());
            assert!(seen.iter().all(|(_, text)| !text.is_empty()));
            // What is looked at is what is compiled.
            for (name, text) in &seen[passes.len() + 1..passes.len() + 5] {
                let stage = name.split('.').next_back().unwrap().parse().unwrap();
                let alone = emit(&kernel, &Options::new(target), &Tools::default(), stage).unwrap();
                assert_eq!(*text, String::from_utf8(alone).unwrap(), "{name}");
            }
        }
    }
}
