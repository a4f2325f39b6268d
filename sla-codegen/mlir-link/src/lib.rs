//! Empty on purpose: the work of this crate is its build script, which lets the linker find MLIR's C interface.
//! It stands apart from `sla-codegen` because it has no dependencies, so that its script is the first to run and a
//! machine without LLVM is told what to do before anything slow is compiled.
