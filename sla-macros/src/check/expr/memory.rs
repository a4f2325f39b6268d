//! Tensors: views, blocks, lists of blocks, loads and stores.

use super::names::{METHODS, suggest};
use super::operand::ARITH;
use crate::check::Checker;
use crate::check::kind::{Axis, Dim, Elem, Kind, Memory, Shape, size_text};
use crate::check::poly::Equal;
use crate::check::types::rank_error;
use proc_macro2::Span;
use syn::{Expr, ExprMethodCall, GenericArgument};

/// Methods of tensors and parts of them.
const VIEW: [&str; 9] = ["at", "block", "window", "blocks", "gather", "dim", "load", "store", "atomic_add"];

impl Checker {
    /// An index or an offset in elements: an i32.
    pub fn offset(&mut self, kind: &Kind, at: &Expr) {
        let Some(kind) = self.loaded(kind, at) else { return };
        match kind {
            Kind::Unknown | Kind::Int(_) => {}
            Kind::Scalar(e) if e.may_be(&[Elem::I32]) => {}
            k => {
                let what = k.describe();
                self.error(at, format!("an index is an i32, this is {what}"));
            }
        }
    }

    /// A method of a tensor or a part of one.
    pub fn view_method(&mut self, v: Memory, m: &ExprMethodCall, args: &[(Kind, &Expr)]) -> Kind {
        let span = m.method.span();
        match m.method.to_string().as_str() {
            "at" => self.at(v, m, args),
            "block" | "window" => self.cut(v, m, args).map_or(Kind::Unknown, Kind::View),
            "blocks" => self.blocks(v, m, args),
            "load" => {
                if !self.arguments(span, "load", args.len(), 0, "block.load()") || !self.readable(&v, span) {
                    return Kind::Unknown;
                }
                let shape = v.shape();
                match rank_error(&shape).filter(|_| shape.rank() > 0) {
                    Some(message) => {
                        self.error_at(span, format!("{message}: fix leading axes with `.at(..)`"))
                    }
                    None => Kind::of(v.elem, shape),
                }
            }
            name @ ("store" | "atomic_add") => {
                if self.arguments(span, name, args.len(), 1, &format!("block.{name}(x)")) {
                    self.store(&v, name, span, &args[0].0, args[0].1);
                }
                Kind::Unit
            }
            "dim" => {
                if self.arguments(span, "dim", args.len(), 1, "tensor.dim(axis)") {
                    let of = format!("`{}` with axes {}", v.tensor, v.shape());
                    self.axis(&args[0].0, args[0].1, v.axes.len(), &of);
                }
                Kind::Scalar(Elem::I32)
            }
            "gather" => self.error_at(span, "`gather` stands only in the head of a `for`"),
            other if METHODS.iter().any(|(n, ..)| *n == other) => {
                let what = Kind::View(v).describe();
                self.error_at(span, format!("this is {what}: load it first, with `.load()`"))
            }
            other => {
                let hint = suggest(other, VIEW.into_iter());
                self.error_at(span, format!("a tensor has no method `{other}`{hint}"))
            }
        }
    }

    fn at(&mut self, mut v: Memory, m: &ExprMethodCall, args: &[(Kind, &Expr)]) -> Kind {
        for (kind, at) in args {
            self.offset(kind, at);
        }
        let free = Shape(v.whole().into_iter().cloned().collect());
        if let Some((_, extra)) = args.get(free.rank()) {
            let (n, rank) = (args.len(), free.rank());
            let axes = if rank == 1 { "axis" } else { "axes" };
            return self
                .error(extra, format!("`{}` has {rank} free {axes} {free}, this fixes {n}", v.tensor));
        }
        if args.is_empty() {
            return self.error_at(m.method.span(), "`at` fixes leading axes: give it an index for each");
        }
        let mut left = args.len();
        v.axes.retain(|a| {
            let fixed = left > 0 && matches!(a, Axis::Whole(_));
            left -= usize::from(fixed);
            !fixed
        });
        Kind::View(v)
    }

