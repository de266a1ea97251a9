//! Contents of a received stream that could affect this host: native properties, and files of a type that does not belong in a
//! guest's folder. None of them has an effect here; they are reported so that an administrator knows what was sent.
//!
//! Not here: removing the effect (chyves-core `zfs::guard::tame`, and [`crate::safe`], which opens regular files only).

use crate::safe::{FileKind, Folder};
use chyves_core::error::Result;
use chyves_core::plan::adopt::Member;
use chyves_core::value::{Dataset, printable};
use chyves_core::zfs::guard::Came;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Number of files that are listed; of the rest only the number is reported.
const LISTED: usize = 50;

/// Number of files that are inspected; a guest of chyves has a few dozen.
const INSPECTED: usize = 100_000;

/// Maximum depth of nested folders.
const DEPTH: usize = 64;

/// A received property or file that has no effect here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disarmed {
    /// The property, or the path relative to the guest's folder.
    pub what: String,
    /// The value or type that was received.
    pub was: String,
    /// Why it has no effect.
    pub now: String,
}

impl std::fmt::Display for Disarmed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} was {}: {}", self.what, self.was, self.now)
    }
}

/// The properties of a guest's dataset, or of one of its volumes, that could have affected this host.
pub(super) fn properties(guest: &Dataset, member: &Member) -> Vec<Disarmed> {
    let of = if member.dataset == *guest { String::new() } else { format!(" of {}", printable(member.dataset.leaf(), 60)) };
    let one = |came: &Came| Disarmed {
        what: format!("property {}{of}", printable(&came.property, 100)),
        was: printable(&came.value, 100),
        now: came.now(),
    };
    let mut all: Vec<Disarmed> = member.came.iter().take(LISTED).map(one).collect();
    let more = member.came.len().saturating_sub(LISTED);
    all.extend((more > 0).then(|| Disarmed {
        what: format!("{more} more properties{of}"),
        was: "set".to_owned(),
        now: "removed, or without effect, as these are".to_owned(),
    }));
    all
}

/// The files in a guest's folder that do not belong there. The last entry is the number of further ones.
pub(super) fn files(folder: &Folder) -> Result<Vec<Disarmed>> {
    let mut found = Found::default();
    let root = folder.own_metadata()?;
    if root.uid != 0 || root.mode & 0o7777 != 0o700 {
        found.add(
            Path::new("."),
            format!("a folder of user {} with mode {:04o}", root.uid, root.mode & 0o7777),
            "root's, with mode 0700, from adopt on",
        );
    }
    found.look(folder, Path::new(""), 0)?;
    if found.more > 0 {
        let what = format!("{} more files", found.more);
        found.list.push(Disarmed { what, was: "of such kinds".into(), now: "without effect in the same way".into() });
    }
    if found.seen > INSPECTED {
        let now = "never opened but as regular files".into();
        found.list.push(Disarmed { what: format!("files after the first {INSPECTED}"), was: "not inspected".into(), now });
    }
    Ok(found.list)
}

#[derive(Default)]
struct Found {
    list: Vec<Disarmed>,
    more: usize,
    seen: usize,
}

impl Found {
    fn add(&mut self, path: &Path, was: String, now: &str) {
        if self.list.len() < LISTED {
            self.list.push(Disarmed { what: printable(&path.to_string_lossy(), 200), was, now: now.to_owned() });
        } else {
            self.more += 1;
        }
    }

    fn look(&mut self, folder: &Folder, at: &Path, depth: usize) -> Result<()> {
        for name in folder.list()? {
            self.seen += 1;
            if self.seen > INSPECTED {
                return Ok(());
            }
            let path: PathBuf = at.join(&name);
            let Some(entry) = folder.metadata(&name)? else { continue };
            let special = entry.mode & 0o6000 != 0;
            match entry.kind {
                FileKind::File | FileKind::Folder => {}
                FileKind::Link => self.add(&path, "a symbolic link".into(), "not followed"),
                FileKind::Block | FileKind::Character => self.add(&path, entry.kind.words().into(), "not opened (devices=off)"),
                FileKind::Fifo | FileKind::Socket | FileKind::Other => self.add(&path, entry.kind.words().into(), "not opened"),
            }
            if special && entry.kind != FileKind::Link {
                let was = format!("{} with mode {:04o}", entry.kind.words(), entry.mode & 0o7777);
                self.add(&path, was, "its set-user-ID and set-group-ID bits have no effect (setuid=off)");
            }
            if entry.kind == FileKind::File && entry.links > 1 {
                self.add(&path, format!("a file with {} names", entry.links), "not written in place");
            }
            if entry.uid != 0 {
                self.add(&path, format!("{} of user {}", entry.kind.words(), entry.uid), "in a folder that root alone may enter");
            }
            if entry.kind == FileKind::Folder {
                if depth < DEPTH {
                    self.look(&folder.folder(&name)?, &path, depth + 1)?;
                } else {
                    self.add(&path, "a folder too deep to be inspected".into(), "its files are opened as regular files alone");
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_has_no_place_in_a_guests_folder_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        fs::write(dir.path().join("logs/su"), "").unwrap();
        fs::set_permissions(dir.path().join("logs/su"), Permissions::from_mode(0o4755)).unwrap();
        symlink("/etc/passwd", dir.path().join("config.toml")).unwrap();
        fs::write(dir.path().join("disk0.raw"), "").unwrap();
        fs::hard_link(dir.path().join("disk0.raw"), dir.path().join("disk1.raw")).unwrap();
        let found = files(&Folder::open(dir.path()).unwrap()).unwrap();
        let has = |what: &str, was: &str| found.iter().any(|d| d.what == what && d.was.contains(was));
        assert!(has("config.toml", "symbolic link") && has("logs/su", "4755"), "{found:?}");
        assert!(has("disk0.raw", "2 names") && has("disk1.raw", "2 names"), "{found:?}");
    }

    #[test]
    fn a_flood_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        (0..80).for_each(|n| symlink("x", dir.path().join(format!("l{n}"))).unwrap());
        let found = files(&Folder::open(dir.path()).unwrap()).unwrap();
        assert!(found.len() <= LISTED + 1 && found.last().unwrap().what.ends_with("more files"), "{:?}", found.last());
    }
}
