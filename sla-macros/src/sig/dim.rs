//! Sizes as written: arithmetic over numbers, const generics and runtime dims.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{BinOp, Expr, Ident, Lit};

/// A size in a shape or a grid.
#[derive(Clone, Debug)]
pub enum Dim {
    /// A number.
    Int(i64),
    /// A const generic, a dim, or (in the body) any constant in scope.
    Name(Ident),
    /// Arithmetic.
    Binary(DimOp, Box<Dim>, Box<Dim>),
}

/// An operation on sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DimOp {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`, rounded down
    Div,
    /// `a % b`
    Rem,
    /// `a.div_ceil(b)`
    DivCeil,
    /// `a.min(b)`
    Min,
    /// `a.max(b)`
    Max,
}

impl DimOp {
    /// The name of this operation as a function.
    pub fn method(self) -> &'static str {
        match self {
            DimOp::Add => "add",
            DimOp::Sub => "sub",
            DimOp::Mul => "mul",
            DimOp::Div => "div",
            DimOp::Rem => "rem",
            DimOp::DivCeil => "div_ceil",
            DimOp::Min => "min",
            DimOp::Max => "max",
        }
    }
}

impl Dim {
    /// Reads a size from an expression.
    ///
    /// # Errors
    /// Anything that is not arithmetic of numbers and names, on the offending token.
    pub fn parse(expr: &Expr) -> syn::Result<Dim> {
        match expr {
            Expr::Lit(l) => match &l.lit {
                Lit::Int(i) => Ok(Dim::Int(i.base10_parse()?)),
                other => Err(syn::Error::new(other.span(), "a size is a whole number")),
            },
            Expr::Path(p) if p.path.get_ident().is_some() => {
                Ok(Dim::Name(p.path.get_ident().cloned().expect("checked")))
            }
            Expr::Paren(p) => Dim::parse(&p.expr),
            Expr::Group(g) => Dim::parse(&g.expr),
            Expr::Block(b) if b.block.stmts.len() == 1 => match &b.block.stmts[0] {
                syn::Stmt::Expr(e, None) => Dim::parse(e),
                s => Err(unsupported(s.span())),
            },
            Expr::Binary(b) => {
                let op = match b.op {
                    BinOp::Add(_) => DimOp::Add,
                    BinOp::Sub(_) => DimOp::Sub,
                    BinOp::Mul(_) => DimOp::Mul,
                    BinOp::Div(_) => DimOp::Div,
                    BinOp::Rem(_) => DimOp::Rem,
                    op => return Err(unsupported(op.span())),
                };
                Ok(Dim::Binary(op, Box::new(Dim::parse(&b.left)?), Box::new(Dim::parse(&b.right)?)))
            }
            Expr::MethodCall(m) if m.args.len() == 1 => {
                let op = match m.method.to_string().as_str() {
                    "div_ceil" => DimOp::DivCeil,
                    "min" => DimOp::Min,
                    "max" => DimOp::Max,
                    _ => return Err(unsupported(m.method.span())),
                };
                let (a, b) = (Dim::parse(&m.receiver)?, Dim::parse(&m.args[0])?);
                Ok(Dim::Binary(op, Box::new(a), Box::new(b)))
            }
            e => Err(unsupported(e.span())),
        }
    }

    /// Every name in it, in order.
    pub fn names(&self) -> Vec<&Ident> {
        match self {
            Dim::Int(..) => Vec::new(),
            Dim::Name(n) => vec![n],
            Dim::Binary(_, a, b) => [a.names(), b.names()].concat(),
        }
    }
}

fn unsupported(span: Span) -> syn::Error {
    syn::Error::new(
        span,
        "a size is made of numbers, names, `+ - * / %`, `.div_ceil()`, `.min()` and `.max()`",
    )
}
