//! A configuration and inputs that are known to fit each other: what a back end is asked to do.

use super::config::Config;
use super::dims::{Dims, Grid};
use super::inputs::{InputError, Inputs};
use super::mask::BlockMask;

/// One attention problem, checked. A back end may rely on every rule of [`Inputs::check`].
#[derive(Clone, Debug)]
pub struct Request {
    config: Config,
    inputs: Inputs,
    dims: Dims,
    mask: Option<BlockMask>,
    backward: bool,
}

impl Request {
    /// Checks `inputs` for `config`; with `backward`, gradients are asked for too.
    ///
    /// # Errors
    /// Those of [`Inputs::check`], and [`InputError::MissingGradOut`].
    pub fn new(config: Config, inputs: Inputs, backward: bool) -> Result<Self, InputError> {
        if backward && inputs.grad_out.is_none() {
            return Err(InputError::MissingGradOut);
        }
        let (dims, mask) = inputs.check(&config)?;
        Ok(Request { config, inputs, dims, mask, backward })
    }

    /// What is computed.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tensors.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// The sizes.
    pub fn dims(&self) -> Dims {
        self.dims
    }

    /// The block mask's shape.
    pub fn grid(&self) -> Grid {
        self.dims.grid(self.config.blocks())
    }

    /// The user's mask, which replaces the router.
    pub fn mask(&self) -> Option<&BlockMask> {
        self.mask.as_ref()
    }

    /// Whether gradients are asked for.
    pub fn backward(&self) -> bool {
        self.backward
    }
}
