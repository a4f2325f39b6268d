//! Warpgroups, stages, registers: the numbers of a schedule.
//!
//! Three forms. With two or more consumer warpgroups a block of threads fills a multiprocessor: one warpgroup of producers gives its registers to the consumers.
//! With one, two blocks share a multiprocessor and hide each other's softmax; their producers are two bare warps, and registers stay as launched, unless
//! two steps' products want more: then a warpgroup of producers gives its registers there too.
//! Instead of several blocks of threads, a multiprocessor can have one with several *groups*, which share a warpgroup of producers: more registers for
//! the consumers, and fewer warps that copy.
//! Where it is asked for, one warpgroup copies for itself, and as many blocks share a multiprocessor as shared memory and registers allow.
//!
//! It knows sizes only; what the kernel computes is the shape's business.

use super::shape::{Product, Refusal, Shape, Source, Staged};
use crate::{Options, ProgramOrder, ScheduleKind};
use sla_dsl::diag::Loc;
use sla_dsl::ir::{Elem, Kernel, OpCode, OpId, Value};

/// Shared memory of a multiprocessor, and what the hardware keeps of it for each block of threads.
const MULTIPROCESSOR_BYTES: usize = 228 * 1024;
const RESERVED_BYTES: usize = 1024;
/// Barriers, at the start of a block's shared memory.
const BARRIER_BYTES: usize = 1024;
/// Registers of a multiprocessor, and what a thread takes of them besides tiles.
const REGISTERS: usize = 64 * 1024;
const OTHER_REGISTERS: usize = 40;
/// The fewest with which a consumer was seen to do: addresses, maxima and sums of rows, places in rings. ptxas uses what `setmaxnreg` gives to the last
/// one, and keeps a few where registers stay as launched.
const FEWEST_OTHERS: usize = 24;
const FEWEST_OTHERS_AS_LAUNCHED: usize = 32;
/// What it is sure to do with where scores are kept beside weights; with 24 a few spilled.
pub(super) const REGISTERS_BESIDE: usize = 32;
/// The fewest registers that `setmaxnreg` leaves a producer, which do for a role of one stream; those that do for several streams; and more than any needs.
const FEWEST_OF_PRODUCERS: u32 = 24;
const FEWEST_OF_SHARED: u32 = 32;
const MOST_OF_PRODUCERS: u32 = 40;
/// Most consumer warpgroups of a block of threads: with one more that copies, 96 registers a thread are launched, and 112 remain for each consumer.
const MAX_CONSUMERS: u32 = 4;
/// Registers of a thread that residents may take, unless more is asked for.
const RESIDENT_REGISTERS: usize = 32;
/// Most blocks of self-loading warpgroups on a multiprocessor.
const MAX_OWN: usize = 3;
/// Programs that may be drawn before they are run: the one that is run, the next one, and one on the way.
const QUEUE_STAGES: usize = 3;
/// The deepest ring.
const MAX_STAGES: usize = 8;

/// A ring to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingPlan {
    /// The parameter whose boxes it holds.
    pub name: String,
    /// Element type.
    pub elem: Elem,
    /// Rows and columns of a stage.
    pub size: [usize; 2],
    /// Stages.
    pub stages: usize,
}

/// A role of one warp that copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerPlan {
    /// Its name: that of what it copies.
    pub name: String,
    /// Its warp.
    pub warp: u32,
    /// Residents that it copies, by index.
    pub residents: Vec<usize>,
    /// Streams that it copies, by index.
    pub streams: Vec<usize>,
    /// Whether it draws programs for all roles.
    pub draws: bool,
}

/// Who copies to shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copier {
    /// Roles of their own.
    Producers,
    /// The role that multiplies.
    Consumer,
}

