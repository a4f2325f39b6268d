//! Statements: bindings, assignments, and the value of a block.

use super::Checker;
use super::env::Region;
use super::kind::Kind;
use crate::sig::Ty;
use syn::{Block, Expr, Ident, Local, Pat, Stmt, UnOp};

impl Checker {
    /// Checks a block in a scope of its own; its value.
    pub fn block(&mut self, b: &Block, region: Region) -> Kind {
        self.env.push(region);
        let value = self.stmts(&b.stmts);
        self.env.pop();
        value
    }

    fn stmts(&mut self, stmts: &[Stmt]) -> Kind {
        let mut value = Kind::Unit;
        for stmt in stmts {
            value = Kind::Unit;
            match stmt {
                Stmt::Local(l) => self.local(l),
                Stmt::Expr(e, None) => value = self.expr(e),
                Stmt::Expr(e, Some(_)) => {
                    self.expr(e);
                }
                Stmt::Macro(m) => self.macro_call(&m.mac),
                Stmt::Item(i) => {
                    self.error(i, "a device function holds no items: move this out of it");
                }
            }
        }
        value
    }

    fn local(&mut self, l: &Local) {
        let mut kind = match &l.init {
            Some(init) => {
                if let Some((word, _)) = &init.diverge {
                    self.error(word, "`let .. else` cannot be compiled for a device: use `if`");
                }
                self.expr(&init.expr)
            }
            None => Kind::Unknown,
        };
        let mut pat = &l.pat;
        if let Pat::Type(t) = pat {
            kind = self.annotated(&t.ty, kind, l.init.as_ref().map(|i| &*i.expr));
            pat = &t.pat;
        }
        self.declare_pattern(pat, kind);
    }

    /// Holds an annotation against a value; what the variable is from here on. A constant takes the type.
    fn annotated(&mut self, ty: &syn::Type, found: Kind, value: Option<&Expr>) -> Kind {
        let generics: Vec<Ident> =
            self.elems.keys().map(|n| Ident::new(n, proc_macro2::Span::call_site())).collect();
        let Ok(parsed) = Ty::parse(ty, &generics.iter().collect::<Vec<_>>()) else { return found };
        let declared = self.type_kind(&parsed);
        if let (true, Kind::Tile(elem, _) | Kind::Scalar(elem), Some(value)) =
            (found.is_const(), &declared, value)
        {
            self.constant_fits(&found, elem, value);
            return declared;
        }
        if let Some(diff) = self.diff(&declared, &found) {
            self.error(ty, diff.against("this says"));
            return Kind::Unknown;
        }
        match declared {
            Kind::Scalar(_) | Kind::Tile(..) => declared,
            _ => found,
        }
    }

    /// Declares the names of a pattern.
    pub fn declare_pattern(&mut self, pat: &Pat, kind: Kind) {
        match (pat, kind) {
            (Pat::Ident(p), Kind::Unit) => {
                self.error(&p.ident, format!("`{}` would be nothing: the expression has no value", p.ident));
                self.env.declare(&p.ident.to_string(), Kind::Unknown);
            }
            (Pat::Ident(p), kind) => self.env.declare(&p.ident.to_string(), kind),
            (Pat::Type(t), kind) => self.declare_pattern(&t.pat, kind),
            (Pat::Paren(p), kind) => self.declare_pattern(&p.pat, kind),
            (Pat::Wild(_), _) => {}
            (Pat::Tuple(t), kind) => {
                let parts = match kind {
                    Kind::Tuple(parts) if parts.len() == t.elems.len() => parts,
                    Kind::Unknown => Vec::new(),
                    other => {
                        let n = t.elems.len();
                        self.error(
                            t,
                            format!("this names {n} values, the expression is {}", other.describe()),
                        );
                        Vec::new()
                    }
                };
                let mut parts = parts.into_iter();
                for p in &t.elems {
                    self.declare_pattern(p, parts.next().unwrap_or(Kind::Unknown));
                }
            }
            (other, _) => {
                self.error(other, "a binding is a name or a tuple of names");
            }
        }
    }

    /// `target = value`.
    pub fn assign(&mut self, target: &Expr, new: Kind, value: &Expr) {
        match target {
            Expr::Path(p) => {
                let Some(name) = p.path.get_ident().map(|i| i.to_string()) else { return };
                self.assign_name(&name, new, value);
            }
            Expr::Paren(p) => self.assign(&p.expr, new, value),
            Expr::Tuple(t) => {
                let parts = match (new, value) {
                    (Kind::Tuple(parts), _) if parts.len() == t.elems.len() => parts,
                    (Kind::Unknown, _) => Vec::new(),
                    (other, _) => {
                        let n = t.elems.len();
                        self.error(value, format!("{n} values are assigned, this is {}", other.describe()));
                        Vec::new()
                    }
                };
                let mut parts = parts.into_iter();
                for (i, target) in t.elems.iter().enumerate() {
                    let value = match value {
                        Expr::Tuple(v) => v.elems.get(i).unwrap_or(value),
                        v => v,
                    };
                    self.assign(target, parts.next().unwrap_or(Kind::Unknown), value);
                }
            }
            Expr::Unary(u) if matches!(u.op, UnOp::Deref(_)) => {
                if let Expr::Path(p) = &*u.expr
                    && let Some(name) = p.path.get_ident().map(|i| i.to_string())
                    && let Some(old) = self.env.get(&name).cloned()
                    && let Some(diff) = self.diff(&old, &new)
                {
                    self.error(value, diff.assigned(&format!("`{name}` belongs to the caller")));
                }
            }
            Expr::Field(_) => {}
            Expr::Infer(_) => {}
            Expr::Index(i) => {
                if matches!(self.expr(&i.expr), Kind::Tile(..)) {
                    self.error(i, "elements of a tile are not assigned one by one: use `select(c, a, b)`");
                }
            }
            Expr::MethodCall(_) => {
                if let Kind::View(_) = self.expr(target) {
                    self.error(target, "memory is written with `.store(x)`");
                }
            }
            other => {
                self.error(other, "this cannot be assigned to");
            }
        }
    }

    fn assign_name(&mut self, name: &str, new: Kind, value: &Expr) {
        let Some(old) = self.env.get(name).cloned() else { return };
        let why = match self.env.crossed(name) {
            Region::Plain => {
                self.env.set(name, new);
                return;
            }
            Region::Loop => format!("`{name}` is loop-carried"),
            Region::Branch => format!("`{name}` comes into this branch"),
        };
        if let Some(diff) = self.diff(&old, &new) {
            self.error(value, diff.assigned(&why));
            self.env.set(name, Kind::Unknown);
        }
    }
}
