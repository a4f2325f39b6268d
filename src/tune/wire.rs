//! What the tuner and the process that measures for it say to each other: one JSON value a line.

use serde::{Deserialize, Serialize};

use crate::tuned::Made;

/// What is asked of the process that measures. Candidates are named as `sla bench --set` takes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// To compile candidates side by side: an answer for each, in any order.
    Make(Vec<String>),
    /// To run a candidate once and compare what it gives with the right answer.
    Check(String),
    /// One turn of launches of a candidate that has been checked.
    Turn {
        /// The candidate.
        set: String,
        /// Milliseconds of timed launches; a quarter as many are not timed before.
        ms: u64,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tell {
    /// The problem is there and the right answer known; the first thing that is said.
    Ready(About),
    /// A candidate was compiled.
    Made {
        /// The candidate.
        set: String,
        /// What it takes.
        made: Made,
    },
    /// A candidate is right.
    Right {
        /// Its largest relative error.
        error: f64,
    },
    /// A turn.
    Timed {
        /// Milliseconds of each launch.
        samples: Vec<f64>,
    },
    /// A candidate cannot be compiled or run, or is wrong.
    Failed {
        /// The candidate.
        set: String,
        /// Why.
        reason: String,
        /// Whether the device can no longer be used: this process ends.
        last: bool,
    },
}

/// Who measures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The device and the hardware behind it.
    pub device: String,
    /// The version of its driver, where that can be read.
    pub driver: Option<String>,
}
