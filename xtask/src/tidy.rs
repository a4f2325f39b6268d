//! `cargo xtask tidy`, and a test of this crate: the house rules that a program can check by reading the files. What
//! needs a compiler is clippy's, and layout is rustfmt's.

use crate::command::{Failed, Outcome};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a source file; more than this is more than one idea.
const MAX_LINES: usize = 600;

/// Build outputs and what git keeps: not the tree's own text.
const NOT_OURS: &[&str] = &["target", "out", ".git", ".tools"];

/// Bytes; what is larger is data.
const MAX_TEXT: u64 = 2 << 20;

/// Fails if any file breaks a rule, after printing each place.
pub fn run(root: &Path) -> Outcome {
    let broken = check_tree(root)?;
    for place in &broken {
        println!("{place}");
    }
    match broken.len() {
        0 => Ok(()),
        n => Err(Failed(format!("{n} breaches of the house rules"))),
    }
}

/// Every breach below `root`, as `file:line: what`.
fn check_tree(root: &Path) -> Outcome<Vec<String>> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut broken = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        let bytes = fs::read(&file).map_err(Failed::io(format!("cannot read {}", file.display())))?;
        // A file that is not text has no lines to check.
        if let Ok(text) = String::from_utf8(bytes) {
            broken.extend(check_file(&name, &text));
        }
    }
    Ok(broken)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Outcome {
    let unreadable = || Failed::io(format!("cannot read {}", dir.display()));
    for entry in fs::read_dir(dir).map_err(unreadable())? {
        let entry = entry.map_err(unreadable())?;
        let kind = entry.file_type().map_err(unreadable())?;
        if NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() && entry.metadata().map_err(unreadable())?.len() <= MAX_TEXT {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// The breaches of one file; `name` is its path in the tree, with `/`.
fn check_file(name: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let mut at = |line: usize, what: &str| broken.push(format!("{name}:{line}: {what}"));
    for (index, line) in text.lines().enumerate() {
        if names_a_machine_path(line) {
            at(index + 1, "a path of somebody's machine");
        }
    }
    if !name.ends_with(".rs") {
        return broken;
    }
    // A UI test shows one rule; its lines are counted by the error text beside it.
    if !format!("/{name}").contains("/tests/ui/") {
        if !text.starts_with("//!") {
            at(1, "a file opens with `//!`: what it is, where it sits, what it does not do");
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            at(lines, "more than 600 lines: more than one idea");
        }
    }
    let file = name.rsplit('/').next().unwrap_or(name);
    if file == "utils.rs" || name.contains("/utils/") {
        at(1, "a module is named for what it does, and `utils` does not say");
    }
    for (index, line) in text.lines().enumerate() {
        for (mark, what) in MARKS {
            if line.contains(mark) {
                at(index + 1, what);
            }
        }
        let code = line.split("//").next().unwrap_or(line);
        for (word, what) in WORDS {
            if code.contains(word) {
                at(index + 1, what);
            }
        }
    }
    broken
}

/// Wherever they stand. In two parts, so that this file does not break its own rule.
const MARKS: &[(&str, &str)] = &[
    (concat!("TO", "DO"), "work left undone belongs in an issue"),
    (concat!("FIX", "ME"), "work left undone belongs in an issue"),
];

/// In code, not in comments.
const WORDS: &[(&str, &str)] = &[
    (concat!("todo", "!("), "a stub"),
    (concat!("unimplemented", "!("), "a stub"),
    (concat!("#[", "ignore"), "a test that does not run"),
    (concat!("#[", "should_panic"), "a test that any panic passes"),
];

/// The folders in which people and machines keep their checkouts; a path below one means nothing elsewhere.
const PERSONAL: &[&str] = &["home", "root", "work", "Users"];

fn names_a_machine_path(line: &str) -> bool {
    PERSONAL.iter().any(|folder| {
        let path = format!("/{folder}/");
        line.match_indices(&path).any(|(at, _)| {
            // Inside a longer path or address it is only a name.
            let before = line[..at].chars().next_back().unwrap_or(' ');
            !(before.is_alphanumeric() || "._-~*}>".contains(before))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let broken = check_tree(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).unwrap();
        assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    }

    fn breaches(name: &str, text: &str) -> usize {
        check_file(name, text).len()
    }

    #[test]
    fn each_rule_can_be_broken() {
        assert_eq!(breaches("src/a.rs", "//! Fine.\nfn f() {}\n"), 0);
        assert_eq!(breaches("src/a.rs", "fn f() {}\n"), 1, "no header");
        assert_eq!(breaches("src/a.rs", &"//! Long.\n".repeat(601)), 1);
        assert_eq!(breaches("src/a.rs", &"//! Long.\n".repeat(600)), 0);
        assert_eq!(breaches("tests/ui/a.rs", "fn f() {}\n"), 0, "UI tests need no header");
        assert_eq!(breaches("src/utils.rs", "//! Things.\n"), 1);
        assert_eq!(breaches("src/utils/mod.rs", "//! Things.\n"), 1);
        for (word, _) in WORDS {
            assert_eq!(breaches("src/a.rs", &format!("//! A.\n{word}")), 1, "{word}");
            assert_eq!(breaches("src/a.rs", &format!("//! A.\n// no {word}")), 0, "{word} in a comment");
        }
        for (mark, _) in MARKS {
            assert_eq!(breaches("src/a.rs", &format!("//! A.\n// {mark}")), 1, "{mark}");
        }
    }

    #[test]
    fn paths_of_a_machine_are_found_in_any_text() {
        for folder in PERSONAL {
            assert_eq!(breaches("README.md", &format!("see \"/{folder}/me/x\"")), 1);
            assert_eq!(breaches("README.md", &format!("/{folder}/me/x")), 1);
            assert_eq!(breaches("README.md", &format!("https://example.org/{folder}/x")), 0);
            assert_eq!(breaches("README.md", &format!("examples/{folder}/x")), 0);
        }
    }
}
