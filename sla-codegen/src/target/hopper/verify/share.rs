//! Stages that the warpgroups of one role write together, and whose products each of them starts: no barrier of a ring guards them.
//!
//! Writing a stage ends with a meeting of all of the role's threads. Warpgroups run alike but not at the same time: when one of them writes a stage again,
//! another may be anywhere after the last meeting, and its products from there on in flight. So those that read the stage must have been waited for
//! *before* the last meeting. One meeting a step is thus enough for a ring of two stages, and never for a ring of one.

use super::barriers::Ring;
use super::error::Fault;
use std::collections::HashMap;

/// What a stage holds.
#[derive(Debug)]
struct Content {
    position: u32,
    /// The newest group of products that reads it.
    group: Option<usize>,
}

/// The shared stages of a role.
#[derive(Debug, Default)]
pub struct Shares {
    /// By ring and stage.
    stages: HashMap<(usize, usize), Content>,
    /// Groups of products that had ended at the last meeting.
    met: usize,
}

impl Shares {
    /// Writes a stage and meets, when so many groups of products have ended.
    pub fn write(&mut self, r: &Ring, ring: usize, position: u32, retired: usize) -> Result<(), Fault> {
        let (slot, _) = r.at(position);
        let before = self.stages.insert((ring, slot), Content { position, group: None });
        if let Some(Content { position, group: Some(group) }) = before
            && group >= self.met
        {
            return Err(Fault::SharedInUse { stage: r.stage(position) });
        }
        self.met = retired;
        Ok(())
    }

    /// Whether a stage is a shared one.
    pub fn holds(&self, r: &Ring, ring: usize, position: u32) -> bool {
        self.stages.contains_key(&(ring, r.at(position).0))
    }

    /// Notes that a group of products reads a stage, if that is a shared one.
    pub fn read(&mut self, r: &Ring, ring: usize, position: u32, group: usize) -> Result<(), Fault> {
        match self.stages.get_mut(&(ring, r.at(position).0)) {
            Some(content) if content.position != position => {
                Err(Fault::WrittenOver { stage: r.stage(position) })
            }
            Some(content) => {
                content.group = Some(group);
                Ok(())
            }
            None => Ok(()),
        }
    }
}
