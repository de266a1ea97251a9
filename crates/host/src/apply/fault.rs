//! Failures on purpose, for the tests that fail and kill every step of every command. Test builds alone have them:
//! `CHYVES_FAULT=fail:2` fails step 2, `kill:2` kills the process before it, `killed:2` right after it.

use chyves_core::error::{Problem, Result};

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

/// Before step `index`.
pub(super) fn before(index: usize) -> Result<()> {
    if wanted("kill", index) {
        die();
    }
    if wanted("fail", index) {
        return Err(Problem::failed(format!("step {index} fails on purpose")));
    }
    Ok(())
}

/// After step `index`.
pub(super) fn after(index: usize) {
    if wanted("killed", index) {
        die();
    }
}
