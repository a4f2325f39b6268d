//! A kernel's definition: everything `#[kernel]` learned from the user's function, ready to be built for any constants.
//!
//! Building is a function of constants and [`Facts`]; nothing here compiles or launches.

use super::TuneSpace;
use crate::diag::{Diagnostic, Diagnostics, Loc};
use crate::ir::{Builder, Elem, Facts, GridAxis, Kernel, Param, verify};
use std::borrow::Cow;
use std::fmt;

/// What a generic parameter of a kernel stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenericKind {
    /// An element type out of a list.
    Elem(&'static [Elem]),
    /// A size.
    Int,
    /// A switch.
    Bool,
}

/// A generic parameter of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generic {
    /// The user's name for it.
    pub name: &'static str,
    /// What it stands for.
    pub kind: GenericKind,
}

/// The value of a generic parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Const {
    /// An element type.
    Elem(Elem),
    /// A size.
    Int(i64),
    /// A switch.
    Bool(bool),
}

impl fmt::Display for Const {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Const::Elem(e) => write!(f, "{e}"),
            Const::Int(i) => write!(f, "{i}"),
            Const::Bool(b) => write!(f, "{b}"),
        }
    }
}

/// The values of a kernel's generic parameters, in order of declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Consts(pub Vec<(Cow<'static, str>, Const)>);

impl Consts {
    /// From pairs of name and value.
    pub fn new(pairs: &[(&str, Const)]) -> Consts {
        Consts(pairs.iter().map(|(n, c)| (n.to_string().into(), *c)).collect())
    }

    /// The same where names are those of the source, as in a launch: they are not copied.
    pub fn named(pairs: impl IntoIterator<Item = (&'static str, Const)>) -> Consts {
        Consts(pairs.into_iter().map(|(n, c)| (n.into(), c)).collect())
    }

    /// The value of a generic, if it was given.
    pub fn get(&self, name: &str) -> Option<Const> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, c)| *c)
    }

    /// A size; 0 if it was not given, which [`KernelDef::build`] excludes.
    pub fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Const::Int(i)) => i,
            _ => 0,
        }
    }

    /// A switch; false if it was not given, which [`KernelDef::build`] excludes.
    pub fn bool(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Const::Bool(true)))
    }

    /// An element type; `f32` if it was not given, which [`KernelDef::build`] excludes.
    pub fn elem(&self, name: &str) -> Elem {
        match self.get(name) {
            Some(Const::Elem(e)) => e,
            _ => Elem::F32,
        }
    }
}

impl fmt::Display for Consts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (n, c)) in self.0.iter().enumerate() {
            write!(f, "{}{n}={c}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// Evaluates a condition under constants and the runtime dims known so far.
pub type Holds = fn(&Consts, &dyn Fn(&str) -> Option<i64>) -> Option<bool>;

/// Of a kernel's `build`, that for launches whose sizes are multiples of the blocks they are asked about, so that no block has a tail.
pub fn whole_blocks(
    build: impl Fn(&Facts) -> Result<Kernel, Diagnostics>,
) -> impl Fn(&Facts) -> Result<Kernel, Diagnostics> {
    move |facts| {
        let mut facts = facts.clone();
        loop {
            let kernel = build(&facts)?;
            if kernel.even.keys().all(|asked| facts.even.contains_key(asked)) {
                return Ok(kernel);
            }
            facts.even.extend(kernel.even.keys().map(|asked| (asked.clone(), true)));
        }
    }
}

/// A condition that the user wrote in `require(...)`.
pub struct Require {
    /// The condition as written.
    pub text: &'static str,
    /// Its value; `None` while a runtime dim in it is unknown.
    pub holds: Holds,
}

/// A kernel as written, for any constants. `#[kernel]` makes a static of this type with the kernel's name.
pub struct KernelDef {
    /// The function's name.
    pub name: &'static str,
    /// Its doc comment.
    pub doc: &'static str,
    /// Where it was written.
    pub loc: Loc,
    /// Generic parameters in order.
    pub generics: &'static [Generic],
    /// Runtime dims in order.
    pub dims: &'static [&'static str],
    /// The grid for given constants, fastest axis first.
    pub grid: fn(&Consts) -> Vec<GridAxis>,
    /// Parameters for given constants.
    pub params: fn(&Consts) -> Vec<Param>,
    /// Conditions of launch.
    pub require: &'static [Require],
    /// What a tuner may try.
    pub tune: TuneSpace,
    /// Writes the body.
    pub body: fn(&Builder, &Consts),
}

impl KernelDef {
    /// The kernel's tile IR for given constants and facts.
    ///
    /// # Errors
    /// A constant that is missing, unknown, of the wrong kind or not positive, a `require` that does not hold, or whatever the body reports.
    pub fn build(&self, consts: &Consts, facts: &Facts) -> Result<Kernel, Diagnostics> {
        self.check_consts(consts)?;
        let builder = Builder::new(self.name, self.dims, (self.grid)(consts), (self.params)(consts), facts);
        (self.body)(&builder, consts);
        let kernel = builder.finish()?;
        if cfg!(debug_assertions) {
            verify(&kernel)?;
        }
        Ok(kernel)
    }

    /// Checks constants against the generics and the constant part of `require`.
    ///
    /// # Errors
    /// As [`KernelDef::build`], less the body's.
    pub fn check_consts(&self, consts: &Consts) -> Result<(), Diagnostics> {
        let mut errors = Vec::new();
        let mut report = |message: String| {
            errors.push(Diagnostic { kernel: self.name.to_string(), loc: self.loc, message })
        };
        for g in self.generics {
            match (g.kind, consts.get(g.name)) {
                (_, None) => report(format!("no value is given for the generic `{}`", g.name)),
                (GenericKind::Elem(allowed), Some(Const::Elem(e))) if allowed.contains(&e) => {}
                (GenericKind::Elem(allowed), Some(c)) => {
                    let names: Vec<_> = allowed.iter().map(|e| e.name()).collect();
                    report(format!("`{}` is {c}, it must be one of {}", g.name, names.join(", ")));
                }
                (GenericKind::Int, Some(Const::Int(i))) if i > 0 => {}
                (GenericKind::Int, Some(c)) => {
                    report(format!("`{}` is {c}, it must be a positive size", g.name))
                }
                (GenericKind::Bool, Some(Const::Bool(_))) => {}
                (GenericKind::Bool, Some(c)) => {
                    report(format!("`{}` is {c}, it must be true or false", g.name))
                }
            }
        }
        for (name, _) in &consts.0 {
            if !self.generics.iter().any(|g| g.name == name) {
                report(format!("`{name}` is not a generic of this kernel"));
            }
        }
        if errors.is_empty() {
            for r in self.require {
                if (r.holds)(consts, &|_| None) == Some(false) {
                    let message = format!("requires {}, which does not hold for {consts}", r.text);
                    errors.push(Diagnostic { kernel: self.name.to_string(), loc: self.loc, message });
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Diagnostics(errors)) }
    }
}
