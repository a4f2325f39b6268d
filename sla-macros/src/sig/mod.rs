//! What the user declared: the attribute and the signature of a device function, parsed and kept with their tokens.
//!
//! Both the checker and the emitter read these. Nothing here looks into a body or knows the value of a constant. Parsing
//! collects every mistake of a signature instead of stopping at the first.

mod attr;
mod dim;
mod func;
mod tune;
mod ty;

pub use attr::{KernelAttr, Require};
pub use dim::{Dim, DimOp};
pub use func::{FuncFn, FuncImpl, Generic, GenericKind, KernelFn, Param, Receiver, Sig, TilesStruct};
pub use ty::{ElemClass, ElemName, ElemTy, Shape, StructArg, Ty};

/// Mistakes found so far, each on its token.
#[derive(Default)]
pub struct Errors(Vec<syn::Error>);

impl Errors {
    /// Notes a mistake.
    pub fn push(&mut self, error: syn::Error) {
        self.0.push(error);
    }

    /// The value, or `None` and a note.
    pub fn ok<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|e| self.push(e)).ok()
    }

    /// How many were noted.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Everything noted.
    pub fn into_vec(self) -> Vec<syn::Error> {
        self.0
    }
}
