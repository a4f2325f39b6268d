//! Scheduled kernels: what each warp of a block of threads does.
//!
//! Shared memory begins with a page of barriers; the rings follow, then the scratch of each role. Every role is a section of the text:
//! its threads are numbered from its own first warp, so that ordinary ops lower as they do for a whole program. Roles of one warp run on
//! one lane and have no tiles; the others are whole warpgroups with 16 rows of every tile to a warp.
//!
//! Where roles come in groups, their code is the same for all: a warp's group decides where its shared memory starts, which named barriers are its own
//! and which programs.

use super::roles_check::check;
use super::turn::has_turns;
use super::{Lower, Val};
use crate::target::nvptx::check::unsupported;
use crate::target::nvptx::layout::Family;
use crate::target::nvptx::schedule::Schedule;
use crate::target::nvptx::stage::PITCH;
use crate::target::nvptx::text::{Ssa, Ty};
use crate::{Arch, CodegenError, TensorMap};
use sla_dsl::diag::Loc;
use sla_dsl::ir::{Elem, Kernel, OpCode, OpId, Type};
use std::collections::HashSet;

/// Bytes at the start of shared memory that the rings' barriers are in.
pub(super) const BARRIER_BYTES: usize = 1024;

/// Named barriers of a block of threads, besides number 0.
const NAMED_BARRIERS: u32 = 15;

/// What the lowering of a scheduled kernel yields.
pub struct LoweredRoles {
    /// A `builtin.module`.
    pub mlir: String,
    /// Dynamic shared memory, in bytes.
    pub shared_bytes: usize,
    /// Threads of a block.
    pub threads: u32,
    /// Tensor maps, passed by value after the flat arguments, in order.
    pub maps: Vec<TensorMap>,
    /// Whether the address of a counter follows them, from which programs are drawn.
    pub queue: bool,
    /// Groups of roles in a block of threads.
    groups: u32,
}

/// A ring's place in shared memory.
#[derive(Clone, Copy)]
pub(super) struct RingPlace {
    pub elem: Elem,
    pub stages: usize,
    pub rows: usize,
    pub cols: usize,
    /// Arrivals that make a stage empty; 0 for a ring without barriers.
    pub arrivals: i64,
    /// Where the first stage starts.
    pub offset: usize,
    /// Where the "full" barriers start; those for "empty" follow.
    pub barriers: usize,
}

impl RingPlace {
    /// Bytes of a panel: 64 columns of halves, or 32 of f32, of every row.
    pub(super) fn panel(&self) -> usize {
        self.rows * PITCH
    }

    /// Bytes of a stage: of tiles a multiple of 1024, because rows come in eights, of a line of f32 one of 128; none for a ring of numbers.
    pub(super) fn stage(&self) -> usize {
        if self.elem == Elem::I32 { 0 } else { self.rows * self.cols * self.elem.bytes() }
    }

    /// Whether its stages are single rows of f32, which lie as in memory.
    pub(super) fn is_line(&self) -> bool {
        self.elem == Elem::F32 && self.rows == 1
    }

    /// What a stage starts at a multiple of.
    fn align(&self) -> usize {
        if self.elem.is_half() || self.rows > 1 { 1024 } else { 128 }
    }

    /// Bytes in the page of barriers: two barriers a stage, and the number in a ring of numbers.
    fn barrier_bytes(&self) -> usize {
        match (self.arrivals, self.elem) {
            (0, _) => 0,
            (_, Elem::I32) => 24 * self.stages,
            _ => 16 * self.stages,
        }
    }
}

/// The role that is being lowered.
pub(super) struct Current {
    /// Warps of one group.
    pub warps: u32,
    /// The number of the barrier of all its threads, once there is one.
    barrier: Option<u32>,
    /// The number of the first of its warpgroups' barriers, once there are some.
    group_barrier: Option<u32>,
    /// The number of the first barrier of its warpgroups' turns, once there are some.
    turns: Option<u32>,
    /// Whether it sends.
    pub sends: bool,
    /// The rings that it reads into registers.
    pub read: HashSet<usize>,
}

