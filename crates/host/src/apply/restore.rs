//! Making the files of a folder what they are in another, block by block where they differ: what is alike stays shared
//! with the snapshots, and holes stay holes.

use super::{Event, Place};
use crate::records::{self, RECORD};
use chyves_core::error::{Problem, Result};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::Ordering;

/// What is the present's own and stays: logs at the top of a guest's folder.
const KEPT: &str = "logs";

fn fail(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Problem {
    let (what, path) = (what.to_owned(), path.display().to_string());
    move |e| Problem::failed(format!("can't {what} `{path}`")).on(&path).because(e)
}

/// Makes everything in `to` what it is in `from`, but for logs.
pub(super) fn restore(from: &Path, to: &Path, place: &mut Place<'_>) -> Result<()> {
    folder(from, to, true, place)
}

fn names(folder: &Path) -> Result<BTreeSet<OsString>> {
    let entries = fs::read_dir(folder).map_err(fail("list", folder))?;
    entries.map(|e| e.map(|e| e.file_name()).map_err(fail("list", folder))).collect()
}

fn folder(from: &Path, to: &Path, top: bool, place: &mut Place<'_>) -> Result<()> {
    let wanted = names(from)?;
    for name in names(to)?.difference(&wanted) {
        if !(top && name == KEPT) {
            remove(&to.join(name))?;
        }
    }
    for name in &wanted {
        if top && name == KEPT {
            continue;
        }
        let (source, target) = (from.join(name), to.join(name));
        let kind = fs::symlink_metadata(&source).map_err(fail("look at", &source))?;
        if kind.is_dir() {
            if !fs::symlink_metadata(&target).is_ok_and(|m| m.is_dir()) {
                remove(&target)?;
                fs::create_dir(&target).map_err(fail("make", &target))?;
            }
            folder(&source, &target, false, place)?;
        } else if kind.is_file() {
            file(&source, &target, place)?;
        } else {
            return Err(Problem::failed(format!("`{}` is neither a file nor a folder", source.display())).on(source.display()));
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).map_err(fail("remove", path)),
        Ok(_) => fs::remove_file(path).map_err(fail("remove", path)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(fail("look at", path)(e)),
    }
}

fn file(source: &Path, target: &Path, place: &mut Place<'_>) -> Result<()> {
    if fs::symlink_metadata(target).is_ok_and(|m| !m.is_file()) {
        remove(target)?;
    }
    let past = File::open(source).map_err(fail("open", source))?;
    let meta = past.metadata().map_err(fail("look at", source))?;
    let present =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(target).map_err(fail("open", target))?;
    present.set_len(meta.len()).map_err(fail("write", target))?;
    let (mut was, mut is) = (vec![0u8; RECORD], vec![0u8; RECORD]);
    let mut at = 0u64;
    while at < meta.len() {
        if place.interrupted.load(Ordering::SeqCst) {
            return Err(Problem::interrupted().on(target.display()));
        }
        let length = usize::try_from(meta.len() - at).map_or(RECORD, |left| left.min(RECORD));
        past.read_exact_at(&mut was[..length], at).map_err(fail("read", source))?;
        present.read_exact_at(&mut is[..length], at).map_err(fail("read", target))?;
        if was[..length] != is[..length] {
            records::write(&present, &was[..length], at).map_err(fail("write", target))?;
        }
        at += length as u64;
        (place.report)(Event::Progress(at, meta.len()));
    }
    fs::set_permissions(target, fs::Permissions::from_mode(meta.permissions().mode())).map_err(fail("write", target))?;
    present.sync_all().map_err(fail("write", target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;
    use chyves_core::os::Os;
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
