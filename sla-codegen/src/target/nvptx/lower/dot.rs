//! Matrix products by `mma.sync`: what all have in common, and those of halves, by m16n8k16.
//!
//! The accumulator is a canonical tile. The first operand is a canonical tile of registers (its pairs are the fragments) or a tile in
//! shared memory; the second is in shared memory, or a constant. An operand that is in registers and must not be is written to scratch first, and
//! found there again by a dot that comes right after.
//! Products of f32 are in `dot_f32`.

use super::fragment::Lanes;
use super::shared::SharedTile;
use super::{Lower, Val};
use crate::analysis::DotOperand;
use crate::target::nvptx::product::{dot_source, is_f32};
use crate::target::nvptx::text::{Ssa, Ty};
use sla_dsl::ir::{Elem, OpCode, OpId, Value};

/// The most that one operand takes in scratch.
const PART_BYTES: usize = 16 * 1024;

/// The first operand.
pub(super) enum Left {
    /// Canonical registers.
    Regs(Vec<Ssa>),
    /// In shared memory: `transposed` if stored `[K, M]`, `whole` if all of the contracted axis is there.
    Shared { tile: SharedTile, transposed: bool, whole: bool },
}

impl Left {
    /// Whether steps are counted from the start of the contracted axis.
    pub(super) fn whole(&self) -> bool {
        match self {
            Left::Regs(_) => true,
            Left::Shared { whole, .. } => *whole,
        }
    }
}

/// The second operand; `whole` if all of the contracted axis is there.
#[derive(Clone, Copy)]
pub(super) struct Right {
    pub(super) tile: SharedTile,
    pub(super) whole: bool,
}

/// The operands of one part of the contracted axis.
pub(super) struct Operands {
    pub(super) left: Left,
    /// `None` where it is brought in by parts.
    pub(super) right: Option<Right>,
    /// Bytes of scratch that they take.
    pub(super) used: usize,
}

/// A part of a tile in registers on its way to scratch.
struct Staged {
    tile: SharedTile,
    regs: Vec<Ssa>,
    shape: [usize; 2],
    first: [usize; 2],
}

/// A first operand that the last dot has left in scratch.
pub(super) struct Kept {
    value: Value,
    along_rows: bool,
    /// The part of the contracted axis: its first element, and how many.
    part: [usize; 2],
    /// Where it lies in shared memory.
    start: usize,
    tile: SharedTile,
}

/// A dot in fragments.
pub(super) struct Product {
    pub(super) a: DotOperand,
    pub(super) b: DotOperand,
    /// Constants of a thread's rows: two for each fragment of 16.
    pub(super) rows: Vec<u32>,
    /// Constants of a thread's fragments of 8 columns.
    pub(super) cols: Vec<u32>,
    /// Columns of all warps.
    pub(super) width: usize,
    /// The contracted length.
    pub(super) k: usize,
    /// Whether the first operand must be in shared memory: no thread has its whole rows, or they are read in a loop.
    pub(super) left_shared: bool,
    /// Whether the second operand is one number of 16 bits all over, which is put into fragments as it is.
    pub(super) right_constant: bool,
}

impl Product {
    /// Fragments of 16 rows in each warp.
    pub(super) fn m(&self) -> usize {
        self.rows.len() / 2
    }

    /// Fragments of 8 columns in each warp.
    pub(super) fn n(&self) -> usize {
        self.cols.len()
    }
}