/// The numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One for each resident.
    pub residents: Vec<RingPlan>,
    /// For each resident, whether products read it from registers.
    pub in_registers: Vec<bool>,
    /// One for each stream.
    pub streams: Vec<RingPlan>,
    /// One for each size of tile that is sent.
    pub staging: Vec<RingPlan>,
    /// For each product that is added to global memory, the rings of the tile that is shared for it and of what is added.
    pub added: Vec<[RingPlan; 2]>,
    /// For each send, its staging ring; none where results are stored from registers.
    pub sends: Vec<usize>,
    /// Through which programs are drawn, and the arrivals that empty a stage of it; `None` where their order is static.
    pub queue: Option<(RingPlan, u32)>,
    /// Whether a step's products end before the next step's start.
    pub in_step: bool,
    /// Whether warpgroups start the products of two steps in turn.
    pub ping_pong: bool,
    /// Whether a step's late products are waited for before what follows from its front products: with the form of the softmax, `watch` decides.
    pub settle_early: bool,
    /// Registers that a consumer's thread may have.
    pub registers: usize,
    /// Who copies.
    pub copier: Copier,
    /// What each producer copies; none where the consumer does.
    pub producers: Vec<ProducerPlan>,
    /// Registers of a producer's threads; 0 for as launched.
    pub producer_registers: u32,
    /// Groups of roles in a block of threads. Numbers of rings and stages are those of one; of warps, those of the first.
    pub groups: u32,
    /// The first warp of the consumers.
    pub consumer_warp: u32,
    /// Registers of a consumer's threads; 0 for as launched.
    pub consumer_registers: u32,
    /// Blocks of threads on one multiprocessor.
    pub ctas_per_sm: u32,
}

/// Registers of a line in a consumer, besides those of its numbers, which are read where they are used: its places in the ring, two steps' of them.
const LINE_REGISTERS: usize = 12;

/// Registers of a producer's and of a consumer's threads, by consumer warpgroups and blocks of threads on a multiprocessor. The sum over the
/// warpgroups does not exceed what the launch gives: for one block 168 a thread for three warpgroups, 128 for four, 96 for five. A producer has at least
/// `least`, and what the consumers' multiples of 8 leave over. `bare` producers are warps that give nothing.
fn registers(warpgroups: u32, ctas_per_sm: u32, least: u32, bare: bool) -> (u32, u32) {
    if bare {
        return (0, 0);
    }
    let all = warpgroups + 1;
    let launched = REGISTERS as u32 / (128 * all * ctas_per_sm) / 8 * 8;
    let consumer = ((launched * all - least) / warpgroups / 8 * 8).min(240);
    ((launched * all - consumer * warpgroups).min(MOST_OF_PRODUCERS), consumer)
}

