//! Types and attributes: one rule for each [`Class`] of op.
//!
//! Relies on [`structure`](super::structure): every index is in range and regions form a tree.

use super::Finding;
use crate::ir::builder::check_shape;
use crate::ir::{ATTRS, Attr, Class, Elem, Kernel, Op, OpCode, Scalar, TensorType, Type, Value};

/// Reports every op that breaks its rule: the first breach of each.
pub fn check(k: &Kernel, out: &mut Vec<Finding>) {
    k.walk(&mut |k, _, id| {
        if let Err(message) = op(k, k.op(id)) {
            out.push(Finding { op: Some(id), message });
        }
    });
}

pub(super) type Check = Result<(), String>;

fn op(k: &Kernel, op: &Op) -> Check {
    let name = op.code.name();
    for key in op.attrs.keys() {
        if !ATTRS.iter().any(|(n, _)| n == key) {
            return Err(format!("`{name}` has an unknown attribute `{key}`"));
        }
    }
    for &r in &op.results {
        let shape = k.ty(r).shape().unwrap_or(&[]);
        check_shape(shape)?;
        if k.ty(r).is_tile() && shape.is_empty() {
            return Err("a tile has rank 1 or 2, this has rank 0".to_string());
        }
    }
    let ty = |i: usize| k.ty(op.operands[i]);
    match op.code.class() {
        Class::Const => {
            count(op, 0, 1)?;
            let to = k.ty(op.results[0]);
            let value = op.scalar().ok_or_else(|| missing(op, "value"))?;
            let elem = to.elem().unwrap_or(Elem::F32);
            ensure(fits(value, elem), || format!("the constant {value:?} is not a value of type {elem}"))
        }
        Class::Index => {
            count(op, 0, 1)?;
            result(k, op, &Type::Scalar(Elem::I32))?;
            if matches!(op.code, OpCode::Cta | OpCode::Ctas) {
                return Ok(());
            }
            if op.code == OpCode::Dim {
                let dim = op.str("name");
                return ensure(k.dims.iter().any(|d| d == dim), || {
                    format!("`{dim}` is not a dim of this kernel")
                });
            }
            let axis = op.int("axis").ok_or_else(|| missing(op, "axis"))?;
            ensure((0..k.grid.len() as i64).contains(&axis), || {
                format!("grid axis {axis} of a grid with {} axes", k.grid.len())
            })
        }
        Class::Iota => {
            count(op, 0, 1)?;
            let to = k.ty(op.results[0]);
            ensure(to.is_tile() && to.elem() == Some(Elem::I32), || {
                format!("`iota` gives a tile of i32, not a {to}")
            })?;
            axis(op, to).map(|_| ())
        }
        Class::Unary => {
            count(op, 1, 1)?;
            let elem = elem_of(op, ty(0))?;
            let ok = match op.code {
                OpCode::Not => elem == Elem::Bool,
                OpCode::Neg | OpCode::Abs => elem.is_arith(),
                _ => elem == Elem::F32,
            };
            ensure(ok, || format!("`{name}` is not defined on {}", ty(0)))?;
            result(k, op, ty(0))
        }
        Class::Binary => {
            count(op, 2, 1)?;
            let elem = elem_of(op, ty(0))?;
            let ok = match op.code {
                OpCode::And | OpCode::Or | OpCode::Xor => matches!(elem, Elem::I32 | Elem::Bool),
                OpCode::Rem | OpCode::Shl | OpCode::Shr => elem == Elem::I32,
                _ => elem.is_arith(),
            };
            ensure(ok, || format!("`{name}` is not defined on {}", ty(0)))?;
            same(op, ty(0), ty(1))?;
            result(k, op, ty(0))
        }
        Class::Fma => {
            count(op, 3, 1)?;
            ensure(elem_of(op, ty(0))? == Elem::F32, || format!("`fma` is not defined on {}", ty(0)))?;
            same(op, ty(0), ty(1))?;
            same(op, ty(0), ty(2))?;
            result(k, op, ty(0))
        }
        Class::Cmp => {
            count(op, 2, 1)?;
            let elem = elem_of(op, ty(0))?;
            let pred = op.pred().ok_or_else(|| missing(op, "pred"))?;
            let ordered = !matches!(pred, crate::ir::Pred::Eq | crate::ir::Pred::Ne);
            let ok = elem.is_arith() || elem == Elem::Bool && !ordered;
            ensure(ok, || format!("`cmp` {} is not defined on {}", pred.name(), ty(0)))?;
            same(op, ty(0), ty(1))?;
            result(k, op, &ty(0).with_elem(Elem::Bool))
        }
        Class::Select => {
            count(op, 3, 1)?;
            elem_of(op, ty(1))?;
            same(op, ty(1), ty(2))?;
            let want = ty(1).with_elem(Elem::Bool);
            ensure(*ty(0) == want, || format!("the condition of `select` is a {}, not a {want}", ty(0)))?;
            result(k, op, ty(1))
        }
        Class::Cast => {
            count(op, 1, 1)?;
            elem_of(op, ty(0))?;
            let to = k.ty(op.results[0]);
            ensure(to.elem() != ty(0).elem() && to.shape() == ty(0).shape(), || {
                format!("`cast` changes the element type and nothing else, this makes a {} a {to}", ty(0))
            })
        }
        Class::Splat => {
            count(op, 1, 1)?;
            let to = k.ty(op.results[0]);
            let ok = matches!(ty(0), Type::Scalar(_)) && to.is_tile() && to.elem() == ty(0).elem();
            ensure(ok, || format!("`splat` copies a scalar to a tile, this makes a {} a {to}", ty(0)))
        }
        Class::Broadcast => {
            count(op, 1, 1)?;
            let to = k.ty(op.results[0]);
            let ok = match (ty(0), to) {
                (Type::Tile(a, from), Type::Tile(b, to)) => {
                    a == b && from.len() == to.len() && from.iter().zip(to).all(|(f, t)| f == t || *f == 1)
                }
                _ => false,
            };
            ensure(ok, || format!("`broadcast` repeats axes of size 1, this makes a {} a {to}", ty(0)))
        }
        Class::Reduce => {
            count(op, 1, 1)?;
            let Type::Tile(elem, mut shape) = ty(0).clone() else {
                return Err(format!("`{name}` reduces a tile, this is a {}", ty(0)));
            };
            ensure(elem.is_arith(), || format!("`{name}` is not defined on {}", ty(0)))?;
            shape[axis(op, ty(0))?] = 1;
            result(k, op, &Type::Tile(elem, shape))
        }
        Class::Pack => {
            count(op, 2, 1)?;
            ensure(ty(0).is_tile(), || format!("`{name}` takes a tile, this is a {}", ty(0)))?;
            let want = ty(0).with_elem(Elem::Bool);
            ensure(*ty(1) == want, || format!("the condition of `{name}` is a {}, not a {want}", ty(1)))?;
            result(k, op, ty(0))
        }
        Class::Reshape => {
            count(op, 1, 1)?;
            let to = k.ty(op.results[0]);
            let ok = ty(0).is_tile()
                && to.is_tile()
                && ty(0).elem() == to.elem()
                && ty(0).shape().and_then(product) == to.shape().and_then(product);
            ensure(ok, || format!("`reshape` keeps elements and their count, this makes a {} a {to}", ty(0)))
        }
        Class::Transpose => {
            count(op, 1, 1)?;
            match ty(0) {
                Type::Tile(e, s) if s.len() == 2 => result(k, op, &Type::tile(*e, &[s[1], s[0]])),
                other => Err(format!("`transpose` takes a tile of rank 2, this is a {other}")),
            }
        }
        Class::Dot => dot(k, op),
        Class::Load => {
            let shape = access(k, op, 1)?;
            count(op, op.operands.len(), 1)?;
            let (t, to) = (tensor(k, op)?, k.ty(op.results[0]));
            let found = to.shape().unwrap_or(&[]);
            ensure(to.elem() == Some(t.elem) && without_ones(found) == shape, || {
                format!("a box of {:?} of a {} cannot be read as a {to}", op.ints("box"), ty(0))
            })
        }
        Class::Store => {
            let shape = access(k, op, 2)?;
            count(op, op.operands.len(), 0)?;
            let t = tensor(k, op)?;
            ensure(t.mutable, || format!("`{name}` writes a read-only tensor"))?;
            ensure(op.code != OpCode::AtomicAdd || t.elem.is_arith(), || {
                format!("`{name}` is not defined on tensors of {}", t.elem)
            })?;
            let found = without_ones(ty(1).shape().unwrap_or(&[]));
            ensure(ty(1).elem() == Some(t.elem) && found == shape, || {
                format!("a {} cannot be written to a box of {:?} of a {}", ty(1), op.ints("box"), ty(0))
            })
        }
        Class::For => for_(k, op),
        Class::If => {
            count(op, 1, op.results.len())?;
            let want = Type::Scalar(Elem::Bool);
            ensure(*ty(0) == want, || format!("the condition of `if` is a {}, not a bool", ty(0)))?;
            for &r in &op.regions {
                ensure(k.block(r).args.is_empty(), || "a region of `if` has no arguments".to_string())?;
                yields(k, op, r)?;
            }
            Ok(())
        }
        Class::Yield => count(op, op.operands.len(), 0),
        Class::Debug => {
            count(op, op.operands.len(), 0)?;
            for i in 0..op.operands.len() {
                elem_of(op, ty(i))?;
            }
            ensure(matches!(op.attrs.get("msg"), Some(Attr::Str(_))), || missing(op, "msg"))?;
            let ok = op.code != OpCode::Assert || op.operands.len() == 1 && ty(0).elem() == Some(Elem::Bool);
            ensure(ok, || "`assert` takes one bool".to_string())
        }
        _ => super::sched::op(k, op),
    }
}