/// What only scheduled kernels have.
#[derive(Default)]
pub(super) struct Roles {
    pub rings: Vec<RingPlace>,
    pub maps: Vec<(TensorMap, Ssa)>,
    /// The address of the counter that programs are drawn from, once one is.
    pub counter: Option<Ssa>,
    pub current: Option<Current>,
    /// Where the scratch of this role starts.
    pub scratch: usize,
    /// Named barriers given away; number 0 is the whole block's.
    barriers: u32,
    /// The first op for which there was none left.
    without_barrier: Option<OpId>,
    /// The warp's number in its role and group, the same register in all its lanes.
    pub warp: Option<Ssa>,
    /// Groups of roles.
    groups: u32,
    /// Bytes of shared memory that each of several groups has.
    group_bytes: usize,
    /// The warp's group, where there are several.
    group: Option<Ssa>,
    /// First operands in registers of products that may be in flight, oldest first; one entry for each product, empty where both are views.
    pub in_flight: Vec<Vec<Ssa>>,
}

/// Lowers a scheduled kernel of which `ctas_per_sm` blocks are to fit a multiprocessor; with `lines`, every op has its place in the source.
///
/// # Errors
/// What the lowering does not do, with the op's place: see `roles_check`.
pub fn lower_roles(kernel: &Kernel, ctas_per_sm: u32, lines: bool) -> Result<LoweredRoles, CodegenError> {
    check(kernel)?;
    let first = lower_with(kernel, ctas_per_sm, lines, 0)?;
    if first.groups == 1 {
        return Ok(first);
    }
    // What a group takes is known when all its roles have been lowered; stages are at multiples of 1024.
    lower_with(kernel, ctas_per_sm, lines, first.shared_bytes.next_multiple_of(1024))
}

/// The same, with so many bytes of shared memory for each of several groups.
fn lower_with(
    kernel: &Kernel,
    ctas_per_sm: u32,
    lines: bool,
    group_bytes: usize,
) -> Result<LoweredRoles, CodegenError> {
    let roles: Vec<OpId> = of_code(kernel, OpCode::Role);
    let number = |id: OpId, key: &str| kernel.op(id).int(key).unwrap_or(0) as u32;
    let groups = roles.first().map_or(1, |&r| number(r, "groups").max(1));
    let end = |id: OpId| number(id, "first") + groups * number(id, "warps");
    // `setmaxnreg` is for whole warpgroups.
    let whole = roles.iter().any(|&r| number(r, "registers") > 0);
    let warps = roles.iter().map(|&r| end(r)).max().unwrap_or(1);
    let threads = if whole { warps.next_multiple_of(4) } else { warps } * 32;
    let schedules: Vec<Schedule> =
        roles.iter().map(|&r| Schedule::plain(kernel, Family::mma(number(r, "warps")))).collect();
    let plain = Schedule::plain(kernel, Family::mma(1));

    let mut lower = Lower::new(kernel, &plain);
    if lines {
        lower.t.with_places();
    }
    (lower.roles.groups, lower.roles.group_bytes) = (groups, group_bytes);
    let mut arguments = lower.arguments(false);
    for &id in &kernel.block(kernel.body).ops {
        match kernel.op(id).code {
            OpCode::Role => {}
            OpCode::Ring => lower.place_ring(id),
            _ => lower.op(id),
        }
    }
    lower.start_rings();
    lower.share_divisions();
    let tid = lower.tid;
    let (five, all, zero, clamp) = (lower.t.i32(5), lower.t.i32(-1), lower.t.i32(0), lower.t.i32(31));
    let warp = lower.t.head_bin("arith.shrui", tid, five, Ty::I32);
    // All lanes have the same number; the shuffle tells ptxas so, which then branches once for the warp.
    let warp = lower.t.head(format_args!("nvvm.shfl.sync idx {all}, {warp}, {zero}, {clamp} : i32 -> i32"));
    // Registers that every thread has when the block starts.
    let launched = (65536 / (threads * ctas_per_sm.max(1))).min(255) & !7;
    let mut order: Vec<usize> = (0..roles.len()).collect();
    order.sort_by_key(|&i| number(roles[i], "first"));
    let mut open = 0;
    let mut left = order.as_slice();
    while let Some(&first) = left.first() {
        let group = number(roles[first], "first") / 4;
        let alone = number(roles[first], "warps") > 1;
        let same = |i: &usize| number(roles[*i], "warps") == 1 && number(roles[*i], "first") / 4 == group;
        let count = if alone { 1 } else { left.iter().take_while(|i| same(i)).count() };
        let (now, later) = left.split_at(count);
        let until = if alone { end(roles[first]) } else { 4 * (group + 1) };
        if !later.is_empty() {
            let until = lower.t.i32(until.into());
            let here = lower.t.def(format_args!("arith.cmpi ult, {warp}, {until} : i32"));
            lower.t.open(format_args!("scf.if {here} {{"));
            open += 1;
        }
        let registers = now.iter().map(|&i| number(roles[i], "registers")).max().unwrap_or(0);
        if registers > 0 && registers != launched {
            let way = if registers < launched { "dec" } else { "inc" };
            // Every warp of the warpgroup comes by, and none has branched off yet.
            lower.t.asm(&format!("setmaxnreg.{way}.sync.aligned.u32 {registers};"), &[], &[], true);
        }
        for &i in now {
            lower.role(roles[i], &schedules[i], tid, warp);
        }
        if !later.is_empty() {
            lower.t.reopen("} else {");
        }
        left = later;
    }
    for _ in 0..open {
        lower.t.close("}");
    }
    if let Some(id) = lower.roles.without_barrier {
        let (op, taken) = (kernel.op(id), lower.roles.barriers);
        let message = format!(
            "`{}`: its roles take {taken} named barriers, and a block of threads has {NAMED_BARRIERS}; fewer groups or warpgroups take fewer",
            op.code.name()
        );
        return Err(unsupported(kernel, Arch::Sm90a, op.loc, message));
    }
    let shared_bytes = match groups {
        n if n > 1 && group_bytes > 0 => n as usize * group_bytes,
        _ => lower.scratch_end.max(lower.rings_end()),
    };
    if shared_bytes > super::super::shared_limit(Arch::Sm90a) {
        let limit = super::super::shared_limit(Arch::Sm90a);
        let message = format!(
            "it takes {shared_bytes} bytes of shared memory, and a block of threads may have {limit}"
        );
        return Err(unsupported(kernel, Arch::Sm90a, Loc::UNKNOWN, message));
    }
    let map = "!llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant}";
    arguments.extend(lower.roles.maps.iter().map(|(_, v)| format!("{v}: {map}")));
    arguments.extend(lower.roles.counter.map(|v| format!("{v}: {}", Ty::Global)));
    let maps = lower.roles.maps.iter().map(|(m, _)| m.clone()).collect();
    let queue = lower.roles.counter.is_some();
    // LLVM unrolls the loops of roles that copy, which wait for copies anyway; that would be a fifth of the code, and of ptxas's time.
    let minimum = format!(", nvvm.minctasm = {} : i32, passthrough = [\"optsize\"]", ctas_per_sm.max(1));
    let mlir = lower.finish(&arguments, threads, &minimum);
    Ok(LoweredRoles { mlir, shared_bytes, threads, maps, queue, groups })
}

