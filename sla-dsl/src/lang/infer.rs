//! Calls of device functions: the declared parameter types meet the actual values, and the generics follow.

use super::{AsView, Cx, GenericArg, GenericKind, Opd, Operand, TensorView, Val};
use crate::ir::{DimExpr, Elem, Type};

/// Explicit generic arguments at a call: those of the type before the name, and those of the function.
pub type GenericArgs<'a> = [&'a [GenericArg]; 2];

/// An element type as declared.
#[derive(Clone, Copy)]
pub enum ElemPat {
    /// This one.
    Is(Elem),
    /// Whatever the generic with this name is.
    Generic(&'static str),
}

/// A generic argument as declared: of a struct of tiles.
pub enum ArgPat {
    /// A size, or a bare name of any kind.
    Dim(DimExpr),
    /// An element type.
    Elem(Elem),
}

/// What is known of the generics of one call.
pub struct Infer<'b> {
    cx: Cx<'b>,
    func: &'static str,
    generics: &'static [(&'static str, GenericKind)],
    found: Vec<GenericArg>,
    /// Sizes that could not be checked when their parameter was seen.
    later: Vec<(String, DimExpr, i64)>,
}

impl<'b> Infer<'b> {
    /// Starts with the explicit arguments. `outer` is the number of generics that belong to the `impl`.
    pub fn new(
        cx: Cx<'b>,
        func: &'static str,
        outer: usize,
        generics: &'static [(&'static str, GenericKind)],
        explicit: GenericArgs<'_>,
    ) -> Infer<'b> {
        let mut found = vec![GenericArg::Infer; generics.len()];
        for (range, given) in [(0..outer, explicit[0]), (outer..generics.len(), explicit[1])] {
            if !given.is_empty() && given.len() != range.len() {
                cx.error(format!("`{func}` has {} generics here, {} are given", range.len(), given.len()));
                continue;
            }
            found[range].iter_mut().zip(given).for_each(|(f, g)| *f = *g);
        }
        let infer = Infer { cx, func, generics, found, later: Vec::new() };
        for (i, &(name, kind)) in generics.iter().enumerate() {
            infer.check_kind(name, kind, infer.found[i]);
        }
        infer
    }

    fn check_kind(&self, name: &str, kind: GenericKind, arg: GenericArg) {
        let needed = match (kind, arg) {
            (_, GenericArg::Infer)
            | (GenericKind::Int, GenericArg::Int(_))
            | (GenericKind::Bool, GenericArg::Bool(_)) => return,
            (GenericKind::Elem(allowed), GenericArg::Elem(e)) if allowed.contains(&e) => return,
            (GenericKind::Int, _) => "a size".to_string(),
            (GenericKind::Bool, _) => "true or false".to_string(),
            (GenericKind::Elem(allowed), _) => {
                let names: Vec<_> = allowed.iter().map(|e| e.name()).collect();
                format!("one of {}", names.join(", "))
            }
        };
        self.cx.error(format!("`{name}` of `{}` is {arg}, it must be {needed}", self.func));
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.generics.iter().position(|(n, _)| *n == name)
    }

    fn get(&self, name: &str) -> GenericArg {
        self.position(name).map_or(GenericArg::Infer, |i| self.found[i])
    }

    fn bind(&mut self, what: &str, name: &str, arg: GenericArg) {
        let Some(i) = self.position(name) else { return };
        match self.found[i] {
            GenericArg::Infer => {
                self.check_kind(name, self.generics[i].1, arg);
                self.found[i] = arg;
            }
            known if known != arg => {
                self.cx.error(format!("`{name}` of `{}` is {known}, but {what} makes it {arg}", self.func));
            }
            _ => {}
        }
    }

    fn size(&self, e: &DimExpr) -> Option<i64> {
        e.eval(&|n| match self.get(n) {
            GenericArg::Int(i) => Some(i),
            _ => None,
        })
    }

    fn unify_dim(&mut self, what: &str, declared: &DimExpr, actual: i64) {
        match (declared, self.size(declared)) {
            (_, Some(d)) if d == actual => {}
            (DimExpr::Name(n), _) => self.bind(what, n, GenericArg::Int(actual)),
            (e, Some(d)) => self.mismatch(what, e, d, actual),
            (e, None) => self.later.push((what.to_string(), e.clone(), actual)),
        }
    }

    fn mismatch(&self, what: &str, declared: &DimExpr, value: i64, actual: i64) {
        let declared =
            if declared.as_const().is_some() { value.to_string() } else { format!("{declared} = {value}") };
        self.cx.error(format!("{what} of `{}` has a size {actual} where {declared} is declared", self.func));
    }

    fn unify_elem(&mut self, what: &str, declared: ElemPat, actual: Elem) {
        match declared {
            ElemPat::Is(e) if e == actual => {}
            ElemPat::Is(e) => {
                self.cx.error(format!(
                    "{what} of `{}` holds {actual} where {e} is declared; cast it first",
                    self.func
                ));
            }
            ElemPat::Generic(n) => self.bind(what, n, GenericArg::Elem(actual)),
        }
    }

    /// A parameter `name: Tile<elem, dims>`.
    pub fn tile(&mut self, name: &str, value: impl Operand, elem: ElemPat, dims: &[DimExpr]) -> Val {
        let v = Val(value.opd().value(self.cx));
        self.tile_shape(&format!("`{name}`"), v, elem, dims);
        v
    }

    fn tile_shape(&mut self, what: &str, v: Val, elem: ElemPat, dims: &[DimExpr]) {
        match self.cx.b.ty(v.0) {
            Type::Invalid => {}
            Type::Tile(e, shape) if shape.len() == dims.len() => {
                self.unify_elem(what, elem, e);
                for (d, s) in dims.iter().zip(shape) {
                    self.unify_dim(what, d, s as i64);
                }
            }
            ty => {
                let rank = dims.len();
                self.cx.error(format!(
                    "{what} of `{}` is a {ty} where a tile of rank {rank} is declared",
                    self.func
                ));
            }
        }
    }

    /// A parameter `name: elem`.
    pub fn scalar(&mut self, name: &str, value: impl Operand, elem: ElemPat) -> Val {
        let what = format!("`{name}`");
        let value = value.opd();
        let declared = match elem {
            ElemPat::Is(e) => Some(e),
            ElemPat::Generic(n) => match self.get(n) {
                GenericArg::Elem(e) => Some(e),
                _ => None,
            },
        };
        let v = Val(match declared {
            Some(e) => value.adopt(self.cx, e, &[]),
            None => value.value(self.cx),
        });
        match self.cx.b.ty(v.0) {
            Type::Invalid => {}
            Type::Scalar(e) => self.unify_elem(&what, elem, e),
            ty => {
                self.cx.error(format!("{what} of `{}` is a {ty} where a scalar is declared", self.func));
            }
        }
        v
    }

    /// A parameter `name: &Tensor<elem, dims>`; names of dims that are no generics stand for any size.
    pub fn tensor(&mut self, name: &str, value: impl AsView, elem: ElemPat, dims: &[DimExpr]) -> TensorView {
        let view = value.as_view();
        let Some(ty) = view.ty(self.cx) else { return view };
        let what = format!("`{name}`");
        let sizes = view.sizes(self.cx);
        self.unify_elem(&what, elem, ty.elem);
        if sizes.len() != dims.len() {
            let (f, found, rank) = (self.func, sizes.len(), dims.len());
            self.cx.error(format!("{what} of `{f}` has {found} axes where {rank} are declared"));
            return view;
        }
        for (declared, actual) in dims.iter().zip(&sizes) {
            if declared.names().iter().any(|n| self.position(n).is_none()) {
                continue;
            }
            match actual.as_const() {
                Some(c) => self.unify_dim(&what, declared, c),
                None => {
                    let f = self.func;
                    self.cx.error(format!(
                        "{what} of `{f}` has the runtime size {actual} where {declared} is declared"
                    ));
                }
            }
        }
        view
    }

    /// A parameter that is a struct of tiles, declared with these arguments.
    pub fn tiles(&mut self, name: &str, value: &dyn Tiles, args: &[ArgPat]) {
        let what = format!("`{name}`");
        for (pat, actual) in args.iter().zip(value.arguments(self.cx)) {
            match (pat, actual) {
                (_, GenericArg::Infer) => {}
                (ArgPat::Dim(DimExpr::Name(n)), actual) => self.bind(&what, n, actual),
                (ArgPat::Dim(d), GenericArg::Int(i)) => self.unify_dim(&what, d, i),
                (ArgPat::Elem(e), GenericArg::Elem(a)) => self.unify_elem(&what, ElemPat::Is(*e), a),
                (_, actual) => {
                    self.cx
                        .error(format!("{what} of `{}` has an argument {actual} of another kind", self.func));
                }
            }
        }
    }

    /// Checks what had to wait until all parameters were seen.
    pub fn finish(&mut self) {
        for (what, e, actual) in std::mem::take(&mut self.later) {
            match self.size(&e) {
                Some(d) if d == actual => {}
                Some(d) => self.mismatch(&what, &e, d, actual),
                None => {
                    let f = self.func;
                    self.cx.error(format!("the size {e} of {what} does not determine the generics of `{f}`; give them: `{f}::<..>(..)`"));
                }
            }
        }
    }

    fn unknown(&self, name: &str) {
        let f = self.func;
        self.cx
            .error(format!("the arguments do not say what `{name}` of `{f}` is; give it: `{f}::<..>(..)`"));
    }

    /// The size that a generic is.
    pub fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            GenericArg::Int(i) => i,
            other => {
                if other == GenericArg::Infer {
                    self.unknown(name);
                }
                1
            }
        }
    }

    /// The switch that a generic is.
    pub fn bool(&self, name: &str) -> bool {
        match self.get(name) {
            GenericArg::Bool(b) => b,
            other => {
                if other == GenericArg::Infer {
                    self.unknown(name);
                }
                false
            }
        }
    }

    /// The element type that a generic is.
    pub fn elem(&self, name: &str) -> Elem {
        match self.get(name) {
            GenericArg::Elem(e) => e,
            other => {
                if other == GenericArg::Infer {
                    self.unknown(name);
                }
                Elem::F32
            }
        }
    }

    /// Every generic, as far as it is known.
    pub fn arguments(self) -> Vec<GenericArg> {
        self.found
    }

    /// A result declared as a tile; generics that only the result mentions are not checked.
    pub fn result_tile(&mut self, cx: Cx<'_>, value: impl Operand, elem: ElemPat, dims: &[DimExpr]) -> Val {
        let v = Val(value.opd().value(cx));
        let ty = cx.b.ty(v.0);
        let known: Vec<Option<i64>> = dims.iter().map(|d| self.size(d)).collect();
        let elem = match elem {
            ElemPat::Is(e) => Some(e),
            ElemPat::Generic(n) => match self.get(n) {
                GenericArg::Elem(e) => Some(e),
                _ => None,
            },
        };
        let fits = match &ty {
            Type::Invalid => true,
            Type::Tile(e, shape) => {
                elem.is_none_or(|d| d == *e)
                    && shape.len() == dims.len()
                    && shape.iter().zip(&known).all(|(&s, k)| k.is_none_or(|k| k == s as i64))
            }
            _ => false,
        };
        if fits {
            return v;
        }
        let dims: Vec<String> = dims.iter().map(|d| d.to_string()).collect();
        cx.error(format!(
            "the result of `{}` is a {ty} where a tile [{}] is declared",
            self.func,
            dims.join(", ")
        ))
    }

    /// A result declared as a scalar.
    pub fn result_scalar(&mut self, cx: Cx<'_>, value: impl Operand, elem: ElemPat) -> Val {
        let value: Opd = value.opd();
        let elem = match elem {
            ElemPat::Is(e) => e,
            ElemPat::Generic(n) => self.elem(n),
        };
        let v = Val(value.adopt(cx, elem, &[]));
        match cx.b.ty(v.0) {
            Type::Invalid => v,
            Type::Scalar(e) if e == elem => v,
            ty => {
                cx.error(format!("the result of `{}` is a {ty} where a scalar {elem} is declared", self.func))
            }
        }
    }
}

/// A struct marked `#[tiles]`.
#[diagnostic::on_unimplemented(message = "`{Self}` is not marked `#[tiles]`")]
pub trait Tiles {
    /// Its generic arguments, found from its fields; fields that do not fit each other are reported.
    fn arguments(&self, cx: Cx<'_>) -> Vec<GenericArg>;

    /// One whose fields were all rejected.
    fn invalid(cx: Cx<'_>) -> Self
    where
        Self: Sized;
}

/// A struct of tiles whose fields fit each other; a mistake is reported.
pub fn checked<T: Tiles>(cx: Cx<'_>, value: T) -> T {
    value.arguments(cx);
    value
}