impl Plan {
    /// Chooses the numbers for a shape.
    ///
    /// # Errors
    /// Tiles of which not even two stages fit in shared memory.
    pub fn new(kernel: &Kernel, shape: &Shape, options: &Options) -> Result<Plan, Refusal> {
        let own = options.schedule == ScheduleKind::SelfLoading;
        if own && shape.warpgroups != 1 {
            let loc = kernel.op(shape.main).loc;
            let rows = 64 * shape.warpgroups;
            let reason =
                format!("a product of {rows} rows, and a warpgroup that copies for itself multiplies 64");
            return Err(Refusal { loc, reason });
        }
        let mut sends = staging(kernel, shape);
        let added: Vec<[RingPlan; 2]> = shape.added.iter().map(|a| a.rings(kernel)).collect();
        let mut held = in_registers(kernel, shape, options, RESIDENT_REGISTERS);
        let mut fixed: usize = shape.residents.iter().map(Staged::bytes).sum::<usize>()
            + sends.0.iter().map(bytes).sum::<usize>()
            + added.iter().flatten().map(bytes).sum::<usize>()
            + BARRIER_BYTES;
        let step: usize = shape.streams.iter().map(Staged::bytes).sum();
        // What a group may have; stages start at multiples of 1024, in each group at the same.
        let limit = |ctas: usize, groups: usize| {
            let block = MULTIPROCESSOR_BYTES / ctas - RESERVED_BYTES;
            let block = block.min(options.shared.map_or(usize::MAX, |s| s as usize));
            if groups > 1 { block / groups / 1024 * 1024 } else { block }
        };
        let lines = shape.streams.iter().any(Staged::is_line);
        let sent = sends.0.iter().map(bytes).sum::<usize>();
        let fits = |fixed: usize, ctas: usize, groups: usize| {
            limit(ctas, groups).saturating_sub(fixed) / step.max(1)
        };
        let overlapped = overlapped_registers(kernel, shape);
        let none = vec![false; shape.residents.len()];
        let small = registers_held(kernel, shape, &none) + FEWEST_OTHERS
            <= registers(MAX_CONSUMERS, 1, FEWEST_OF_PRODUCERS, false).1 as usize;
        let groups = match options.groups {
            _ if own => 1,
            Some(n) => n as usize,
            None if options.ctas_per_sm.is_some() => 1,
            // Two blocks of threads would have two warpgroups of producers, and less for each consumer. Gradients of keys, whose steps read lines, were
            // 0.3 to 2 % faster in two all the same.
            None if shape.warpgroups == 1
                && !lines
                && overlapped > REGISTERS / (2 * 192)
                && fits(fixed, 1, 2) >= 2 =>
            {
                2
            }
            // Four consumers hide each other's softmax better than two, where so few registers do: lists of 128 rows with 64 columns. What products after
            // the loop are made of takes more.
            None if shape.warpgroups == 2
                && shape.last.is_empty()
                && is_list(kernel, shape)
                && small
                && fits(fixed, 1, 2) >= 4 =>
            {
                2
            }
            None => 1,
        };
        let warpgroups = shape.warpgroups * groups as u32;
        if warpgroups > MAX_CONSUMERS {
            let reason = format!(
                "{groups} groups of {} rows take {warpgroups} warpgroups, and a block of threads may have {MAX_CONSUMERS} that multiply",
                64 * shape.warpgroups
            );
            return Err(Refusal { loc: kernel.op(shape.main).loc, reason });
        }
        let fit = |ctas: usize| fits(fixed, ctas, groups);
        let ctas_per_sm = match shape.warpgroups {
            1 if own => {
                let need = registers_held(kernel, shape, &held) + OTHER_REGISTERS;
                let room = |&n: &usize| fit(n) >= 2 && need <= REGISTERS / (128 * n);
                (2..=MAX_OWN).rev().find(room).unwrap_or(1)
            }
            _ if let Some(n) = options.ctas_per_sm => n as usize,
            1 if groups == 1 && (fit(2) >= 2 || shape.last.is_empty()) => 2,
            _ => 1,
        };
        if lines && fit(ctas_per_sm) < 2 {
            // Room for lines comes before room for results to be sent from, which are then stored from registers.
            sends = Default::default();
            fixed -= sent;
        }
        let fit = |ctas: usize| fits(fixed, ctas, groups);
        if fit(ctas_per_sm) < 2 {
            let reason = format!(
                "two stages of its tiles take {} bytes of shared memory, and a {} may have {}",
                fixed + 2 * step,
                if groups > 1 { "group" } else { "block of threads" },
                limit(ctas_per_sm, groups)
            );
            return Err(Refusal { loc: Loc::UNKNOWN, reason });
        }
        let stages = options.stages.map_or(MAX_STAGES, |s| (s as usize).max(2));
        let stages = stages.min(fit(ctas_per_sm)).min(MAX_STAGES);
        let make = |s: &Staged, stages: usize| RingPlan {
            name: name(kernel, s),
            elem: s.elem,
            size: s.size,
            stages,
        };
        // Without steps to copy, the next program's residents are what producers may be ahead by.
        let ahead: usize = shape.residents.iter().filter(|r| !r.last).map(Staged::bytes).sum();
        let twice = shape.is_straight() && fixed + ahead <= limit(ctas_per_sm, groups);
        let held_stages = if twice { 2 } else { 1 };
        let launched = |threads: usize| (REGISTERS / (threads * ctas_per_sm)).min(255) / 8 * 8;
        let bare = warpgroups == 1 && (own || overlapped <= launched(192));
        // With products that are added, consumers take all registers that there are.
        let shared = groups > 1 || lines && added.is_empty();
        let least = if shared { FEWEST_OF_SHARED } else { FEWEST_OF_PRODUCERS };
        let (producer_registers, consumer_registers) = registers(warpgroups, ctas_per_sm as u32, least, bare);
        let (may, others) = match consumer_registers {
            0 => (launched(if own { 128 } else { 192 }), FEWEST_OTHERS_AS_LAUNCHED),
            n => (n as usize, FEWEST_OTHERS),
        };
        // A step at a time leaves no room for residents either, and makes first operands where front products' results were.
        let in_step = overlapped > may || !added.is_empty();
        if in_step && options.held_in_registers.is_none() {
            held.fill(false);
        } else if options.held_in_registers == Some(true) {
            // As many as there is room for: close to the limit ptxas may spill a few, so this is for who looks at the result.
            let none = vec![false; shape.residents.len()];
            let room = if in_step {
                may.saturating_sub(sums_held(kernel, shape) + others)
            } else {
                let taken = registers_held(kernel, shape, &none) + others;
                may.saturating_sub(taken).max(RESIDENT_REGISTERS)
            };
            held = in_registers(kernel, shape, options, room);
        }
        let need = |held: &[bool]| match in_step {
            true => sums_held(kernel, shape) + residents_held(kernel, shape, held) + others,
            false => registers_held(kernel, shape, held) + others,
        };
        // With several groups, consumers that leave no room for residents are no rarity.
        if groups > 1 && need(&held) > may && options.held_in_registers.is_none() {
            held.fill(false);
        }
        let need = need(&held);
        if need > may {
            let reason = format!("its tiles take about {need} registers of a thread that may have {may}");
            return Err(Refusal { loc: kernel.op(shape.main).loc, reason });
        }
        let mut producers = if own { Vec::new() } else { producers(kernel, shape, bare, groups) };
        let queue = queue(kernel, shape, options, &mut producers);
        Ok(Plan {
            residents: shape
                .residents
                .iter()
                .map(|s| make(s, if s.last { 1 } else { held_stages }))
                .collect(),
            in_registers: held,
            streams: shape.streams.iter().map(|s| make(s, stages)).collect(),
            staging: sends.0,
            added,
            sends: sends.1,
            in_step,
            ping_pong: takes_turns(shape, options) && !in_step,
            settle_early: false,
            registers: may,
            copier: if own { Copier::Consumer } else { Copier::Producers },
            queue,
            producers,
            producer_registers,
            groups: groups as u32,
            consumer_warp: if bare { 0 } else { 4 },
            consumer_registers,
            ctas_per_sm: ctas_per_sm as u32,
        })
    }

