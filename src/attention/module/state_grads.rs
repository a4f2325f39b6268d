//! Gradients of the linear branch's states: of those that rows saw, and from them those of key blocks and of the projection.

use super::buffers::Buffers;
use super::linear::PROGRAMS;
use super::run::{elem, read, run, size, switch, write};
use super::{Saved, Sla};
use crate::attention::config::Scope;
use crate::kernels::{mask_product, projection, state_backward};
use sla_dsl::ir::Elem;
use sla_runtime::{DynTensor, RuntimeError};

/// Rows that gradients of states are made of at a time, where that is in halves; keys whose mean is taken at a time.
const ROWS: usize = 64;

/// What key blocks get, and the projection.
pub(super) struct StateGrads {
    /// `[B, H, SN, P D, D]`: `dH` in the type that the linear branch multiplies in; twice as wide where it is two terms.
    pub state: DynTensor,
    /// `[B, H, SN, P, D]` f32: `dZ`, with what makes up for the rounding of a single term.
    pub sums: DynTensor,
    /// `[D, D]` f32, the gradient of the projection.
    pub projection: DynTensor,
}

/// What states are summed with by matrix instructions, where rows choose them.
struct Operands {
    /// The mask as a 0/1 matrix.
    weights: DynTensor,
    /// The projection in the type of states.
    matrix: DynTensor,
    /// `[2, B H, D]` f32: the mean of the values, and the projected one.
    centre: DynTensor,
}

impl Sla {
    /// From queries, values, the gradient of the output, `D^l` and `r` or what stands in for it.
    pub(super) fn state_grads(
        &self,
        buffers: &mut Buffers,
        [q, v, grad_out, delta_linear, rden]: [&DynTensor; 5],
        saved: &Saved,
    ) -> Result<StateGrads, RuntimeError> {
        let (b, h, d) = (q.shape()[0], q.shape()[1], q.shape()[3]);
        let (p, all, s) = (self.parts(), self.config.scope() == Scope::All, saved.linear.folded.elem());
        let m = saved.state_mask.shape()[2];
        // Features of two parts are multiplied in f32.
        let halves = s != Elem::F32 && p == 1;
        let groups = if all && halves { (PROGRAMS / (b * h).max(1)).clamp(1, m.max(1)) } else { m };
        // States that a forward summed in 16 bits get their gradients by matrix instructions too.
        let operands = match &saved.weights.projection {
            Some(projection) if s != Elem::F32 && !all => Some(self.operands(buffers, v, saved, projection)?),
            _ => None,
        };
        let e = if operands.is_some() { s } else { Elem::F32 };
        let mut of_rows = buffers.take("grad folded of rows", e, &[b * h, groups, p * d, d])?;
        let mut rows = buffers.take("grad sums of rows", Elem::F32, &[b * h, groups, p * d])?;
        let mut consts = self.linear_consts(q.elem(), d);
        let (bq, centred) = (saved.state_blocks.q, operands.is_some());
        consts.extend([elem("E", e), size("BQ", bq), size("SUB", ROWS.min(bq)), switch("CENTRED", centred)]);
        let (kernel, matrix) = if halves {
            (&state_backward::sla_bwd_turned_state, self.identity(buffers, q.elem(), d)?)
        } else {
            (&state_backward::sla_bwd_state, self.phi_weight(buffers, h, d, &saved.weights)?)
        };
        let none = buffers.zeros("no centre", Elem::F32, &[2, b * h, d])?;
        let centre = operands.as_ref().map_or(&none, |o| &o.centre);
        let given = [q, grad_out, &matrix, delta_linear, rden, centre].map(read);
        let args: Vec<_> = given.into_iter().chain([write(&mut of_rows), write(&mut rows)]).collect();
        run(&self.device, kernel, &consts, &args)?;
        drop(args);
        let columns = saved.state_mask.transpose(2, 3)?;
        let by_rows = rows.reshape(&[b, h, groups, p, d])?;
        let folded = of_rows.reshape(&[b, h, groups, p, d, d])?;
        let grads = match operands {
            Some(operands) => {
                let n = saved.state_mask.shape()[3];
                let (state, rest) = self.weighted_state_grads(buffers, &of_rows, operands, n)?;
                let sums = self.gather_onto(buffers, "grad sums", Some(&rest), &by_rows, &columns)?;
                buffers.give("rest of grad sums", rest);
                let projection = self.weight_grad(buffers, &folded, &saved.linear.state)?;
                StateGrads { state: state.reshape(&[b, h, n, p * d, d])?, sums, projection }
            }
            None => {
                let sums = self.gather_states(buffers, "grad sums", &by_rows, &columns)?;
                let (state, projection) = self.summed_state_grads(buffers, &folded, saved, &columns)?;
                StateGrads { state, sums, projection }
            }
        };
        drop(by_rows);
        buffers.give("grad sums of rows", rows);
        drop(folded);
        buffers.give("grad folded of rows", of_rows);
        Ok(grads)
    }

