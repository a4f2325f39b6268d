//! Tensors as bodies see them: views with axes fixed or cut into blocks, loads and stores, lists of blocks.
//!
//! A view is a value of the macro's expansion, not of the kernel: it makes no op until it is loaded from or stored to.

use super::{Cx, Opd, Operand, Val};
use crate::ir::{DimExpr, OpCode, TensorType, Type, Value};

/// The largest rank of a tensor.
const MAX_RANK: usize = 8;

/// What a view takes of an axis.
#[derive(Clone, Copy, Debug)]
enum Axis {
    /// All of it.
    Whole,
    /// One element; the axis does not appear in loads.
    At(Value),
    /// `extent` elements from `start`; `check` if they may reach past the end.
    Block { start: Value, extent: usize, check: bool },
}

/// A tensor, some of whose axes are fixed or cut into blocks.
#[derive(Clone, Copy, Debug)]
pub struct TensorView {
    tensor: Value,
    rank: usize,
    axes: [Axis; MAX_RANK],
}

/// The blocks of a view along its first whole axis.
#[derive(Clone, Copy, Debug)]
pub struct BlockList {
    view: TensorView,
    axis: usize,
    size: i64,
}

/// What may stand where a tensor is expected.
#[diagnostic::on_unimplemented(message = "a tensor or a view of one is expected here")]
pub trait AsView {
    /// The view.
    fn as_view(&self) -> TensorView;
}
impl AsView for TensorView {
    fn as_view(&self) -> TensorView {
        *self
    }
}
impl<T: AsView> AsView for &T {
    fn as_view(&self) -> TensorView {
        (**self).as_view()
    }
}
impl<T: AsView> AsView for &mut T {
    fn as_view(&self) -> TensorView {
        (**self).as_view()
    }
}

/// The tensor parameter with this index.
pub fn tensor(cx: Cx<'_>, index: usize) -> TensorView {
    let tensor = cx.b.param(index);
    let rank = match cx.b.ty(tensor) {
        Type::Tensor(t) => t.dims.len(),
        _ => 0,
    };
    if rank > MAX_RANK {
        cx.error(format!("a tensor has at most {MAX_RANK} axes, this one has {rank}"));
    }
    TensorView { tensor, rank: rank.min(MAX_RANK), axes: [Axis::Whole; MAX_RANK] }
}

impl TensorView {
    /// The tensor's type; `None` where the tensor was rejected.
    pub(super) fn ty(&self, cx: Cx<'_>) -> Option<TensorType> {
        match cx.b.ty(self.tensor) {
            Type::Tensor(t) => Some(t),
            _ => None,
        }
    }

    /// Axes of the tensor that are whole.
    fn whole(&self) -> Vec<usize> {
        (0..self.rank).filter(|&i| matches!(self.axes[i], Axis::Whole)).collect()
    }

    /// Axes of the tensor that are not fixed.
    fn free(&self) -> Vec<usize> {
        (0..self.rank).filter(|&i| !matches!(self.axes[i], Axis::At(_))).collect()
    }

    /// The size of each axis that is not fixed.
    pub(super) fn sizes(&self, cx: Cx<'_>) -> Vec<DimExpr> {
        let Some(ty) = self.ty(cx) else { return Vec::new() };
        self.free()
            .iter()
            .map(|&i| match self.axes[i] {
                Axis::Block { extent, .. } => DimExpr::from(extent as i64),
                _ => ty.dims[i].clone(),
            })
            .collect()
    }

    /// Offsets, extents, checks and the shape of a load; a mistake is reported.
    fn place(&self, cx: Cx<'_>) -> Option<Place> {
        let ty = self.ty(cx).filter(|t| t.dims.len() == self.rank)?;
        let mut p = Place::default();
        for (i, size) in ty.dims.iter().enumerate() {
            let (offset, extent, check) = match self.axes[i] {
                Axis::At(v) => (v, 1, false),
                Axis::Block { start, extent, check } => (start, extent, check),
                Axis::Whole => match size.as_const() {
                    Some(c) if c > 0 => (cx.b.int(0, cx.loc), c as usize, false),
                    _ => {
                        cx.error(format!(
                            "axis {i} of this tensor has the size {size}, which is not known when the kernel is built: take a block of it, or fix it with `.at()`"
                        ));
                        return None;
                    }
                },
            };
            p.offsets.push(offset);
            p.extent.push(extent);
            p.check.push(check);
            if !matches!(self.axes[i], Axis::At(_)) {
                p.shape.push(extent);
            }
        }
        Some(p)
    }
}