/// The ops of the body that have a code.
fn of_code(kernel: &Kernel, code: OpCode) -> Vec<OpId> {
    kernel.block(kernel.body).ops.iter().copied().filter(|&id| kernel.op(id).code == code).collect()
}

impl<'k> Lower<'k> {
    fn place_ring(&mut self, id: OpId) {
        let op = self.k.op(id);
        let Type::Ring(elem, [stages, rows, cols]) = *self.k.ty(op.results[0]) else { return };
        let mut place = RingPlace {
            elem,
            stages,
            rows,
            cols,
            arrivals: op.int("arrivals").unwrap_or(0),
            offset: self.rings_end(),
            barriers: self.roles.rings.iter().map(RingPlace::barrier_bytes).sum(),
        };
        place.offset = place.offset.next_multiple_of(place.align());
        self.env.insert(op.results[0], Val::Ring(self.roles.rings.len()));
        self.roles.rings.push(place);
    }

    fn rings_end(&self) -> usize {
        self.roles.rings.last().map_or(BARRIER_BYTES, |r| r.offset + r.stages * r.stage())
    }

    /// Initialises the barriers, before any role starts.
    fn start_rings(&mut self) {
        self.scratch_end = self.rings_end();
        let zero = self.t.i32(0);
        let first = self.t.head(format_args!("arith.cmpi eq, {}, {zero} : i32", self.tid));
        self.t.open(format_args!("scf.if {first} {{"));
        let rings = self.roles.rings.clone();
        let all = (0..self.roles.groups as usize).flat_map(|group| rings.iter().map(move |r| (group, r)));
        for (group, ring) in all.filter(|(_, r)| r.arrivals > 0) {
            for stage in 0..2 * ring.stages {
                let count = if stage < ring.stages { 1 } else { ring.arrivals };
                let at = group * self.roles.group_bytes + ring.barriers + 8 * stage;
                let code = format!("mbarrier.init.shared::cta.b64 [$0+{at}], {count};");
                self.t.asm(&code, &[(self.pool, Ty::I32)], &[], true);
            }
        }
        // The copies of TMA arrive through another proxy, which must see the barriers' first state.
        self.t.asm("fence.mbarrier_init.release.cluster;", &[], &[], true);
        self.t.asm("fence.proxy.async.shared::cta;", &[], &[], true);
        self.t.close("}");
        // No role may touch a barrier before the first thread has initialised it. All threads of the block come by.
        self.t.barrier();
    }

