//! One LLVM in the process. MLIR comes in through melior, LLVM through inkwell, and both must end in the same shared
//! library: with two copies, types and passes registered in one are unknown to the other, and programs crash far away
//! from the cause. Says nothing about what the compiler does with them.

use inkwell::targets::{InitializationConfig, Target};
use melior::Context;
use melior::dialect::DialectRegistry;
use melior::ir::Module;
use melior::ir::operation::OperationLike;
use melior::utility::{register_all_dialects, register_all_llvm_translations};
use std::collections::BTreeSet;

const MODULE: &str = "func.func @id(%x: f32) -> f32 { return %x : f32 }";

#[test]
fn exactly_one_llvm_and_one_mlir_are_mapped_and_none_before_they_are_asked_for() {
    let before = std::fs::read_to_string("/proc/self/maps").expect("Linux shows a process its mappings");
    for library in ["libLLVM", "libMLIR"] {
        assert_eq!(mapped(&before, library).len(), 0, "{library} is mapped when a process starts");
    }
    sla_mlir_link::load().unwrap();
    sla_mlir_link::load().unwrap();
    let registry = DialectRegistry::new();
    register_all_dialects(&registry);
    let context = Context::new_with_registry(&registry, false);
    register_all_llvm_translations(&context);
    context.load_all_available_dialects();
    let module = Module::parse(&context, MODULE).expect("a module of one function parses");
    assert!(module.as_operation().verify());
    assert!(module.as_operation().to_string().contains("@id"));

    // Both sides are used, so that no linker can drop either of them.
    Target::initialize_nvptx(&InitializationConfig::default());
    let llvm = inkwell::context::Context::create();
    let unit = llvm.create_module("unit");
    unit.add_function("id", llvm.f32_type().fn_type(&[llvm.f32_type().into()], false), None);
    unit.verify().expect("a declaration verifies");
    assert!(Target::from_name("nvptx64").is_some());

    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux shows a process its mappings");
    for library in ["libLLVM", "libMLIR"] {
        let mapped = mapped(&maps, library);
        assert_eq!(mapped.len(), 1, "{library} must be mapped exactly once, found {mapped:?}");
    }
}

/// The distinct shared objects in `maps` whose file name is `library` followed by `.so` or a version.
fn mapped<'a>(maps: &'a str, library: &str) -> BTreeSet<&'a str> {
    maps.lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| {
            let file = path.rsplit('/').next().unwrap_or(path);
            file.starts_with(library) && file.contains(".so")
        })
        .collect()
}

#[test]
fn two_copies_would_be_noticed() {
    let maps = "\
7f00-7f01 r--p 0 fe:00 1 /usr/lib/llvm-22/lib/libLLVM.so.22.1
7f01-7f02 r-xp 0 fe:00 1 /usr/lib/llvm-22/lib/libLLVM.so.22.1
7f02-7f03 r--p 0 fe:00 2 /usr/lib/x86_64-linux-gnu/libLLVM-14.so.1
7f03-7f04 r--p 0 fe:00 3 /usr/lib/llvm-22/lib/libMLIR.so.22.1";
    assert_eq!(mapped(maps, "libLLVM").len(), 2);
    assert_eq!(mapped(maps, "libMLIR").len(), 1);
}