    /// `dH`, in halves as two terms, and the gradient of the projection, by sums in f32.
    fn summed_state_grads(
        &self,
        buffers: &mut Buffers,
        folded: &DynTensor,
        saved: &Saved,
        columns: &DynTensor,
    ) -> Result<(DynTensor, DynTensor), RuntimeError> {
        let [b, h, p, d] = [0, 1, 3, 4].map(|axis| folded.shape()[axis]);
        let (all, s) = (self.config.scope() == Scope::All, saved.linear.folded.elem());
        let summed =
            if all { self.gather_states(buffers, "grad folded", folded, columns)? } else { folded.clone() };
        let projection = self.weight_grad(buffers, &summed, &saved.linear.state)?;
        let exact = if s == Elem::F32 { "grad state" } else { "exact grad state" };
        let name = if all { exact } else { "grad state of rows" };
        let projected = self.fold(buffers, name, &summed, &saved.weights, true, Elem::F32)?;
        if all {
            buffers.give("grad folded", summed);
        }
        let grad_h = if all {
            projected
        } else {
            let gathered = self.gather_states(buffers, exact, &projected, columns)?;
            buffers.give(name, projected);
            gathered
        };
        let (n, count) = (grad_h.shape()[2], grad_h.count() / (d * d));
        if s == Elem::F32 {
            return Ok((grad_h.reshape(&[b, h, n, p * d, d])?, projection));
        }
        let mut terms = buffers.take("grad state", s, &[count, d, 2 * d])?;
        let flat = grad_h.reshape(&[count, d, d])?;
        let args = [read(&flat), write(&mut terms)];
        run(&self.device, &projection::split_state, &[elem("S", s), size("D", d)], &args)?;
        drop(args);
        drop(flat);
        buffers.give(exact, grad_h);
        Ok((terms.reshape(&[b, h, n, p * d, 2 * d])?, projection))
    }

    /// What gradients of states in halves are summed with.
    fn operands(
        &self,
        buffers: &mut Buffers,
        v: &DynTensor,
        saved: &Saved,
        projection: &DynTensor,
    ) -> Result<Operands, RuntimeError> {
        let (b, h, d, s) = (v.shape()[0], v.shape()[1], v.shape()[3], saved.linear.folded.elem());
        let (weights, matrix) = self.product_operands(buffers, s, &saved.state_mask, projection)?;
        let mut centre = buffers.take("centre of values", Elem::F32, &[2, b * h, d])?;
        let consts = [elem("T", v.elem()), elem("S", s), size("BK", ROWS), size("D", d)];
        let args = [read(v), read(&matrix), write(&mut centre)];
        run(&self.device, &state_backward::value_centre, &consts, &args)?;
        drop(args);
        Ok(Operands { weights, matrix, centre })
    }

    /// The gradients of the states of `n` blocks `[B H, N, P D, D]`, from those of the states that rows saw `[B H, M, P D, D]`, from before the projection;
    /// and what makes up for their rounding `[B H, N, P D]`.
    fn weighted_state_grads(
        &self,
        buffers: &mut Buffers,
        grads: &DynTensor,
        operands: Operands,
        n: usize,
    ) -> Result<(DynTensor, DynTensor), RuntimeError> {
        let [a, m, d] = [0, 1, 3].map(|axis| grads.shape()[axis]);
        let (s, width) = (grads.elem(), grads.shape()[2]);
        let Operands { weights, matrix, centre } = operands;
        let mut out = buffers.take("grad state", s, &[a, n, width / 2, 2, d])?;
        let mut rest = buffers.take("rest of grad sums", Elem::F32, &[a, n, width / 2, 2])?;
        let consts = [
            elem("S", s),
            size("BM", 128),
            size("BN", 64),
            size("BC", d.min(64)),
            size("D", d),
            size("P", width / d),
        ];
        let flat_weights = weights.reshape(&[a, m, weights.shape()[3]])?;
        let flat = grads.reshape(&[a, m, width * d])?;
        let given = [&flat_weights, &flat, &matrix, &centre].map(read);
        let args: Vec<_> = given.into_iter().chain([write(&mut out), write(&mut rest)]).collect();
        run(&self.device, &mask_product::weighted_state_grads, &consts, &args)?;
        drop(args);
        drop(flat_weights);
        buffers.give("mask weights", weights);
        buffers.give("rounded projection", matrix);
        buffers.give("centre of values", centre);
        Ok((out.reshape(&[a, n, width, d])?, rest.reshape(&[a, n, width])?))
    }

    /// The identity `[D, D]` in bf16 or f16.
    fn identity(&self, buffers: &mut Buffers, elem: Elem, d: usize) -> Result<DynTensor, RuntimeError> {
        let one: u16 = if elem == Elem::F16 { 0x3c00 } else { 0x3f80 };
        let entry = |i: usize| if i / d == i % d { one } else { 0 };
        let entries = || (0..d * d).flat_map(|i| entry(i).to_ne_bytes()).collect();
        buffers.fixed("identity in halves", elem, &[d, d], entries)
    }

    /// `Σ dH'ᵀ H` over every state.
    fn weight_grad(
        &self,
        buffers: &mut Buffers,
        grad_folded: &DynTensor,
        state: &DynTensor,
    ) -> Result<DynTensor, RuntimeError> {
        let d = state.shape()[state.shape().len() - 1];
        let count = state.count() / (d * d);
        let groups = count.min(PROGRAMS / 2);
        let mut partial = buffers.take("projection of groups", Elem::F32, &[groups, d, d])?;
        let (grad, state) = (grad_folded.reshape(&[count, d, d])?, state.reshape(&[count, d, d])?);
        // In f32 in parts of 32 rows, which fit shared memory everywhere.
        let halves = grad.elem() == state.elem() && state.elem() != Elem::F32;
        let (m, rows) = if halves { (state.elem(), d) } else { (Elem::F32, 32) };
        let consts =
            [elem("E", grad.elem()), elem("F", state.elem()), elem("M", m), size("D", d), size("ROWS", rows)];
        let args = [read(&grad), read(&state), write(&mut partial)];
        run(&self.device, &projection::weight_grad, &consts, &args)?;
        drop(args);
        let sum = self.total(buffers, "grad projection", &partial.reshape(&[1, groups, d * d])?)?;
        buffers.give("projection of groups", partial);
        Ok(sum.reshape(&[d, d])?)
    }
}