#[derive(Default)]
struct Place {
    offsets: Vec<Value>,
    extent: Vec<usize>,
    check: Vec<bool>,
    shape: Vec<usize>,
}

/// An index: a constant or an i32 scalar.
fn index_value(cx: Cx<'_>, i: Opd) -> Value {
    match i {
        Opd::Float(_) | Opd::Bool(_) => cx.error(format!("an index is a whole number, this is {i}")).0,
        Opd::Int(n) if n < 0 => cx.error(format!("an index is counted from 0, this is {n}")).0,
        i => i.value(cx),
    }
}

/// `index * size` as an i32 scalar.
fn scaled(cx: Cx<'_>, i: Opd, size: i64) -> Value {
    match i {
        Opd::Int(n) => match n.checked_mul(size) {
            Some(start) => index_value(cx, Opd::Int(start)),
            None => cx.error(format!("block {n} of {size} lies too far")).0,
        },
        i => {
            let i = index_value(cx, i);
            if size == 1 { i } else { cx.b.binary(OpCode::Mul, i, cx.b.int(size, cx.loc), cx.loc) }
        }
    }
}

/// Fixes the leading whole axes.
pub fn at(cx: Cx<'_>, view: impl AsView, index: &[Opd]) -> TensorView {
    let mut view = view.as_view();
    let whole = view.whole();
    if index.len() > whole.len() {
        cx.error(format!("`.at()` gets {} indices, {} axes are left", index.len(), whole.len()));
        return view;
    }
    for (&axis, &i) in whole.iter().zip(index) {
        view.axes[axis] = Axis::At(index_value(cx, i));
    }
    view
}

/// Block `index` of size `sizes` along the leading whole axes.
pub fn block(cx: Cx<'_>, view: impl AsView, sizes: &[i64], index: &[Opd]) -> TensorView {
    cut(cx, view.as_view(), "block", sizes, index, |cx, size, dim, i| {
        (scaled(cx, i, size), !cx.b.is_even(dim, size))
    })
}

/// `sizes` elements from the offsets `start` along the leading whole axes.
pub fn window(cx: Cx<'_>, view: impl AsView, sizes: &[i64], start: &[Opd]) -> TensorView {
    cut(cx, view.as_view(), "window", sizes, start, |cx, size, dim, i| {
        let inside = match (i, dim.as_const()) {
            (Opd::Int(n), Some(len)) => n.checked_add(size).is_some_and(|end| end <= len),
            _ => false,
        };
        (index_value(cx, i), !inside)
    })
}

