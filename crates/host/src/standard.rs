//! Whether this process was started with a standard output. If it was closed (`>&-`), Rust's runtime opens `/dev/null` in its
//! place before `main`, and output is lost without an error. So this is checked when the program is loaded.

use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

extern "C" fn inspect() {
    // SAFETY: fcntl(2) with F_GETFD only checks a descriptor number, which need not be open.
    #[allow(unsafe_code)]
    let flags = unsafe { libc::fcntl(1, libc::F_GETFD) };
    CLOSED.store(flags == -1, Ordering::Relaxed);
}

// SAFETY: the section holds pointers to functions that the loader calls before `main`; this one calls fcntl(2) and sets a flag,
// and needs no runtime.
#[allow(unsafe_code)]
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = inspect;

/// Whether standard output was closed when this program was started.
pub fn output_was_closed() -> bool {
    // This reference keeps the linker from dropping the entry.
    std::hint::black_box(&raw const AT_LOAD);
    CLOSED.load(Ordering::Relaxed)
}
