//! External tools for tests.

use sla_codegen::Tools;
use std::path::Path;

/// The ptxas that `cargo xtask setup` puts beside the workspace; `None`, with a printed reason, where it is not.
pub fn ptxas() -> Option<Tools> {
    let ptxas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin/ptxas");
    if ptxas.exists() {
        return Some(Tools { ptxas: Some(ptxas), ..Tools::default() });
    }
    eprintln!("skipped: no {}; `cargo xtask setup` installs it", ptxas.display());
    None
}
