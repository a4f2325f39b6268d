//! File tests of passes: `PASS/*.tile` holds an input, a line `=>` and the expected output of the pass of that name.
//!
//! `SLA_BLESS=1 cargo test -p sla-codegen --test passes` writes what the passes give into the files; read the difference before you
//! commit it. Every output must also verify and stay as it is when the pass runs again.

use sla_codegen::{Watch, passes};
use sla_dsl::ir::{Kernel, parse, verify};
use std::fs;
use std::path::{Path, PathBuf};

const BETWEEN: &str = "=>\n";

fn run(name: &str, pass: fn(&mut Kernel)) {
    let bless = std::env::var_os("SLA_BLESS").is_some();
    let mut wrong = Vec::new();
    for path in files(name) {
        let text = fs::read_to_string(&path).unwrap();
        let (input, expected) = text.split_once(BETWEEN).unwrap_or((&text, ""));
        let mut kernel = parse(input).unwrap_or_else(|e| panic!("{}:{e}", path.display()));
        pass(&mut kernel);
        let found = kernel.to_string();
        verify(&kernel).unwrap_or_else(|e| panic!("{}: {e}\n{found}", path.display()));
        pass(&mut kernel);
        assert_eq!(kernel.to_string(), found, "{}: a second run changes the kernel again", path.display());
        if found == expected {
            continue;
        }
        if bless {
            fs::write(&path, format!("{input}{BETWEEN}{found}")).unwrap();
        } else {
            wrong.push(format!("{}: expected\n{expected}\nfound\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nSLA_BLESS=1 accepts what was found", wrong.join("\n"));
}

fn files(name: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/passes").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "tile"));
    files.sort();
    assert!(!files.is_empty(), "no test for `{name}`");
    files
}

#[test]
fn canonicalise() {
    run("canonicalise", passes::canonicalise);
}

#[test]
fn cse() {
    run("cse", passes::cse);
}

#[test]
fn dce() {
    run("dce", passes::dce);
}

#[test]
fn licm() {
    run("licm", passes::licm);
}

#[test]
fn reference_max() {
    run("reference_max", |kernel| {
        passes::reference_max(kernel, Watch::Scores);
    });
}

#[test]
fn reference_sum() {
    run("reference_sum", |kernel| {
        passes::reference_max(kernel, Watch::Weights);
    });
}

#[test]
fn guard_masks() {
    run("guard_masks", passes::guard_masks);
}

#[test]
fn pair_blocks() {
    run("pair_blocks", passes::pair_blocks);
}
