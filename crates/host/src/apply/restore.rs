//! Makes the files of a folder equal to those of another one, writing only blocks that differ: equal blocks stay shared with
//! the snapshots, and holes stay holes.

use crate::safe::{Access, FileKind, Folder, Rule};
use crate::settled::settled;
use crate::sparse_write::{self, RECORD};
use chyves_core::error::{Problem, Result};
use chyves_core::value::{Dataset, FilePath, printable};
use chyves_core::zfs::args;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The folder at the top of a guest's folder that keeps its current content.
const KEPT: &str = "logs";

/// Maximum depth of nested folders; two descriptors are open per level. A guest of chyves has three levels.
const DEPTH: usize = 512;

fn fail(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Problem {
    let (what, path) = (what.to_owned(), path.display().to_string());
    move |e| Problem::failed(format!("cannot {what} `{path}`")).on(&path).because(e)
}

/// Receives the progress, and can stop the work.
pub(super) struct Watch<'a> {
    /// Set to stop.
    pub(super) interrupted: &'a AtomicBool,
    /// Gets the bytes done of a file, and its total bytes.
    pub(super) progress: &'a mut dyn FnMut(u64, u64),
}

/// Makes everything in the folder `to` equal to `from`, except logs; or the device of a volume equal to that of another one.
///
/// # Errors
/// Something cannot be read or written, is neither a file nor a folder, or the volumes have different sizes.
pub fn back(from: &str, to: &str, interrupted: &AtomicBool) -> Result<()> {
    let mut watch = Watch { interrupted, progress: &mut |_, _| {} };
    if to.starts_with("/dev/") {
        return volume(from, to, &mut watch);
    }
    // The folder of an unmounted file system is empty, which would remove everything.
    for folder in [from, to] {
        mounted(folder)?;
    }
    restore(Path::new(from), Path::new(to), &mut watch)
}

/// Destroys a clone that was worked on, with the clones of volumes below it, if it exists.
///
/// # Errors
/// It cannot be destroyed.
pub fn drop_work(work: &Dataset, below: &[String]) -> Result<()> {
    if !crate::observe::exists(work.as_str())? {
        return Ok(());
    }
    // It may be unmounted already.
    let _ = settled(&args::unmount(work));
    for volume in below.iter().map(|name| work.child(name)) {
        if crate::observe::exists(volume.as_str())? {
            settled(&args::destroy(&volume))?;
        }
    }
    settled(&args::destroy(work))
}

/// Destroys a clone that is copied from, with the clones of volumes below it; whether it existed.
///
/// # Errors
/// `zfs` fails.
pub fn drop_revert(work: &Dataset) -> Result<bool> {
    if !crate::observe::exists(work.as_str())? {
        return Ok(false);
    }
    let volumes: Vec<String> = crate::observe::below(work)?.iter().map(|dataset| dataset.leaf().to_owned()).collect();
    drop_work(work, &volumes).map(|()| true)
}

/// Verifies that a folder is a mount point.
fn mounted(folder: &str) -> Result<()> {
    let device = |path: &Path| {
        crate::hostfs::named::stat(path).map(|meta| std::os::unix::fs::MetadataExt::dev(&meta)).map_err(fail("inspect", path))
    };
    let above = Path::new(folder).parent().unwrap_or(Path::new("/"));
    if device(Path::new(folder))? == device(above)? {
        return Err(Problem::failed(format!("nothing is mounted at `{folder}`")).on(folder));
    }
    Ok(())
}

/// Makes a volume equal to another one, through their devices.
fn volume(from: &str, to: &str, watch: &mut Watch<'_>) -> Result<()> {
    super::disk::appears(from, watch.interrupted)?;
    super::disk::appears(to, watch.interrupted)?;
    let (past, present) = (FilePath::host(from), FilePath::host(to));
    let (length, is) = (crate::media::length(&past)?, crate::media::length(&present)?);
    if length != is {
        return Err(Problem::failed(format!("cannot make {to} what {from} is: it has {is}, and not {length}")).on(to));
    }
    let (past, present) = (crate::safe::attached(from, false)?, crate::safe::attached(to, true)?);
    same(&past, &present, length.get(), (Path::new(from), Path::new(to)), watch)
}

