//! Buffers and their places in scratch memory.

use super::reads::reads;
use super::{Buffer, BufferId, Home, Nest, Schedule, dims, stored};
use sla_dsl::ir::{Class, Kernel, OpCode, OpId, Value};

/// Alignment of every buffer: a cache line, and the longest vector.
const ALIGN: usize = 64;

/// Makes the buffers, lets carried values be updated in place, and packs what is left.
pub fn assign(kernel: &Kernel, nest: &Nest, s: &mut Schedule) {
    make(kernel, nest, s);
    share_results(kernel, nest, s);
    update_in_place(kernel, nest, s);
    make_swaps(kernel, nest, s);
    extend(kernel, nest, s);
    pack(s);
}

/// A buffer for each stored value, and for each other axis that a read asks for.
fn make(kernel: &Kernel, nest: &Nest, s: &mut Schedule) {
    let mut wanted: Vec<(Value, usize)> = Vec::new();
    for i in 0..kernel.types.len() {
        let v = Value(i as u32);
        if s.home(v) == Home::Buffer && nest.home[i].is_some() {
            wanted.push((v, s.axis(v)));
        }
    }
    for &id in &nest.order {
        for read in reads(kernel, nest, s, id) {
            if let Some(axis) = read.axis
                && !wanted.contains(&(read.value, axis))
            {
                wanted.push((read.value, axis));
            }
        }
    }
    for (v, axis) in wanted {
        let ty = kernel.ty(v);
        let (rows, cols) = dims(ty);
        let (outer, inner) = if axis == 1 { (rows, cols) } else { (cols, rows) };
        let elem = ty.elem().map_or(sla_dsl::ir::Elem::F32, stored);
        let id = BufferId(s.buffers.len());
        s.buffers.push(Buffer { elem, outer, inner, axis, first: usize::MAX, last: 0, offset: 0 });
        s.tiles.insert((v, axis), id);
    }
}

/// A loop's results are its carried values after the last iteration.
fn share_results(kernel: &Kernel, nest: &Nest, s: &mut Schedule) {
    for &id in &nest.order {
        let op = kernel.op(id);
        if op.code != OpCode::For {
            continue;
        }
        for (&r, &arg) in op.results.iter().zip(&kernel.block(op.regions[0]).args[1..]) {
            if let Some(tile) = s.main_tile(arg) {
                s.tiles.insert((r, s.axis(r)), tile);
            }
        }
    }
}

/// The next value of a carried value is computed in its memory if nobody reads the old one afterwards, and the op that computes it reads
/// the old one element by element.
fn update_in_place(kernel: &Kernel, nest: &Nest, s: &mut Schedule) {
    for &id in &nest.order {
        let op = kernel.op(id);
        if op.code != OpCode::For {
            continue;
        }
        let body = op.regions[0];
        let Some(&end) = kernel.block(body).ops.last() else { continue };
        let yields = kernel.op(end).operands.clone();
        for (i, &next) in yields.iter().enumerate() {
            let arg = kernel.block(body).args[i + 1];
            let Some(def) = nest.def[next.index()] else { continue };
            let simple = nest.block.get(&def) == Some(&body)
                && !matches!(
                    kernel.op(def).code.class(),
                    Class::For | Class::If | Class::Load | Class::Reduce
                )
                && kernel.op(def).code != OpCode::Reshape
                && s.home(next) == Home::Buffer
                && s.axis(next) == s.axis(arg)
                && yields.iter().filter(|&&v| v == next).count() == 1;
            if !simple || !unread_after(kernel, nest, s, id, arg, def) {
                continue;
            }
            if let Some(tile) = s.main_tile(arg) {
                s.tiles.insert((next, s.axis(next)), tile);
                s.in_place.push((id, i));
            }
        }
    }
}

