//! MLIR and LLVM, mapped into the process when [`load`] is called. Until then their functions are stubs, and a program that compiles nothing starts as if
//! it were not linked with them.
//!
//! The build script says how. This crate stands apart from `sla-codegen` because it has no dependencies, so that its script is the first to run and a
//! machine without LLVM is told what to do before anything slow is compiled. It knows names of functions, and nothing about what they do.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::sync::OnceLock;
use std::{fmt, process};

/// LLVM's version when this was built.
pub const LLVM_VERSION: &str = env!("SLA_LLVM_VERSION");

/// The file that libLLVM is loaded from.
pub fn llvm() -> &'static Path {
    Path::new(env!("SLA_LLVM_PLACE"))
}

/// MLIR's C interface, a shared library that needs libMLIR and libLLVM.
static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libsla-mlir-c.so"));

/// The names of the functions, each with a zero behind it, in the order of the table.
static NAMES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/names"));

/// How many they are.
const FUNCTIONS: usize = match usize::from_str_radix(env!("SLA_MLIR_FUNCTIONS"), 10) {
    Ok(number) => number,
    Err(_) => panic!("the build script counts functions"),
};

std::arch::global_asm!(include_str!(concat!(env!("OUT_DIR"), "/stubs.s")), options(raw));

unsafe extern "C" {
    /// Where each function is; zeros before they are loaded.
    static mut sla_mlir_table: [*mut c_void; FUNCTIONS];

    fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const MFD_CLOEXEC: c_uint = 1;
const RTLD_LAZY: c_int = 1;

/// LLVM or MLIR is not where it was when the program was built, or lacks a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError(String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot load MLIR and LLVM {LLVM_VERSION}: {}", self.0)
    }
}

impl std::error::Error for LoadError {}

/// Maps the libraries, the first time. Every function of MLIR's and LLVM's C interfaces may be called once this has succeeded, and none before.
///
/// # Errors
/// Libraries that are not there or lack a function; the next call says the same.
pub fn load() -> Result<(), LoadError> {
    static DONE: OnceLock<Result<(), LoadError>> = OnceLock::new();
    DONE.get_or_init(|| open().and_then(fill).map_err(LoadError)).clone()
}

/// Loads the library that this program has in it, through a file in memory.
fn open() -> Result<*mut c_void, String> {
    // SAFETY: the name is a C string; the descriptor, if there is one, is new and nobody else's.
    let mut file = unsafe {
        match memfd_create(c"sla-mlir-c".as_ptr(), MFD_CLOEXEC) {
            -1 => return Err(format!("no file in memory: {}", std::io::Error::last_os_error())),
            descriptor => File::from_raw_fd(descriptor),
        }
    };
    file.write_all(LIBRARY).map_err(|e| format!("a file in memory cannot be written: {e}"))?;
    let place = format!("/proc/{}/fd/{}\0", process::id(), file.as_raw_fd());
    // SAFETY: a C string. What runs when the libraries are loaded are their own initialisers, as at the start of a program linked with them.
    let library = unsafe { dlopen(place.as_ptr().cast(), RTLD_LAZY) };
    // Its number stays taken: the loader knows libraries by their names, and would give this one to whoever loads another under the same number.
    std::mem::forget(file);
    if library.is_null() { Err(last_error()) } else { Ok(library) }
}

/// Fills the table.
fn fill(library: *mut c_void) -> Result<(), String> {
    let names = NAMES.split_inclusive(|&byte| byte == 0);
    let mut found = Vec::with_capacity(FUNCTIONS);
    for name in names {
        // SAFETY: the library stays loaded, and the name ends with a zero.
        let place = unsafe { dlsym(library, name.as_ptr().cast()) };
        if place.is_null() {
            return Err(last_error());
        }
        found.push(place);
    }
    let found = <[*mut c_void; FUNCTIONS]>::try_from(found)
        .map_err(|found| format!("{} functions, needed {FUNCTIONS}", found.len()))?;
    // SAFETY: nobody reads the table before `load` has returned, which is after this and, by the lock of its result, seen by every thread that has
    // called it.
    unsafe { (&raw mut sla_mlir_table).write(found) };
    Ok(())
}

/// What the dynamic loader says.
fn last_error() -> String {
    // SAFETY: the text, if there is one, is a C string that stays until this thread's next call of the loader.
    unsafe {
        let text = dlerror();
        if text.is_null() {
            "no reason given".to_string()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}
