//! MLIR text under construction: nested scopes, fresh names, and constants that are defined once at the function's entry.
//!
//! A *nest* is the code of one op: a scope and the loops inside it, all open at the same time. An instruction goes to the scope of the
//! innermost index it depends on, and is remembered there; so what depends on the row only is computed once a row.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// An index value and the scope in which it is defined.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ix {
    /// Its SSA name.
    pub ssa: String,
    /// Scopes around its definition; 0 if it is visible in the whole nest.
    pub depth: usize,
}

#[derive(Default)]
struct Scope {
    /// What opens it, without the line end; empty for the nest itself.
    head: String,
    text: String,
    seen: HashMap<String, String>,
}

/// The text of one function.
#[derive(Default)]
pub struct Code {
    constants: BTreeMap<String, String>,
    /// Finished text of the function's blocks.
    body: String,
    scopes: Vec<Scope>,
    next: usize,
    /// Appended to each instruction: its place.
    place: String,
    places: BTreeMap<String, String>,
}

impl Code {
    /// A fresh SSA name.
    pub fn fresh(&mut self) -> String {
        self.next += 1;
        format!("%{}", self.next)
    }

    /// A fresh block label.
    pub fn label(&mut self) -> String {
        self.next += 1;
        format!("^bb{}", self.next)
    }

    /// Sets the place of the instructions that follow; an empty file stands for an unknown one.
    pub fn at(&mut self, file: &str, line: u32, col: u32) {
        if line == 0 {
            self.place.clear();
            return;
        }
        let loc = format!("loc({}:{line}:{col})", quoted(file));
        let n = self.places.len();
        let name = self.places.entry(loc).or_insert_with(|| format!("#loc{n}"));
        self.place = format!(" loc({name})");
    }

    /// A constant, e.g. `dense<0.0> : vector<16xf32>`.
    pub fn constant(&mut self, text: &str) -> String {
        let n = self.constants.len();
        self.constants.entry(text.to_string()).or_insert_with(|| format!("%c{n}")).clone()
    }

    /// An index constant.
    pub fn index(&mut self, value: usize) -> String {
        self.constant(&format!("{value} : index"))
    }

    /// An index constant as a position.
    pub fn fixed(&mut self, value: usize) -> Ix {
        Ix { ssa: self.index(value), depth: 0 }
    }

    /// How many scopes are open inside the nest.
    pub fn depth(&self) -> usize {
        self.scopes.len().saturating_sub(1)
    }

    /// Starts the code of one op.
    pub fn open_nest(&mut self) {
        debug_assert!(self.scopes.is_empty(), "nests do not nest");
        self.scopes.push(Scope::default());
    }

    /// Ends it.
    pub fn close_nest(&mut self) {
        if let Some(scope) = self.scopes.pop() {
            self.body.push_str(&scope.text);
        }
    }

    /// A line without result in the innermost scope.
    pub fn line(&mut self, text: &str) {
        let indent = "  ".repeat(self.scopes.len().max(1));
        let place = self.place.clone();
        let target = self.scopes.last_mut().map_or(&mut self.body, |s| &mut s.text);
        let _ = writeln!(target, "{indent}{text}{place}");
    }

    /// A line that takes no place: labels and braces.
    pub fn bare(&mut self, text: &str) {
        let target = self.scopes.last_mut().map_or(&mut self.body, |s| &mut s.text);
        let _ = writeln!(target, "{text}");
    }

    /// A pure instruction in the scope at `depth`; the same text there gives the same result.
    pub fn pure(&mut self, depth: usize, text: &str) -> String {
        if let Some(found) = self.scopes.iter().take(depth + 1).find_map(|s| s.seen.get(text)) {
            return found.clone();
        }
        let name = self.fresh();
        let indent = "  ".repeat(depth + 1);
        let place = self.place.clone();
        match self.scopes.get_mut(depth) {
            Some(scope) => {
                let _ = writeln!(scope.text, "{indent}{name} = {text}{place}");
                scope.seen.insert(text.to_string(), name.clone());
            }
            None => {
                let _ = writeln!(self.body, "{indent}{name} = {text}{place}");
            }
        }
        name
    }

