//! Scopes: which names stand for what, and which regions lie between a use and a declaration.
//!
//! A region is a body whose values must keep their types, because it runs any number of times (a loop) or maybe not at all (a branch).

use super::kind::Kind;

/// Why a scope was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// A block; also a branch or an unrolled loop, which are decided at build time.
    Plain,
    /// The body of a loop.
    Loop,
    /// A branch on a value.
    Branch,
}

#[derive(Clone, Debug)]
struct Scope {
    region: Region,
    names: Vec<(String, Kind)>,
}

/// The names in scope.
#[derive(Clone, Debug, Default)]
pub struct Env(Vec<Scope>);

impl Env {
    /// Opens a scope.
    pub fn push(&mut self, region: Region) {
        self.0.push(Scope { region, names: Vec::new() });
    }

    /// Closes the innermost scope.
    pub fn pop(&mut self) {
        self.0.pop();
    }

    /// Declares a name in the innermost scope, shadowing others.
    pub fn declare(&mut self, name: &str, kind: Kind) {
        if let Some(scope) = self.0.last_mut() {
            scope.names.push((name.to_string(), kind));
        }
    }

    /// What a name stands for.
    pub fn get(&self, name: &str) -> Option<&Kind> {
        self.0.iter().rev().flat_map(|s| s.names.iter().rev()).find(|(n, _)| n == name).map(|(_, k)| k)
    }

    /// Gives a name a new kind, where it was declared.
    pub fn set(&mut self, name: &str, kind: Kind) {
        let found = self.0.iter_mut().rev().flat_map(|s| s.names.iter_mut().rev()).find(|(n, _)| n == name);
        if let Some((_, k)) = found {
            *k = kind;
        }
    }

    /// The region that an assignment to `name` leaves: a loop if there is one between here and the declaration.
    pub fn crossed(&self, name: &str) -> Region {
        let mut crossed = Region::Plain;
        for scope in self.0.iter().rev() {
            if scope.names.iter().any(|(n, _)| n == name) {
                break;
            }
            if crossed != Region::Loop && scope.region != Region::Plain {
                crossed = scope.region;
            }
        }
        crossed
    }

    /// Forgets what differs between the ends of two branches that began alike.
    pub fn join(&mut self, other: &Env) {
        for (scope, theirs) in self.0.iter_mut().zip(&other.0) {
            for ((_, kind), (_, their_kind)) in scope.names.iter_mut().zip(&theirs.names) {
                if kind != their_kind {
                    *kind = Kind::Unknown;
                }
            }
        }
    }
}
