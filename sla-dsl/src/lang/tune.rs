//! The space of a kernel's tuning, as `tune(...)` declares it: values worth trying, and the sizes that a choice depends on.
//!
//! What is tried, measured and kept is not decided here.

/// A constant or a setting of the compiler, with the values that may be best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TuneAxis {
    /// In capitals a constant of the kernel, in small letters a setting of the compiler.
    pub name: &'static str,
    /// Values as they are written on command lines, in the order in which they are tried.
    pub values: &'static [&'static str],
}

impl TuneAxis {
    /// Whether it is a constant of the kernel.
    pub fn is_const(&self) -> bool {
        self.name.starts_with(|c: char| c.is_ascii_uppercase())
    }
}

/// What may be varied of a kernel, and by what its best is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TuneSpace {
    /// What may be varied; the space is the product of all values.
    pub axes: &'static [TuneAxis],
    /// Runtime dims that the best choice depends on. Constants that are not varied always belong to the key.
    pub key: &'static [&'static str],
}

impl TuneSpace {
    /// Of a kernel that is not tuned.
    pub const NONE: TuneSpace = TuneSpace { axes: &[], key: &[] };

    /// Whether there is nothing to vary.
    pub fn is_empty(&self) -> bool {
        self.axes.is_empty()
    }
}
