//! Gives the crate a number that changes with the sources that decide what a kernel becomes: this crate's and the language's.
//! Neither the order of a folder nor times go into it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut hash = DefaultHasher::new();
    // Beside this crate in the workspace; elsewhere cargo pins the language's version.
    for folder in [here.join("src"), here.join("../sla-dsl/src")] {
        if folder.is_dir() {
            println!("cargo:rerun-if-changed={}", folder.display());
            read(&folder, &mut hash)?;
        }
    }
    println!("cargo:rustc-env=SLA_SOURCES={:016x}", hash.finish());
    Ok(())
}

fn read(folder: &Path, hash: &mut DefaultHasher) -> std::io::Result<()> {
    let mut paths = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    for path in paths {
        path.file_name().hash(hash);
        match path.is_dir() {
            true => read(&path, hash)?,
            false => std::fs::read(&path)?.hash(hash),
        }
    }
    Ok(())
}
