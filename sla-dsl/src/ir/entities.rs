//! Names of things in the IR: indices as newtypes, so that a value cannot be mistaken for an op.
//!
//! An entity is only meaningful together with the [`Kernel`](super::Kernel) it was made in. `Display` prints what the text
//! form parses.

use std::fmt;

macro_rules! entity {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The index into the kernel's table.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

entity! {
    /// An SSA value: the result of an op or an argument of a block.
    Value, "%"
}
entity! {
    /// An op in [`Kernel::ops`](super::Kernel::ops).
    OpId, "op"
}
entity! {
    /// A block in [`Kernel::blocks`](super::Kernel::blocks).
    BlockId, "^"
}