fn dot(k: &Kernel, op: &Op) -> Check {
    ensure(matches!(op.operands.len(), 2 | 3), || {
        format!("`dot` takes 2 or 3 operands, this has {}", op.operands.len())
    })?;
    count(op, op.operands.len(), 1)?;
    let (a, b) = (k.ty(op.operands[0]), k.ty(op.operands[1]));
    let (Type::Tile(ea, sa), Type::Tile(eb, sb)) = (a, b) else {
        return Err(format!("`dot` takes tiles of rank 2, these are {a} and {b}"));
    };
    ensure(sa.len() == 2 && sb.len() == 2, || format!("`dot` takes tiles of rank 2, these are {a} and {b}"))?;
    ensure(ea == eb && ea.is_float(), || {
        format!("`dot` takes tiles of one float type, these are {a} and {b}")
    })?;
    for flag in ["ta", "tb"] {
        ensure(matches!(op.int(flag), Some(0 | 1)), || missing(op, flag))?;
    }
    let (m, ka) = if op.flag("ta") { (sa[1], sa[0]) } else { (sa[0], sa[1]) };
    let (kb, n) = if op.flag("tb") { (sb[1], sb[0]) } else { (sb[0], sb[1]) };
    ensure(ka == kb, || format!("`dot` contracts {ka} with {kb}"))?;
    let ty = Type::tile(Elem::F32, &[m, n]);
    if let Some(&acc) = op.operands.get(2) {
        ensure(*k.ty(acc) == ty, || format!("the accumulator of `dot` is a {}, not a {ty}", k.ty(acc)))?;
    }
    result(k, op, &ty)
}

