//! The order of this crate's top-level modules: `lib.rs` states it, and no module imports one above it. A circle between
//! modules makes each of them impossible to understand, to test or to move without the others.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // the sources are read; a panic is the failure report

mod modules;

use std::path::{Path, PathBuf};

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn no_module_imports_one_above_it() {
    let upward = modules::upward(&src());
    assert!(upward.is_empty(), "move what is needed down, or what needs it up:\n{}", upward.join("\n"));
    assert!(modules::imports(&src()).len() > 100, "the imports were not read");
}

#[test]
fn the_order_names_every_module_once() {
    let mut stated = modules::stated(&src());
    stated.sort();
    assert_eq!(stated, modules::declared(&src()).into_iter().collect::<Vec<_>>(), "the list in lib.rs, and its `mod` lines");
}

#[test]
fn a_module_is_a_folder() {
    let files = std::fs::read_dir(src()).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = files.filter(|entry| entry.file_type().unwrap().is_file()).map(|entry| entry.file_name()).collect();
    files.sort();
    assert_eq!(files, ["lib.rs"], "files beside the folders of modules");
}
