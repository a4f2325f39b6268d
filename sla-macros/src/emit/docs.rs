//! The signature table in a kernel's documentation.

use crate::sig::{Dim, DimOp, ElemTy, GenericKind, KernelFn, Shape, Ty};
use proc_macro2::TokenStream;
use quote::quote;

/// Doc attributes that say what the kernel takes.
pub fn signature(k: &KernelFn) -> TokenStream {
    let mut lines = vec![
        String::new(),
        "# Signature".to_string(),
        String::new(),
        "| parameter | element | shape | use |".to_string(),
        "|---|---|---|---|".to_string(),
    ];
    for p in &k.sig.params {
        let name = &p.name;
        lines.push(match &p.ty {
            Ty::Tensor { elem, shape, mutable } => {
                let (elem, shape) = (elem_text(elem), shape_text(shape));
                format!("| `{name}` | `{elem}` | `{shape}` | {} |", if *mutable { "written" } else { "read" })
            }
            Ty::Scalar(e) => format!("| `{name}` | `{}` | | read |", elem_text(e)),
            _ => continue,
        });
    }
    lines.push(String::new());
    let list = |names: Vec<String>| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if !k.sig.generics.is_empty() {
        let generics = k.sig.generics.iter().map(|g| match g.kind {
            GenericKind::Elem(class) => format!("{}: {}", g.name, class.name()),
            GenericKind::Int => format!("{}: usize", g.name),
            GenericKind::Bool => format!("{}: bool", g.name),
        });
        lines.push(format!("Constants: {}.  ", list(generics.collect())));
    }
    let grid = k.attr.grid.iter().map(|g| format!("{} in {}", g.name, text(&g.extent)));
    lines.push(format!("Grid: {}.  ", list(grid.collect())));
    if !k.attr.require.is_empty() {
        lines.push(format!("Requires: {}.", list(k.attr.require.iter().map(|r| r.text.clone()).collect())));
    }
    quote!(#(#[doc = #lines])*)
}

fn elem_text(e: &ElemTy) -> String {
    match e {
        ElemTy::Known(e) => e.name().to_string(),
        ElemTy::Generic(t) => t.to_string(),
    }
}

fn shape_text(s: &Shape) -> String {
    format!("[{}]", s.dims.iter().map(text).collect::<Vec<_>>().join(", "))
}

/// A size as written.
fn text(d: &Dim) -> String {
    let operand = |d: &Dim, method: bool| match d {
        Dim::Binary(op, ..) if method || !is_method(*op) => format!("({})", text(d)),
        d => text(d),
    };
    match d {
        Dim::Int(v) => v.to_string(),
        Dim::Name(n) => n.to_string(),
        Dim::Binary(op, a, b) => {
            let symbol = match op {
                DimOp::Add => "+",
                DimOp::Sub => "-",
                DimOp::Mul => "*",
                DimOp::Div => "/",
                DimOp::Rem => "%",
                method => method.method(),
            };
            if is_method(*op) {
                format!("{}.{symbol}({})", operand(a, true), text(b))
            } else {
                format!("{} {symbol} {}", operand(a, false), operand(b, false))
            }
        }
    }
}

fn is_method(op: DimOp) -> bool {
    matches!(op, DimOp::DivCeil | DimOp::Min | DimOp::Max)
}
