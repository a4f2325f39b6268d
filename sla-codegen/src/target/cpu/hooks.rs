//! What compiled code calls back for: failed assertions, division by zero, accesses outside tensors, debug prints.
//!
//! A failure belongs to the thread on which it happened: the hook notes it there, the code returns early where it can, and whoever called
//! the code takes it from the same thread. So launches that run at the same time never see each other's failures.

use crate::target::printed::show;
use sla_dsl::diag::{Diagnostic, Loc};
use sla_dsl::interp::Fault;
use sla_dsl::ir::Elem;
use std::cell::RefCell;
use std::fmt::Write;
use std::io::{self, Write as _};

/// A place in a kernel that may call back.
pub struct Site {
    /// The op's place.
    pub loc: Loc,
    /// The message of `assert` and `print`, what was divided, or the name of the tensor that is accessed.
    pub message: String,
    /// For `print`: element type and shape of each operand.
    pub operands: Vec<(Elem, Vec<usize>)>,
}

/// The call-back places of one kernel, at a fixed address while its code is mapped.
pub struct Sites {
    /// The kernel's name.
    pub kernel: String,
    /// By number.
    pub sites: Vec<Site>,
}

thread_local! {
    static FAILURE: RefCell<Option<Diagnostic>> = const { RefCell::new(None) };
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Takes the first failure noted on this thread since the last call.
pub fn take_failure() -> Option<Diagnostic> {
    FAILURE.take()
}

/// Name and address of everything that compiled code may refer to besides the C library.
pub fn table(sites: &Sites) -> [(&'static str, usize); 5] {
    [
        ("sla_sites", sites as *const Sites as usize),
        ("sla_assert", assert_hook as *const () as usize),
        ("sla_fail", fail_hook as *const () as usize),
        ("sla_outside", outside_hook as *const () as usize),
        ("sla_print", print_hook as *const () as usize),
    ]
}

/// Notes a failure unless all `count` bytes at `cond` are non-zero. Returns 1 if they are, else 0.
///
/// # Safety
/// `sites` and `site` are those of the calling code, `cond` holds `count` bytes.
unsafe extern "C" fn assert_hook(sites: *const Sites, site: i32, cond: *const u8, count: i64) -> i32 {
    // SAFETY: the caller's promise.
    let holds = unsafe { std::slice::from_raw_parts(cond, count as usize) }.iter().all(|&b| b != 0);
    if !holds {
        // SAFETY: the caller's promise.
        unsafe { fail_hook(sites, site) };
    }
    holds as i32
}

/// Notes a failure.
///
/// # Safety
/// `sites` and `site` are those of the calling code.
unsafe extern "C" fn fail_hook(sites: *const Sites, site: i32) {
    // SAFETY: the caller's promise.
    let (sites, site) = unsafe { at(sites, site) };
    note(sites, site, site.message.clone());
}

/// Notes that a box of `extent` elements from `first` on does not lie inside a tensor's axis, in the interpreter's words.
///
/// # Safety
/// `sites` and `site` are those of the calling code.
unsafe extern "C" fn outside_hook(
    sites: *const Sites,
    site: i32,
    axis: i64,
    first: i64,
    extent: i64,
    size: i64,
) {
    // SAFETY: the caller's promise.
    let (sites, site) = unsafe { at(sites, site) };
    let tensor = site.message.clone();
    let fault =
        Fault::OutOfBounds { tensor, axis: axis as usize, first, end: first.saturating_add(extent), size };
    note(sites, site, fault.to_string());
}

/// A site of the calling code.
///
/// # Safety
/// As for the hooks; the code, and so its sites, outlive the call.
unsafe fn at<'s>(sites: *const Sites, site: i32) -> (&'s Sites, &'s Site) {
    // SAFETY: the caller's promise.
    let sites = unsafe { &*sites };
    (sites, &sites.sites[site as usize])
}

/// Keeps a failure unless there is one already.
fn note(sites: &Sites, site: &Site, message: String) {
    let diagnostic = Diagnostic { kernel: sites.kernel.clone(), loc: site.loc, message };
    FAILURE.with_borrow_mut(|f| {
        f.get_or_insert(diagnostic);
    });
}

/// Adds operand number `operand`, at `data` in row-major order, to a line; the first call (-1) starts the line with the program's place, and
/// the last operand ends it. Elements are f32, i32 or bytes.
///
/// # Safety
/// `sites` and `site` are those of the calling code, `data` holds the operand's elements.
unsafe extern "C" fn print_hook(
    sites: *const Sites,
    site: i32,
    operand: i32,
    data: *const u8,
    x: i32,
    y: i32,
    z: i32,
) {
    // SAFETY: the caller's promise.
    let (sites, site) = unsafe { at(sites, site) };
    LINE.with_borrow_mut(|line| {
        if operand < 0 {
            line.clear();
            let _ = write!(line, "{} {:?}: {}", sites.kernel, [x, y, z], site.message);
        } else if let Some((elem, shape)) = site.operands.get(operand as usize) {
            line.push(' ');
            // SAFETY: the caller's promise: as many elements as the operand's shape says.
            let at = |i: usize| unsafe {
                match elem {
                    e if e.is_float() => format!("{:?}", *(data as *const f32).add(i)),
                    Elem::Bool => (*data.add(i) != 0).to_string(),
                    _ => (*(data as *const i32).add(i)).to_string(),
                }
            };
            show(line, shape, &at);
        }
        if operand + 1 == site.operands.len() as i32 {
            // A closed stream is no reason to stop, and a panic could not leave compiled code.
            let _ = writeln!(io::stderr(), "{line}");
        }
    });
}
