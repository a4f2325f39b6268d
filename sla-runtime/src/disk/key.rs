//! What a compiled kernel is named by: everything that can change it.
//!
//! That is the tile IR as text (constants, facts about memory and sizes are part of it), the options, the compiler with its libraries, and the
//! assembler and GPU that decide between a cubin and PTX.

use sha2::{Digest, Sha256};
use sla_codegen::{Options, Tools, llvm_file, toolchain};
use sla_dsl::ir::Kernel;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// A name of a compiled kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// The key of a kernel compiled with some options, for a GPU of a compute capability.
    pub fn new(kernel: &Kernel, options: &Options, tools: &Tools, capability: (u32, u32)) -> Key {
        let ptxas = tools.ptxas.as_deref().map_or_else(|| "none".to_owned(), identity);
        let llvm = llvm_file().map_or_else(|| "none".to_owned(), identity);
        let (options, capability) = (format!("{options:?}"), format!("{capability:?}"));
        Key(digest(&[&toolchain(), &llvm, &ptxas, &capability, &options, &kernel.to_string()]))
    }

    /// The name of its file, without an ending.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A checksum of texts, in hexadecimal digits.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // Lengths, so that no part can be taken for the end of another.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// What tells one ptxas or libLLVM from another without starting or loading it: its place, size and time.
fn identity(file: &Path) -> String {
    let place = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let Ok(data) = fs::metadata(&place) else { return format!("{} absent", place.display()) };
    let time = data.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    format!("{} {} {time:?}", place.display(), data.len())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sla_codegen::{Arch, Target};
    use sla_dsl::ir::Facts;
    use sla_dsl::lang::{Const, Consts};
    use sla_dsl::prelude::*;
    use std::collections::HashSet;

    #[kernel(dims(L), grid(p in L.div_ceil(N)))]
    fn double<const N: usize>(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [L] }>) {
        y.block::<N>(p).store(x.block::<N>(p).load() * 2.0);
    }

    fn kernel(n: i64, even: bool) -> Kernel {
        let consts = Consts::new(&[("N", Const::Int(n))]);
        let built = double.build(&consts, &Facts::default()).unwrap();
        let mut facts = Facts::default();
        facts.even.extend(built.even.keys().map(|asked| (asked.clone(), even)));
        double.build(&consts, &facts).unwrap()
    }

    #[test]
    fn whatever_changes_a_kernel_changes_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let ptxas = folder.path().join("ptxas");
        fs::write(&ptxas, "one").unwrap();
        let options = Options::new(Target::Cuda(Arch::Sm80));
        let none = Tools::default();
        let some = Tools { ptxas: Some(ptxas.clone()), nvdisasm: None };
        let (two, four) = (kernel(2, false), kernel(4, false));
        let before = Key::new(&two, &options, &some, (8, 0));
        assert_eq!(before, Key::new(&kernel(2, false), &options.clone(), &some, (8, 0)));
        fs::write(&ptxas, "three").unwrap();
        let keys = [
            before,
            Key::new(&two, &options, &some, (8, 0)),
            Key::new(&two, &options, &none, (8, 0)),
            Key::new(&two, &options, &none, (8, 6)),
            Key::new(&two, &Options { warps: Some(2), ..options.clone() }, &none, (8, 0)),
            Key::new(&two, &Options::new(Target::Cuda(Arch::Sm90a)), &none, (8, 0)),
            Key::new(&four, &options, &none, (8, 0)),
            Key::new(&kernel(2, true), &options, &none, (8, 0)),
        ];
        let names: HashSet<_> = keys.iter().map(Key::name).collect();
        assert_eq!(names.len(), keys.len());
        assert!(names.iter().all(|n| n.len() == 64 && n.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
