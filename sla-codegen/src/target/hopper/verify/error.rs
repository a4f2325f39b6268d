//! What the verifier says: the role, the op, its place in the Rust source, what was found and what was needed.

use sla_dsl::diag::Loc;
use std::fmt;
use thiserror::Error;

/// A breach of the protocol between roles.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ProtocolError {
    /// The name of the role; empty for what stands outside.
    pub role: String,
    /// The op, as the text form names it.
    pub op: &'static str,
    /// Where in the user's source.
    pub loc: Loc,
    /// What is wrong.
    pub fault: Fault,
    /// The case in which it shows, as `2 rounds, steps of loops: 0, 3`; empty where it always does.
    pub case: String,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.loc != Loc::UNKNOWN {
            write!(f, "{}: ", self.loc)?;
        }
        if !self.role.is_empty() {
            write!(f, "role `{}`, ", self.role)?;
        }
        write!(f, "`{}`: {}", self.op, self.fault)?;
        if !self.case.is_empty() {
            write!(f, " (with {})", self.case)?;
        }
        Ok(())
    }
}

/// A stage of a ring, the `pass`th time round; both count from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The ring's name.
    pub ring: String,
    /// The stage.
    pub stage: u32,
    /// How often the ring was gone round before.
    pub pass: u32,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage {} of ring `{}` in pass {}", self.stage, self.ring, self.pass)
    }
}

/// Where a role is when nobody can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It waits until a stage is empty.
    Empty {
        /// The role.
        role: String,
        /// Where in the user's source.
        loc: Loc,
        /// What it waits for.
        stage: Stage,
        /// Arrivals of the pass before.
        found: u32,
        /// Arrivals that make the stage empty.
        needed: u32,
    },
    /// It waits until a stage is full.
    Full {
        /// The role.
        role: String,
        /// Where in the user's source.
        loc: Loc,
        /// What it waits for.
        stage: Stage,
        /// Bytes copied in this pass.
        found: usize,
        /// Bytes of a stage.
        needed: usize,
    },
    /// It has ended.
    Ended {
        /// The role.
        role: String,
    },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |loc: &Loc| if *loc == Loc::UNKNOWN { String::new() } else { format!(" at {loc}") };
        match self {
            Wait::Empty { role, loc, stage, found, needed } => {
                write!(f, "`{role}` waits{} for {stage} to be empty: {found} of {needed} arrivals", at(loc))
            }
            Wait::Full { role, loc, stage, found, needed } => {
                write!(f, "`{role}` waits{} for {stage} to be full: {found} of {needed} bytes", at(loc))
            }
            Wait::Ended { role } => write!(f, "`{role}` has ended"),
        }
    }
}

