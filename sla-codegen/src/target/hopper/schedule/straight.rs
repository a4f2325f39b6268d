//! Kernels without a loop: products of tiles that are loaded once for each program.
//!
//! They get a loop of no steps behind the loads that they start with. All their products are then *last* products, and what stood before the loop are
//! residents: producers copy those of the next programs while one is computed, which is what such kernels, bound by memory, are scheduled for.

use sla_dsl::diag::Loc;
use sla_dsl::ir::{Attr, Elem, Kernel, Op, OpCode, OpId, Scalar, Type};

/// Puts an empty loop into a kernel whose products all stand in its body.
pub fn with_empty_loop(tile: &mut Kernel) {
    let (body, mut dots) = (tile.body, Vec::new());
    tile.walk(&mut |k, block, id| {
        if k.op(id).code == OpCode::Dot {
            dots.push((block, k.op(id).loc));
        }
    });
    let Some(&(_, loc)) = dots.first() else { return };
    if dots.iter().any(|&(block, _)| block != body) {
        return;
    }
    let computes = |&id: &OpId| {
        let op = tile.op(id);
        let tiles = op.results.iter().any(|&r| tile.ty(r).is_tile());
        tiles && !matches!(op.code, OpCode::Load | OpCode::Const | OpCode::Transpose)
    };
    let ops = &tile.block(body).ops;
    let at = ops.iter().position(computes).unwrap_or(ops.len());
    let new = empty_loop(tile, loc);
    tile.block_mut(body).ops.splice(at..at, new);
}

fn empty_loop(tile: &mut Kernel, loc: Loc) -> [OpId; 2] {
    let op = |tile: &mut Kernel, code, operands, results, attr: Option<(&'static str, Attr)>, regions| {
        tile.new_op(Op { code, operands, results, attrs: attr.into_iter().collect(), regions, loc })
    };
    let int = Type::Scalar(Elem::I32);
    let (zero, counter) = (tile.new_value(int.clone()), tile.new_value(int));
    let value = ("value", Attr::Scalar(Scalar::Int(0)));
    let made = op(tile, OpCode::Const, vec![], vec![zero], Some(value), vec![]);
    let region = tile.new_block();
    let ends = op(tile, OpCode::Yield, vec![], vec![], None, vec![]);
    let block = tile.block_mut(region);
    block.args.push(counter);
    block.ops.push(ends);
    let step = Some(("step", Attr::Int(1)));
    [made, op(tile, OpCode::For, vec![zero, zero], vec![], step, vec![region])]
}
