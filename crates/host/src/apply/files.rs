//! The steps that chyves executes without another program: folders, small files, disk files.

use super::{Event, Place};
use crate::safe::{self, Access, Entry, Folder, Rule};
pub(super) use crate::small_files::{io_problem as io, remove_file as remove, write_bytes};
use crate::{platform, sparse_write};
use chyves_core::action::Checked;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::value::{FilePath, GuestName, Size, printable};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Size limit in bytes of a small file whose content is kept for a rollback.
const REPLACED: u64 = 16 << 20;

/// Size limit of UEFI variables in bytes: a template is a few hundred KiB, on arm64 up to 64 MiB.
const VARIABLES: u64 = 64 << 20;

/// As [`Folder::of`], for writing: restricts a guest's folder to root.
fn writable(path: &FilePath) -> Result<(Folder, PathBuf)> {
    let (folder, name) = Folder::of(path)?;
    if matches!(path, FilePath::Below { .. }) {
        folder.make_private()?;
    }
    Ok((folder, name))
}

/// Creates a folder that only its owner may enter; whether it was missing.
pub(super) fn make_folder(path: &FilePath) -> Result<bool> {
    let (folder, path) = writable(path)?;
    folder.make_folder(path)
}

/// Writes a small file atomically; returns the previous content. Without `flush`, it reaches the disk when its file system is
/// unmounted.
pub(super) fn write(path: &FilePath, text: &str, flush: bool) -> Result<Option<Vec<u8>>> {
    let (folder, path) = writable(path)?;
    let before = folder.read(&path, Rule::up_to(REPLACED))?;
    folder.replace(path, text.as_bytes(), flush)?;
    Ok(before)
}

/// The text of a small file; none if it is missing or cannot be read.
pub(super) fn text_in(path: &FilePath) -> Option<String> {
    let (folder, path) = Folder::of(path).ok()?;
    folder.read_text(path, Rule::up_to(REPLACED)).ok().flatten()
}

/// Creates an empty sparse disk file; an existing one is never changed.
pub(super) fn make_disk(path: &FilePath, size: Size) -> Result<()> {
    let (folder, name) = writable(path)?;
    let file = folder.create(&name)?;
    file.set_len(size.get()).map_err(|e| {
        let _ = folder.remove_file(name);
        io("create the disk", &path.to_string())(e)
    })
}

/// Opens a disk file for writing; returns it with its length.
fn disk(path: &FilePath) -> Result<(File, u64)> {
    let (folder, name) = Folder::of(path)?;
    let file = folder.file(name, Access::ReadWrite, Rule::DISK)?;
    let length = file.metadata().map_err(io("inspect", &path.to_string()))?.len();
    Ok((file, length))
}

fn another_size(path: &FilePath, is: u64, from: Size) -> Problem {
    Problem::failed(format!("the disk `{path}` has {is} bytes, not {}", from.get()))
        .on(path)
        .because("another program changed it, or what is recorded of it")
        .hint("`chyves disk list` shows what the disks of guests have, `chyves image verify` whether images are as imported")
}

/// Extends a disk file, if it has the expected size.
pub(super) fn grow(path: &FilePath, from: Size, to: Size) -> Result<()> {
    let (file, is) = disk(path)?;
    if is != from.get() || to < from {
        return Err(another_size(path, is, from));
    }
    file.set_len(to.get()).map_err(io("grow", &path.to_string()))
}

/// As [`grow`], for a file that may have the new size already.
pub(super) fn grow_or_so(path: &FilePath, from: Size, to: Size) -> Result<()> {
    if disk(path)?.1 == to.get() { Ok(()) } else { grow(path, from, to) }
}

/// Truncates a file to the size it had before this plan extended it. A file of another size is left alone: what was added since
/// does not belong to this plan.
pub(super) fn shrink(path: &FilePath, grown: Size, size: Size) -> Result<()> {
    let (file, is) = disk(path)?;
    if is != grown.get() && is != size.get() {
        return Err(Problem::failed(format!(
            "the disk `{path}` has {is} bytes, not the {} that it was grown to, and keeps them",
            grown.get()
        ))
        .on(path));
    }
    file.set_len(size.get()).map_err(io("cut", &path.to_string()))
}

