//! MLIR as a tool: text in, an LLVM module out. Shared by every target.
//!
//! A target writes its kernel as MLIR text, because text is what people read at the `mlir` stage and what a failing kernel is
//! reported with. Here the text is parsed, verified, converted to the LLVM dialect and translated. Nothing here knows a target
//! or our own IR, and nothing panics: whatever MLIR says against the text comes back as [`CodegenError::Internal`], with MLIR's words.

mod llvm;

pub use llvm::LlvmSession;

use crate::trace::Trace;
use crate::{CodegenError, Stage};
use inkwell::context::AsContextRef;
use inkwell::module::Module as LlvmModule;
use melior::Context;
use melior::dialect::DialectRegistry;
use melior::ir::Module;
use melior::ir::operation::OperationLike;
use melior::pass::PassManager;
use melior::utility::{
    parse_pass_pipeline, register_all_dialects, register_all_llvm_translations, register_all_passes,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

/// Brings LLVM and MLIR into the process. Nothing of them may be called before.
///
/// # Errors
/// [`CodegenError::Tool`] where they are not what this was built with.
pub(crate) fn load() -> Result<(), CodegenError> {
    sla_mlir_link::load().map_err(|e| CodegenError::Tool(e.to_string()))
}

/// Conversions to the LLVM dialect, in an order in which each finds what it needs already lowered.
const PASSES: [&str; 13] = [
    "convert-vector-to-scf",
    "convert-scf-to-cf",
    "convert-vector-to-llvm",
    "expand-strided-metadata",
    "lower-affine",
    "finalize-memref-to-llvm",
    "convert-math-to-llvm",
    "convert-arith-to-llvm",
    "convert-index-to-llvm",
    "convert-func-to-llvm",
    "convert-cf-to-llvm",
    "convert-nvvm-to-llvm",
    "reconcile-unrealized-casts",
];

/// The same for texts without ops of [`DIALECTS`], as those for GPUs are. `expand-strided-metadata` is there for the folding that it does on its way:
/// without it LLVM gets its constants and conditions in another order, and gradients of keys spill.
const SHORT_PASSES: [&str; 6] = [
    "convert-scf-to-cf",
    "expand-strided-metadata",
    "convert-arith-to-llvm",
    "convert-cf-to-llvm",
    "convert-nvvm-to-llvm",
    "reconcile-unrealized-casts",
];

/// What only the longer list lowers.
const DIALECTS: [&str; 6] = [" vector.", " memref.", " affine.", " math.", " index.", " func."];

/// Puts the places of ops where LLVM looks for them. Of what a debugger needs, only lines are kept, for the instructions are not to change.
const PLACES: &str = "ensure-debug-info-scope-on-llvm-func{emission-kind=DebugDirectivesOnly}";

/// Parses, lowers and translates `text`, a `builtin.module` in MLIR's syntax, for the kernel called `kernel`. Where ops have places in a source,
/// LLVM's instructions have them too.
///
/// # Errors
/// [`CodegenError::Internal`] with MLIR's diagnostics if the text does not parse, verify, lower or translate.
pub(crate) fn lower_to_llvm<'s>(
    session: &'s LlvmSession,
    kernel: &str,
    text: &str,
    trace: &mut Trace<'_>,
) -> Result<LlvmModule<'s>, CodegenError> {
    register_all_passes();
    let registry = DialectRegistry::new();
    register_all_dialects(&registry);
    let context = Context::new_with_registry(&registry, false);
    // Dialects are loaded when the text names them, or a pass does.
    register_all_llvm_translations(&context);

    let said = Rc::new(RefCell::new(Vec::<String>::new()));
    let sink = Rc::clone(&said);
    context.attach_diagnostic_handler(move |d| {
        sink.borrow_mut().push(format!("{}: {d}", d.location()));
        true
    });
    let failed = |stage: Stage, step: &str| CodegenError::Internal {
        kernel: kernel.to_string(),
        stage,
        message: format!("{step}: {}", said.borrow().join("; ")),
    };

    let start = Instant::now();
    let mut module =
        Module::parse(&context, text).ok_or_else(|| failed(Stage::Mlir, "MLIR does not parse"))?;
    if !module.as_operation().verify() {
        return Err(failed(Stage::Mlir, "MLIR does not verify"));
    }
    trace.text(Stage::Mlir, "parse", start.elapsed(), || module.as_operation().to_string());
    let places = text.contains(" loc(\"").then_some(PLACES);
    let short = !DIALECTS.iter().any(|dialect| text.contains(dialect));
    let passes = if short { &SHORT_PASSES[..] } else { &PASSES[..] };
    for pass in passes.iter().copied().chain(places) {
        let passes = PassManager::new(&context);
        passes.enable_verifier(cfg!(debug_assertions));
        parse_pass_pipeline(passes.as_operation_pass_manager(), &format!("builtin.module({pass})"))
            .map_err(|e| failed(Stage::Mlir, &e.to_string()))?;
        let start = Instant::now();
        passes
            .run(&mut module)
            .map_err(|_| failed(Stage::Mlir, &format!("MLIR does not lower, in {pass}")))?;
        let name = pass.split('{').next().unwrap_or(pass);
        trace.text(Stage::Mlir, name, start.elapsed(), || module.as_operation().to_string());
    }

    let start = Instant::now();
    // SAFETY: the operation is a live module, and the context is inkwell's own, which outlives the module (`'s`).
    // Both crates bind the same libLLVM, so the pointer types differ in name only.
    let raw = unsafe {
        mlir_sys::mlirTranslateModuleToLLVMIR(
            module.as_operation().to_raw(),
            session.context().as_ctx_ref() as _,
        )
    };
    if raw.is_null() {
        return Err(failed(Stage::Ll, "MLIR does not translate to LLVM IR"));
    }
    // SAFETY: `raw` is a module that nobody else owns, made in the context that `'s` borrows.
    let translated = unsafe { LlvmModule::new(raw as _) };
    translated.verify().map_err(|e| failed(Stage::Ll, &e.to_string()))?;
    trace.text(Stage::Ll, "translate", start.elapsed(), || translated.print_to_string().to_string());
    Ok(translated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowers_structured_control_and_memory() {
        let session = LlvmSession::new().unwrap();
        let text = "module {
            func.func @f(%x: !llvm.ptr, %m: memref<8xf32>, %n: index) {
                %c0 = arith.constant 0 : index
                %c1 = arith.constant 1 : index
                scf.for %i = %c0 to %n step %c1 {
                    %v = memref.load %m[%i] : memref<8xf32>
                    %e = math.sqrt %v : f32
                    memref.store %e, %m[%i] : memref<8xf32>
                }
                return
            }
        }";
        let module = lower_to_llvm(&session, "f", text, &mut Trace::off()).expect("lowers");
        let ll = module.print_to_string().to_string();
        assert!(ll.contains("@f(") && ll.contains("llvm.sqrt"), "{ll}");
        assert_eq!(session.take_errors(), "");
    }

    #[test]
    fn mistakes_come_back_as_errors_with_a_place() {
        let session = LlvmSession::new().unwrap();
        for (text, needle) in [
            ("module { func.func @f() { %a = arith.addf %b, %b : f32 return } }", "undeclared"),
            ("module { func.func @f() -> i32 { return } }", "has 0 operands"),
        ] {
            let e = lower_to_llvm(&session, "k", text, &mut Trace::off()).expect_err("is wrong");
            let CodegenError::Internal { kernel, message, .. } = e else { panic!("another error: {e}") };
            assert_eq!(kernel, "k");
            assert!(message.contains(needle), "{message}");
        }
    }
}
