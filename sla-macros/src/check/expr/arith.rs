//! Operators between two operands.

use super::operand::{ARITH, BITS, EQUALITY, INT};
use crate::check::Checker;
use crate::check::kind::{Dim, Elem, Kind};
use crate::check::poly::{Opaque, Poly};
use crate::check::walk;
use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{BinOp, Expr};

impl Checker {
    /// `a + b`, `a < b`, `a += b` and their kin.
    pub fn binary(&mut self, b: &syn::ExprBinary) -> Kind {
        let (x, y) = (self.expr(&b.left), self.expr(&b.right));
        if let Some(op) = walk::plain(&b.op) {
            let new = self.operator(op, b.op.span(), x, &b.left, y, &b.right);
            self.assign(&b.left, new, &b.right);
            return Kind::Unit;
        }
        let op = match b.op {
            BinOp::Add(_) => "+",
            BinOp::Sub(_) => "-",
            BinOp::Mul(_) => "*",
            BinOp::Div(_) => "/",
            BinOp::Rem(_) => "%",
            BinOp::BitAnd(_) => "&",
            BinOp::BitOr(_) => "|",
            BinOp::BitXor(_) => "^",
            BinOp::Shl(_) => "<<",
            BinOp::Shr(_) => ">>",
            BinOp::And(_) => "&&",
            BinOp::Or(_) => "||",
            BinOp::Eq(_) => "==",
            BinOp::Ne(_) => "!=",
            BinOp::Lt(_) => "<",
            BinOp::Le(_) => "<=",
            BinOp::Gt(_) => ">",
            BinOp::Ge(_) => ">=",
            _ => return Kind::Unknown,
        };
        self.operator(op, b.op.span(), x, &b.left, y, &b.right)
    }

    fn operator(&mut self, op: &str, at: Span, x: Kind, left: &Expr, y: Kind, right: &Expr) -> Kind {
        if let (Kind::Int(a), Kind::Int(b)) = (&x, &y) {
            return self.constant(op, a, b, right);
        }
        let args = [(x, left), (y, right)];
        match op {
            "+" | "-" | "*" | "/" => self.elementwise(op, at, &args, ARITH),
            "%" | "<<" | ">>" => self.elementwise(op, at, &args, INT),
            "&" | "|" | "^" => self.elementwise(op, at, &args, BITS),
            "&&" | "||" => self.elementwise(op, at, &args, &[Elem::Bool]),
            "==" | "!=" => self.compare(op, at, &args, EQUALITY),
            _ => self.compare(op, at, &args, ARITH),
        }
    }

    /// A comparison: a bool of the joint shape.
    fn compare(&mut self, op: &str, at: Span, args: &[(Kind, &Expr)], allowed: &[Elem]) -> Kind {
        match self.elementwise(op, at, args, allowed) {
            Kind::Tile(_, s) => Kind::Tile(Elem::Bool, s),
            Kind::Scalar(_) => Kind::Scalar(Elem::Bool),
            k if k.is_const() => Kind::Bool,
            k => k,
        }
    }

    /// An operator on two integers known when the kernel is built.
    fn constant(&mut self, op: &str, a: &Dim, b: &Dim, right: &Expr) -> Kind {
        if matches!(op, "/" | "%") && b.as_ref().and_then(Poly::as_int) == Some(0) {
            return self.error(right, "this divides by zero");
        }
        let value =
            |f: fn(&Poly, &Poly) -> Dim| Kind::Int(a.as_ref().zip(b.as_ref()).and_then(|(a, b)| f(a, b)));
        match op {
            "+" => value(Poly::add),
            "-" => value(Poly::sub),
            "*" => value(Poly::mul),
            "/" => value(Poly::div),
            "%" => value(|a, b| a.opaque(Opaque::Rem, b)),
            "&" | "|" | "^" | "<<" | ">>" => Kind::Int(None),
            _ => Kind::Bool,
        }
    }
}