    /// Makes what all roles divide by once for all of them: a division is two dozen instructions, and each role would have three.
    fn share_divisions(&mut self) {
        let axes = self.k.grid.len().saturating_sub(1);
        for axis in &self.k.grid[..axes] {
            let extent = self.size(&axis.extent);
            self.reciprocal(extent);
        }
        let mut by_ctas = false;
        self.k.walk(&mut |k, _, id| by_ctas |= k.op(id).code == OpCode::Ctas);
        if by_ctas {
            let ctas = self.ctas();
            self.reciprocal(ctas);
        }
    }

    fn role(&mut self, id: OpId, schedule: &'k Schedule, tid: Ssa, warp: Ssa) {
        self.current = id;
        let op = self.k.op(id);
        let (first, warps) = (op.int("first").unwrap_or(0), op.int("warps").unwrap_or(1) as u32);
        let before = std::mem::replace(&mut self.schedule, schedule);
        self.layouts.clear();
        self.roles.scratch = self.scratch_end;
        self.roles.in_flight.clear();
        self.roles.current = Some(Current {
            warps,
            barrier: None,
            group_barrier: None,
            turns: None,
            sends: false,
            read: HashSet::new(),
        });
        let lone = warps == 1;
        if lone {
            let (number, last, zero) = (self.t.i32(first), self.t.i32(31), self.t.i32(0));
            let mine = match self.roles.groups {
                1 => self.t.def(format_args!("arith.cmpi eq, {warp}, {number} : i32")),
                groups => {
                    let groups = self.t.i32(groups.into());
                    let past = self.t.bin("arith.subi", warp, number, Ty::I32);
                    self.t.def(format_args!("arith.cmpi ult, {past}, {groups} : i32"))
                }
            };
            self.t.open(format_args!("scf.if {mine} {{"));
            let lane = self.t.bin("arith.andi", tid, last, Ty::I32);
            let elected = self.t.def(format_args!("arith.cmpi eq, {lane}, {zero} : i32"));
            self.t.open(format_args!("scf.if {elected} {{"));
        }
        self.t.enter();
        let (skip, warps_before) = (self.t.i32(-32 * first), self.t.i32(-first));
        self.tid = self.t.head_bin("arith.addi", tid, skip, Ty::I32);
        self.roles.warp = Some(self.t.head_bin("arith.addi", warp, warps_before, Ty::I32));
        let pool = self.pool;
        if self.roles.groups > 1 {
            self.enter_group(warps);
        }
        let turns = has_turns(self.k, op.regions[0]);
        if turns {
            self.begin_turns();
        }
        self.block(op.regions[0]);
        if turns {
            self.end_turns();
        }
        if self.roles.current.as_ref().is_some_and(|c| c.sends) {
            self.end_sends();
        }
        self.t.leave();
        if lone {
            self.t.close("}");
            self.t.close("}");
        }
        self.tid = tid;
        self.pool = pool;
        self.roles.group = None;
        self.schedule = before;
        self.roles.current = None;
        self.scratch_end = self.scratch_end.next_multiple_of(128);
    }

    /// Which of several groups this warp belongs to; numbers of threads and warps, and shared memory, are the group's from here on.
    fn enter_group(&mut self, warps: u32) {
        let Some(warp) = self.roles.warp else { return };
        let (each, threads) = (self.t.i32(warps.into()), self.t.i32((32 * warps).into()));
        let bytes = self.t.i32(self.roles.group_bytes as i64);
        let group = self.t.head_bin("arith.divui", warp, each, Ty::I32);
        let (before, skip) = (
            self.t.head_bin("arith.muli", group, each, Ty::I32),
            self.t.head_bin("arith.muli", group, threads, Ty::I32),
        );
        self.roles.warp = Some(self.t.head_bin("arith.subi", warp, before, Ty::I32));
        self.tid = self.t.head_bin("arith.subi", self.tid, skip, Ty::I32);
        let skip = self.t.head_bin("arith.muli", group, bytes, Ty::I32);
        self.pool = self.t.head_bin("arith.addi", self.pool, skip, Ty::I32);
        self.roles.group = Some(group);
    }

