//! Places in the Rust source, from a kernel to its machine code: they are there where they are asked for, and change no instruction.

mod gpu_cases;
mod tools;

use gpu_cases::cases;
use sla_codegen::ptxas::{assemble, disassemble};
use sla_codegen::{Arch, Options, Stage, Target, Tools, emit};
use sla_dsl::ir::Kernel;

fn ptx(kernel: &Kernel, arch: Arch, lines: bool) -> String {
    let options = Options { lines, ..Options::new(Target::Cuda(arch)) };
    let text = emit(kernel, &options, &Tools::default(), Stage::Ptx);
    String::from_utf8(text.unwrap_or_else(|e| panic!("{} {arch:?}: {e}", kernel.name))).unwrap()
}

/// PTX without what only says where it is from: directives, labels that nothing jumps to, comments and empty lines.
fn instructions(ptx: &str) -> Vec<&str> {
    let says = |line: &str| {
        line.is_empty()
            || [".loc", ".file", ".section", "//"].iter().any(|start| line.starts_with(start))
            || (line.ends_with(':') && ["$L__tmp", "$L__func_"].iter().any(|start| line.starts_with(start)))
    };
    let code = ptx.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    code.filter(|line| !says(line)).collect()
}

#[test]
fn lines_change_no_instruction_and_name_the_source() {
    for case in cases() {
        let kernel = case.kernel();
        for arch in [Arch::Sm80, Arch::Sm90a] {
            let (plain, with) = (ptx(&kernel, arch, false), ptx(&kernel, arch, true));
            assert!(!plain.contains("\t.loc\t"), "{}", case.name);
            assert!(with.contains("\t.loc\t"), "{} {arch:?}:\n{with}", case.name);
            assert!(with.contains("gpu_cases/"), "{} {arch:?}:\n{with}", case.name);
            let (a, b) = (instructions(&plain), instructions(&with));
            let first = a.iter().zip(&b).position(|(a, b)| a != b);
            assert_eq!(
                a.len(),
                b.len(),
                "{} {arch:?}: differs from {:?}",
                case.name,
                first.map(|i| (a[i], b[i]))
            );
            assert_eq!(first.map(|i| (a[i], b[i])), None, "{} {arch:?}", case.name);
        }
    }
}

#[test]
fn machine_code_names_the_lines() {
    let Some(tools) = tools::ptxas() else { return };
    if tools.nvdisasm.is_none() {
        return eprintln!("skipped: no nvdisasm; `cargo xtask setup` installs it");
    }
    let case = cases().into_iter().next().unwrap();
    let code = |lines| {
        let made = assemble(&tools, &ptx(&case.kernel(), Arch::Sm90a, lines), Arch::Sm90a).unwrap();
        disassemble(&tools, &made.cubin).unwrap()
    };
    let (plain, with) = (code(false), code(true));
    assert!(with.contains("//## File ") && with.contains("gpu_cases/"), "{with}");
    assert!(!plain.contains("//## File "), "{plain}");
    let count = |sass: &str| sass.lines().filter(|l| l.trim_start().starts_with("/*0")).count();
    assert_eq!(count(&plain), count(&with));
}