    /// Stages of every stream's ring.
    pub fn stages(&self) -> usize {
        self.streams.first().map_or(1, |r| r.stages)
    }
}

/// Which residents products read from registers: first operands as they lie in memory, if they are asked for. Shared memory then feeds one operand
/// of the product instead of two, which short products (64 columns) are bound by.
fn in_registers(kernel: &Kernel, shape: &Shape, options: &Options, room: usize) -> Vec<bool> {
    let wanted = options.held_in_registers.unwrap_or(shape.warpgroups == 2 && !shape.is_straight());
    let products = || shape.front.iter().chain(&shape.late).chain(shape.added.iter().map(|a| &a.product));
    let mut left = room;
    (0..shape.residents.len())
        .map(|i| {
            let mine = Source::Resident(i);
            let first =
                !shape.residents[i].last && products().all(|p| p.b != mine && (p.a != mine || !p.turned[0]));
            let size = kernel.ty(shape.residents[i].value).count() / 2 / (128 * shape.warpgroups as usize);
            let fits = wanted && first && size <= left;
            left -= if fits { size } else { 0 };
            fits
        })
        .collect()
}

/// About how many registers a thread needs where front products run beside late ones: accumulators, first operands and the rest. Counted for several front
/// products only; one alone leaves the choice of its size to whoever wrote the kernel.
fn overlapped_registers(kernel: &Kernel, shape: &Shape) -> usize {
    let none = vec![false; shape.residents.len()];
    let lines = shape.streams.iter().filter(|s| s.is_line()).count() * LINE_REGISTERS;
    if shape.front.len() < 2 { 0 } else { registers_held(kernel, shape, &none) + OTHER_REGISTERS + lines }
}

