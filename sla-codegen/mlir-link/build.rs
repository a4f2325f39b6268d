//! Makes `-lMLIR-C` resolve. mlir-sys asks for that library when it links LLVM as a shared library; Debian builds
//! none, but ships its parts as `libMLIRCAPI*.a`. A linker script of that name, in this crate's output folder, stands
//! in for it: the archives, then the one shared libMLIR that they call into. Every linker in use reads such scripts.
//!
//! It also checks that LLVM is there at all. It does not look for tools (clang, ptxas); those who need them do.

use std::path::{Path, PathBuf};
use std::process::exit;
use std::{env, fs, io};

const PREFIX: &str = "MLIR_SYS_220_PREFIX";
const DEFAULT_PREFIX: &str = "/usr/lib/llvm-22";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={PREFIX}");
    let prefix = env::var_os(PREFIX).map_or_else(|| PathBuf::from(DEFAULT_PREFIX), PathBuf::from);
    let lib = prefix.join("lib");
    // An absent folder is watched too: the script runs again once LLVM has been installed.
    println!("cargo::rerun-if-changed={}", lib.display());
    if let Err(missing) = write_script(&lib) {
        println!("cargo::error={missing} -- run `cargo xtask setup`, or point {PREFIX} to LLVM and MLIR 22");
        exit(1);
    }
}

/// Writes `libMLIR-C.so` into OUT_DIR and tells cargo to search there.
fn write_script(lib: &Path) -> Result<(), String> {
    let mut archives = archives(lib).map_err(|e| format!("cannot read {}: {e}", lib.display()))?;
    if archives.is_empty() {
        return Err(format!("no libMLIRCAPI*.a in {} (Debian's libmlir-22-dev)", lib.display()));
    }
    for shared in ["libMLIR.so", "libLLVM.so"] {
        if !lib.join(shared).exists() {
            return Err(format!("no {shared} in {} (Debian's libmlir-22-dev, llvm-22-dev)", lib.display()));
        }
    }
    archives.sort();
    let list: String = archives.iter().map(|a| format!("  \"{}\"\n", a.display())).collect();
    // The archives need one another, and the group lets the linker go round until nothing is missing.
    let script = format!("GROUP (\n{list})\nINPUT ( -lMLIR )\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?);
    let path = out.join("libMLIR-C.so");
    fs::write(&path, script).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-search=native={}", lib.display());
    Ok(())
}

fn archives(lib: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(lib)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.starts_with("libMLIRCAPI") && name.ends_with(".a") {
            found.push(path);
        }
    }
    Ok(found)
}