    /// `view.block::<M, N>(i, j)` and `view.window::<M, N>(i, j)`.
    fn cut(&mut self, mut v: Memory, m: &ExprMethodCall, args: &[(Kind, &Expr)]) -> Option<Memory> {
        let name = m.method.to_string();
        let span = m.method.span();
        for (kind, at) in args {
            self.offset(kind, at);
        }
        let sizes = self.generic_sizes(m);
        let (n, given) = (sizes.len(), args.len());
        let message = if n == 0 {
            let form = if name == "blocks" { "blocks::<N>()".into() } else { format!("{name}::<N>(i)") };
            format!("`{name}` needs the size of a block, as in `{form}`")
        } else if name == "blocks" && n > 1 {
            format!("`blocks` cuts along one axis, this gives {n} sizes")
        } else if name != "blocks" && given != n {
            format!("`{name}` takes an index for each size: this gives {n} of size, {given} of index")
        } else if n > v.whole().len() {
            let free = Shape(v.whole().into_iter().cloned().collect());
            format!("`{name}` cuts along {n} free axes, `{}` has {free}", v.tensor)
        } else {
            let mut sizes = sizes.into_iter();
            for axis in v.axes.iter_mut().filter(|a| matches!(a, Axis::Whole(_))) {
                let Some(size) = sizes.next() else { break };
                *axis = Axis::Cut(size);
            }
            return Some(v);
        };
        self.error_at(span, message);
        None
    }

    /// `view.blocks::<N>()`.
    fn blocks(&mut self, v: Memory, m: &ExprMethodCall, args: &[(Kind, &Expr)]) -> Kind {
        if !self.arguments(m.method.span(), "blocks", args.len(), 0, "view.blocks::<N>()") {
            return Kind::Unknown;
        }
        let first = v.axes.iter().position(|a| matches!(a, Axis::Whole(_)));
        let Some(list) = self.cut(v, m, &[]) else { return Kind::Unknown };
        let size = first.and_then(|i| list.axes[i].size().clone());
        if !self.readable(&list, m.method.span()) {
            return Kind::Unknown;
        }
        match rank_error(&list.shape()) {
            Some(message) => {
                self.error_at(m.method.span(), format!("{message}: fix leading axes with `.at(..)`"))
            }
            None => Kind::Blocks(list, size),
        }
    }

    /// Whether all extents are known when the kernel is built; reported if not.
    fn readable(&mut self, v: &Memory, at: Span) -> bool {
        let launch = v.whole().into_iter().find(|d| self.known_at_launch(d));
        let Some(size) = launch.map(size_text) else { return true };
        let t = &v.tensor;
        let hint = "cut a block of it, or fix it with `.at(..)`";
        self.error_at(
            at,
            format!("the axis `{size}` of `{t}` is whole here, but its size is known only at launch: {hint}"),
        );
        false
    }

    /// Sizes given as `::<M, N>`.
    fn generic_sizes(&mut self, m: &ExprMethodCall) -> Vec<Dim> {
        let Some(list) = &m.turbofish else { return Vec::new() };
        let mut out = Vec::new();
        for g in &list.args {
            out.push(match g {
                GenericArgument::Type(syn::Type::Path(p)) => {
                    let e =
                        Expr::Path(syn::ExprPath { attrs: Vec::new(), qself: None, path: p.path.clone() });
                    self.size(&e)
                }
                GenericArgument::Const(e) => self.size(e),
                other => {
                    self.error(other, "the size of a block is an integer constant");
                    None
                }
            });
        }
        out
    }

