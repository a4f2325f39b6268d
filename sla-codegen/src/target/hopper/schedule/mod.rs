//! From a tile kernel to a scheduled one: who copies, who multiplies, in what order, through which rings.
//!
//! `shape` finds out what the kernel is made of; `plan` chooses warpgroups, stages and registers; `producer` and `consumer` write the roles. The
//! mathematics is copied op by op: what changes is where a product's operands come from, and when it is waited for.
//!
//! There are two schedules, which differ in who copies. In P producers do, and the blocks of threads persist: each runs many programs. In S
//! (`own`) the warpgroup that multiplies does, and each block runs one program.
//!
//! A block of threads may hold several groups of roles: each runs programs of its own through rings of its own, as if it were a block. That is
//! for programs of few rows, which alone would leave a multiprocessor's registers to too few warps, or to warps with too few of them.
//!
//! # The order of a consumer's steps
//! A step's late products run while the next step's front products and everything between them do:
//! ```text
//! S(0) = Q K(0);  wait;  P(0) = softmax S(0)
//! for j in 1..n:
//!     start S(j) = Q K(j);  start O += P(j-1) V(j-1)
//!     wait for S(j), give K(j) back;  softmax S(j)
//!     wait for O, give V(j-1) back;  O *= alpha(j);  P(j) in halves
//! O += P(n-1) V(n-1);  wait
//! ```
//! Where the consumer copies, "give back" is followed by the copy for the step that takes the stage next. The halves of `P(j)` are made after the wait, because the product in flight still reads the registers of `P(j-1)`.

mod added;
mod consumer;
mod copies;
mod in_step;
mod last;
mod own;
mod parts;
mod plan;
mod producer;
mod programs;
mod sends;
mod shape;
mod steps;
mod straight;
mod watch;
mod writer;

pub use shape::Refusal;

use crate::passes;
use crate::trace::Trace;
use crate::{GridKind, Options};
use plan::{Copier, Plan, RingPlan};
use programs::Source;
use shape::{Shape, shape};
use sla_dsl::diag::Loc;
use sla_dsl::ir::{Attr, Elem, Kernel, OpCode, Type, Value};
use std::time::{Duration, Instant};
use watch::{Form, forms};
use writer::Writer;

/// A scheduled kernel, with what its launch needs to know.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// The kernel: rings and roles.
    pub kernel: Kernel,
    /// Blocks of threads that share a multiprocessor.
    pub ctas_per_sm: u32,
    grid: GridKind,
}

impl Scheduled {
    /// A kernel that was written with roles: its blocks of threads stay, and `ctas_per_sm` of them are to share a multiprocessor.
    pub(crate) fn persistent(kernel: Kernel, ctas_per_sm: u32) -> Scheduled {
        let per_sm = ctas_per_sm.max(1);
        Scheduled { kernel, ctas_per_sm: per_sm, grid: GridKind::Persistent { per_sm } }
    }

    /// How many blocks of threads a launch starts.
    pub fn grid(&self) -> GridKind {
        self.grid
    }
}

/// Schedules a tile kernel.
///
/// # Errors
/// What is in the way, with its place: another shape of kernel, or tiles too large for shared memory.
pub fn schedule(tile: &Kernel, options: &Options) -> Result<Scheduled, Refusal> {
    schedule_seen(tile, options, &mut Trace::off()).map(|(scheduled, _)| scheduled)
}

/// As [`schedule`], with the time that it took behind the passes, of which it tells.
pub(crate) fn schedule_seen(
    tile: &Kernel,
    options: &Options,
    trace: &mut Trace<'_>,
) -> Result<(Scheduled, Duration), Refusal> {
    if wants_pairs(options)
        && let Some(paired) = paired(tile, trace)
    {
        match schedule_in_form(&paired, options, trace) {
            Ok(scheduled) => return Ok(scheduled),
            Err(refusal) => trace.give_up("pairs of blocks", tile, &refusal.reason),
        }
    }
    schedule_in_form(tile, options, trace)
}

/// Schedules a kernel with its softmax in the first form that fits.
fn schedule_in_form(
    tile: &Kernel,
    options: &Options,
    trace: &mut Trace<'_>,
) -> Result<(Scheduled, Duration), Refusal> {
    let forms = forms(options);
    for (i, &form) in forms.iter().enumerate() {
        let (prepared, found) = prepared(tile.clone(), options, form, trace);
        let start = Instant::now();
        let form = if found { form } else { Form { early: options.settle_early == Some(true), ..form } };
        let last = !found || i + 1 == forms.len();
        let planned = shape(&prepared).and_then(|shape| Ok((Plan::new(&prepared, &shape, options)?, shape)));
        let why = match planned {
            Ok((plan, shape)) if last || form.fits(&prepared, &shape, &plan) => {
                let plan = Plan { settle_early: form.early, ..plan };
                return Ok((schedule_as(&prepared, &shape, &plan)?, start.elapsed()));
            }
            Err(refusal) if last => return Err(refusal),
            Err(refusal) => refusal.reason,
            Ok(_) => "it does not pay for tiles of these sizes".to_string(),
        };
        trace.give_up("this form of the softmax", tile, &why);
    }
    unreachable!("every kernel has a form of its softmax")
}

