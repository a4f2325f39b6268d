//! External tools for tests.

use sla_codegen::Tools;
use std::io::Write;
use std::path::Path;

/// The ptxas that `SLA_PTXAS` names, or that `cargo xtask setup` put beside the workspace; `None`, with a printed reason, where there is
/// neither. A name that is set and leads nowhere is a mistake of the set-up and no reason to skip.
pub fn ptxas() -> Option<Tools> {
    if let Some(named) = std::env::var_os("SLA_PTXAS") {
        let named = Path::new(&named);
        assert!(named.exists(), "SLA_PTXAS is {}, which does not exist", named.display());
        return Some(Tools { ptxas: Some(named.to_path_buf()), ..Tools::default() });
    }
    let ptxas = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().take(2).map(|d| d.join(".tools/bin/ptxas"));
    let found = ptxas.into_iter().find(|p| p.exists());
    if found.is_none() {
        // Past the harness, which keeps what tests that pass print.
        let _ = writeln!(std::io::stderr(), "skipped: no .tools/bin/ptxas; `cargo xtask setup` installs it");
    }
    found.map(|ptxas| {
        let nvdisasm = Some(ptxas.with_file_name("nvdisasm")).filter(|p| p.exists());
        Tools { ptxas: Some(ptxas), nvdisasm }
    })
}