/// A thread's part of a tile in registers, halves in pairs.
pub(super) fn part(kernel: &Kernel, shape: &Shape, v: Value) -> usize {
    let ty = kernel.ty(v);
    let elements: usize = ty.shape().unwrap_or(&[]).iter().product();
    elements * ty.elem().map_or(4, Elem::bytes) / 4 / (128 * shape.warpgroups as usize)
}

/// Registers of a consumer thread that accumulators take.
fn sums_held(kernel: &Kernel, shape: &Shape) -> usize {
    let products = shape.front.iter().chain(&shape.late);
    products.map(|p| part(kernel, shape, kernel.op(p.op).results[0])).sum()
}

/// Registers of a consumer thread that tiles take: its part of accumulators, of first operands and of residents that are read or held, halves in pairs.
fn registers_held(kernel: &Kernel, shape: &Shape, held: &[bool]) -> usize {
    // After the loop its sums are still there, and each product ends before the next one starts.
    let sums: usize = shape.late.iter().map(|p| part(kernel, shape, kernel.op(p.op).results[0])).sum();
    let after = shape.last.iter().map(|p| sums + registers_of(kernel, shape, &[p])).max().unwrap_or(0);
    registers_in_loop(kernel, shape, held).max(after + residents_read(kernel, shape, held))
}

/// The same while the loop runs.
pub(super) fn registers_in_loop(kernel: &Kernel, shape: &Shape, held: &[bool]) -> usize {
    let products: Vec<&Product> = shape.front.iter().chain(&shape.late).collect();
    registers_of(kernel, shape, &products) + residents_read(kernel, shape, held)
}

/// Registers of a consumer thread that the results and the first operands of products take.
fn registers_of(kernel: &Kernel, shape: &Shape, products: &[&Product]) -> usize {
    let mut left: Vec<Value> = Vec::new();
    for p in products {
        if let Source::Registers(v) = p.a
            && !left.contains(&v)
        {
            left.push(v);
        }
    }
    let results = products.iter().map(|p| kernel.op(p.op).results[0]);
    results.chain(left).map(|v| part(kernel, shape, v)).sum()
}

/// Registers of a consumer thread that residents take which are read or held.
fn residents_read(kernel: &Kernel, shape: &Shape, held: &[bool]) -> usize {
    let residents = shape.residents.iter().zip(held).filter(|(r, held)| r.read || **held);
    residents.map(|(r, _)| part(kernel, shape, r.value)).sum()
}

/// Registers of a consumer thread that residents take which products read from there.
fn residents_held(kernel: &Kernel, shape: &Shape, held: &[bool]) -> usize {
    let residents = shape.residents.iter().zip(held).filter(|(_, held)| **held);
    residents.map(|(r, _)| part(kernel, shape, r.value)).sum()
}

/// Whether warpgroups start two steps' products in turn. On an H100 that made gradients of queries (two front products) 3 to 7 % faster, dense and by
/// lists, and left attention as it was or 2 % slower.
fn takes_turns(shape: &Shape, options: &Options) -> bool {
    shape.warpgroups > 1 && options.ping_pong.unwrap_or(shape.front.len() > 1)
}

fn bytes(r: &RingPlan) -> usize {
    r.size[0] * r.size[1] * r.elem.bytes() * r.stages
}

fn name(kernel: &Kernel, s: &Staged) -> String {
    let param = kernel.param_of(kernel.op(s.loads[0]).operands[0]);
    param.map_or("tile", |p| kernel.params[p].name.as_str()).to_string()
}