fn listed(all: &[Wait]) -> String {
    all.iter().map(Wait::to_string).collect::<Vec<_>>().join("; ")
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Two roles have a warp in common.
    #[error("warps {first}..{end} are not this role's alone, role `{other}` has {other_first}..{other_end}")]
    Overlap {
        /// First warp.
        first: i64,
        /// Behind the last warp.
        end: i64,
        /// The role that was there before.
        other: String,
        /// Its first warp.
        other_first: i64,
        /// Behind its last warp.
        other_end: i64,
    },
    /// More warps than a block of threads can have.
    #[error("warps up to {found}, a launch has at most {needed}")]
    Warps {
        /// Behind the last warp.
        found: i64,
        /// The most there can be.
        needed: i64,
    },
    /// A count of registers that `setmaxnreg` does not take.
    #[error("{found} registers a thread, it takes 0 or a multiple of 8 from 24 to 256")]
    RegisterCount {
        /// Registers of the role.
        found: i64,
    },
    /// Roles of one warpgroup ask for different counts of registers.
    #[error("{found} registers a thread, role `{other}` of the same warpgroup has {needed}")]
    Warpgroup {
        /// Registers of the role.
        found: i64,
        /// Registers of the other.
        needed: i64,
        /// The other role.
        other: String,
    },
    /// Roles take more registers together than the launch gives.
    #[error(
        "roles take {found} registers together, a launch of {threads} threads has {needed}: a role would wait for ever"
    )]
    Registers {
        /// Registers of all warpgroups.
        found: i64,
        /// Registers of the launch.
        needed: i64,
        /// Threads of the launch.
        threads: i64,
    },
    /// Roles of different numbers of groups.
    #[error("it comes in {found} groups, other roles in {needed}")]
    Groups {
        /// Its groups.
        found: i64,
        /// The most that a role has.
        needed: i64,
    },
    /// Rings take more shared memory than a multiprocessor has.
    #[error("rings take {found} bytes of shared memory, there are {needed}")]
    SharedMemory {
        /// Bytes of all rings.
        found: usize,
        /// The most a block of threads can have.
        needed: usize,
    },
    /// A ring or role inside a region, or a step of the protocol outside a role.
    #[error("it stands {found}, it belongs {needed}")]
    Place {
        /// Where it is.
        found: &'static str,
        /// Where it should be.
        needed: &'static str,
    },
    /// A role with too few or too many warps for an op.
    #[error("warps {first}..{end} are {found}, it takes {needed}")]
    RoleShape {
        /// First warp.
        first: i64,
        /// Behind the last warp.
        end: i64,
        /// What those are.
        found: &'static str,
        /// What the op takes.
        needed: &'static str,
    },
    /// Something all warps must do alike depends on a `vote`, which is a warp's own.
    #[error("whether it runs depends on a `vote`, which warps may see differently")]
    Vote,
    /// A ring that is not named by the op that declares it.
    #[error("the ring is chosen by control flow, it must be known")]
    UnknownRing,
    /// A ring is used for both copies in and copies out.
    #[error("ring `{ring}` has {arrivals} arrivals a stage: {needed}")]
    RingKind {
        /// The ring.
        ring: String,
        /// Its arrivals.
        arrivals: i64,
        /// What such a ring is for.
        needed: &'static str,
    },
    /// Two roles fill a ring, or two roles send through one.
    #[error("ring `{ring}` is {used} by role `{other}` too")]
    Shared {
        /// The ring.
        ring: String,
        /// What both do.
        used: &'static str,
        /// The other role.
        other: String,
    },
    /// A cursor of one ring is used with another of more or fewer stages.
    #[error(
        "the cursor was advanced along ring `{found}`, whose stages are not as many as those of `{needed}`"
    )]
    OtherRing {
        /// The ring that it was advanced along.
        found: String,
        /// The ring that it is used with.
        needed: String,
    },
    /// A role leaves out a pass of a stage, so that the barrier's phase is mistaken for another.
    #[error("{stage} cannot be taken, pass {expected} is next: none is left out or taken twice")]
    Pass {
        /// The stage asked for.
        stage: Stage,
        /// The pass that is due.
        expected: u32,
    },
    /// A fill of a stage that was not acquired for this pass.
    #[error("{stage} is filled without `acquire`")]
    NotAcquired {
        /// The stage.
        stage: Stage,
    },
    /// Rows of a stage are filled twice.
    #[error("rows {first}..{end} of {stage} are filled twice")]
    FilledTwice {
        /// The stage.
        stage: Stage,
        /// First row.
        first: usize,
        /// Behind the last row.
        end: usize,
    },
    /// Fills leave rows of a stage out.
    #[error("{stage} gets {found} bytes, `acquire` announces {needed}")]
    Partial {
        /// The stage.
        stage: Stage,
        /// Bytes of its fills.
        found: usize,
        /// Bytes of a stage.
        needed: usize,
    },
    /// A stage is filled, and nobody waits for it.
    #[error("{stage} is filled and never read")]
    NeverRead {
        /// The stage.
        stage: Stage,
    },
    /// A release without a wait before, or a second one.
    #[error("{stage} is released {found}")]
    Release {
        /// The stage.
        stage: Stage,
        /// What is wrong with that.
        found: &'static str,
    },
    /// More arrivals than make a stage empty.
    #[error("{stage} gets {found} arrivals, {needed} make it empty")]
    TooManyArrivals {
        /// The stage.
        stage: Stage,
        /// Arrivals with this one.
        found: u32,
        /// Arrivals of the ring.
        needed: u32,
    },
    /// Fewer arrivals than make a stage empty, and no more to come.
    #[error("{stage} gets {found} arrivals, {needed} make it empty")]
    TooFewArrivals {
        /// The stage.
        stage: Stage,
        /// Arrivals in all.
        found: u32,
        /// Arrivals of the ring.
        needed: u32,
    },
    /// A stage that a role waited for and did not give back.
    #[error("{stage} is not given back by this role, which then waits for the next pass or ends")]
    NotReleased {
        /// The stage.
        stage: Stage,
    },
    /// A release while products that read the stage are in flight.
    #[error("{stage} is released before the `mma_wait` that retires a product which reads it")]
    InFlight {
        /// The stage.
        stage: Stage,
    },
    /// A view, or what was read from it, is used after the stage was given back.
    #[error("{stage} is used after its release")]
    UsedAfterRelease {
        /// The stage.
        stage: Stage,
    },
    /// A product takes registers whose reading had no end that the release waited for.
    #[error("{stage} is released before the `mma_wait` that retires a product of the tile read from it")]
    ReadInFlight {
        /// The stage.
        stage: Stage,
    },
    /// A shared stage is written over while products of it may be in flight in other warpgroups: they wait for those only after the last meeting.
    #[error(
        "{stage} is written over before a meeting that follows the `mma_wait` of the products which read it"
    )]
    SharedInUse {
        /// The stage, as it was.
        stage: Stage,
    },
    /// A product of a shared stage that was written over.
    #[error("{stage} is used after it was written over")]
    WrittenOver {
        /// The stage, as it was.
        stage: Stage,
    },
    /// A shared stage is read into registers.
    #[error("{stage} is shared, only products read it")]
    SharedRead {
        /// The stage.
        stage: Stage,
    },
    /// A product in flight is taken twice.
    #[error("this product in flight was taken by `{found}` before")]
    TakenTwice {
        /// Who took it first.
        found: &'static str,
    },
    /// `mma_wait` would make a tile of what is still in flight.
    #[error("{newer} newer groups are in flight and {left} may be left, so this product is not retired")]
    NotRetired {
        /// Groups started after the product's.
        newer: usize,
        /// Groups that may be left.
        left: usize,
    },
    /// A turn is taken twice, passed on without having been taken, or kept.
    #[error("{found}: a turn is taken and passed on in one region, in this order, once each")]
    Turn {
        /// What is wrong.
        found: &'static str,
    },
    /// Anything but products is started between a turn and its end: it could wait, for threads that wait for their turn.
    #[error(
        "it stands between `take_turn` and `pass_turn`, where nothing may wait: products and numbers only"
    )]
    InTurn,
    /// A product is never waited for.
    #[error("the role ends and no `mma_wait` has taken this product")]
    Dropped,
    /// Nobody can go on.
    #[error("nobody can go on: {}", listed(.waits))]
    Deadlock {
        /// Where each role is.
        waits: Vec<Wait>,
    },
}
