//! The steps of a compilation as they happen: every pass and every change of language, with the text after it and the time that it took.
//!
//! The compiler tells a [`Trace`] what it has just done; where nobody looks on, nothing is printed and nothing is kept. What is made of the steps is the
//! business of [`dump`](crate::dump()) and [`Report`](crate::Report).

use crate::pipeline::optimise_seen;
use crate::target::{cpu, nvptx};
use crate::{CodegenError, Options, Stage, Target};
use sla_dsl::ir::Kernel;
use std::time::{Duration, Instant};

/// A kernel after something was done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The language that it is now in. A tile kernel that a target rewrites before it schedules it is still of stage `tile`.
    pub stage: Stage,
    /// What was done: the name of a pass, or a verb.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Ops of tile IR; ops, instructions or lines of code in the languages behind it.
    pub ops: usize,
    /// Time of the pass alone, without printing and verifying.
    pub took: Duration,
    /// Why what was tried is not used. The text is then that of the kernel that compilation goes on with.
    pub given_up: Option<String>,
}

/// Whom the compiler tells of its steps, if anybody.
pub(crate) struct Trace<'a>(Option<&'a mut dyn FnMut(Step)>);

impl<'a> Trace<'a> {
    /// For nobody.
    pub fn off() -> Trace<'static> {
        Trace(None)
    }

    /// For whoever `each` is.
    pub fn to(each: &'a mut dyn FnMut(Step)) -> Trace<'a> {
        Trace(Some(each))
    }

    /// Runs a pass on a kernel, and tells of it as a step in tile IR.
    pub fn pass(&mut self, name: &str, kernel: &mut Kernel, pass: impl FnOnce(&mut Kernel)) {
        let start = Instant::now();
        pass(kernel);
        self.kernel(Stage::Tile, name, kernel, start.elapsed());
    }

    /// A kernel is made.
    pub fn kernel(&mut self, stage: Stage, name: &str, kernel: &Kernel, took: Duration) {
        self.tell(stage, name, took, None, || (kernel.to_string(), ops_of(kernel)));
    }

    /// A way to go is given up: it goes on with this kernel.
    pub fn give_up(&mut self, name: &str, kernel: &Kernel, why: &str) {
        let why = Some(why.to_string());
        self.tell(Stage::Tile, name, Duration::ZERO, why, || (kernel.to_string(), ops_of(kernel)));
    }

    /// A kernel has a schedule, which a text shows.
    pub fn scheduled(&mut self, kernel: &Kernel, took: Duration, text: impl FnOnce() -> String) {
        self.tell(Stage::Sched, "schedule", took, None, || (text(), ops_of(kernel)));
    }

    /// A text of another language is made.
    pub fn text(&mut self, stage: Stage, name: &str, took: Duration, text: impl FnOnce() -> String) {
        self.tell(stage, name, took, None, || {
            let text = text();
            let ops = ops_in(stage, &text);
            (text, ops)
        });
    }

    fn tell(
        &mut self,
        stage: Stage,
        name: &str,
        took: Duration,
        given_up: Option<String>,
        text: impl FnOnce() -> (String, usize),
    ) {
        let Some(each) = &mut self.0 else { return };
        let (text, ops) = text();
        each(Step { stage, name: name.to_string(), text, ops, took, given_up });
    }
}

/// Compiles a kernel as far as assembly, and gives `each` every step of it: first the kernel as it was built, last the assembly.
///
/// # Errors
/// As [`compile`](crate::compile); what came before has been given to `each`.
pub fn trace(kernel: &Kernel, options: &Options, each: &mut dyn FnMut(Step)) -> Result<(), CodegenError> {
    let mut trace = Trace::to(each);
    trace.kernel(Stage::Tile, "built", kernel, Duration::ZERO);
    let kernel = optimise_seen(kernel, &mut trace)?;
    match options.target {
        Target::Cpu => cpu::trace(&kernel, &mut trace),
        Target::Cuda(arch) => nvptx::trace(&kernel, arch, options, &mut trace),
    }
}

fn ops_of(kernel: &Kernel) -> usize {
    let mut ops = 0;
    kernel.walk(&mut |_, _, _| ops += 1);
    ops
}

/// Lines of a text that do something: indented, and neither comments, labels, directives nor ends of blocks.
fn ops_in(stage: Stage, text: &str) -> usize {
    let other: &[char] = match stage {
        Stage::Ll => &[';', ']'],
        Stage::Ptx => &['.', '/', '{', '}', '#'],
        _ => &['}', '^', '#', '/'],
    };
    let does = |line: &&str| {
        let bare = line.trim_start();
        bare.len() < line.len() && !bare.is_empty() && !bare.starts_with(other)
    };
    text.lines().filter(does).count()
}
