//! Reads the sources of a crate: which of its top-level modules import which others. For the tests of the crates' order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The top-level modules of a crate in the order that the text of its `lib.rs` states, the lowest first.
pub(crate) fn stated(src: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(src.join("lib.rs")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! * [`")?.split_once("`]: "));
    rows.flat_map(|(names, _)| names.split("`], [`").map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The top-level modules that `lib.rs` declares, except those of tests.
pub(crate) fn declared(src: &Path) -> BTreeSet<String> {
    let text = without_tests(&code(&std::fs::read_to_string(src.join("lib.rs")).unwrap()));
    let rows = text.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    rows.map(str::to_owned).collect()
}

/// Every import of another top-level module: the file below `src`, its top-level module, the imported one.
pub(crate) fn imports(src: &Path) -> Vec<(PathBuf, String, String)> {
    let mut found = Vec::new();
    for module in declared(src) {
        read(src, &[module], &mut found);
    }
    found.sort();
    found.dedup();
    found
}

/// The imports that do not lead down, one a line.
pub(crate) fn upward(src: &Path) -> Vec<String> {
    let place: BTreeMap<String, usize> = stated(src).into_iter().enumerate().map(|(at, name)| (name, at)).collect();
    let is_upward = |(_, from, to): &(PathBuf, String, String)| place.get(to) >= place.get(from);
    let all = imports(src).into_iter().filter(is_upward);
    all.map(|(file, from, to)| format!("{}: `{from}` imports `{to}`, which is above it", file.display())).collect()
}

/// Reads a module's file and those of its submodules.
fn read(src: &Path, module: &[String], found: &mut Vec<(PathBuf, String, String)>) {
    let path: PathBuf = module.iter().collect();
    let plain = path.with_extension("rs");
    let file = if src.join(&plain).is_file() { plain } else { path.join("mod.rs") };
    let text = without_tests(&code(&std::fs::read_to_string(src.join(&file)).unwrap_or_else(|e| panic!("{}: {e}", file.display()))));
    let own = &module[0];
    found.extend(named(&text, module.len()).into_iter().filter(|to| to != own).map(|to| (file.clone(), own.clone(), to)));
    for line in text.lines() {
        let declared = line.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ").trim_start_matches("pub ");
        if let Some(name) = declared.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
            read(src, &[module, &[name.to_owned()]].concat(), found);
        }
    }
}

/// The top-level modules that paths in a module at this depth begin with: after `crate::`, or after as many `super::` as
/// lead to the crate.
fn named(text: &str, depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for root in ["crate::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in text.match_indices(&root) {
            let before = text[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || "_:".contains(before) {
                continue;
            }
            let rest = &text[at + root.len()..];
            match rest.strip_prefix('{') {
                None => found.extend(first_word(rest)),
                Some(group) => {
                    let mut level = 0;
                    let mut is_start = true;
                    for (at, c) in group.char_indices() {
                        match c {
                            '}' if level == 0 => break,
                            '{' => level += 1,
                            '}' => level -= 1,
                            ',' if level == 0 => is_start = true,
                            c if c.is_whitespace() => {}
                            _ if is_start => {
                                found.extend(first_word(&group[at..]));
                                is_start = false;
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }
    found
}

/// The module that a path begins with; a type or a macro of the crate itself is none.
fn first_word(path: &str) -> Option<String> {
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(path.len());
    let word = &path[..end];
    let is_module =
        word.starts_with(|c: char| c.is_ascii_lowercase()) && !path[end..].starts_with('!') && word != "self" && word != "super";
    is_module.then(|| word.to_owned())
}

/// The source without comments and without the content of strings. A literal that contains a quote in an unusual way
/// hides the rest of its line only.
fn code(text: &str) -> String {
    let line = |line: &str| {
        let mut kept = String::new();
        let mut chars = line.chars().peekable();
        let mut in_string = false;
        while let Some(c) = chars.next() {
            match c {
                '\\' if in_string => drop(chars.next()),
                '"' => in_string = !in_string,
                '/' if !in_string && chars.peek() == Some(&'/') => break,
                '\'' if !in_string && chars.peek() == Some(&'"') => drop((chars.next(), chars.next())),
                _ if in_string => {}
                c => kept.push(c),
            }
        }
        kept.push('\n');
        kept
    };
    text.lines().map(line).collect()
}

/// The source without items for tests: what follows `#[cfg(test)]` up to the end of the item.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !["#[cfg(test)]", "#[cfg(all(test,"].iter().any(|attribute| line.trim().starts_with(attribute)) {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        let mut level = 0_i32;
        for line in lines.by_ref() {
            level += i32::try_from(line.matches('{').count()).unwrap() - i32::try_from(line.matches('}').count()).unwrap();
            let is_attribute = line.trim_start().starts_with("#[");
            if level == 0 && !is_attribute && line.trim_end().ends_with([';', '}', ',']) {
                break;
            }
        }
    }
    kept
}

/// What the parts above make of a source, so that a test of the order cannot pass because nothing is read.
#[test]
fn imports_are_found_and_those_of_tests_are_not() {
    let source = "\
use crate::a;\nuse crate::{b::{X, y}, c, self, Type};\npub use super::super::d::E;\nfn f() -> crate::e::F { $crate::g::h() }\n\
// crate::no1\nconst S: &str = \"crate::no2 \\\" crate::no3\";\nlet q = '\"'; crate::h::i();\nother::crate_::no4(); my_crate::no5();\ncrate::macro_!();\n\
use super::super::super::no6;\n\
#[cfg(test)]\nuse crate::no7;\n#[cfg(all(test, unix))]\nmod tests {\n    use crate::no8;\n    fn g() {\n    }\n}\nuse crate::z;\n";
    let found = named(&without_tests(&code(source)), 2);
    let expected = ["a", "b", "c", "d", "e", "g", "h", "z"].map(str::to_owned);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}