    fn store(&mut self, p: &Memory, name: &str, span: Span, value: &Kind, at: &Expr) {
        if !p.mutable {
            let t = &p.tensor;
            self.error_at(
                span,
                format!("`{t}` is read-only: declare it as `{t}: &mut Tensor<..>` to write it"),
            );
        }
        let Some(value) = self.loaded(value, at).cloned() else { return };
        if name == "atomic_add" && !p.elem.may_be(ARITH) {
            self.error_at(
                span,
                format!("`atomic_add` is defined on tensors of f32 and i32, `{}` holds {}", p.tensor, p.elem),
            );
            return;
        }
        if !self.readable(p, span) {
            return;
        }
        let (elem, shape) = match &value {
            Kind::Scalar(e) => (e, None),
            Kind::Tile(e, s) => (e, Some(s)),
            k => {
                self.constant_fits(k, &p.elem, at);
                return;
            }
        };
        if self.different(elem, &p.elem) {
            let t = &p.tensor;
            self.error(
                at,
                format!("`{t}` holds {}, this stores {elem}: cast it with `.cast::<{}>()`", p.elem, p.elem),
            );
        }
        let block = p.shape();
        if let Some(s) = shape
            && self.differ_in_core(s, &block)
        {
            let what =
                if block.0.is_empty() { "one element".into() } else { format!("a block of shape {block}") };
            self.error(at, format!("this stores a tile of shape {s} into {what} of `{}`", p.tensor));
        }
    }

    /// A method of a list of blocks.
    pub fn list_method(&mut self, m: &ExprMethodCall, args: &[(Kind, &Expr)]) -> Kind {
        match m.method.to_string().as_str() {
            "len" => {
                self.arguments(m.method.span(), "len", args.len(), 0, "list.len()");
                Kind::Scalar(Elem::I32)
            }
            other => {
                let hint = if other == "iter" { ": count with `for j in 0..list.len()`" } else { "" };
                self.error_at(
                    m.method.span(),
                    format!("a list of blocks has `len()` and `list[j]`, not `{other}`{hint}"),
                )
            }
        }
    }

    /// `x.mask_tail(list, j, fill)` and `x.mask_rows(list, j, fill)`.
    pub fn mask(&mut self, name: &str, x: &Kind, args: &[(Kind, &Expr)]) -> Kind {
        let (list, at) = &args[0];
        self.offset(&args[1].0, args[1].1);
        let Some(fill) = self.loaded(&args[2].0, args[2].1).cloned() else { return Kind::Unknown };
        let Kind::Tile(elem, s) = x else {
            return match x {
                Kind::Unknown => Kind::Unknown,
                k => self.error(at, format!("`{name}` masks a tile, this is {}", k.describe())),
            };
        };
        let mut shape = s.clone();
        match &fill {
            Kind::Tile(e, _) | Kind::Scalar(e) if self.different(e, elem) => {
                let cast = format!("cast it with `.cast::<{elem}>()`");
                self.error(args[2].1, format!("the tile holds {elem}, this fills with {e}: {cast}"));
            }
            Kind::Tile(_, t) => match self.broadcast(s, t) {
                Ok(joint) => shape = joint,
                Err(axis) => {
                    self.error(args[2].1, format!("tiles of shape {s} and {t} do not broadcast: {axis}"));
                }
            },
            k => {
                self.constant_fits(k, elem, args[2].1);
            }
        }
        match list {
            Kind::Blocks(l, size) => {
                let (axis, word) = if name == "mask_rows" { (0, "rows") } else { (s.rank() - 1, "columns") };
                if self.equal(&s.0[axis], size) == Equal::No {
                    let (have, want) = (size_text(&s.0[axis]), size_text(size));
                    let t = &l.tensor;
                    return self.error(
                        at,
                        format!("`{name}` masks {word} past the end of a list: {s} has `{have}` {word}, the blocks of `{t}` have `{want}`"),
                    );
                }
            }
            Kind::Unknown => {}
            k => {
                let what = k.describe();
                return self
                    .error(at, format!("`{name}` takes a list made by `.blocks::<N>()`, this is {what}"));
            }
        }
        Kind::Tile(elem.clone(), shape)
    }
}