/// Makes everything in `to` equal to `from`, except logs. Unacceptable contents of `from` are refused before anything is
/// changed.
pub(super) fn restore(from: &Path, to: &Path, watch: &mut Watch<'_>) -> Result<()> {
    // Both folders of every level are open at once.
    crate::inherited::enough_files();
    check(Folder::open(from)?)?;
    let mut levels = vec![Level::enter(Folder::open(from)?, Folder::open(to)?, true)?];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.next() else {
            levels.pop();
            continue;
        };
        let Level { from, to, .. } = level;
        match from.metadata(&name)?.map(|entry| entry.kind) {
            None => {}
            Some(FileKind::Folder) => {
                if to.metadata(&name)?.is_some_and(|entry| entry.kind != FileKind::Folder) {
                    to.remove_all(&name)?;
                }
                to.make_folder(&name)?;
                let nested = Level::enter(from.folder(&name)?, to.folder(&name)?, false)?;
                levels.push(nested);
            }
            Some(FileKind::File) => file(from, to, Path::new(&name), watch)?,
            Some(other) => return Err(unfit(from, &name, other)),
        }
    }
    Ok(())
}

/// A folder in progress; those above it are open as well.
struct Level {
    from: Folder,
    to: Folder,
    /// The names that are not done yet.
    names: std::collections::btree_set::IntoIter<OsString>,
}

impl Level {
    /// Removes what is only in `to`. At the `top` logs are left unchanged.
    fn enter(from: Folder, to: Folder, top: bool) -> Result<Self> {
        let kept = |name: &OsString| top && name == KEPT;
        let mut wanted: BTreeSet<OsString> = from.list()?.into_iter().collect();
        for name in to.list()?.iter().filter(|name| !wanted.contains(*name) && !kept(name)) {
            to.remove_all(name)?;
        }
        wanted.retain(|name| !kept(name));
        Ok(Self { from, to, names: wanted.into_iter() })
    }
}

/// Refuses a folder whose contents do not belong in a guest's folder, or that is nested too deeply.
fn check(from: Folder) -> Result<()> {
    let names = from.list()?.into_iter().filter(|name| name != KEPT).collect::<Vec<_>>();
    let mut levels = vec![(from, names.into_iter())];
    while let Some((folder, names)) = levels.last_mut() {
        let Some(name) = names.next() else {
            levels.pop();
            continue;
        };
        match folder.metadata(&name)?.map(|entry| entry.kind) {
            None | Some(FileKind::File) => {}
            Some(FileKind::Folder) => {
                let nested = folder.folder(&name)?;
                if levels.len() > DEPTH {
                    let shown = printable(&nested.path().display().to_string(), 200);
                    return Err(Problem::failed(format!("more than {DEPTH} folders are inside one another in the snapshot: `{shown}`"))
                        .on(&shown)
                        .because("a guest's folder is restored file by file, and nothing has been changed")
                        .hint("`chyves clone GUEST@SNAPSHOT NEW` makes a guest of the snapshot, whatever is in it"));
                }
                let names = nested.list()?.into_iter();
                levels.push((nested, names));
            }
            Some(other) => return Err(unfit(folder, &name, other)),
        }
    }
    Ok(())
}

/// The problem that an entry is neither a file nor a folder.
fn unfit(folder: &Folder, name: &OsString, kind: FileKind) -> Problem {
    let shown = folder.shown(name).display().to_string();
    Problem::failed(format!("`{shown}` is {}, neither a file nor a folder", kind.words()))
        .on(&shown)
        .because("links, FIFOs, sockets and devices have no place in a guest's folder")
        .hint("`chyves clone GUEST@SNAPSHOT NEW` makes a guest of the snapshot, whose other files can be used")
}

