//! Finds the compiled kernels that a library without a compiler embeds: `src/shipped/*.slab`, or those of the folder that `SLA_SHIPPED` names. With the feature
//! `compile` there are none.

use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-env-changed=SLA_SHIPPED");
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let named = std::env::var_os("SLA_SHIPPED").filter(|folder| !folder.is_empty());
    let folder = named.map_or_else(|| here.join("src/shipped"), |folder| here.join(folder));
    println!("cargo:rerun-if-changed={}", folder.display());
    let compiles = std::env::var_os("CARGO_FEATURE_COMPILE").is_some();
    let found = if compiles { Vec::new() } else { slabs(&folder)? };
    if found.is_empty() && !compiles {
        println!(
            "cargo:warning=no compiled kernels are embedded, as there are none in {}; `cargo xtask bundle` makes them",
            folder.display()
        );
    }
    let each: String = found.iter().map(|path| format!("    include_bytes!({path:?}),\n")).collect();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    std::fs::write(out.join("shipped.rs"), format!("&[\n{each}]\n"))
}

/// The bundles in a folder, by name; none where there is no folder.
fn slabs(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = std::path::absolute(entry?.path())?;
        if path.extension().is_some_and(|end| end == "slab") {
            println!("cargo:rerun-if-changed={}", path.display());
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
