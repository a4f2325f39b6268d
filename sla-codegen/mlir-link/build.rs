//! Makes what stands for LLVM and MLIR in a program that is linked with this crate, so that the libraries themselves are mapped when something is first
//! compiled, and not when the process starts: their relocations take longer than all else that a program with its kernels on disk does.
//!
//! * MLIR's C interface as a shared library. mlir-sys asks for one; Debian builds none, but ships its parts as `libMLIRCAPI*.a`. They are linked
//!   with the shared libMLIR that they call into, and the file becomes part of this crate.
//! * A stub for every function of the C interfaces of MLIR and LLVM, as assembly: it jumps to where `load` has found the function. The linker finds
//!   them instead of the libraries'.
//! * `libMLIR-C.so` for the linker's sake: a script that asks for nothing.
//!
//! It also checks that LLVM is there at all. It does not look for tools (clang, ptxas); those who need them do.

use std::ffi::OsStr;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, fs, io};

const PREFIX: &str = "MLIR_SYS_220_PREFIX";
const DEFAULT_PREFIX: &str = "/usr/lib/llvm-22";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={PREFIX}");
    let prefix = env::var_os(PREFIX).map_or_else(|| PathBuf::from(DEFAULT_PREFIX), PathBuf::from);
    // An absent folder is watched too: the script runs again once LLVM has been installed.
    println!("cargo::rerun-if-changed={}", prefix.join("lib").display());
    if let Err(missing) = make(&prefix) {
        println!("cargo::error={missing} -- run `cargo xtask setup`, or point {PREFIX} to LLVM and MLIR 22");
        exit(1);
    }
}

fn make(prefix: &Path) -> Result<(), String> {
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("x86_64") {
        return Err("the compiler runs on x86-64 only".to_string());
    }
    let lib = prefix.join("lib");
    let archives = archives(&lib).map_err(|e| format!("cannot read {}: {e}", lib.display()))?;
    if archives.is_empty() {
        return Err(format!("no libMLIRCAPI*.a in {} (Debian's libmlir-22-dev)", lib.display()));
    }
    for shared in ["libMLIR.so", "libLLVM.so"] {
        if !lib.join(shared).exists() {
            return Err(format!("no {shared} in {} (Debian's libmlir-22-dev, llvm-22-dev)", lib.display()));
        }
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?);
    let (shared, llvm) = (out.join("libsla-mlir-c.so"), lib.join("libLLVM.so"));
    link(&lib, &archives, &shared)?;
    let mut names = functions(prefix, &shared, "mlir")?;
    names.append(&mut functions(prefix, &llvm, "LLVM")?);
    let text = names.iter().fold(String::new(), |text, name| text + name + "\0");
    let write = |file: &str, text: &str| {
        fs::write(out.join(file), text).map_err(|e| format!("cannot write {file} in {}: {e}", out.display()))
    };
    write("names", &text)?;
    write("stubs.s", &stubs(&names))?;
    write("libMLIR-C.so", "GROUP ( AS_NEEDED ( -lMLIR ) )\n")?;
    let version = run(Command::new(prefix.join("bin/llvm-config")).arg("--version"))?;
    let number = |c: char| c.is_ascii_digit() || c == '.';
    let version = version.trim().split(|c| !number(c)).next().unwrap_or_default();
    let place = fs::canonicalize(&llvm).map_err(|e| format!("cannot find {}: {e}", llvm.display()))?;
    println!("cargo::rerun-if-env-changed=CXX");
    println!("cargo::rustc-env=SLA_MLIR_FUNCTIONS={}", names.len());
    println!("cargo::rustc-env=SLA_LLVM_VERSION={version}");
    println!("cargo::rustc-env=SLA_LLVM_PLACE={}", place.display());
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-search=native={}", lib.display());
    Ok(())
}

fn archives(lib: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(lib)? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if name.starts_with("libMLIRCAPI") && name.ends_with(".a") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Links the archives into one library, which finds libMLIR and libLLVM in `lib` and nowhere else.
fn link(lib: &Path, archives: &[PathBuf], shared: &Path) -> Result<(), String> {
    let compiler =
        env::var("CXX").ok().filter(|set| !set.trim().is_empty()).unwrap_or_else(|| "c++".to_string());
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("c++"));
    command.args(words);
    command.arg("-shared").arg("-o").arg(shared).arg("-Wl,--whole-archive").args(archives);
    command.arg("-Wl,--no-whole-archive").arg("-L").arg(lib).args(["-lMLIR", "-lLLVM"]);
    // What it does not find must fail here, not when a kernel is compiled.
    command.arg("-Wl,-z,defs,-s,--disable-new-dtags").arg(format!("-Wl,-rpath,{}", lib.display()));
    run(&mut command).map(drop)
}

/// The functions of a library whose names begin so.
fn functions(prefix: &Path, library: &Path, begin: &str) -> Result<Vec<String>, String> {
    let mut nm = Command::new(prefix.join("bin/llvm-nm"));
    let list = run(nm.args(["-D", "--defined-only", "--format=posix"]).arg(library))?;
    let name = |line: &str| {
        let mut words = line.split_whitespace();
        // `NAME@@VERSION T ADDRESS`
        let (name, kind) = (words.next()?.split('@').next()?, words.next()?);
        (kind == "T" && name.starts_with(begin)).then(|| name.to_string())
    };
    let names: Vec<String> = list.lines().filter_map(name).collect();
    match names.is_empty() {
        true => Err(format!("no functions {begin}* in {}", library.display())),
        false => Ok(names),
    }
}

/// For each name a function that jumps to where the table says it is. Arguments stay where they are: only r11 is used, which belongs to nobody
/// across a call. They are hidden, so that another libLLVM of the process never finds them in place of its own.
fn stubs(names: &[String]) -> String {
    let mut text = String::from(".text\n");
    for (i, name) in names.iter().enumerate() {
        // Writing to a `String` cannot fail.
        let _ = write!(
            text,
            ".globl {name}\n.hidden {name}\n.type {name}, @function\n{name}:\n\
             mov r11, qword ptr [rip + sla_mlir_table + {}]\ntest r11, r11\nje sla_mlir_absent\njmp r11\n.size {name}, . - {name}\n",
            8 * i
        );
    }
    let bytes = 8 * names.len();
    text + "sla_mlir_absent:\nud2\n"
        + &format!(
            ".bss\n.balign 8\n.globl sla_mlir_table\n.hidden sla_mlir_table\n.type sla_mlir_table, @object\n.size sla_mlir_table, {bytes}\nsla_mlir_table:\n.zero {bytes}\n.text\n"
        )
}

/// What a command prints.
fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("cannot run {program}: {e}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} fails: {}", said.lines().next().unwrap_or_default()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
