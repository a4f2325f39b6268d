//! Questions about a piece of a body: is it constant, which variables does it change.

use super::body::Body;
use super::call::{is_builtin_method, is_const_function};
use syn::{BinOp, Block, Expr, Pat, Stmt, UnOp};

impl Body {
    /// Whether an expression is known when the kernel is built.
    pub fn is_const(&self, e: &Expr) -> bool {
        match e {
            Expr::Lit(_) => true,
            Expr::Paren(p) => self.is_const(&p.expr),
            Expr::Group(g) => self.is_const(&g.expr),
            Expr::Path(p) => match p.path.get_ident() {
                Some(name) => match self.var(&name.to_string()) {
                    Some(v) => v.konst,
                    None => true,
                },
                None => true,
            },
            Expr::Unary(u) => !matches!(u.op, UnOp::Deref(_)) && self.is_const(&u.expr),
            Expr::Binary(b) => !is_compound(&b.op) && self.is_const(&b.left) && self.is_const(&b.right),
            Expr::MethodCall(m) => {
                is_const_function(&m.method.to_string())
                    && self.is_const(&m.receiver)
                    && m.args.iter().all(|a| self.is_const(a))
            }
            Expr::Call(c) => {
                matches!(c.func.as_ref(), Expr::Path(p) if p.path.get_ident().is_some_and(|n| is_const_function(&n.to_string())))
                    && c.args.iter().all(|a| self.is_const(a))
            }
            Expr::If(i) => {
                self.is_const(&i.cond)
                    && self.block_is_const(&i.then_branch)
                    && i.else_branch.as_ref().is_some_and(|(_, e)| self.is_const(e))
            }
            Expr::Block(b) => self.block_is_const(&b.block),
            _ => false,
        }
    }

    fn block_is_const(&self, b: &Block) -> bool {
        matches!(b.stmts.as_slice(), [Stmt::Expr(e, None)] if self.is_const(e))
    }

    /// Whether a `mut` variable that starts as a constant stays one through the rest of its block: it is only given
    /// constants, and never in a loop or branch of the running kernel.
    pub fn stays_const(&self, name: &str, rest: &[Stmt]) -> bool {
        let mut walk = Changes { body: self, declared: Vec::new(), found: Vec::new(), runtime: 0, bad: None };
        walk.bad = Some((name.to_string(), false));
        walk.stmts(rest);
        !walk.bad.is_some_and(|(_, bad)| bad)
    }

    /// The variables of outer scopes that these statements change, in order of first change.
    pub fn changed(&self, blocks: &[&Block]) -> Vec<String> {
        let mut walk = Changes { body: self, declared: Vec::new(), found: Vec::new(), runtime: 0, bad: None };
        for b in blocks {
            walk.block(b);
        }
        walk.found.retain(|n| self.var(n).is_some_and(|v| v.mutable && !v.konst));
        walk.found
    }
}

/// Whether an operator assigns.
pub fn is_compound(op: &BinOp) -> bool {
    use BinOp::*;
    matches!(
        op,
        AddAssign(_)
            | SubAssign(_)
            | MulAssign(_)
            | DivAssign(_)
            | RemAssign(_)
            | BitXorAssign(_)
            | BitAndAssign(_)
            | BitOrAssign(_)
            | ShlAssign(_)
            | ShrAssign(_)
    )
}

/// The variable that a place is part of.
pub fn root(e: &Expr) -> Option<String> {
    match e {
        Expr::Path(p) => p.path.get_ident().map(|i| i.to_string()),
        Expr::Field(f) => root(&f.base),
        Expr::Paren(p) => root(&p.expr),
        Expr::Group(g) => root(&g.expr),
        Expr::Unary(u) if matches!(u.op, UnOp::Deref(_)) => root(&u.expr),
        Expr::Reference(r) => root(&r.expr),
        _ => None,
    }
}

/// The names a pattern declares.
pub fn pattern_names(p: &Pat, out: &mut Vec<String>) {
    match p {
        Pat::Ident(i) => out.push(i.ident.to_string()),
        Pat::Tuple(t) => t.elems.iter().for_each(|p| pattern_names(p, out)),
        Pat::Type(t) => pattern_names(&t.pat, out),
        Pat::Paren(p) => pattern_names(&p.pat, out),
        _ => {}
    }
}

/// Whether a loop runs when the kernel is built: `for i in unroll(a..b)`.
pub fn unroll_range(e: &Expr) -> Option<&Expr> {
    match e {
        Expr::Call(c) if c.args.len() == 1 => match c.func.as_ref() {
            Expr::Path(p) if p.path.is_ident("unroll") => c.args.first(),
            _ => None,
        },
        _ => None,
    }
}