fn for_(k: &Kernel, op: &Op) -> Check {
    ensure(op.operands.len() >= 2, || "`for` has no bounds".to_string())?;
    let carried = &op.operands[2..];
    count(op, op.operands.len(), carried.len())?;
    for &bound in &op.operands[..2] {
        let ty = k.ty(bound);
        ensure(*ty == Type::Scalar(Elem::I32), || format!("a bound of `for` is a {ty}, not an i32"))?;
    }
    let step = op.int("step").ok_or_else(|| missing(op, "step"))?;
    ensure((1..=i32::MAX as i64).contains(&step), || format!("the step of `for` is {step}"))?;
    let args = &k.block(op.regions[0]).args;
    ensure(args.len() == carried.len() + 1, || {
        format!("the region of `for` has {} arguments for {} carried values", args.len(), carried.len())
    })?;
    ensure(*k.ty(args[0]) == Type::Scalar(Elem::I32), || "the counter of `for` is not an i32".to_string())?;
    for ((&init, &arg), &result) in carried.iter().zip(&args[1..]).zip(&op.results) {
        super::sched::carried(op, k.ty(init))?;
        ensure(k.ty(init) == k.ty(arg) && k.ty(arg) == k.ty(result), || {
            format!(
                "a carried value starts as a {}, enters as a {} and leaves as a {}",
                k.ty(init),
                k.ty(arg),
                k.ty(result)
            )
        })?;
    }
    let drawn = carried.first().is_some_and(|&v| *k.ty(v) == Type::Scalar(Elem::I32));
    ensure(drawn || !op.flag("drawn"), || "a drawn `for` carries no i32 first".to_string())?;
    yields(k, op, op.regions[0])
}

/// A region's last op yields the types of the owner's results.
pub(super) fn yields(k: &Kernel, op: &Op, region: crate::ir::BlockId) -> Check {
    let last = k.block(region).ops.last().map(|&id| k.op(id));
    let out = last.map_or(&[][..], |y| &y.operands);
    ensure(out.len() == op.results.len(), || {
        format!(
            "a region of `{}` yields {} values for {} results",
            op.code.name(),
            out.len(),
            op.results.len()
        )
    })?;
    for (&v, &r) in out.iter().zip(&op.results) {
        ensure(k.ty(v) == k.ty(r), || {
            format!("a region of `{}` yields a {} for a {}", op.code.name(), k.ty(v), k.ty(r))
        })?;
    }
    Ok(())
}

