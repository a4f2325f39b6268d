//! The entry point for a machine without a C compiler. Where there is one, its `crt1.o` defines `_start` and the linker
//! takes that; this weak one serves when `.cargo/cc` has to link xtask with nothing but Rust's own lld. It hands
//! `main` to the C library, as crt1.o does, and nothing else.

#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
std::arch::global_asm!(
    ".weak _start",
    "_start:",
    "xor ebp, ebp", // the outermost frame
    "mov r9, rdx",  // what the dynamic loader wants to be called at exit
    "pop rsi",      // argc
    "mov rdx, rsp", // argv
    "and rsp, -16",
    "push rax",     // keeps the stack aligned
    "push rsp",     // stack_end
    "xor r8d, r8d", // no fini and
    "xor ecx, ecx", // no init: the loader knows the arrays
    "mov rdi, qword ptr [rip + main@GOTPCREL]",
    "call qword ptr [rip + __libc_start_main@GOTPCREL]",
    "hlt",
);
