//! File tests of the protocol verifier: `protocol/*.tile` holds a scheduled kernel, a line `=>` and what the verifier says, one error a line;
//! `ok` if nothing.
//!
//! `SLA_BLESS=1 cargo test -p sla-codegen --test protocol` writes what it says into the files; read the difference before you commit it.

use sla_codegen::target::hopper::verify::verify_protocol;
use sla_dsl::ir::parse;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const BETWEEN: &str = "=>\n";

#[test]
fn files() {
    let bless = std::env::var_os("SLA_BLESS").is_some();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol");
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let mut wrong = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let (input, expected) = text.split_once(BETWEEN).unwrap_or((&text, ""));
        let kernel = match parse(input) {
            Ok(kernel) => kernel,
            Err(e) => {
                wrong.push(format!("{}:{e}", path.display()));
                continue;
            }
        };
        let start = Instant::now();
        let result = verify_protocol(&kernel);
        let took = start.elapsed();
        println!("{} {took:?}", path.display());
        // Nothing like a bound on the time it takes, which is some milliseconds: a case that does not end would be found here.
        assert!(took < Duration::from_secs(5), "{} took {took:?}", path.display());
        let found = match result {
            Ok(()) => "ok\n".to_string(),
            Err(errors) => errors.iter().map(|e| format!("{e}\n")).collect(),
        };
        let good = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("good_"));
        if found == expected && good == (found == "ok\n") {
            continue;
        }
        if bless {
            fs::write(&path, format!("{input}{BETWEEN}{found}")).unwrap();
        }
        if !bless || good != (found == "ok\n") {
            wrong.push(format!("{}: expected\n{expected}\nfound\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nSLA_BLESS=1 accepts what was found", wrong.join("\n"));
}