/// One staging ring for each size of tile that is sent, and which one each send takes.
fn staging(kernel: &Kernel, shape: &Shape) -> (Vec<RingPlan>, Vec<usize>) {
    let mut rings: Vec<RingPlan> = Vec::new();
    let mut which = Vec::new();
    for &id in &shape.sends {
        let ty = kernel.ty(kernel.op(id).operands[1]);
        let (Some(&[m, n]), Some(elem)) = (ty.shape(), ty.elem()) else { continue };
        let found = rings.iter().position(|r| r.size == [m, n] && r.elem == elem);
        which.push(found.unwrap_or_else(|| {
            let name = format!("out{}", rings.len());
            rings.push(RingPlan { name, elem, size: [m, n], stages: 1 });
            rings.len() - 1
        }));
    }
    (rings, which)
}

/// The queue of programs, if they are drawn: by the producer of the first stream, or the last one.
fn queue(
    kernel: &Kernel,
    shape: &Shape,
    options: &Options,
    producers: &mut [ProducerPlan],
) -> Option<(RingPlan, u32)> {
    let wanted = match options.order {
        ProgramOrder::Static => false,
        ProgramOrder::Queue => true,
        ProgramOrder::Auto => is_list(kernel, shape),
    };
    let last = producers.len().checked_sub(1).filter(|_| wanted)?;
    let drawer = producers.iter().position(|p| p.streams.contains(&0)).unwrap_or(last);
    producers[drawer].draws = true;
    // The producers, and every warp that multiplies.
    let arrivals = last as u32 + 1 + 4 * shape.warpgroups;
    let ring = RingPlan { name: "programs".into(), elem: Elem::I32, size: [1, 1], stages: QUEUE_STAGES };
    Some((ring, arrivals))
}

/// Whether memory decides how long the loop is.
fn is_list(kernel: &Kernel, shape: &Shape) -> bool {
    let defs = kernel.defs();
    kernel.op(shape.main).operands[..2].iter().any(|&v| loaded(kernel, &defs, v))
}

/// Whether memory decides a scalar.
fn loaded(kernel: &Kernel, defs: &[Option<OpId>], v: Value) -> bool {
    let Some(op) = defs[v.index()].map(|d| kernel.op(d)) else { return false };
    op.code == OpCode::Load || op.operands.iter().any(|&v| loaded(kernel, defs, v))
}

/// One warp for each stream and one for the residents, as far as warps go: four for all groups, or two `bare` ones after a single warpgroup that consumes.
/// The warps of a role stand side by side, one for each group. Lines are copied beside the streams, in turn.
fn producers(kernel: &Kernel, shape: &Shape, bare: bool, groups: usize) -> Vec<ProducerPlan> {
    let (first, most) = if bare { (4, 2) } else { (0, 4 / groups) };
    // Where several groups leave too few warps, streams share one: they are taken in step, and residents, which wait for the end of the program before,
    // do not keep the next program's streams waiting.
    let apart = groups > 1 && most > 1 && !shape.residents.is_empty();
    let most_streams = if apart { most - 1 } else { most };
    let mut roles: Vec<ProducerPlan> = Vec::new();
    let tiles = shape.streams.iter().filter(|s| !s.is_line()).count();
    for (i, s) in shape.streams.iter().enumerate() {
        if s.is_line() && !roles.is_empty() {
            let to = (i - tiles) % roles.len();
            roles[to].streams.push(i);
        } else if roles.len() < most_streams {
            let warp = first + (roles.len() * groups) as u32;
            roles.push(ProducerPlan {
                name: name(kernel, s),
                warp,
                residents: vec![],
                streams: vec![i],
                draws: false,
            });
        } else {
            roles[most_streams - 1].streams.push(i);
        }
    }
    let all: Vec<usize> = (0..shape.residents.len()).collect();
    if all.is_empty() {
        return roles;
    }
    if roles.len() < most {
        let warp = first + (roles.len() * groups) as u32;
        let name = name(kernel, &shape.residents[0]);
        roles.push(ProducerPlan { name, warp, residents: all, streams: vec![], draws: false });
    } else {
        roles[0].residents = all;
    }
    roles
}
