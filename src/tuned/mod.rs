//! Records of tuning ([`record`]) by problem ([`key`]), and launches that ask them ([`pick`](mod@pick)).
//!
//! Nothing is measured here: that is the tuner's business.

pub mod hash;
pub mod key;
pub mod launcher;
pub mod made;
pub mod pick;
pub mod record;

pub use key::Key;
pub use launcher::Tuned;
pub use made::Made;
