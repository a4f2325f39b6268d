//! The ways of attending that are compared, on a device.

use std::time::Duration;

use serde::Serialize;
use sla_dsl::ir::{Elem, Scalar};
use sla_dsl::lang::{Const, Consts};
use sla_dsl::launch::{Arg, Launcher};
use sla_runtime::{Device, DynTensor, RuntimeError};

use super::problem::{HEAD_DIM, Problem};
use crate::attention::module::{Forward, Sla, Weights};
use crate::kernels::flash;

/// A way of attending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Softmax attention over all keys.
    Dense,
    /// Sparse-linear attention with a fitted projection.
    Sla,
    /// Softmax attention over the critical blocks, and nothing else.
    Sparse,
    /// Linear attention over all blocks through a fitted projection of its own.
    Linear,
}

impl Method {
    /// All, in the order of the table.
    pub const ALL: [Method; 4] = [Method::Dense, Method::Sla, Method::Sparse, Method::Linear];

    /// Its name in tables and pictures.
    pub fn name(self) -> &'static str {
        match self {
            Method::Dense => "dense",
            Method::Sla => "SLA",
            Method::Sparse => "sparse only",
            Method::Linear => "linear only",
        }
    }
}

/// A problem's tensors `[1, 1, tokens, D]` on a device.
#[derive(Clone, Debug)]
pub struct Tensors {
    /// Queries.
    pub q: DynTensor,
    /// Keys.
    pub k: DynTensor,
    /// Values.
    pub v: DynTensor,
}

impl Tensors {
    /// Copies them there.
    ///
    /// # Errors
    /// No memory left.
    pub fn upload(device: &Device, problem: &Problem) -> Result<Tensors, RuntimeError> {
        let shape = [1, 1, problem.tokens(), HEAD_DIM];
        let upload = |values: &[f32]| DynTensor::from_f32(device, Elem::F32, &shape, values);
        Ok(Tensors { q: upload(&problem.q)?, k: upload(&problem.k)?, v: upload(&problem.v)? })
    }
}

/// Tokens of a tile of the dense kernel, for queries and for keys.
const TILE: i64 = 64;

/// Dense attention of `q` over all keys; the output has the shape of `q`.
///
/// # Errors
/// What the launch reports.
pub fn dense(device: &Device, q: &DynTensor, tensors: &Tensors) -> Result<DynTensor, RuntimeError> {
    let mut out = DynTensor::zeros(device, Elem::F32, q.shape())?;
    let mut lse = DynTensor::zeros(device, Elem::F32, &q.shape()[..3])?;
    let constants = Consts::new(&[
        ("T", Const::Elem(Elem::F32)),
        ("BQ", Const::Int(TILE)),
        ("BK", Const::Int(TILE)),
        ("D", Const::Int(HEAD_DIM as i64)),
        ("CAUSAL", Const::Bool(false)),
    ]);
    let scale = 1.0 / (HEAD_DIM as f64).sqrt();
    let arguments = [
        Arg::Tensor(q.lend()),
        Arg::Tensor(tensors.k.lend()),
        Arg::Tensor(tensors.v.lend()),
        Arg::Tensor(out.lend_mut()),
        Arg::Tensor(lse.lend_mut()),
        Arg::Scalar(Scalar::Float(scale)),
    ];
    device.launch(&flash::flash_fwd, &constants, &arguments)?;
    drop(arguments);
    Ok(out)
}

/// Result and time of a piece of work, which is done once before, on the first block of queries, so that compiling the
/// kernels is not timed.
///
/// # Errors
/// What `work` reports.
pub fn timed<R>(
    device: &Device,
    q: &DynTensor,
    work: impl Fn(&DynTensor) -> Result<R, RuntimeError>,
) -> Result<(R, Duration), RuntimeError> {
    let few = (TILE as usize).min(q.shape()[2]);
    work(&q.slice(2, 0..few)?)?;
    device.synchronize()?;
    device.time(|| work(q))
}

/// The operator with its router, or with the first rows of a mask.
///
/// # Errors
/// What a launch reports.
pub fn attend(
    sla: &Sla,
    q: &DynTensor,
    tensors: &Tensors,
    weights: &Weights,
    mask: Option<&DynTensor>,
) -> Result<Forward, RuntimeError> {
    let rows = q.shape()[2].div_ceil(sla.config().blocks().q());
    let mask = mask.map(|mask| mask.slice(2, 0..rows)).transpose()?;
    sla.forward(q, &tensors.k, &tensors.v, weights, mask.as_ref())
}
