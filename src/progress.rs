//! Telling somebody how far long work is. What is shown, and where, is the listener's business.

/// Told what is being done.
pub trait Progress {
    /// A piece of work begins that has so many steps.
    fn begin(&mut self, what: &str, steps: usize);
    /// One of the steps is done.
    fn step(&mut self);
    /// Something about the step that runs or has just been done.
    fn note(&mut self, _: &str) {}
    /// How many of the steps are done, and what is best to know of the work now.
    fn at(&mut self, _: usize, _: &str) {}
}

/// Nobody to tell.
impl Progress for () {
    fn begin(&mut self, _: &str, _: usize) {}
    fn step(&mut self) {}
}
