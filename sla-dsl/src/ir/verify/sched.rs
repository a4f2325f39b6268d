//! Types and attributes of the ops of scheduled kernels: rings, roles, products in flight.
//!
//! That a product in flight cannot be read before it is waited for follows from its type: no other op takes a `pending`. Whether barriers
//! are passed and given back in an order that ends is not a question of types, and not asked here.

use super::types::{Check, access_at, count, elem_of, ensure, missing, result, tensor};
use crate::ir::{Attr, Class, Elem, Kernel, Op, OpCode, Type};

/// The rule of an op of [`Level::Sched`](crate::ir::Level) that has a class of its own.
pub fn op(k: &Kernel, op: &Op) -> Check {
    let name = op.code.name();
    let ty = |i: usize| k.ty(op.operands[i]);
    match op.code.class() {
        Class::Fold => {
            count(op, 1, 1)?;
            match ty(0) {
                Type::Tile(Elem::F32, s) if s.len() == 2 && s[1].is_multiple_of(8) => {
                    result(k, op, &Type::tile(Elem::F32, &[s[0], 8]))
                }
                other => {
                    Err(format!("`{name}` takes an f32 tile with a multiple of 8 columns, not a {other}"))
                }
            }
        }
        Class::Vote => {
            count(op, 1, 1)?;
            let ok = ty(0).is_tile() && ty(0).elem() == Some(Elem::Bool);
            ensure(ok, || format!("`vote` takes a tile of bool, not a {}", ty(0)))?;
            result(k, op, &Type::Scalar(Elem::Bool))
        }
        Class::Concat => {
            count(op, 2, 1)?;
            let axis = op.int("axis").filter(|a| matches!(a, 0 | 1)).ok_or_else(|| missing(op, "axis"))?;
            match (ty(0), ty(1)) {
                (Type::Tile(e, a), Type::Tile(eb, b))
                    if e == eb
                        && a.len() == 2
                        && b.len() == 2
                        && a[1 - axis as usize] == b[1 - axis as usize] =>
                {
                    let mut shape = a.clone();
                    shape[axis as usize] += b[axis as usize];
                    result(k, op, &Type::tile(*e, &shape))
                }
                (a, b) => Err(format!("`concat` cannot put a {b} behind a {a} along axis {axis}")),
            }
        }
        Class::Ring => {
            count(op, 0, 1)?;
            ensure(!op.str("name").is_empty(), || missing(op, "name"))?;
            let arrivals = op.int("arrivals").ok_or_else(|| missing(op, "arrivals"))?;
            ensure((0..=1024).contains(&arrivals), || format!("a ring with {arrivals} arrivals"))?;
            match k.ty(op.results[0]) {
                Type::Ring(_, sizes) if sizes.iter().all(|&s| s > 0) => Ok(()),
                other => Err(format!("`ring` gives a ring, not a {other}")),
            }
        }
        Class::Cursor => {
            count(op, 0, 1)?;
            result(k, op, &Type::Cursor)
        }
        Class::Advance => {
            count(op, 2, 1)?;
            ring(k, op, 0)?;
            result(k, op, &Type::Cursor)
        }
        Class::Turn => {
            count(op, 2, 0)?;
            ring(k, op, 0).map(|_| ())
        }
        Class::Draw | Class::Take => {
            let draws = op.code.class() == Class::Draw;
            count(op, if draws { 3 } else { 2 }, 1)?;
            match ring(k, op, 0)? {
                (Elem::I32, [_, 1, 1]) => {}
                _ => return Err(format!("`{name}` takes a ring of one i32 a stage, not a {}", ty(0))),
            }
            ensure(!draws || *ty(2) == Type::Scalar(Elem::I32), || {
                format!("`{name}` takes a number of programs, not a {}", ty(2))
            })?;
            result(k, op, &Type::Scalar(Elem::I32))
        }
        Class::Await => {
            count(op, 2, 1)?;
            let (elem, [_, m, n]) = ring(k, op, 0)?;
            result(k, op, &Type::View(elem, [m, n]))
        }
        Class::Read => {
            count(op, 1, 1)?;
            match ty(0) {
                Type::View(e, [m, n]) => result(k, op, &Type::tile(*e, &[*m, *n])),
                other => Err(format!("`read` takes a view, not a {other}")),
            }
        }
        Class::Fill => {
            let shape = access_at(k, op, 3, false)?;
            count(op, op.operands.len(), 0)?;
            let (elem, [_, rows, cols]) = ring(k, op, 1)?;
            let row =
                op.int("row").and_then(|r| usize::try_from(r).ok()).ok_or_else(|| missing(op, "row"))?;
            ensure(tensor(k, op)?.elem == elem, || format!("a {} cannot fill a {}", ty(0), ty(1)))?;
            let (m, n) = match shape[..] {
                [m, n] => (m, n),
                [n] => (1, n),
                _ => (1, 1),
            };
            ensure(n == cols && row + m <= rows, || {
                format!("a box of {:?} from row {row} on does not fit a stage of a {}", op.ints("box"), ty(1))
            })
        }
        Class::Send => {
            let shape = access_at(k, op, 3, false)?;
            count(op, op.operands.len(), 0)?;
            let t = tensor(k, op)?;
            ensure(t.mutable, || format!("`{name}` writes a read-only tensor"))?;
            let adds = op.code == OpCode::SendAdd;
            ensure(!adds || t.elem == Elem::F32, || format!("`{name}` adds to f32, not to {}", t.elem))?;
            let (elem, [_, rows, cols]) = ring(k, op, 2)?;
            let parts = parts(op, cols)?;
            ensure(adds || parts == 1, || format!("`{name}` has parts"))?;
            let value = Type::tile(elem, &[rows * parts, cols / parts]);
            ensure(*ty(1) == value && shape == [rows, cols] && t.elem == elem, || {
                format!("a {} cannot be sent to a box of {:?} through a {}", ty(1), op.ints("box"), ty(2))
            })
        }
        Class::Share => {
            count(op, 3, 1)?;
            let (elem, [_, m, n]) = ring(k, op, 1)?;
            ensure(*ty(0) == Type::tile(elem, &[m, n]), || {
                format!("a {} is no stage of a {}", ty(0), ty(1))
            })?;
            result(k, op, &Type::View(elem, [m, n]))
        }
        Class::Mma => mma(k, op),
        Class::MmaWait => {
            count(op, op.operands.len(), op.operands.len())?;
            let left = op.int("left").ok_or_else(|| missing(op, "left"))?;
            ensure((0..8).contains(&left), || format!("`mma_wait` leaves {left} groups"))?;
            for (&v, &r) in op.operands.iter().zip(&op.results) {
                match (k.ty(v), k.ty(r)) {
                    (Type::Pending(e, s), Type::Tile(te, ts)) if e == te && s[..] == ts[..] => {}
                    (v, r) => return Err(format!("`mma_wait` makes tiles of products, not a {r} of a {v}")),
                }
            }
            Ok(())
        }
        Class::Order => count(op, 0, 0),
        Class::Role => {
            count(op, 0, 0)?;
            ensure(matches!(op.attrs.get("name"), Some(Attr::Str(_))), || missing(op, "name"))?;
            for (key, range) in [("first", 0..=31), ("warps", 1..=32), ("registers", 0..=255)] {
                let v = op.int(key).ok_or_else(|| missing(op, key))?;
                ensure(range.contains(&v), || format!("`{key}` of a role is {v}"))?;
            }
            let groups = op.int("groups").unwrap_or(1);
            ensure((1..=4).contains(&groups), || format!("`groups` of a role is {groups}"))?;
            ensure(k.block(op.regions[0]).args.is_empty(), || {
                "the region of `role` has no arguments".into()
            })?;
            super::types::yields(k, op, op.regions[0])
        }
        _ => Err(format!("`{name}` has no rule")),
    }
}

