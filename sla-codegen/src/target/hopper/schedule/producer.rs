//! Roles that copy: for each program the residents, then the streams of each step, each into the next stage of its ring.
//!
//! One lane of one warp runs such a role. It waits for empty stages only, so it is ahead of the consumers by as many stages as the rings have.
//! Where programs are drawn, the one that copies the first stream draws the next program when few steps of the present one are left, so that nobody has
//! much to do yet that another could.

use super::Rings;
use super::copies::{Beside, fill, steps};
use super::plan::ProducerPlan;
use super::programs::{Ahead, Next, advance, programs, start};
use super::shape::Shape;
use super::writer::Writer;
use sla_dsl::ir::Value;

/// Writes one role.
pub fn write(w: &mut Writer<'_>, shape: &Shape, rings: &Rings, role: &ProducerPlan, registers: u32) {
    let name = format!("load_{}", role.name);
    w.role(&name, role.warp, 1, registers, |w| {
        let init: Vec<Value> = (0..role.residents.len() + role.streams.len()).map(|_| start(w)).collect();
        programs(w, rings.queue, Ahead::none(), &init, |w, at, program| {
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
                    steps(w, shape, rings, &role.streams, flowing, hi, None).0
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
    program: &mut Next<'_>,
) -> Vec<Value> {
    let main = w.tile.op(shape.main);
    let (hi, step) = (w.get(main.operands[1]), main.int("step").unwrap_or(1));
    let undrawn = program.undrawn(w);
    let mut each =
        |w: &mut Writer<'_>, counter: Value, was: Value| program.draw_near(w, counter, hi, step, was);
    let beside: Option<(Value, Beside<'_>)> = Some((undrawn, &mut each));
    let (places, drawn) = steps(w, shape, rings, streams, at, hi, beside);
    // A loop without steps has drawn nothing.
    program.draw_unless(w, drawn.unwrap_or(undrawn));
    places
}
