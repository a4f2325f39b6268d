//! The tensors of one attention problem, and the rules that they must keep.
//!
//! Names are those of the tensor file. [`Inputs::check`] says what is wrong in one line; after it no back end needs to
//! doubt a shape, a type or a value.

use std::collections::BTreeMap;

use thiserror::Error;

use super::config::Config;
use super::dims::Dims;
use super::mask::{BlockMask, MaskError};
use super::tensors::{Array, Data, Dtype};

/// The head dimensions that kernels exist for.
pub const HEAD_DIMS: [usize; 2] = [64, 128];

/// The operator's tensors, unchecked.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// `[B, H, Lq, D]` in bf16, f16 or f32.
    pub q: Array,
    /// `[B, H, Lk, D]`, of the type of `q`.
    pub k: Array,
    /// `[B, H, Lk, D]`, of the type of `q`.
    pub v: Array,
    /// `W` `[D, D]` of the projection `x W^T + b`, of any floating type; zero when absent.
    pub proj_weight: Option<Array>,
    /// `b` `[D]`, of any floating type; zero when absent.
    pub proj_bias: Option<Array>,
    /// `[B, H, Lq, D]`, of the type of `q`; needed by the backward pass.
    pub grad_out: Option<Array>,
    /// `[B, H, M, N]` in i8; replaces the router.
    pub mask: Option<Array>,
    /// `[H, D, D]` of the hedgehog features, of any floating type; identity when absent, unused by other features.
    pub phi_weight: Option<Array>,
}

impl Inputs {
    /// The names that a tensor file may use.
    pub const NAMES: [&'static str; 8] =
        ["q", "k", "v", "proj_weight", "proj_bias", "grad_out", "mask", "phi_weight"];

    /// Queries, keys and values alone.
    pub fn new(q: Array, k: Array, v: Array) -> Self {
        Inputs { q, k, v, proj_weight: None, proj_bias: None, grad_out: None, mask: None, phi_weight: None }
    }

    /// Takes the inputs from named tensors.
    ///
    /// # Errors
    /// [`InputError::Missing`] without `q`, `k` or `v`, [`InputError::Unknown`] for a name that is none of
    /// [`Inputs::NAMES`].
    pub fn from_named(mut named: BTreeMap<String, Array>) -> Result<Self, InputError> {
        let found = named.keys().cloned().collect::<Vec<_>>().join(" ");
        let mut need = |name| {
            named.remove(name).ok_or_else(|| InputError::Missing {
                name,
                found: if found.is_empty() { "no tensor".into() } else { found.clone() },
            })
        };
        let mut inputs = Inputs::new(need("q")?, need("k")?, need("v")?);
        inputs.proj_weight = named.remove("proj_weight");
        inputs.proj_bias = named.remove("proj_bias");
        inputs.grad_out = named.remove("grad_out");
        inputs.mask = named.remove("mask");
        inputs.phi_weight = named.remove("phi_weight");
        match named.pop_first() {
            Some((name, _)) => Err(InputError::Unknown { name }),
            None => Ok(inputs),
        }
    }

    /// Checks every tensor against the others and against the configuration; gives the sizes and the block mask.
    ///
    /// # Errors
    /// [`InputError`], the first rule that is broken: element types, ranks, empty axes, head dimension, sizes, values, mask.
    pub fn check(&self, config: &Config) -> Result<(Dims, Option<BlockMask>), InputError> {
        self.check_dtypes()?;
        let dims = self.dims()?;
        self.check_shapes(dims)?;
        for (name, array) in self.named() {
            if let Some((at, found)) = array.first_not_finite() {
                return Err(InputError::NotFinite { name, found, at });
            }
        }
        let mask = self.mask.as_ref().map(|mask| block_mask(mask, dims, config)).transpose()?;
        Ok((dims, mask))
    }

    /// The tensors that are there, by name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Array)> {
        let Inputs { q, k, v, proj_weight, proj_bias, grad_out, mask, phi_weight } = self;
        let optional = [proj_weight, proj_bias, grad_out, mask, phi_weight].map(Option::as_ref);
        let all = [Some(q), Some(k), Some(v)].into_iter().chain(optional);
        Self::NAMES.into_iter().zip(all).filter_map(|(name, array)| Some((name, array?)))
    }

    fn check_dtypes(&self) -> Result<(), InputError> {
        let main = self.q.dtype();
        for (name, array) in self.named() {
            let found = array.dtype();
            let needed = match name {
                "mask" => (found != Dtype::I8).then(|| "i8".to_owned()),
                "k" | "v" | "grad_out" => (found != main).then(|| format!("{main} as `q` has")),
                _ => (!found.is_float()).then(|| "bf16, f16 or f32".to_owned()),
            };
            if let Some(needed) = needed {
                return Err(InputError::Dtype { name, found, needed });
            }
        }
        Ok(())
    }

