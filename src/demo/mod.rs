//! The main job on real input: a noisy clip denoised by dense attention, by sparse-linear attention and by each of its halves.
//!
//! Attention over patches of a noisy clip is a denoiser that needs no trained weights ([`problem`]). Two projections are fitted:
//! SLA's, and that of linear attention alone, each to dense attention's output on some frames ([`fit`](mod@fit)). All methods are
//! then judged on other frames. [`run()`] does everything but write files; `sla demo` does that.

pub mod basis;
pub mod canvas;
pub mod clip;
pub mod fit;
pub mod methods;
pub mod noise;
pub mod patches;
pub mod pictures;
pub mod problem;
pub mod report;
pub mod score;
mod study;
pub mod tokens;

pub use crate::progress::Progress;
pub use study::{Outcome, run};

use std::ops::Range;

use sla_runtime::RuntimeError;
use thiserror::Error;

use crate::attention::{MaskError, Share};

/// Standard deviation of the noise, where white is 1.
pub const NOISE: f64 = 25.0 / 255.0;

/// What a run does.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Determines the noise and what each step of a fit looks at.
    pub seed: u64,
    /// Steps of a fit.
    pub steps: usize,
    /// Share of the key blocks that SLA and sparse attention take.
    pub critical: Share,
    /// What of the clip is used.
    pub scene: Scene,
}

/// A part of the clip.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Frames that projections are fitted on.
    pub fitted: Range<usize>,
    /// Frames that methods are judged on.
    pub judged: Range<usize>,
    /// Height of the middle of the frames that is used.
    pub height: usize,
    /// Its width.
    pub width: usize,
}

impl Scene {
    /// Four frames for either purpose, in full: 20,736 tokens.
    pub fn whole() -> Scene {
        Scene { fitted: 0..4, judged: 4..8, height: usize::MAX, width: usize::MAX }
    }

    /// The middle of the same frames: 1,024 tokens, for a device that is slow.
    pub fn small() -> Scene {
        Scene { height: 32, width: 32, ..Scene::whole() }
    }
}

/// A run that cannot be done.
#[derive(Debug, Error)]
pub enum DemoError {
    /// Frames that are none.
    #[error("the clip: {0}")]
    Clip(String),
    /// A device that fails.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A picture that cannot be encoded.
    #[error("a picture: {0}")]
    Picture(#[from] png::EncodingError),
    /// A block mask that is none.
    #[error(transparent)]
    Mask(#[from] MaskError),
}