struct Changes<'a> {
    body: &'a Body,
    declared: Vec<String>,
    found: Vec<String>,
    /// How many loops and branches of the running kernel are around.
    runtime: usize,
    /// A variable being watched, and whether it was changed other than to a constant at build time.
    bad: Option<(String, bool)>,
}

impl Changes<'_> {
    fn block(&mut self, b: &Block) {
        let depth = self.declared.len();
        self.stmts(&b.stmts);
        self.declared.truncate(depth);
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for s in stmts {
            match s {
                Stmt::Local(l) => {
                    if let Some(init) = &l.init {
                        self.expr(&init.expr);
                    }
                    pattern_names(&l.pat, &mut self.declared);
                }
                Stmt::Expr(e, _) => self.expr(e),
                Stmt::Item(_) | Stmt::Macro(_) => {}
            }
        }
    }

    fn change(&mut self, name: Option<String>, value: Option<&Expr>) {
        let Some(name) = name else { return };
        if self.declared.contains(&name) {
            return;
        }
        if let Some((watched, bad)) = &mut self.bad
            && *watched == name
        {
            let local = |n: &str| self.declared.iter().any(|d| d == n);
            let fine = self.runtime == 0
                && value.is_some_and(|v| {
                    self.body.is_const(v) && !mentions_any(v, &local) && !mentions_any(v, &|n| n == name)
                });
            *bad |= !fine;
        }
        if !self.found.contains(&name) {
            self.found.push(name);
        }
    }

    fn expr(&mut self, e: &Expr) {
        match e {
            Expr::Assign(a) => {
                self.expr(&a.right);
                match a.left.as_ref() {
                    Expr::Tuple(t) => t.elems.iter().for_each(|e| self.change(root(e), None)),
                    left => self.change(root(left), Some(&a.right)),
                }
            }
            Expr::Binary(b) => {
                self.expr(&b.left);
                self.expr(&b.right);
                if is_compound(&b.op) {
                    self.change(root(&b.left), None);
                }
            }
            Expr::MethodCall(m) => {
                self.expr(&m.receiver);
                m.args.iter().for_each(|a| self.arg(a));
                if !is_builtin_method(&m.method.to_string()) {
                    self.change(root(&m.receiver), None);
                }
            }
            Expr::Call(c) => c.args.iter().for_each(|a| self.arg(a)),
            Expr::Unary(u) => self.expr(&u.expr),
            Expr::Paren(p) => self.expr(&p.expr),
            Expr::Group(g) => self.expr(&g.expr),
            Expr::Field(f) => self.expr(&f.base),
            Expr::Index(i) => {
                self.expr(&i.expr);
                self.expr(&i.index);
            }
            Expr::Tuple(t) => t.elems.iter().for_each(|e| self.expr(e)),
            Expr::Array(a) => a.elems.iter().for_each(|e| self.expr(e)),
            Expr::Struct(s) => s.fields.iter().for_each(|f| self.expr(&f.expr)),
            Expr::Reference(r) => self.expr(&r.expr),
            Expr::Block(b) => self.block(&b.block),
            Expr::If(i) => {
                self.expr(&i.cond);
                let runtime = usize::from(!self.body.is_const(&i.cond));
                self.runtime += runtime;
                self.block(&i.then_branch);
                if let Some((_, e)) = &i.else_branch {
                    self.expr(e);
                }
                self.runtime -= runtime;
            }
            Expr::ForLoop(f) => {
                self.expr(&f.expr);
                let runtime = usize::from(unroll_range(&f.expr).is_none());
                self.runtime += runtime;
                let depth = self.declared.len();
                pattern_names(&f.pat, &mut self.declared);
                self.block(&f.body);
                self.declared.truncate(depth);
                self.runtime -= runtime;
            }
            _ => {}
        }
    }

    /// An argument: `&mut x`, or a `&mut` parameter by its name, may be changed by the callee.
    fn arg(&mut self, e: &Expr) {
        self.expr(e);
        match e {
            Expr::Reference(r) if r.mutability.is_some() => self.change(root(&r.expr), None),
            Expr::Path(_) => {
                if let Some(name) = root(e).filter(|n| self.body.var(n).is_some_and(|v| v.by_ref)) {
                    self.change(Some(name), None);
                }
            }
            _ => {}
        }
    }
}

fn mentions_any(e: &Expr, is: &dyn Fn(&str) -> bool) -> bool {
    use quote::ToTokens;
    fn go(t: proc_macro2::TokenStream, is: &dyn Fn(&str) -> bool) -> bool {
        t.into_iter().any(|t| match t {
            proc_macro2::TokenTree::Ident(i) => is(&i.to_string()),
            proc_macro2::TokenTree::Group(g) => go(g.stream(), is),
            _ => false,
        })
    }
    go(e.to_token_stream(), is)
}