/// Schedules a kernel that is prepared.
fn schedule_as(tile: &Kernel, shape: &Shape, plan: &Plan) -> Result<Scheduled, Refusal> {
    let mut kernel = write(tile, shape, plan)?;
    // What the first step starts from is known.
    passes::canonicalise(&mut kernel);
    let scheduled = Scheduled::persistent(kernel, plan.ctas_per_sm);
    Ok(match plan.copier {
        Copier::Producers => scheduled,
        Copier::Consumer => Scheduled { grid: GridKind::Programs, ..scheduled },
    })
}

/// Whether two blocks of a list make a step: only when it is asked for. With list entries and counts read ahead, single blocks were as fast on an H100
/// with 128 columns (606 TFLOP/s to 595, 25 of 512 blocks of 64 keys) and with 64 (453 to 450).
fn wants_pairs(options: &Options) -> bool {
    options.pair == Some(true)
}

/// The tile kernel with the blocks of its lists in pairs, if there are lists.
fn paired(tile: &Kernel, trace: &mut Trace<'_>) -> Option<Kernel> {
    let mut tile = tile.clone();
    trace.pass("pair_blocks", &mut tile, passes::pair_blocks);
    let mut found = false;
    tile.walk(&mut |k, _, id| found |= k.op(id).code == OpCode::Concat);
    found.then_some(tile)
}

/// The tile kernel with its softmax in a form that warpgroups like; says whether it has one.
fn prepared(mut tile: Kernel, options: &Options, form: Form, trace: &mut Trace<'_>) -> (Kernel, bool) {
    let mut found = false;
    if options.reference_max {
        trace.pass("reference_max", &mut tile, |tile| found = passes::reference_max(tile, form.watch));
    }
    trace.pass("guard_masks", &mut tile, passes::guard_masks);
    trace.pass("cse", &mut tile, passes::cse);
    trace.pass("licm", &mut tile, passes::licm);
    trace.pass("dce", &mut tile, passes::dce);
    trace.pass("with_empty_loop", &mut tile, straight::with_empty_loop);
    (tile, found)
}

fn write(tile: &Kernel, shape: &Shape, plan: &Plan) -> Result<Kernel, Refusal> {
    let mut w = Writer::new(tile);
    let mut rings = Rings {
        residents: plan.residents.iter().map(|r| ring(&mut w, r, shape.warpgroups)).collect(),
        streams: plan.streams.iter().map(|r| ring(&mut w, r, arrivals(r, shape.warpgroups))).collect(),
        staging: plan.staging.iter().map(|r| ring(&mut w, r, 0)).collect(),
        shared: plan.added.iter().map(|[shared, _]| ring(&mut w, shared, 0)).collect(),
        adding: plan.added.iter().map(|[_, adding]| ring(&mut w, adding, 0)).collect(),
        programs: Source { queue: None, groups: plan.groups > 1 },
    };
    rings.programs.queue = plan.queue.as_ref().map(|(r, arrivals)| ring(&mut w, r, *arrivals));
    for role in &plan.producers {
        producer::write(&mut w, shape, &rings, plan, role);
    }
    consumer::write(&mut w, shape, &rings, plan);
    match w.lost() {
        None => Ok(w.out),
        Some(v) => {
            let made = tile.defs()[v.index()].map_or(Loc::UNKNOWN, |id| tile.op(id).loc);
            let reason = "what this op makes is needed where the schedule has not made it yet".to_string();
            Err(Refusal { loc: made, reason })
        }
    }
}

/// Arrivals that empty a stage: one of each warpgroup, and of each warp where it is a line, which every warp reads for itself.
fn arrivals(r: &RingPlan, warpgroups: u32) -> u32 {
    if r.elem == Elem::F32 { 4 * warpgroups } else { warpgroups }
}

/// The rings of a scheduled kernel, in the order of the shape's lists.
struct Rings {
    residents: Vec<Value>,
    streams: Vec<Value>,
    staging: Vec<Value>,
    /// Of tiles that warpgroups share.
    shared: Vec<Value>,
    /// Of what is added to global memory.
    adding: Vec<Value>,
    /// Where programs come from.
    programs: Source,
}

fn ring(w: &mut Writer<'_>, r: &RingPlan, arrivals: u32) -> Value {
    let attrs = [("name", Attr::Str(r.name.clone())), ("arrivals", Attr::Int(arrivals.into()))];
    w.one(OpCode::Ring, &[], Type::Ring(r.elem, [r.stages, r.size[0], r.size[1]]), &attrs)
}
