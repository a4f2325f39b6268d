//! Which compiler this is: part of the name of whatever it makes, where that is kept.

use std::path::Path;

/// This crate's version and sources, and LLVM's version when it was built. Two compilers that say the same make the same of a kernel and its options.
pub fn toolchain() -> String {
    format!("sla {} {} llvm {}", env!("CARGO_PKG_VERSION"), env!("SLA_SOURCES"), llvm())
}

#[cfg(feature = "llvm")]
fn llvm() -> String {
    sla_mlir_link::LLVM_VERSION.to_string()
}

/// The file that LLVM is loaded from when something is first compiled; none where there is no compiler.
pub fn llvm_file() -> Option<&'static Path> {
    #[cfg(feature = "llvm")]
    return Some(sla_mlir_link::llvm());
    #[cfg(not(feature = "llvm"))]
    None
}

#[cfg(not(feature = "llvm"))]
fn llvm() -> String {
    "none".to_string()
}

#[cfg(all(test, feature = "llvm"))]
mod tests {
    #[test]
    fn it_names_sources_and_llvm() {
        let text = super::toolchain();
        let words: Vec<&str> = text.split(' ').collect();
        let ["sla", version, sources, "llvm", llvm] = words[..] else { panic!("{text}") };
        assert_eq!((version, sources.len()), (env!("CARGO_PKG_VERSION"), 16));
        assert!(llvm.starts_with("22."), "{llvm}");
        crate::mlir::load().unwrap();
        let (major, minor, patch) = inkwell::support::get_llvm_version();
        assert_eq!(llvm, format!("{major}.{minor}.{patch}"));
        assert!(super::llvm_file().unwrap().is_file());
    }
}
