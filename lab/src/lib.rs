//! The lab: stand-ins for FreeBSD's programs, so that the whole FreeBSD side of chyves runs on Linux in tests.
//!
//! Their grammar and their refusals are written from what FreeBSD documents, and not from what chyves sends: a stand-in
//! that accepts whatever it is given proves nothing. `README.md` says what each one does and does not do.
//! Not its job: being part of the product. Nothing in chyves uses this crate except tests.

#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]
#![allow(clippy::unnecessary_wraps, reason = "a table's functions share one type")]
#![allow(clippy::format_collect, clippy::needless_for_each, clippy::struct_field_names, reason = "they read well, and nothing here is hot")]

mod bhyve;
mod command;
mod daemon;
mod exit;
mod getopt;
mod graph;
mod harness;
mod host;
mod ip;
mod jail;
mod memsize;
mod module;
mod pci;
mod place;
mod release;
mod tool;
mod vm;

pub use harness::Lab;

use std::process::ExitCode;

/// Runs the program that `argv[0]` names, and says how it ended.
pub fn enter() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let called = words.next().unwrap_or_default();
    let args: Vec<String> = words.collect();
    if called.starts_with(bhyve::TITLE) {
        return exit::code("bhyve", bhyve::run_prepared());
    }
    let name = called.rsplit('/').next().unwrap_or_default();
    match tool::find(name) {
        Some(tool) => exit::code(name, place::Place::from_env().and_then(|place| (tool.run)(&place, &args))),
        None => exit::code("chyves-lab", command::run(&args)),
    }
}
