//! Making the files of a folder what they are in another, block by block where they differ: what is alike stays shared
//! with the snapshots, and holes stay holes.

use super::{Event, Place};
use crate::records::{self, RECORD};
use crate::safe::{Access, FileKind, Folder, Rule};
use chyves_core::error::{Problem, Result};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;

/// What is the present's own and stays: logs at the top of a guest's folder.
const KEPT: &str = "logs";

/// How many folders may be inside one another.
const DEPTH: usize = 64;

fn fail(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Problem {
    let (what, path) = (what.to_owned(), path.display().to_string());
    move |e| Problem::failed(format!("can't {what} `{path}`")).on(&path).because(e)
}

/// Makes everything in `to` what it is in `from`, but for logs.
pub(super) fn restore(from: &Path, to: &Path, place: &mut Place<'_>) -> Result<()> {
    folder(&Folder::open(from)?, &Folder::open(to)?, 0, place)
}

fn folder(from: &Folder, to: &Folder, depth: usize, place: &mut Place<'_>) -> Result<()> {
    if depth > DEPTH {
        return Err(Problem::failed(format!("too many nested folders: `{}`", from.path().display())).on(from.path().display()));
    }
    let wanted: BTreeSet<OsString> = from.list()?.into_iter().collect();
    let kept = |name: &OsString| depth == 0 && name == KEPT;
    for name in to.list()?.iter().filter(|name| !wanted.contains(*name) && !kept(name)) {
        to.remove_all(name)?;
    }
    for name in wanted.iter().filter(|name| !kept(name)) {
        match from.metadata(name)?.map(|entry| entry.kind) {
            None => {}
            Some(FileKind::Folder) => {
                if to.metadata(name)?.is_some_and(|entry| entry.kind != FileKind::Folder) {
                    to.remove_all(name)?;
                }
                to.make_folder(name)?;
                folder(&from.folder(name)?, &to.folder(name)?, depth + 1, place)?;
            }
            Some(FileKind::File) => file(from, to, Path::new(name), place)?,
            Some(other) => {
                let shown = from.shown(name).display().to_string();
                return Err(Problem::failed(format!("`{shown}` is {}, neither a file nor a folder", other.words()))
                    .on(&shown)
                    .because("links, FIFOs, sockets and devices have no place in a guest's folder")
                    .hint("`chyves clone GUEST@SNAPSHOT NEW` makes a guest of the snapshot, whose other files can be used"));
            }
        }
    }
    Ok(())
}

fn file(from: &Folder, to: &Folder, name: &Path, place: &mut Place<'_>) -> Result<()> {
    // A file of several names is written under none of them: what else has its name would change too.
    if to.metadata(name)?.is_some_and(|entry| entry.kind != FileKind::File || entry.links > 1) {
        to.remove_all(name)?;
    }
    let (source, target) = (from.shown(name), to.shown(name));
    let past = from.file(name, Access::Read, Rule::DISK)?;
    let length = past.metadata().map_err(fail("look at", &source))?.len();
    let present = match to.file_if_there(name, Access::ReadWrite, Rule::DISK)? {
        Some(present) => present,
        None => to.create(name)?,
    };
    present.set_len(length).map_err(fail("write", &target))?;
    let (mut was, mut is) = (vec![0u8; RECORD], vec![0u8; RECORD]);
    let mut at = 0u64;
    while at < length {
        if place.interrupted.load(Ordering::SeqCst) {
            return Err(Problem::interrupted().on(target.display()));
        }
        let part = usize::try_from(length - at).map_or(RECORD, |left| left.min(RECORD));
        past.read_exact_at(&mut was[..part], at).map_err(fail("read", &source))?;
        present.read_exact_at(&mut is[..part], at).map_err(fail("read", &target))?;
        if was[..part] != is[..part] {
            records::write(&present, &was[..part], at).map_err(fail("write", &target))?;
        }
        at += part as u64;
        (place.report)(Event::Progress(at, length));
    }
    present.sync_all().map_err(fail("write", &target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;
    use chyves_core::os::Os;
    use std::fs;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_folder_becomes_what_the_other_is_but_for_logs() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for d in [&from, &to] {
            fs::create_dir_all(d.join("logs")).unwrap();
        }
        let mut disk = vec![7u8; 3 * RECORD + 5];
        fs::write(from.join("disk0.raw"), &disk).unwrap();
        disk[RECORD] = 9;
        disk.extend([1; 100]);
        fs::write(to.join("disk0.raw"), &disk).unwrap();
        fs::write(to.join("disk1.raw"), "new").unwrap();
        fs::write(to.join("logs/console.log"), "today").unwrap();
        fs::write(from.join("logs/console.log"), "yesterday").unwrap();
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::write(from.join("a/b/c"), "deep").unwrap();
        fs::write(to.join("a"), "a file where a folder was").unwrap();
        let interrupted = AtomicBool::new(false);
        let runtime = Runtime::at(dir.path());
        let mut place = Place {
            os: Os::Linux,
            runtime: &runtime,
            command: "",
            locks: &[],
            interrupted: &interrupted,
            report: &mut |_| {},
            lent: crate::apply::Lent::default(),
        };
        restore(&from, &to, &mut place).unwrap();
        assert_eq!(fs::read(to.join("disk0.raw")).unwrap(), fs::read(from.join("disk0.raw")).unwrap());
        assert!(!to.join("disk1.raw").exists());
        assert_eq!(fs::read_to_string(to.join("logs/console.log")).unwrap(), "today");
        assert_eq!(fs::read_to_string(to.join("a/b/c")).unwrap(), "deep");
    }
}
