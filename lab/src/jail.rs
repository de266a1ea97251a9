//! Jails and the rules of their /dev, as jail(8) and devfs(8) make them: what a process in one can open.
//!
//! Single files are mounted; folders are not: a path below one is followed to the file that it would show. A jail is a file
//! `jails/NAME`, a ruleset a file `rulesets/N`. Not its job: reading jail.conf; see `tool::jail`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::{Done, Or};
use crate::place::Place;

/// The environment of a process in a jail: the jail's name.
pub(crate) const VARIABLE: &str = "CHYVES_LAB_JAIL";

/// One nullfs mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) readonly: bool,
    /// A single file, which is really mounted there.
    #[serde(default)]
    pub(crate) file: bool,
}

/// A jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Jail {
    pub(crate) name: String,
    pub(crate) root: String,
    pub(crate) vmm: bool,
    pub(crate) ppt: bool,
    /// The ruleset of its devfs; none where it has no /dev.
    pub(crate) ruleset: Option<u32>,
    pub(crate) mounts: Vec<Mount>,
    /// The rules at the moment of the mount.
    pub(crate) rules: Vec<String>,
}

impl Jail {
    /// The file that a path inside shows; one that is not there where the jail has none.
    pub(crate) fn resolve(&self, place: &Place, path: &str) -> PathBuf {
        let nothing = || Path::new(&self.root).join(".nothing").join(path.trim_start_matches('/'));
        if let Some(node) = path.strip_prefix("/dev/") {
            return if self.shows(node) { place.dir.join("dev").join(node) } else { nothing() };
        }
        let inside = format!("{}{path}", self.root);
        let mount = self
            .mounts
            .iter()
            .filter(|mount| inside == mount.target || inside.strip_prefix(&mount.target).is_some_and(|rest| rest.starts_with('/')))
            .max_by_key(|mount| mount.target.len());
        match mount {
            Some(mount) if mount.file => PathBuf::from(&mount.target),
            Some(mount) => place.outside(&format!("{}{}", mount.source, &inside[mount.target.len()..])),
            None => nothing(),
        }
    }

    /// Is a path inside on a mount that is only read?
    pub(crate) fn only_reads(&self, path: &str) -> bool {
        let inside = format!("{}{path}", self.root);
        self.mounts.iter().any(|mount| mount.readonly && (inside == mount.target || inside.starts_with(&format!("{}/", mount.target))))
    }

    /// Does its /dev show a node? Its folders must be shown as well.
    pub(crate) fn shows(&self, node: &str) -> bool {
        let folders = node.match_indices('/').map(|(at, _)| &node[..at]);
        self.ruleset.is_some() && folders.chain([node]).all(|path| shown(&self.rules, path))
    }
}

/// What the rules say of a path, the last one that fits.
fn shown(rules: &[String], path: &str) -> bool {
    let mut shown = true;
    for rule in rules {
        match rule.split_whitespace().collect::<Vec<_>>()[..] {
            ["hide"] => shown = false,
            ["unhide"] => shown = true,
            ["path", pattern, action] if fits(pattern, path) => shown = action == "unhide",
            _ => {}
        }
    }
    shown
}

/// fnmatch(3) with `FNM_PATHNAME`, as far as `*` goes.
fn fits(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((front, back)) => path.strip_prefix(front).is_some_and(|rest| {
            let end = rest.find('/').unwrap_or(rest.len());
            (0..=end).filter(|at| rest.is_char_boundary(*at)).any(|at| fits(back, &rest[at..]))
        }),
    }
}

/// The jail of a name.
pub(crate) fn find(place: &Place, name: &str) -> Done<Option<Jail>> {
    let text = place.read(&format!("jails/{name}"))?;
    if text.is_empty() { Ok(None) } else { serde_json::from_str(&text).map(Some).or_broken(format_args!("jail {name}")) }
}

/// Unmounts what is mounted for a jail, the last first. Whether all of it is unmounted.
pub(crate) fn unmount(mounts: &[Mount]) -> bool {
    let mut all = true;
    for mount in mounts.iter().rev().filter(|mount| mount.file) {
        // One that is not mounted any more is as it should be.
        let done = rustix::mount::unmount(&mount.target, rustix::mount::UnmountFlags::empty());
        all &= matches!(done, Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT));
    }
    all
}

/// All jails, at the end of the lab.
pub(crate) fn unmount_all(place: &Place) {
    for entry in std::fs::read_dir(place.path("jails")).into_iter().flatten().flatten() {
        if let Ok(Some(jail)) = find(place, &entry.file_name().to_string_lossy()) {
            unmount(&jail.mounts);
        }
    }
}

/// Keeps a jail.
pub(crate) fn keep(place: &Place, jail: &Jail) -> Done {
    std::fs::create_dir_all(place.path("jails")).or_broken("jails")?;
    place.write(&format!("jails/{}", jail.name), &serde_json::to_string(jail).or_broken("a jail")?)
}

/// The rules of a set.
pub(crate) fn rules(place: &Place, set: u32) -> Done<Vec<String>> {
    Ok(place.read(&format!("rulesets/{set}"))?.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_that_fits_counts_and_a_star_stays_in_its_folder() {
        let rules =
            ["hide", "path vmm unhide", "path vmm/web01 unhide", "path vmm.io/web01.* unhide", "path nmdm-a*B unhide"].map(str::to_owned);
        for (path, yes) in
            [("vmm", true), ("vmm/web01", true), ("vmm/web02", false), ("vmm.io/web01.bootrom", true), ("nmdm-a.1B", true), ("mem", false)]
        {
            assert_eq!(shown(&rules, path), yes, "{path}");
        }
        assert!(!fits("a*", "a/b") && fits("a*", "ab") && fits("a/*", "a/b"));
        assert!(shown(&[], "anything"));
    }
}