/// Truncates a disk file, if it has the expected size or the new one.
pub(super) fn cut(path: &FilePath, from: Size, to: Size) -> Result<()> {
    let (file, is) = disk(path)?;
    if is != from.get() && is != to.get() {
        return Err(another_size(path, is, from));
    }
    file.set_len(to.get()).and_then(|()| file.sync_all()).map_err(io("cut", &path.to_string()))
}

/// Renames a file in its file system to a name that must not exist.
pub(super) fn rename(from: &FilePath, to: &FilePath) -> Result<()> {
    let (folder, from) = Folder::of(from)?;
    let (other, to) = Folder::of(to)?;
    if folder.path() != other.path() {
        return Err(Problem::bug("a file was to be renamed into another file system").on(folder.shown(from).display()));
    }
    folder.rename(&from, &to)?;
    folder.settle(&to).inspect_err(|_| {
        // A step that failed must have changed nothing.
        let _ = folder.rename(&to, &from);
    })
}

/// Renames a file if it exists; whether it existed.
pub(super) fn set_aside(from: &FilePath, to: &FilePath) -> Result<bool> {
    let (folder, name) = Folder::of(from)?;
    let there = folder.has(name)?;
    if there {
        rename(from, to)?;
    }
    Ok(there)
}

/// Removes a folder that this plan created, if it is empty.
pub(super) fn remove_folder(path: &FilePath) -> Result<()> {
    Folder::of_if_there(path)?.map_or(Ok(()), |(folder, path)| folder.remove_folder(path).map(drop))
}

/// Recreates a folder below the runtime folder, with these files.
pub(super) fn make_again(runtime: &Path, path: &str, files: &[(String, String)]) -> Result<()> {
    let below = Path::new(path).strip_prefix(runtime).map_err(|_| Problem::bug("no folder of the runtime folder").on(path))?;
    let root = Folder::open(runtime)?;
    let mut folder = PathBuf::new();
    for name in below {
        folder.push(name);
        root.make_folder(&folder)?;
    }
    files.iter().try_for_each(|(name, text)| root.replace(folder.join(name), text.as_bytes(), true))
}

/// The metadata of a path; none if it does not exist or cannot be inspected.
pub(super) fn seen(path: &FilePath) -> Option<Entry> {
    let (folder, path) = Folder::of(path).ok()?;
    folder.metadata(path).ok().flatten()
}