    /// An instruction with a result in the innermost scope that is never shared.
    pub fn op(&mut self, text: &str) -> String {
        let name = self.fresh();
        self.line(&format!("{name} = {text}"));
        name
    }

    /// Opens a counted loop; bounds are SSA names of indices.
    pub fn open_loop(&mut self, lo: &str, hi: &str, step: usize) -> Ix {
        self.open_loop_with(lo, hi, step, &[]).0
    }

    /// Opens a counted loop that carries values, given as (initial value, type). Returns the counter and the carried values' names. It is
    /// closed by [`Code::close_loop_with`] with the names of its results.
    pub fn open_loop_with(
        &mut self,
        lo: &str,
        hi: &str,
        step: usize,
        carried: &[(String, String)],
    ) -> (Ix, Vec<String>) {
        let step = self.index(step);
        let iv = self.fresh();
        let args: Vec<String> = carried.iter().map(|_| self.fresh()).collect();
        let mut head = format!("scf.for {iv} = {lo} to {hi} step {step}");
        if !carried.is_empty() {
            let pairs: Vec<String> =
                args.iter().zip(carried).map(|(a, (i, _))| format!("{a} = {i}")).collect();
            let types: Vec<&str> = carried.iter().map(|(_, t)| t.as_str()).collect();
            let _ = write!(head, " iter_args({}) -> ({})", pairs.join(", "), types.join(", "));
        }
        self.scopes.push(Scope { head, ..Scope::default() });
        (Ix { ssa: iv, depth: self.depth() }, args)
    }

    /// Opens `if cond`.
    pub fn open_if(&mut self, cond: &str) {
        self.scopes.push(Scope { head: format!("scf.if {cond}"), ..Scope::default() });
    }

    /// Closes a loop or an `if` that yields nothing.
    pub fn close(&mut self) {
        self.close_loop_with(&[]);
    }

    /// Closes a loop with the carried values' next values (name and type); returns its results.
    pub fn close_loop_with(&mut self, next: &[(String, String)]) -> Vec<String> {
        let Some(scope) = self.scopes.pop() else { return Vec::new() };
        let results: Vec<String> = next.iter().map(|_| self.fresh()).collect();
        let indent = "  ".repeat(self.scopes.len().max(1));
        let place = self.place.clone();
        let target = self.scopes.last_mut().map_or(&mut self.body, |s| &mut s.text);
        let equals = if results.is_empty() { String::new() } else { format!("{} = ", results.join(", ")) };
        let _ = writeln!(target, "{indent}{equals}{} {{", scope.head);
        // `%a, %b = scf.for` names several results of one op, which MLIR's syntax allows.
        target.push_str(&scope.text);
        if !next.is_empty() {
            let (names, types): (Vec<&str>, Vec<&str>) =
                next.iter().map(|(n, t)| (n.as_str(), t.as_str())).unzip();
            let _ = writeln!(target, "{indent}  scf.yield {} : {}", names.join(", "), types.join(", "));
        }
        let _ = writeln!(target, "{indent}}}{place}");
        results
    }

    /// The function's constants and text, and the aliases of places that belong at the module's end.
    pub fn finish(self) -> (String, String, String) {
        let mut constants = String::new();
        for (text, name) in &self.constants {
            let _ = writeln!(constants, "  {name} = arith.constant {text}");
        }
        let places = self.places.iter().map(|(loc, name)| format!("{name} = {loc}\n")).collect();
        (constants, self.body, places)
    }
}

/// A string literal as MLIR reads it: whatever is not printable ASCII, and quotes and backslashes, as two hex digits a byte.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => _ = write!(out, "\\{byte:02X}"),
            b' '..=b'~' => out.push(byte as char),
            _ => _ = write!(out, "\\{byte:02X}"),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn literals_are_ascii() {
        assert_eq!(quoted("src/a b~.rs"), "\"src/a b~.rs\"");
        assert_eq!(quoted("é\"\\\n"), "\"\\C3\\A9\\22\\5C\\0A\"");
    }
}
