//! Questions about syntax that need no kinds.

use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{BinOp, Block, Expr, Stmt};

/// The expression that is a block's value.
pub fn tail(b: &Block) -> Option<&Expr> {
    match b.stmts.last() {
        Some(Stmt::Expr(e, None)) => Some(e),
        _ => None,
    }
}

/// Names on either side of an `==` or `!=` in a condition, which may be equal to something there. A remainder ties nothing.
pub fn compared_names(e: &Expr) -> BTreeSet<String> {
    #[derive(Default)]
    struct Names {
        found: BTreeSet<String>,
        remainder: bool,
    }
    impl<'a> Visit<'a> for Names {
        fn visit_expr_binary(&mut self, b: &'a syn::ExprBinary) {
            self.remainder |= matches!(b.op, BinOp::Rem(_));
            visit::visit_expr_binary(self, b);
        }
        fn visit_expr_path(&mut self, p: &'a syn::ExprPath) {
            self.found.extend(p.path.get_ident().map(|i| i.to_string()));
        }
    }
    struct Compared(BTreeSet<String>);
    impl<'a> Visit<'a> for Compared {
        fn visit_expr_binary(&mut self, b: &'a syn::ExprBinary) {
            if matches!(b.op, BinOp::Eq(_) | BinOp::Ne(_)) {
                let mut names = Names::default();
                names.visit_expr_binary(b);
                if !names.remainder {
                    self.0.append(&mut names.found);
                }
            }
            visit::visit_expr_binary(self, b);
        }
    }
    let mut v = Compared(BTreeSet::new());
    v.visit_expr(e);
    v.0
}

/// Names assigned in blocks, with whether the blocks declare the name too (so that the assignment may be to an inner variable).
pub fn assigned(blocks: &[&Block]) -> BTreeMap<String, bool> {
    #[derive(Default)]
    struct Assigned {
        assigned: BTreeSet<String>,
        declared: BTreeSet<String>,
    }
    impl Assigned {
        fn target(&mut self, e: &Expr) {
            match e {
                Expr::Tuple(t) => t.elems.iter().for_each(|e| self.target(e)),
                e => self.assigned.extend(root(e)),
            }
        }
    }
    impl<'a> Visit<'a> for Assigned {
        fn visit_expr_assign(&mut self, a: &'a syn::ExprAssign) {
            self.target(&a.left);
            visit::visit_expr_assign(self, a);
        }
        fn visit_expr_binary(&mut self, b: &'a syn::ExprBinary) {
            if is_compound(&b.op) {
                self.target(&b.left);
            }
            visit::visit_expr_binary(self, b);
        }
        fn visit_expr_reference(&mut self, r: &'a syn::ExprReference) {
            if r.mutability.is_some() {
                self.target(&r.expr);
            }
            visit::visit_expr_reference(self, r);
        }
        fn visit_pat_ident(&mut self, p: &'a syn::PatIdent) {
            self.declared.insert(p.ident.to_string());
        }
    }
    let mut v = Assigned::default();
    blocks.iter().for_each(|b| v.visit_block(b));
    let declared = v.declared;
    v.assigned.into_iter().map(|n| (n.clone(), declared.contains(&n))).collect()
}

/// The variable that a place belongs to.
pub fn root(e: &Expr) -> Option<String> {
    match e {
        Expr::Path(p) => p.path.get_ident().map(|i| i.to_string()),
        Expr::Field(f) => root(&f.base),
        Expr::Paren(p) => root(&p.expr),
        Expr::Unary(u) => root(&u.expr),
        Expr::Index(i) => root(&i.expr),
        _ => None,
    }
}

/// Whether an operator assigns: `+=` and its kin.
pub fn is_compound(op: &BinOp) -> bool {
    plain(op).is_some()
}

/// The operator within a compound assignment, by its text.
pub fn plain(op: &BinOp) -> Option<&'static str> {
    Some(match op {
        BinOp::AddAssign(_) => "+",
        BinOp::SubAssign(_) => "-",
        BinOp::MulAssign(_) => "*",
        BinOp::DivAssign(_) => "/",
        BinOp::RemAssign(_) => "%",
        BinOp::BitAndAssign(_) => "&",
        BinOp::BitOrAssign(_) => "|",
        BinOp::BitXorAssign(_) => "^",
        BinOp::ShlAssign(_) => "<<",
        BinOp::ShrAssign(_) => ">>",
        _ => return None,
    })
}