fn file(from: &Folder, to: &Folder, name: &Path, watch: &mut Watch<'_>) -> Result<()> {
    // A file with several hard links is replaced, not written: its other names could be other files.
    if to.metadata(name)?.is_some_and(|entry| entry.kind != FileKind::File || entry.links > 1) {
        to.remove_all(name)?;
    }
    let (source, target) = (from.shown(name), to.shown(name));
    let past = from.file(name, Access::Read, Rule::DISK)?;
    let length = past.metadata().map_err(fail("inspect", &source))?.len();
    let present = match to.file_if_there(name, Access::ReadWrite, Rule::DISK)? {
        Some(present) => present,
        None => to.create(name)?,
    };
    present.set_len(length).map_err(fail("write", &target))?;
    same(&past, &present, length, (&source, &target), watch)
}

/// Makes the bytes of a file equal to another one, writing the records that differ.
fn same(past: &File, present: &File, length: u64, (source, target): (&Path, &Path), watch: &mut Watch<'_>) -> Result<()> {
    let (mut was, mut is) = (vec![0u8; RECORD], vec![0u8; RECORD]);
    let mut at = 0u64;
    while at < length {
        if watch.interrupted.load(Ordering::SeqCst) {
            return Err(Problem::interrupted().on(target.display()));
        }
        let part = usize::try_from(length - at).map_or(RECORD, |left| left.min(RECORD));
        past.read_exact_at(&mut was[..part], at).map_err(fail("read", source))?;
        present.read_exact_at(&mut is[..part], at).map_err(fail("read", target))?;
        if was[..part] != is[..part] {
            sparse_write::write(present, &was[..part], at).map_err(fail("write", target))?;
        }
        at += part as u64;
        (watch.progress)(at, length);
    }
    present.sync_all().map_err(fail("write", target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
        assert!(back(from.to_str().unwrap(), to.to_str().unwrap(), &interrupted).unwrap_err().message.contains("nothing is mounted"));
        assert!(to.join("disk1.raw").exists());
        restore(&from, &to, &mut Watch { interrupted: &interrupted, progress: &mut |_, _| {} }).unwrap();
        assert_eq!(fs::read(to.join("disk0.raw")).unwrap(), fs::read(from.join("disk0.raw")).unwrap());
        assert!(!to.join("disk1.raw").exists());
        assert_eq!(fs::read_to_string(to.join("logs/console.log")).unwrap(), "today");
        assert_eq!(fs::read_to_string(to.join("a/b/c")).unwrap(), "deep");
    }

    /// Creates nested folders, and a file in the last one.
    fn nest(top: &Path, levels: usize) {
        fs::create_dir(top).unwrap();
        let mut folder = Folder::open(top).unwrap();
        for _ in 0..levels {
            folder.make_folder("d").unwrap();
            folder = folder.folder("d").unwrap();
        }
        std::io::Write::write_all(&mut folder.create("file").unwrap(), b"deep").unwrap();
    }

    #[test]
    fn folders_inside_one_another_are_followed_and_too_many_are_refused_before_anything_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let interrupted = AtomicBool::new(false);
        for (levels, refused) in [(DEPTH, false), (DEPTH + 1, true)] {
            nest(&from, levels);
            fs::create_dir(&to).unwrap();
            fs::write(to.join("present"), "").unwrap();
            let done = restore(&from, &to, &mut Watch { interrupted: &interrupted, progress: &mut |_, _| {} });
            assert_eq!(done.is_err(), refused, "{done:?}");
            assert_eq!(to.join("present").exists(), refused);
            if !refused {
                let last = (0..levels).fold(Folder::open(&to).unwrap(), |folder, _| folder.folder("d").unwrap());
                assert!(last.metadata("file").unwrap().is_some_and(|entry| entry.len == 4));
            }
            // The standard library's function needs a descriptor for each level.
            let top = Folder::open(dir.path()).unwrap();
            top.remove_all("from").unwrap();
            top.remove_all("to").unwrap();
        }
    }

    #[test]
    fn what_has_no_place_is_refused_before_anything_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("z")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("z/link")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(to.join("present"), "").unwrap();
        let interrupted = AtomicBool::new(false);
        let refused = restore(&from, &to, &mut Watch { interrupted: &interrupted, progress: &mut |_, _| {} }).unwrap_err();
        assert!(refused.message.contains("a symbolic link") || refused.message.contains("neither a file"), "{refused:?}");
        assert!(to.join("present").exists());
    }
}