impl Lower<'_> {
    pub(super) fn dot(&mut self, id: OpId) {
        let op = self.k.op(id);
        let result = op.results[0];
        let acc = op.operands.get(2).map(|&c| self.regs(c));
        let product = self.product(id);
        let regs =
            if is_f32(self.k, id) { self.dot_f32(id, &product, acc) } else { self.dot_half(&product, acc) };
        self.set(result, regs);
    }

    fn product(&mut self, id: OpId) -> Product {
        let (a, b) = (dot_source(self.k, &self.defs, id, 0), dot_source(self.k, &self.defs, id, 1));
        let out = self.layout_of(self.k.op(id).results[0]);
        let columns = out.regs.iter().take_while(|r| r[0] == out.regs[0][0]).count();
        Product {
            a,
            b,
            rows: out.regs.iter().step_by(columns).map(|r| r[0]).collect(),
            cols: out.regs[..columns].iter().step_by(2).map(|r| r[1]).collect(),
            width: out.shape[1],
            k: self.k.ty(b.value).shape().map_or(0, |s| s[usize::from(b.transposed)]),
            left_shared: self.schedule.family.col_warps() > 1 || self.schedule.long.contains(&id),
            right_constant: !is_f32(self.k, id)
                && self.defs[b.value.index()].is_some_and(|def| self.k.op(def).code == OpCode::Const),
        }
    }

    /// Where an operand lives in shared memory, if it does.
    fn placed(&self, operand: DotOperand) -> Option<SharedTile> {
        match self.env.get(&operand.value) {
            Some(Val::Shared(tile)) => Some(*tile),
            _ => None,
        }
    }

    /// How much of the contracted axis is done at a time, so that operands in scratch do not take more than [`PART_BYTES`] each; twice that where
    /// one is there alone and steps are a loop, during which what is not yet in scratch would wait in registers.
    pub(super) fn part_length(&self, p: &Product, long: bool) -> usize {
        let bytes = |o: DotOperand| self.k.ty(o.value).count() * self.elem(o.value).bytes();
        let staged = |o: DotOperand, needed: bool| {
            let needed = needed && self.placed(o).is_none() && self.schedule.stream_of(o.value).is_none();
            if needed { bytes(o) } else { 0 }
        };
        let (left, right) = (staged(p.a, p.a.transposed || p.left_shared), staged(p.b, !p.right_constant));
        let alone = left == 0 || right == 0;
        let limit = if long && alone { 2 * PART_BYTES } else { PART_BYTES };
        let mut parts = 1;
        while left.max(right) / parts > limit && p.k.is_multiple_of(parts * 2 * 32) {
            parts *= 2;
        }
        p.k / parts
    }

    /// Brings the part of the operands from `first` on the contracted axis to where the instructions want them.
    pub(super) fn operands(&mut self, p: &Product, first: usize, length: usize) -> Operands {
        let (a, b) = (p.a, p.b);
        let mut staged: Vec<Staged> = Vec::new();
        let right = match self.placed(b) {
            Some(tile) => Some(Right { tile, whole: true }),
            None if p.right_constant || self.schedule.stream_of(b.value).is_some() => None,
            None => {
                Some(Right { tile: self.stage(b, !b.transposed, first, length, &mut staged), whole: false })
            }
        };
        let left = match self.placed(a) {
            Some(tile) => Left::Shared { tile, transposed: a.transposed, whole: true },
            None if a.transposed || p.left_shared => {
                // The same tile contracted along the same axis is there already.
                let same = right.filter(|_| a.value == b.value && a.transposed != b.transposed);
                // Parts of a second operand that is streamed lie at the start of the scratch.
                let free = staged.is_empty() && self.schedule.stream_of(b.value).is_none();
                let kept = if free { self.kept_part(a, [first, length]) } else { None };
                let tile = match same.map(|right| right.tile).or(kept) {
                    Some(tile) => tile,
                    None => self.stage(a, a.transposed, first, length, &mut staged),
                };
                Left::Shared { tile, transposed: a.transposed, whole: false }
            }
            None => Left::Regs(self.regs(a.value)),
        };
        let used = staged.iter().map(|s| s.tile.rows * s.tile.pitch()).sum();
        let alone = match (&staged[..], &left) {
            ([_], Left::Shared { tile, whole: false, .. }) if right.is_none_or(|r| r.whole) => Some(*tile),
            _ => None,
        };
        if !staged.is_empty() {
            // The scratch may still be read by threads that are behind, in the op before; after it, every thread reads what all wrote.
            self.barrier();
            for s in staged {
                self.write_shared_part(s.tile, &s.regs, s.shape, s.first);
            }
            self.barrier();
        }
        if let Some(tile) = alone {
            let (value, along_rows, start) = (a.value, a.transposed, self.scratch_start(0));
            self.kept = Some(Kept { value, along_rows, part: [first, length], start, tile });
        }
        Operands { left, right, used }
    }

    /// A part of a first operand that is still in scratch, and where no buffer of this op lies.
    fn kept_part(&self, a: DotOperand, part: [usize; 2]) -> Option<SharedTile> {
        let kept = self.kept.as_ref()?;
        let same = (kept.value, kept.along_rows, kept.part) == (a.value, a.transposed, part);
        (same && self.scratch_start(0) <= kept.start).then_some(kept.tile)
    }

    /// Reserves scratch for a part of a tile in registers: rows from `first` if the contracted axis runs along them, else columns.
    fn stage(
        &mut self,
        operand: DotOperand,
        along_rows: bool,
        first: usize,
        length: usize,
        staged: &mut Vec<Staged>,
    ) -> SharedTile {
        let v = operand.value;
        let regs = self.regs(v);
        let shape = match self.k.ty(v).shape() {
            Some(&[rows, cols]) => [rows, cols],
            _ => [1, 1],
        };
        let elem = self.elem(v);
        let [rows, cols] = if along_rows { [length, shape[1]] } else { [shape[0], length] };
        let used: usize = staged.iter().map(|s| s.tile.rows * s.tile.pitch()).sum();
        let addr = self.scratch(used, rows * cols * elem.bytes());
        let tile = SharedTile { addr, rows, cols, elem };
        let first = if along_rows { [first, 0] } else { [0, first] };
        staged.push(Staged { tile, regs, shape, first });
        tile
    }

    /// The first row of a warp's fragments, in the head.
    pub(super) fn warp_row(&mut self, rows: usize) -> Ssa {
        self.warp_start(rows, 0)
    }

    /// The first row (`axis` 0) or column of a warp in tiles of an extent, in the head.
    pub(super) fn warp_start(&mut self, extent: usize, axis: usize) -> Ssa {
        let layout = self.layout(&if axis == 0 { [extent, 1] } else { [1, extent] });
        let warps: Vec<(u32, u32, u32)> = layout.groups(axis).into_iter().filter(|g| g.0 >= 5).collect();
        let mut sum = self.t.i32(0);
        for (first, count, base) in warps {
            let (bits, base) = (self.thread_bits(first, count), self.t.i32(base.into()));
            let part = self.t.head_bin("arith.muli", bits, base, Ty::I32);
            sum = self.t.head_bin("arith.addi", sum, part, Ty::I32);
        }
        sum
    }

    /// A lane's place for `ldmatrix`: matrices 0 to 3 are taken rows first if `rows_first` (8 rows down, then one chunk right), else columns first.
    fn matrix_lanes(
        &mut self,
        tile: SharedTile,
        rows_first: bool,
        row: Option<Ssa>,
        chunk: Option<Ssa>,
    ) -> Lanes {
        let (in_matrix, low, high) = (self.thread_bits(0, 3), self.thread_bits(3, 1), self.thread_bits(4, 1));
        let (down, right) = if rows_first { (low, high) } else { (high, low) };
        let eight = self.t.i32(8);
        let down = self.t.head_bin("arith.muli", down, eight, Ty::I32);
        let mut at = self.t.head_bin("arith.addi", in_matrix, down, Ty::I32);
        if let Some(row) = row {
            at = self.t.head_bin("arith.addi", at, row, Ty::I32);
        }
        let mut right = right;
        if let Some(chunk) = chunk {
            right = self.t.head_bin("arith.addi", right, chunk, Ty::I32);
        }
        let zero = self.t.i32(0);
        self.lanes(tile, at, right, zero)
    }

    fn dot_half(&mut self, p: &Product, acc: Option<Vec<Ssa>>) -> Vec<Ssa> {
        let zero = self.t.f32(0.0);
        let mut acc = acc.unwrap_or_else(|| vec![zero; 2 * p.rows.len() * p.cols.len()]);
        let length = self.part_length(p, false);
        for first in (0..p.k).step_by(length) {
            let operands = self.operands(p, first, length);
            if operands.right.is_some() || p.right_constant {
                self.half_part(p, first / 16, length / 16, &operands.left, operands.right, &mut acc);
            }
        }
        acc
    }

    /// The steps from `first` of a dot of halves; without a second operand in shared memory it is a constant.
    fn half_part(
        &mut self,
        p: &Product,
        first: usize,
        steps: usize,
        left: &Left,
        right: Option<Right>,
        acc: &mut [Ssa],
    ) {
        let elem: Elem = self.elem(p.b.value);
        let three = self.t.i32(3);
        let warp = self.warp_start(p.width, 1);
        // Stored [N, K]: rows are n, chunks are k, and the fragment is read as it lies.
        let b = right.map(|right| {
            if p.b.transposed {
                self.matrix_lanes(right.tile, false, Some(warp), None)
            } else {
                let chunk = self.t.head_bin("arith.shrui", warp, three, Ty::I32);
                self.matrix_lanes(right.tile, true, None, Some(chunk))
            }
        });
        let constant = if right.is_none() { self.regs(p.b.value).first().copied() } else { None };
        let a = match left {
            Left::Regs(_) => None,
            Left::Shared { tile, transposed, .. } => {
                let m = if *transposed { tile.cols } else { tile.rows };
                let warp = self.warp_start(m, 0);
                Some(if *transposed {
                    let chunk = self.t.head_bin("arith.shrui", warp, three, Ty::I32);
                    self.matrix_lanes(*tile, false, None, Some(chunk))
                } else {
                    self.matrix_lanes(*tile, true, Some(warp), None)
                })
            }
        };
        let code = format!(
            "mma.sync.aligned.m16n8k16.row.col.f32.{elem}.{elem}.f32 {{$0,$1,$2,$3}}, {{$4,$5,$6,$7}}, {{$8,$9}}, {{$10,$11,$12,$13}};"
        );
        for k in 0..steps {
            let left_k = if left.whole() { first + k } else { k };
            let right_k = if right.is_some_and(|r| r.whole) { first + k } else { k };
            let mut fragments = Vec::new();
            for m in 0..p.m() {
                fragments.push(match (left, &a) {
                    (Left::Shared { tile, transposed: true, .. }, Some(a)) => {
                        let (addr, past) = self.at(a, *tile, 16 * left_k as u32, p.rows[2 * m] as usize / 8);
                        self.ldmatrix(addr, past, 4, true)
                    }
                    (Left::Shared { tile, .. }, Some(a)) => {
                        let (addr, past) = self.at(a, *tile, p.rows[2 * m], 2 * left_k);
                        self.ldmatrix(addr, past, 4, false)
                    }
                    (Left::Regs(regs), _) => {
                        let pairs = p.k / 8;
                        let at = |i: usize, j: usize| regs[(2 * m + i) * pairs + 2 * left_k + j];
                        vec![at(0, 0), at(1, 0), at(0, 1), at(1, 1)]
                    }
                    _ => Vec::new(),
                });
            }
            for n in (0..p.n()).step_by(2) {
                let count = if n + 1 < p.n() { 4 } else { 2 };
                let matrices = match (right, &b, constant) {
                    (Some(right), Some(b), _) => {
                        let (addr, past) = if p.b.transposed {
                            self.at(b, right.tile, p.cols[n], 2 * right_k)
                        } else {
                            self.at(b, right.tile, 16 * right_k as u32, p.cols[n] as usize / 8)
                        };
                        self.ldmatrix(addr, past, count, !p.b.transposed)
                    }
                    (_, _, Some(pair)) => vec![pair; count],
                    _ => Vec::new(),
                };
                for (m, fragment) in fragments.iter().enumerate() {
                    for (half, pair) in matrices.chunks(2).enumerate() {
                        self.mma(&code, 2 * p.n(), m, n + half, fragment, pair, acc);
                    }
                }
            }
        }
    }

    /// One instruction on the accumulators of a 16 by 8 place, in rows of `columns` registers.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn mma(
        &mut self,
        code: &str,
        columns: usize,
        m: usize,
        n: usize,
        a: &[Ssa],
        b: &[Ssa],
        acc: &mut [Ssa],
    ) {
        let at: Vec<usize> =
            [(0, 0), (0, 1), (1, 0), (1, 1)].iter().map(|(i, j)| (2 * m + i) * columns + 2 * n + j).collect();
        let mut args: Vec<(Ssa, Ty)> = a.iter().chain(b).map(|&r| (r, Ty::I32)).collect();
        args.extend(at.iter().map(|&i| (acc[i], Ty::F32)));
        let d = self.t.asm(code, &args, &[Ty::F32; 4], false);
        for (&i, d) in at.iter().zip(d) {
            acc[i] = d;
        }
    }
}