    /// How many blocks of threads, or groups, there are.
    pub(super) fn ctas(&mut self) -> Ssa {
        let blocks = self.t.head("nvvm.read.ptx.sreg.nctaid.x : i32");
        let groups = self.t.i32(self.roles.groups.into());
        if self.roles.groups > 1 { self.t.head_bin("arith.muli", blocks, groups, Ty::I32) } else { blocks }
    }

    /// The number of this block of threads; or of this group, where the first groups of all blocks come before the second ones.
    pub(super) fn cta(&mut self) -> Ssa {
        let block = self.t.head("nvvm.read.ptx.sreg.ctaid.x : i32");
        let Some(group) = self.roles.group else { return block };
        let blocks = self.t.head("nvvm.read.ptx.sreg.nctaid.x : i32");
        let before = self.t.head_bin("arith.muli", group, blocks, Ty::I32);
        self.t.head_bin("arith.addi", block, before, Ty::I32)
    }

    /// Gives away `each` named barriers to every group, and says which is the first. That there are too many is found when all are given away.
    fn take_barriers(&mut self, each: u32) -> u32 {
        let first = self.roles.barriers + 1;
        self.roles.barriers += each * self.roles.groups;
        if self.roles.barriers > NAMED_BARRIERS {
            self.roles.without_barrier.get_or_insert(self.current);
        }
        first
    }

    /// The number of this group's barrier, of barriers for all groups from `first` on, `each` of them.
    fn barrier_of_group(&mut self, first: u32, each: u32) -> Ssa {
        let first = self.t.i32(first.into());
        let Some(group) = self.roles.group else { return first };
        let each = self.t.i32(each.into());
        let before = self.t.head_bin("arith.muli", group, each, Ty::I32);
        self.t.head_bin("arith.addi", before, first, Ty::I32)
    }

    /// Whether one lane alone runs this role.
    pub(super) fn lone(&self) -> bool {
        self.roles.current.as_ref().is_some_and(|c| c.warps == 1)
    }

    /// All threads of the role meet. Sound because every one runs the same control flow: scalars are the same for all of them, except what
    /// a vote says, and what depends on that has no barriers.
    pub(super) fn role_barrier(&mut self) {
        let Some(&Current { warps, barrier, .. }) = self.roles.current.as_ref() else { return };
        if warps == 1 {
            return; // One lane has nobody to meet.
        }
        let first = barrier.unwrap_or_else(|| self.take_barriers(1));
        self.remember(|current| current.barrier = Some(first));
        let id = self.barrier_of_group(first, 1);
        self.t.named_barrier(id, warps * 32);
    }

    /// The threads of each warpgroup meet, with the soundness of [`Lower::role_barrier`].
    pub(super) fn group_barrier(&mut self) {
        let Some(&Current { warps, group_barrier, .. }) = self.roles.current.as_ref() else { return };
        if warps == 1 {
            return;
        }
        let each = warps / 4;
        let first = group_barrier.unwrap_or_else(|| self.take_barriers(each));
        self.remember(|current| current.group_barrier = Some(first));
        let (id, group) = (self.barrier_of_group(first, each), self.warpgroup());
        let id = self.t.head_bin("arith.addi", group, id, Ty::I32);
        self.t.named_barrier(id, 128);
    }

    /// The first of the barriers of this group's turns, and how many there are: one a warpgroup.
    pub(super) fn turns(&mut self) -> (Ssa, u32) {
        let (each, known) = self.roles.current.as_ref().map_or((1, None), |c| (c.warps / 4, c.turns));
        let first = known.unwrap_or_else(|| self.take_barriers(each));
        self.remember(|current| current.turns = Some(first));
        (self.barrier_of_group(first, each), each)
    }

    /// Notes something of the role that is being lowered.
    fn remember(&mut self, note: impl FnOnce(&mut Current)) {
        if let Some(current) = &mut self.roles.current {
            note(current);
        }
    }

    /// The number of the warpgroup in its role, in the head.
    pub(super) fn warpgroup(&mut self) -> Ssa {
        let two = self.t.i32(2);
        let warp = self.roles.warp.unwrap_or(two);
        self.t.head_bin("arith.shrui", warp, two, Ty::I32)
    }

    /// Whether this is the thread that acts for its warpgroup, in the head; `None` in roles of one lane.
    pub(super) fn speaker(&mut self) -> Option<Ssa> {
        if self.lone() {
            return None;
        }
        let (in_group, zero) = (self.thread_bits(0, 7), self.t.i32(0));
        Some(self.t.head(format_args!("arith.cmpi eq, {in_group}, {zero} : i32")))
    }
}