fn mma(k: &Kernel, op: &Op) -> Check {
    ensure(matches!(op.operands.len(), 2 | 3), || {
        format!("`mma` takes 2 or 3 operands, this has {}", op.operands.len())
    })?;
    count(op, op.operands.len(), 1)?;
    let matrix = |i: usize| match k.ty(op.operands[i]) {
        Type::View(e, s) => Ok((*e, *s)),
        Type::Tile(e, s) if s.len() == 2 && i == 0 => Ok((*e, [s[0], s[1]])),
        other => Err(format!("`mma` takes a tile or a view and a view, not a {other}")),
    };
    let ((ea, sa), (eb, sb)) = (matrix(0)?, matrix(1)?);
    ensure(ea == eb && ea.is_half(), || format!("`mma` multiplies halves of one type, not {ea} by {eb}"))?;
    for flag in ["ta", "tb"] {
        ensure(matches!(op.int(flag), Some(0 | 1)), || missing(op, flag))?;
    }
    let turned = |s: [usize; 2], t: bool| if t { (s[1], s[0]) } else { (s[0], s[1]) };
    let ((m, ka), (kb, n)) = (turned(sa, op.flag("ta")), turned(sb, op.flag("tb")));
    ensure(ka == kb, || format!("`mma` contracts {ka} with {kb}"))?;
    let parts = parts(op, n)?;
    let [m, n] = [m * parts, n / parts];
    let ty = Type::Pending(Elem::F32, [m, n]);
    if let Some(&acc) = op.operands.get(2) {
        let fits = *k.ty(acc) == ty || *k.ty(acc) == Type::tile(Elem::F32, &[m, n]);
        ensure(fits, || format!("the accumulator of `mma` is a {}, not a {ty}", k.ty(acc)))?;
    }
    result(k, op, &ty)
}

/// Into how many parts an op splits so many columns.
fn parts(op: &Op, columns: usize) -> Result<usize, String> {
    let parts = op.int("parts").map_or(Some(1), |p| usize::try_from(p).ok()).unwrap_or(0);
    ensure(parts > 0 && columns.is_multiple_of(parts), || {
        format!("`{}` splits {columns} columns into {parts} parts", op.code.name())
    })?;
    Ok(parts)
}

/// The ring at operand `at`, with a cursor behind it where the op takes one.
fn ring(k: &Kernel, op: &Op, at: usize) -> Result<(Elem, [usize; 3]), String> {
    let name = op.code.name();
    let takes_cursor = op.code.class() != Class::Send;
    if takes_cursor {
        let cursor = k.ty(op.operands[at + 1]);
        ensure(*cursor == Type::Cursor, || format!("`{name}` takes a cursor, not a {cursor}"))?;
    }
    match k.ty(op.operands[at]) {
        Type::Ring(e, s) => Ok((*e, *s)),
        other => Err(format!("`{name}` takes a ring, not a {other}")),
    }
}

/// Whether a loop may carry a value of this type.
pub fn carried(op: &Op, ty: &Type) -> Check {
    match ty {
        Type::Cursor | Type::Pending(..) => Ok(()),
        other => elem_of(op, other).map(|_| ()),
    }
}
