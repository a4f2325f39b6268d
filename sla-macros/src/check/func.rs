//! Entry points: a kernel, a device function, and the device functions of an `impl` block.

use super::env::Region;
use super::kind::{Elem, Kind};
use super::poly::Poly;
use super::{Checker, walk};
use crate::sig::{ElemClass, FuncFn, FuncImpl, Generic, GenericKind, KernelFn, Sig, Ty};
use std::collections::BTreeMap;
use syn::Ident;

/// Every mistake in a kernel.
pub fn check_kernel(k: &KernelFn) -> Vec<syn::Error> {
    let mut c = Checker::default();
    c.env.push(Region::Plain);
    let unclear = c.one_meaning(k);
    c.generics(&k.sig.generics);
    for d in &k.attr.dims {
        c.dim(d);
    }
    for r in &k.attr.require {
        let kind = c.expr(&r.expr);
        c.condition(&kind, &r.expr, "a requirement");
        c.doubted.extend(walk::compared_names(&r.expr));
    }
    c.params(&k.sig);
    for axis in &k.attr.grid {
        c.env.declare(&axis.name.to_string(), Kind::Scalar(Elem::I32));
    }
    for name in unclear {
        c.dims.remove(&name);
        c.env.declare(&name, Kind::Unknown);
    }
    c.ret = Some(c.type_kind(&k.sig.ret)).filter(|k| *k == Kind::Unit);
    c.body(&k.body);
    c.errors
}

/// Every mistake in a device function.
pub fn check_func(f: &FuncFn) -> Vec<syn::Error> {
    check_within(f, &[])
}

/// Every mistake in the device functions of an `impl` block.
pub fn check_impl(i: &FuncImpl) -> Vec<syn::Error> {
    i.funcs.iter().flat_map(|f| check_within(f, &i.generics)).collect()
}

fn check_within(f: &FuncFn, outer: &[Generic]) -> Vec<syn::Error> {
    let mut c = Checker::default();
    c.env.push(Region::Plain);
    c.generics(outer);
    c.generics(&f.sig.generics);
    c.sizes_of_tensors(&f.sig);
    c.params(&f.sig);
    c.ret = Some(c.type_kind(&f.sig.ret));
    c.body(&f.body);
    c.errors
}

impl Checker {
    /// Reports names of a kernel that are declared in two ways, and lists them.
    fn one_meaning(&mut self, k: &KernelFn) -> Vec<String> {
        let generics = k.sig.generics.iter().map(|g| (&g.name, "a generic"));
        let dims = k.attr.dims.iter().map(|d| (d, "a dim"));
        let params = k.sig.params.iter().map(|p| (&p.name, "a parameter"));
        let grid = k.attr.grid.iter().map(|a| (&a.name, "a grid axis"));
        let mut seen: BTreeMap<&Ident, &str> = BTreeMap::new();
        let mut unclear = Vec::new();
        for (name, what) in generics.chain(dims).chain(params).chain(grid) {
            match seen.insert(name, what) {
                Some(before) if before != what => {
                    unclear.push(name.to_string());
                    self.error(name, format!("`{name}` is declared twice: as {before} and as {what}"));
                }
                Some(_) if what != "a generic" => {
                    self.error(name, format!("`{name}` is declared twice"));
                }
                _ => {}
            }
        }
        unclear
    }

    /// Declares a size that only a launch knows.
    fn dim(&mut self, name: &Ident) {
        self.dims.insert(name.to_string());
        self.env.declare(&name.to_string(), Kind::Scalar(Elem::I32));
    }

    /// Declares names in the shapes of a device function's tensors that are no generics: they stand for the sizes found there.
    fn sizes_of_tensors(&mut self, sig: &Sig) {
        for p in &sig.params {
            let Ty::Tensor { shape, .. } = &p.ty else { continue };
            for name in shape.dims.iter().flat_map(|d| d.names()) {
                if self.env.get(&name.to_string()).is_none() {
                    self.dim(name);
                }
            }
        }
    }

    /// Declares generic parameters.
    fn generics(&mut self, generics: &[Generic]) {
        for g in generics {
            let name = g.name.to_string();
            match g.kind {
                GenericKind::Elem(class) => {
                    self.elems.insert(name, class != ElemClass::Any);
                }
                GenericKind::Int => self.env.declare(&name, Kind::Int(Some(Poly::name(&name)))),
                GenericKind::Bool => self.env.declare(&name, Kind::Bool),
            }
        }
    }

    /// Declares parameters. A size is known by the parameter's own name.
    fn params(&mut self, sig: &Sig) {
        for p in &sig.params {
            let name = p.name.to_string();
            let kind = match self.type_kind(&p.ty) {
                Kind::Int(_) => Kind::Int(Some(Poly::name(&name))),
                Kind::View(mut m) => {
                    m.tensor.clone_from(&name);
                    Kind::View(m)
                }
                kind => kind,
            };
            self.env.declare(&name, kind);
        }
    }

    /// Checks a body against what the function returns.
    fn body(&mut self, body: &syn::Block) {
        let found = self.block(body, Region::Plain);
        let (Some(declared), Some(tail)) = (self.ret.clone(), walk::tail(body)) else { return };
        match (&declared, &found) {
            (Kind::Unit, Kind::Unit | Kind::Unknown) => {}
            (Kind::Unit, _) => {
                let found = found.describe();
                self.error(tail, format!("this function returns nothing, its last expression is {found}"));
            }
            _ => {
                if let Some(diff) = self.diff(&declared, &found) {
                    self.error(tail, diff.against("this function returns"));
                }
            }
        }
    }
}