    fn dims(&self) -> Result<Dims, InputError> {
        let four = |name, array: &Array, needed| match *array.shape() {
            [a, b, c, d] => Ok([a, b, c, d]),
            ref found => Err(InputError::Rank { name, found: found.to_vec(), needed }),
        };
        let q = four("q", &self.q, "4 axes [B, H, Lq, D]")?;
        let k = four("k", &self.k, "4 axes [B, H, Lk, D]")?;
        for (name, shape) in [("q", q), ("k", k)] {
            if shape.contains(&0) {
                return Err(InputError::Empty { name, found: shape });
            }
        }
        let [batch, heads, queries, head_dim] = q;
        if !HEAD_DIMS.contains(&head_dim) {
            return Err(InputError::HeadDim { found: head_dim });
        }
        Ok(Dims { batch, heads, queries, keys: k[2], head_dim })
    }

    fn check_shapes(&self, dims: Dims) -> Result<(), InputError> {
        let Dims { batch, heads, queries, keys, head_dim } = dims;
        for (name, array) in self.named() {
            let (needed, why) = match name {
                "q" | "grad_out" => (vec![batch, heads, queries, head_dim], "[B, H, Lq, D] of `q`"),
                "k" => (vec![batch, heads, keys, head_dim], "[B, H, Lk, D] with B, H and D of `q`"),
                "v" => (vec![batch, heads, keys, head_dim], "[B, H, Lk, D] of `k`"),
                "proj_weight" => (vec![head_dim; 2], "[D, D]"),
                "proj_bias" => (vec![head_dim], "[D]"),
                "phi_weight" => (vec![heads, head_dim, head_dim], "[H, D, D]"),
                _ => continue,
            };
            if array.shape() != needed {
                return Err(InputError::Shape { name, found: array.shape().to_vec(), needed, why });
            }
        }
        Ok(())
    }
}

/// The block mask that the tensor `mask` holds.
fn block_mask(mask: &Array, dims: Dims, config: &Config) -> Result<BlockMask, InputError> {
    let grid = dims.grid(config.blocks());
    let needed = grid.shape().to_vec();
    match mask.data() {
        Data::I8(classes) if mask.shape() == needed => Ok(BlockMask::new(grid, classes.clone())?),
        _ => {
            let (found, why) = (mask.shape().to_vec(), "[B, H, M, N], the blocks of `q` and `k`");
            Err(InputError::Shape { name: "mask", found, needed, why })
        }
    }
}

/// Inputs that are no attention problem.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum InputError {
    /// A tensor that is always needed is absent.
    #[error("tensor `{name}` is missing: found {found}, needed q, k and v")]
    Missing {
        /// The tensor.
        name: &'static str,
        /// Names that are there.
        found: String,
    },
    /// The backward pass needs the gradient of the output.
    #[error("tensor `grad_out` is missing: the backward pass needs it, with the shape and type of `q`")]
    MissingGradOut,
    /// A tensor of another name, most likely misspelt.
    #[error("tensor `{name}` is unknown, needed names among {}", Inputs::NAMES.join(" "))]
    Unknown {
        /// Its name.
        name: String,
    },
    /// An element type that the tensor may not have.
    #[error("tensor `{name}` has element type {found}, needed {needed}")]
    Dtype {
        /// The tensor.
        name: &'static str,
        /// Its type.
        found: Dtype,
        /// What it may be.
        needed: String,
    },
    /// A wrong number of axes.
    #[error("tensor `{name}` has shape {found:?}, needed {needed}")]
    Rank {
        /// The tensor.
        name: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The axes.
        needed: &'static str,
    },
    /// A tensor without elements.
    #[error("tensor `{name}` has shape {found:?}, needed at least 1 along every axis")]
    Empty {
        /// The tensor.
        name: &'static str,
        /// Its shape.
        found: [usize; 4],
    },
    /// A head dimension without kernels.
    #[error("the head dimension (last axis of `q`) is {found}, needed 64 or 128")]
    HeadDim {
        /// `D`.
        found: usize,
    },
    /// Sizes that disagree with those of `q` and `k`.
    #[error("tensor `{name}` has shape {found:?}, needed {needed:?}: {why}")]
    Shape {
        /// The tensor.
        name: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it must have.
        needed: Vec<usize>,
        /// Where that comes from.
        why: &'static str,
    },
    /// An infinity or a NaN.
    #[error("tensor `{name}` has {found} at {at:?}, needed finite values")]
    NotFinite {
        /// The tensor.
        name: &'static str,
        /// The value.
        found: f64,
        /// Its index.
        at: Vec<usize>,
    },
    /// A mask with other values.
    #[error(transparent)]
    Mask(#[from] MaskError),
}
