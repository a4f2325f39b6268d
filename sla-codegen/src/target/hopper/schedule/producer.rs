//! Roles that copy: for each program the residents, then the streams of each step, each into the next stage of its ring.
//!
//! One lane of one warp runs such a role. It waits for empty stages only, so it is ahead of the consumers by as many stages as the rings have.
//! Where programs are drawn, the one that copies the first stream draws the next program when few steps of the present one are left, so that nobody has
//! much to do yet that another could.

use super::Rings;
use super::copies::{fill, steps};
use super::plan::{Plan, ProducerPlan};
use super::programs::{Ahead, Next, advance, programs, start};
use super::shape::Shape;
use super::writer::Writer;
use sla_dsl::ir::Value;

/// Writes one role.
pub fn write(w: &mut Writer<'_>, shape: &Shape, rings: &Rings, plan: &Plan, role: &ProducerPlan) {
    let name = format!("load_{}", role.name);
    w.role(&name, (role.warp, 1, plan.groups), plan.producer_registers, |w| {
        // All streams' rings have as many stages and are filled in step, so a role's are at one place.
        let places = role.residents.len() + role.streams.len().min(1);
        let init: Vec<Value> = (0..places).map(|_| start(w)).collect();
        programs(w, rings.programs, Ahead::none(), &init, |w, at, program| {
            shape.scalars.iter().for_each(|&op| w.copy(op));
            let (held, flowing) = at.split_at(role.residents.len());
            let copies = |w: &mut Writer<'_>, last: bool| {
                let these = |(i, _): &(&usize, &Value)| shape.residents[**i].last == last;
                let mut next = Vec::new();
                for (&i, &cursor) in role.residents.iter().zip(held).filter(these) {
                    fill(w, &shape.residents[i], rings.residents[i], cursor);
                    next.push(advance(w, rings.residents[i], cursor));
                }
                next
            };
            let mut next = copies(w, false);
            let flowing = match role.streams.is_empty() {
                true if role.draws => {
                    program.draw(w);
                    Vec::new()
                }
                true => Vec::new(),
                false if role.draws => drawing_steps(w, shape, rings, &role.streams, flowing, program),
                false => {
                    let hi = w.get(w.tile.op(shape.main).operands[1]);
                    steps(w, shape, rings, &role.streams, flowing, hi, |_, _| {})
                }
            };
            // Their stages are empty when the program before has ended, and nothing else of this program waits for them.
            if !role.residents.is_empty() {
                shape.last_scalars.iter().for_each(|&op| w.copy(op));
                next.extend(copies(w, true));
            }
            next.extend(flowing);
            next
        });
    });
}

/// The streams of all steps, and near their end the next program, drawn.
fn drawing_steps(
    w: &mut Writer<'_>,
    shape: &Shape,
    rings: &Rings,
    streams: &[usize],
    at: &[Value],
    program: &Next<'_>,
) -> Vec<Value> {
    let main = w.tile.op(shape.main);
    let (bounds, step) = ([0, 1].map(|i| w.get(main.operands[i])), main.int("step").unwrap_or(1));
    let start = program.last_steps(w, bounds, step);
    let each = |w: &mut Writer<'_>, counter: Value| program.draw_at(w, counter, start, step);
    let places = steps(w, shape, rings, streams, at, bounds[1], each);
    program.draw_without(w, bounds);
    places
}