fn cut(
    cx: Cx<'_>,
    mut view: TensorView,
    name: &str,
    sizes: &[i64],
    index: &[Opd],
    start: impl Fn(Cx<'_>, i64, &DimExpr, Opd) -> (Value, bool),
) -> TensorView {
    let (Some(ty), whole) = (view.ty(cx), view.whole()) else { return view };
    if sizes.len() != index.len() || sizes.is_empty() {
        cx.error(format!(
            "`.{name}()` takes one size and one index per axis, this has {} sizes and {} indices",
            sizes.len(),
            index.len()
        ));
    } else if sizes.len() > whole.len() {
        cx.error(format!("`.{name}()` cuts {} axes, {} are left", sizes.len(), whole.len()));
    } else if let Some(n) = sizes.iter().find(|&&n| n < 1) {
        cx.error(format!("a block's size is positive, this is {n}"));
    } else {
        for ((&axis, &size), &i) in whole.iter().zip(sizes).zip(index) {
            let (start, check) = start(cx, size, &ty.dims[axis], i);
            view.axes[axis] = Axis::Block { start, extent: size as usize, check };
        }
    }
    view
}

/// Reads a view.
pub fn load(cx: Cx<'_>, view: impl AsView) -> Val {
    let view = view.as_view();
    match view.place(cx) {
        Some(p) => Val(cx.b.load(view.tensor, &p.offsets, &p.extent, &p.check, &p.shape, cx.loc)),
        None => cx.invalid(),
    }
}

/// Writes a view.
pub fn store(cx: Cx<'_>, view: impl AsView, value: impl Operand) {
    write(cx, OpCode::Store, view.as_view(), value.opd());
}

/// Adds to a view; concurrent adds all count.
pub fn atomic_add(cx: Cx<'_>, view: impl AsView, value: impl Operand) {
    write(cx, OpCode::AtomicAdd, view.as_view(), value.opd());
}

fn write(cx: Cx<'_>, code: OpCode, view: TensorView, value: Opd) {
    let (Some(ty), Some(p)) = (view.ty(cx), view.place(cx)) else { return };
    let value = value.adopt(cx, ty.elem, &p.shape);
    cx.b.store(code, view.tensor, value, &p.offsets, &p.extent, &p.check, cx.loc);
}

/// The size of one of a view's axes that are not fixed.
pub fn dim(cx: Cx<'_>, view: impl AsView, axis: impl Operand) -> Val {
    let sizes = view.as_view().sizes(cx);
    match super::cx::axis(cx, axis) {
        Some(a) if a < sizes.len() => Val(cx.b.size(&sizes[a], cx.loc)),
        Some(a) => cx.error(format!("axis {a} is out of range: {} axes are left", sizes.len())),
        None => cx.invalid(),
    }
}

/// The list of blocks of `size` along the first whole axis.
pub fn blocks(cx: Cx<'_>, view: impl AsView, size: &[i64]) -> BlockList {
    let view = view.as_view();
    let axis = view.whole().first().copied();
    match (axis, size) {
        (Some(axis), &[size]) if size > 0 => BlockList { view, axis, size },
        (None, _) => {
            cx.error("`.blocks()` needs an axis that is not fixed");
            BlockList { view, axis: 0, size: 1 }
        }
        _ => {
            cx.error("`.blocks()` takes one positive size: `.blocks::<64>()`");
            BlockList { view, axis: axis.unwrap_or(0), size: 1 }
        }
    }
}

impl BlockList {
    /// The size of the axis that is cut.
    fn extent(&self, cx: Cx<'_>) -> DimExpr {
        let dim = self.view.ty(cx).and_then(|t| t.dims.get(self.axis).cloned());
        dim.unwrap_or(DimExpr::from(self.size))
    }
}

/// The number of blocks.
pub fn len(cx: Cx<'_>, list: BlockList) -> Val {
    let n = list.extent(cx).div_ceil(list.size.into());
    Val(cx.b.size(&n, cx.loc))
}

/// `list[j]`: loads a block.
pub fn index(cx: Cx<'_>, list: BlockList, j: impl Operand) -> Val {
    let b = block(cx, list.view, &[list.size], &[j.opd()]);
    load(cx, b)
}

/// Elements whose column lies past the end of the list's axis in block `j` become `fill`.
pub fn mask_tail(cx: Cx<'_>, x: Val, list: BlockList, j: impl Operand, fill: impl Operand) -> Val {
    mask(cx, x, list, j.opd(), fill.opd(), true)
}

/// Elements whose row lies past the end of the list's axis in block `j` become `fill`.
pub fn mask_rows(cx: Cx<'_>, x: Val, list: BlockList, j: impl Operand, fill: impl Operand) -> Val {
    mask(cx, x, list, j.opd(), fill.opd(), false)
}

fn mask(cx: Cx<'_>, x: Val, list: BlockList, j: Opd, fill: Opd, columns: bool) -> Val {
    let ty = cx.b.ty(x.0);
    let Some(shape) = ty.shape().filter(|s| !s.is_empty()) else {
        return if ty == Type::Invalid { x } else { cx.error(format!("a {ty} has no axis to mask")) };
    };
    let axis = if columns { shape.len() - 1 } else { 0 };
    if shape[axis] as i64 != list.size {
        let (what, n) = (if columns { "columns" } else { "rows" }, list.size);
        return cx.error(format!(
            "a tile of shape {shape:?} has {} {what}, the list's blocks have {n}",
            shape[axis]
        ));
    }
    let extent = list.extent(cx);
    if cx.b.is_even(&extent, list.size) {
        return x;
    }
    let mut counted = vec![1; shape.len()];
    counted[axis] = shape[axis];
    let position = cx.b.iota(&counted, axis, cx.loc);
    let size = cx.b.size(&extent, cx.loc);
    let left = cx.b.binary(OpCode::Sub, size, scaled(cx, j, list.size), cx.loc);
    let inside = cx.b.cmp(crate::ir::Pred::Lt, position, left, cx.loc);
    let fill = fill.beside(cx, &ty);
    Val(cx.b.select(inside, x.0, fill, cx.loc))
}
