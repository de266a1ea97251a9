//! The fence around files and child processes (`clippy.toml`): where it is open, that both are never open at once, and that the command
//! line opens no files at all.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // the sources are read; a panic is the failure report

use std::path::{Path, PathBuf};

/// Folders where the lint is off for every file: the layers that the fence points to.
const LAYERS: [&str; 2] = ["hostfs/mod.rs", "safe/mod.rs"];
/// Files with an exception for one function or one type.
const EXCEPTIONS: [&str; 2] = ["child.rs", "confine/root.rs"];
/// The lint is off in tests, and in a program for tests.
const TESTS: [&str; 2] = ["bin/chyves-host-tests.rs", "lib.rs"];
/// What switches the lint off: its name, and the groups that it belongs to.
const OPENERS: [&str; 5] = ["disallowed_methods", "disallowed_method", "clippy::style", "clippy::all", "warnings"];

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { sources(&path, all) } else { all.push(path) }
    }
}

/// The text of a source without its comments and blanks.
fn code(text: &str) -> String {
    text.lines().filter_map(|line| line.split("//").next()).flat_map(str::split_whitespace).collect()
}

/// The attributes of a source, each with whether it is of the whole module.
fn attributes(code: &str) -> Vec<(bool, &str)> {
    let mut all = Vec::new();
    for (at, _) in code.match_indices('#') {
        let (whole, body) = match &code[at + 1..] {
            rest if rest.starts_with("![") => (true, &rest[2..]),
            rest if rest.starts_with('[') => (false, &rest[1..]),
            _ => continue,
        };
        let mut depth = 1;
        let end = body.find(|c| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            depth == 0
        });
        all.push((whole, &body[..end.unwrap_or(body.len())]));
    }
    all
}

/// Whether the lint is switched off in a whole module, and in a part of it.
fn opens(code: &str) -> (bool, bool) {
    let opens = |body: &str| ["allow(", "expect("].iter().any(|word| body.contains(word)) && OPENERS.iter().any(|lint| body.contains(lint));
    let all: Vec<bool> = attributes(code).into_iter().filter(|(_, body)| opens(body)).map(|(whole, _)| whole).collect();
    (all.contains(&true), all.contains(&false))
}

#[test]
fn every_way_to_open_the_fence_is_seen() {
    for (text, found) in [
        ("#![allow(clippy::disallowed_methods)]", (true, false)),
        ("#![expect(dead_code, clippy::disallowed_methods, reason = \"x\")]", (true, false)),
        ("#[allow(\n    dead_code,\n    clippy::disallowed_methods\n)]\nfn f() {}", (false, true)),
        ("#[cfg_attr(unix, allow(clippy::style))] fn f() {}", (false, true)),
        ("#![allow(clippy::all)] #[allow(warnings)] fn f() {}", (true, true)),
        ("#[doc = \"[\"] // #![allow(clippy::disallowed_methods)]\nfn f() {}", (false, false)),
        ("#[warn(clippy::disallowed_methods)] fn f() {}", (false, false)),
    ] {
        assert_eq!(opens(&code(text)), found, "{text}");
    }
}

#[test]
fn the_fence_is_open_in_two_layers_and_two_exceptions() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    sources(&src, &mut all);
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    for path in &all {
        let (name, code) = (path.strip_prefix(&src).unwrap().to_str().unwrap(), code(&std::fs::read_to_string(path).unwrap()));
        if TESTS.contains(&name) {
            continue;
        }
        let (all, part) = opens(&code);
        whole.extend(all.then_some(name));
        parts.extend((part && !all).then_some(name));
        let is_layer = name.starts_with("hostfs/") || name.starts_with("safe/");
        assert!(!is_layer || !code.contains("Command"), "{name} opens files and starts processes");
    }
    whole.sort_unstable();
    parts.sort_unstable();
    // One more needs a reason; most often one of the layers has what is needed.
    assert_eq!((whole.as_slice(), parts.as_slice()), (LAYERS.as_slice(), EXCEPTIONS.as_slice()));
}

/// The names in a text, whatever stands between them.
fn names(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_command_line_opens_no_files() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/src");
    let mut all = Vec::new();
    sources(&src, &mut all);
    assert!(all.len() > 50);
    // `fs` is in every path to what opens files, under whatever name it is used then.
    let forbidden = ["fs", "libc", "canonicalize", "read_dir", "read_link", "try_exists", "symlink_metadata", "metadata"];
    let methods = [".exists()", ".is_file()", ".is_dir()", ".is_symlink()"];
    for path in &all {
        let text = std::fs::read_to_string(path).unwrap();
        // Unit tests are last in a file.
        let text = text.split("#[cfg(test)]").next().unwrap();
        let lines: Vec<&str> = text.lines().filter_map(|line| line.split("//").next()).collect();
        for line in lines {
            let found = names(line).into_iter().find(|name| forbidden.contains(name));
            let found = found.or_else(|| methods.into_iter().find(|method| line.contains(method)));
            assert_eq!(found, None, "{}: {line}: chyves_host::hostfs or chyves_host::safe opens it", path.display());
        }
    }
}