/// Checks the tensor, the offsets, `box` and `check` of a memory op with `head` operands before the offsets; returns the extents
/// that are not 1.
fn access(k: &Kernel, op: &Op, head: usize) -> Result<Vec<usize>, String> {
    access_at(k, op, head, true)
}

/// The same; copies by the hardware need no `check`, because they always stop at the tensor's end.
pub(super) fn access_at(k: &Kernel, op: &Op, head: usize, checks: bool) -> Result<Vec<usize>, String> {
    ensure(op.operands.len() >= head, || format!("`{}` has no tensor or value", op.code.name()))?;
    let rank = tensor(k, op)?.dims.len();
    let (extent, check) = (op.ints("box"), op.ints("check"));
    let offsets = &op.operands[head..];
    let checked = if checks { check.len() } else { rank };
    ensure([offsets.len(), extent.len(), checked] == [rank; 3], || {
        format!(
            "a tensor of rank {rank} is accessed with {} offsets, {} extents and {} checks",
            offsets.len(),
            extent.len(),
            check.len()
        )
    })?;
    for &o in offsets {
        let ty = k.ty(o);
        ensure(*ty == Type::Scalar(Elem::I32), || format!("an offset is a {ty}, not an i32"))?;
    }
    ensure(check.iter().all(|c| matches!(c, 0 | 1)), || format!("`check` holds 0 and 1, this is {check:?}"))?;
    let sizes: Option<Vec<usize>> = extent.iter().map(|&e| usize::try_from(e).ok()).collect();
    let shape = without_ones(&sizes.ok_or_else(|| format!("`box` has a negative extent: {extent:?}"))?);
    check_shape(&shape)?;
    Ok(shape)
}

pub(super) fn tensor<'a>(k: &'a Kernel, op: &Op) -> Result<&'a TensorType, String> {
    let v = op.operands.first().ok_or_else(|| format!("`{}` has no tensor", op.code.name()))?;
    k.tensor(*v).ok_or_else(|| format!("`{}` accesses a {}, not a tensor", op.code.name(), k.ty(*v)))
}

fn without_ones(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|&e| e != 1).collect()
}

fn product(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

/// Whether a constant is a value of an element type.
fn fits(value: Scalar, elem: Elem) -> bool {
    match value {
        Scalar::Float(_) => elem.is_float(),
        Scalar::Int(i) => {
            elem == Elem::I32 && i32::try_from(i).is_ok() || elem == Elem::I8 && i8::try_from(i).is_ok()
        }
        Scalar::Bool(_) => elem == Elem::Bool,
    }
}

pub(super) fn elem_of(op: &Op, ty: &Type) -> Result<Elem, String> {
    match ty {
        Type::Scalar(e) | Type::Tile(e, _) => Ok(*e),
        other => Err(format!("`{}` takes scalars and tiles, not a {other}", op.code.name())),
    }
}

fn axis(op: &Op, ty: &Type) -> Result<usize, String> {
    let axis = op.int("axis").ok_or_else(|| missing(op, "axis"))?;
    let rank = ty.shape().map_or(0, <[usize]>::len);
    match usize::try_from(axis) {
        Ok(a) if a < rank => Ok(a),
        _ => Err(format!("axis {axis} is out of range for a {ty}")),
    }
}

pub(super) fn count(op: &Op, operands: usize, results: usize) -> Check {
    ensure(op.operands.len() == operands && op.results.len() == results, || {
        format!(
            "`{}` takes {operands} operands and gives {results} results, this has {} and {}",
            op.code.name(),
            op.operands.len(),
            op.results.len()
        )
    })
}

pub(super) fn result(k: &Kernel, op: &Op, want: &Type) -> Check {
    let found = op.results.first().map(|&r: &Value| k.ty(r));
    ensure(found == Some(want), || match found {
        Some(found) => format!("`{}` gives a {want} here, not a {found}", op.code.name()),
        None => format!("`{}` gives a {want} here", op.code.name()),
    })
}

fn same(op: &Op, a: &Type, b: &Type) -> Check {
    ensure(a == b, || format!("the operands of `{}` are a {a} and a {b}", op.code.name()))
}

pub(super) fn missing(op: &Op, key: &str) -> String {
    let what = ATTRS.iter().find(|(n, _)| *n == key).map_or("", |(_, what)| what);
    format!("`{}` lacks the attribute `{key}` ({what})", op.code.name())
}

pub(super) fn ensure(ok: bool, message: impl FnOnce() -> String) -> Check {
    if ok { Ok(()) } else { Err(message()) }
}
