//! Fault injection for the tests that fail and kill every step of every command; in test builds only. `CHYVES_FAULT=fail:2`
//! fails step 2, `kill:2` kills the process before it, `killed:2` right after it, `flow:2` while it moves a stream; `repair:2`
//! kills a repair after two of its actions.

use chyves_core::error::{Problem, Result};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The current step.
static STEP: AtomicUsize = AtomicUsize::new(0);
/// Number of actions that a repair has done.
static REPAIRED: AtomicUsize = AtomicUsize::new(0);

#[cfg(debug_assertions)]
fn wanted(kind: &str, index: usize) -> bool {
    std::env::var("CHYVES_FAULT").is_ok_and(|w| w == format!("{kind}:{index}"))
}

#[cfg(not(debug_assertions))]
fn wanted(_: &str, _: usize) -> bool {
    false
}

fn die() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

/// Called before step `index`.
pub(crate) fn before(index: usize) -> Result<()> {
    STEP.store(index, Ordering::SeqCst);
    if wanted("kill", index) {
        die();
    }
    if wanted("fail", index) {
        return Err(Problem::failed(format!("step {index} fails on purpose")));
    }
    Ok(())
}

/// Called after step `index`.
pub(crate) fn after(index: usize) {
    if wanted("killed", index) {
        die();
    }
}

/// Called after a part of a stream was moved.
pub(crate) fn flowing() {
    if wanted("flow", STEP.load(Ordering::SeqCst)) {
        die();
    }
}

/// Called after an action of a repair, before it is recorded.
pub(crate) fn repaired() {
    let index = REPAIRED.fetch_add(1, Ordering::SeqCst);
    if wanted("repair", index) {
        die();
    }
}