/// Whether, inside the loop, `arg` is read before `def`, or by it element by element, and nowhere else.
fn unread_after(kernel: &Kernel, nest: &Nest, s: &Schedule, of: OpId, arg: Value, def: OpId) -> bool {
    let body = kernel.op(of).regions[0];
    let main = s.main_tile(arg);
    let inside = nest.order[nest.position[&of] + 1..=nest.end[&of]].iter();
    inside.copied().all(|id| {
        reads(kernel, nest, s, id).iter().filter(|r| r.value == arg).all(|r| {
            // A transposed copy is made when the iteration starts and is not overwritten.
            if r.axis.is_some_and(|a| s.tile(arg, a) != main) {
                return true;
            }
            let at = nest.position[&nest.ancestor_in(id, body)];
            at < nest.position[&def] || id == def && r.pointwise
        })
    })
}

/// Carried values that trade places go through other memory.
fn make_swaps(kernel: &Kernel, nest: &Nest, s: &mut Schedule) {
    for &id in &nest.order {
        let op = kernel.op(id);
        if op.code != OpCode::For {
            continue;
        }
        let args = &kernel.block(op.regions[0]).args[1..];
        let Some(&end) = kernel.block(op.regions[0]).ops.last() else { continue };
        for (i, v) in kernel.op(end).operands.iter().enumerate() {
            if s.home(*v) != Home::Buffer || !args.contains(v) || *v == args[i] {
                continue;
            }
            if let Some(tile) = s.main_tile(args[i]) {
                let mut buffer = s.buffer(tile).clone();
                (buffer.first, buffer.last) = (nest.position[&end], nest.position[&end]);
                s.swaps.insert((id, i), BufferId(s.buffers.len()));
                s.buffers.push(buffer);
            }
        }
    }
}

/// When each buffer holds something that is still needed.
fn extend(kernel: &Kernel, nest: &Nest, s: &mut Schedule) {
    let tiles: Vec<((Value, usize), BufferId)> = s.tiles.iter().map(|(k, b)| (*k, *b)).collect();
    for ((v, _), id) in &tiles {
        let Some(block) = nest.home[v.index()] else { continue };
        let (first, last) = match nest.def[v.index()] {
            Some(def) if kernel.op(def).regions.is_empty() => (nest.position[&def], nest.position[&def]),
            Some(def) => (nest.position[&def], nest.end[&def]),
            None => match nest.owner.get(&block) {
                Some(of) => (nest.position[of], nest.end[of]),
                None => (0, 0),
            },
        };
        let b = &mut s.buffers[id.0];
        (b.first, b.last) = (b.first.min(first), b.last.max(last));
    }
    for &id in &nest.order {
        for read in reads(kernel, nest, s, id) {
            let Some(block) = nest.home[read.value.index()] else { continue };
            let last = nest.reach(id, block);
            for ((v, _), tile) in &tiles {
                if *v == read.value {
                    let b = &mut s.buffers[tile.0];
                    b.last = b.last.max(last);
                }
            }
        }
    }
}

/// First fit, in order of first use. Two buffers may overlap in memory if one is read for the last time before the other begins.
fn pack(s: &mut Schedule) {
    let live: std::collections::BTreeSet<BufferId> =
        s.tiles.values().chain(s.swaps.values()).copied().collect();
    let mut ids: Vec<BufferId> = live.into_iter().collect();
    ids.sort_by_key(|id| (s.buffers[id.0].first, id.0));
    let mut placed: Vec<BufferId> = Vec::new();
    for id in ids {
        let size = s.buffers[id.0].bytes().next_multiple_of(ALIGN);
        let (first, last) = (s.buffers[id.0].first, s.buffers[id.0].last);
        let mut busy: Vec<(usize, usize)> = placed
            .iter()
            .map(|p| &s.buffers[p.0])
            .filter(|b| b.first <= last && first <= b.last)
            .map(|b| (b.offset, b.offset + b.bytes().next_multiple_of(ALIGN)))
            .collect();
        busy.sort_unstable();
        let mut offset = 0;
        for (from, to) in busy {
            if offset + size <= from {
                break;
            }
            offset = offset.max(to);
        }
        s.buffers[id.0].offset = offset;
        s.scratch = s.scratch.max(offset + size);
        placed.push(id);
    }
}