/// Verifies that files exist, are regular files or devices, and can be written.
pub(super) fn check(files: &[Checked], report: &mut dyn FnMut(Event<'_>)) -> Result<()> {
    for checked in files {
        let (path, what) = (&checked.path, &checked.what);
        let missing = || {
            Problem::not_now(format!("{what} cannot be used"))
                .on(path)
                .because(format!("`{}`: it is not there", printable(&path.to_string(), 300)))
                .hint(chyves_core::check::files::gone(what))
        };
        let opened = match path {
            FilePath::Host(path) if !crate::hostfs::named::is_there(platform::here().path(path)) => return Err(missing()),
            FilePath::Host(path) => safe::attached(path, true),
            FilePath::Below { mount, path } => match Folder::open(mount)?.file_if_there(path, Access::ReadWrite, Rule::DISK) {
                Ok(None) => return Err(missing()),
                Ok(Some(file)) => Ok(file),
                Err(problem) => Err(problem),
            },
        };
        let file = opened.map_err(|p| Problem { code: Kind::NotNow, ..p.within(format!("{what} cannot be used")).on(path) })?;
        if let (Some(most), Ok(length)) = (checked.most, file.metadata().map(|meta| meta.len()))
            && length > most.get()
        {
            return Err(Problem::not_now(format!("{what} cannot be used"))
                .on(path)
                .because(format!("it has {length} bytes, and the loader gets a copy of {} at most", most.get()))
                .hint("shorten it: comments and entries that are not used"));
        }
        // If a device's size cannot be read, there is nothing to compare.
        if checked.recorded.is_some()
            && let Ok(size) = crate::media::size_of(file, path)
        {
            checked.differs(size).into_iter().for_each(|text| report(Event::Warning(text)));
        }
    }
    Ok(())
}

/// Bytes copied between two progress reports and checks for an interrupt.
const CHUNK: usize = 1 << 20;

/// Copies UEFI variables into a guest's folder, unless it has some; whether they were created.
pub(super) fn copy_variables(guest: &GuestName, from: &FilePath, to: &FilePath, place: &mut Place<'_>) -> Result<bool> {
    let mut source = match from {
        FilePath::Host(path) => safe::named(path)?,
        FilePath::Below { mount, path } => Folder::open(mount)?.file(path, Access::Read, Rule::up_to(VARIABLES))?,
    };
    let total = source.metadata().map_err(io("inspect", &from.to_string()))?.len();
    if total > VARIABLES {
        return Err(Problem::host_cant(format!("`{from}` is not a template of UEFI variables"))
            .on(from)
            .because(format!("it has {total} bytes, more than {VARIABLES}")));
    }
    let (folder, name) = Folder::of(to)?;
    match folder.file_if_there(&name, Access::ReadWrite, Rule::DISK)?.map(|file| file.metadata()).transpose() {
        Ok(None) => {}
        Ok(Some(there)) if there.len() == total => return Ok(false),
        Ok(Some(there)) => {
            return Err(Problem::not_now(format!("the UEFI variables of `{guest}` are those of another firmware"))
                .on(guest)
                .because(format!("`{}` has {} bytes, and the firmware's template {total}", printable(&to.to_string(), 300), there.len()))
                .hint(format!("`chyves firmware reset {guest}` gives it fresh ones and keeps these; or choose the firmware that they are of: `chyves set {guest} firmware=IMAGE`")));
        }
        Err(e) => return Err(io("inspect", &to.to_string())(e)),
    }
    let staged = folder.stage(&name)?;
    let mut at = 0u64;
    sparse(&mut source, staged.file(), &to.to_string(), &mut |n| {
        at += n;
        (place.report)(Event::Progress(at, total));
        !place.interrupted.load(std::sync::atomic::Ordering::SeqCst)
    })?;
    staged.commit(true)?;
    Ok(true)
}

/// Copies a reader to a file, leaving holes for zeros. `went_on` gets the size of each chunk, and ends the copy by returning
/// false.
pub(super) fn sparse(source: &mut dyn Read, target: &File, name: &str, went_on: &mut dyn FnMut(u64) -> bool) -> Result<u64> {
    let mut buffer = vec![0u8; CHUNK];
    let mut at = 0u64;
    loop {
        let mut filled = 0;
        while filled < CHUNK {
            match source.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(io("read while writing", name)(e)),
            }
        }
        if filled == 0 {
            // A volume has a fixed length.
            if target.metadata().is_ok_and(|m| m.is_file()) {
                target.set_len(at).map_err(io("write", name))?;
            }
            return Ok(at);
        }
        sparse_write::write_sparse(target, &buffer[..filled], at).map_err(io("write", name))?;
        at += filled as u64;
        if !went_on(filled as u64) {
            return Err(Problem::interrupted().on(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn below(dir: &tempfile::TempDir, name: &str) -> FilePath {
        FilePath::below(dir.path().to_str().unwrap(), name)
    }

    #[test]
    fn zeros_stay_holes_and_lengths_stay_exact() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let mut content = vec![0u8; (4 << 20) + 12345];
        content[70_000] = 7;
        let last = content.len() - 1;
        content[last] = 9;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        let n = sparse(&mut content.as_slice(), &file, "disk", &mut |_| true).unwrap();
        assert_eq!(n, content.len() as u64);
        assert_eq!(fs::read(&path).unwrap(), content);
        assert!(fs::metadata(&path).unwrap().blocks() * 512 < 1 << 20, "no holes");
    }

    #[test]
    fn nothing_that_is_there_is_overwritten_by_a_new_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = below(&dir, "disk0.raw");
        fs::write(path.to_string(), "precious").unwrap();
        assert!(make_disk(&path, Size::mib(1)).is_err());
        assert!(grow(&path, Size::mib(1), Size::mib(2)).is_err());
        assert_eq!(fs::read(path.to_string()).unwrap(), b"precious");
    }

    #[test]
    fn files_are_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = below(&dir, "config.toml");
        assert_eq!(write(&path, "a", true).unwrap(), None);
        assert_eq!(write(&path, "b", true).unwrap(), Some(b"a".to_vec()));
        assert_eq!(fs::metadata(path.to_string()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_disk_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let problem =
            check(&[Checked { path: below(&dir, "disk0.raw"), what: "disk 0 of `web01`".into(), recorded: None, most: None }], &mut |_| {})
                .unwrap_err();
        assert_eq!(problem.message, "disk 0 of `web01` cannot be used");
        assert!(problem.causes[0].contains("it is not there"));
    }
}
