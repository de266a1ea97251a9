//! `snapshot diff`: what changed between two snapshots of a guest, or since one.

use crate::error::{Problem, Result};
use crate::property::keys;
use crate::property::settings::OwnValues;
use serde::Serialize;
use std::collections::BTreeMap;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What differs: `setting`, `file` or `size`.
    pub kind: &'static str,
    /// The key, the path in the guest's folder, or the disk.
    pub name: String,
    /// The old value; `None` if it did not exist.
    pub before: Option<String>,
    /// The new value; `None` if it no longer exists.
    pub after: Option<String>,
}

/// The settings that differ, without the marks of the snapshot itself.
pub fn settings(before: &OwnValues, after: &OwnValues) -> Vec<Change> {
    let mut all: Vec<&String> = before.keys().chain(after.keys()).collect();
    all.sort_unstable();
    all.dedup();
    let value = |of: &OwnValues, key: &str| of.get(key).map(|o| o.value.clone());
    all.into_iter()
        .filter(|key| !keys::OF_SNAPSHOTS.contains(&key.as_str()))
        .map(|key| Change { kind: "setting", name: key.clone(), before: value(before, key), after: value(after, key) })
        .filter(|c| c.before != c.after)
        .collect()
}

/// Parses the output of `zfs diff -H`; paths are relative to `folder` and escaped as ZFS prints them.
///
/// # Errors
/// A line has another form.
pub fn files(output: &str, folder: &str) -> Result<Vec<Change>> {
    let inner = |path: &str| path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/').to_owned();
    let there = || Some("there".to_owned());
    let mut all: Vec<Change> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for line in output.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let (name, before, after) = match fields[..] {
            ["M", path] => (inner(path), there(), Some("modified".into())),
            ["+", path] => (inner(path), None, there()),
            ["-", path] => (inner(path), there(), None),
            ["R", from, to] => (inner(from), there(), Some(format!("renamed to {}", inner(to)))),
            _ => return Err(Problem::failed("cannot read what `zfs diff` printed").because(crate::value::printable(line, 160))),
        };
        // The folder itself is reported whenever an entry in it changes.
        if name.is_empty() {
            continue;
        }
        match places.get(&name).map(|place| &mut all[*place]) {
            // A file that is rewritten through a temporary file is reported twice by ZFS: as removed and as added.
            Some(other) if other.before.is_some() != before.is_some() && other.after.is_some() != after.is_some() => {
                (other.before, other.after) = (there(), Some("replaced".into()));
            }
            _ => {
                places.insert(name.clone(), all.len());
                all.push(Change { kind: "file", name, before, after });
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::own;

    #[test]
    fn settings_differ_by_key() {
        let before = own(&[("cpu", "2"), ("notes", "x"), ("snapshot.taken", "t"), ("same", "1")]);
        let after = own(&[("cpu", "4"), ("ram", "1G"), ("same", "1")]);
        let told: Vec<String> = settings(&before, &after).iter().map(|c| format!("{} {:?} {:?}", c.name, c.before, c.after)).collect();
        assert_eq!(told, [r#"cpu Some("2") Some("4")"#, r#"notes Some("x") None"#, r#"ram None Some("1G")"#]);
    }

    #[test]
    fn files_differ_by_path() {
        let output = "M\t/t/web/\nM\t/t/web/disk0.raw\n+\t/t/web/new\\0040file\n-\t/t/web/old\nR\t/t/web/a\t/t/web/b\n";
        let told: Vec<String> = files(output, "/t/web").unwrap().iter().map(|c| format!("{} {:?}", c.name, c.after.as_deref())).collect();
        assert_eq!(told, [r#"disk0.raw Some("modified")"#, r#"new\0040file Some("there")"#, "old None", r#"a Some("renamed to b")"#]);
        let replaced = files("+\t/t/web/a\nM\t/t/web/b\n-\t/t/web/a\n", "/t/web").unwrap();
        let told: Vec<&str> = replaced.iter().map(|c| c.after.as_deref().unwrap()).collect();
        assert_eq!((told, replaced[0].before.as_deref()), (vec!["replaced", "modified"], Some("there")));
        assert!(files("Unable to obtain diffs\n", "/t").is_err());
    }
}
