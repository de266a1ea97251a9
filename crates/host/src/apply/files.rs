//! The steps that chyves does itself: folders, small files, disk files.

use super::{Event, Place};
use crate::{platform, records};
use chyves_core::error::{Problem, Result};
use chyves_core::value::{GuestName, Size, printable};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The problem that something can't be done with a file, with what to do where the pool is full or read-only.
pub(crate) fn io(what: &str, path: &str) -> impl FnOnce(std::io::Error) -> Problem {
    let (what, path) = (what.to_owned(), path.to_owned());
    move |e| {
        let problem = Problem::failed(format!("can't {what} `{}`", printable(&path, 300))).on(&path).because(&e);
        match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => problem
                .hint("make room: `chyves trash list` shows what is deleted and not yet destroyed, `zfs list -o space` where space goes"),
            ErrorKind::ReadOnlyFilesystem => problem.hint("the pool or dataset is read-only: `zfs get readonly`, `zpool status`"),
            _ => problem,
        }
    }
}

/// Makes a folder that its owner alone may enter; whether it was missing.
pub(super) fn make_folder(path: &str) -> Result<bool> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists && Path::new(path).is_dir() => Ok(false),
        Err(e) => Err(io("make the folder", path)(e)),
    }
}

/// The same with those above it; that one is there is as good.
pub(super) fn make_folders(path: &str) -> Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(io("make the folder", path))
}

/// Writes a small file whole; what stood there before. Without `flush` it is left to the unmounting of its file system to
/// bring it to the disk.
pub(super) fn write(path: &str, text: &str, flush: bool) -> Result<Option<Vec<u8>>> {
    let before = match fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => return Err(io("read", path)(e)),
    };
    write_whole(path, text.as_bytes(), flush)?;
    Ok(before)
}

/// Writes a file by way of a temporary name, so that nobody sees half of it.
pub(crate) fn write_bytes(path: &str, bytes: &[u8]) -> Result<()> {
    write_whole(path, bytes, true)
}

fn write_whole(path: &str, bytes: &[u8], flush: bool) -> Result<()> {
    let temporary = format!("{path}.new");
    let result = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        if flush {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)
    })();
    result.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        io("write", path)(e)
    })
}

/// Makes an empty disk, sparse; one that is there is never touched.
pub(super) fn make_disk(path: &str, size: Size) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io("make the disk", path))?;
    file.set_len(size.get()).map_err(|e| {
        let _ = fs::remove_file(path);
        io("make the disk", path)(e)
    })
}

/// Makes a disk file larger, if it is as large as it was thought to be.
pub(super) fn grow(path: &str, from: Size, to: Size) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path).map_err(io("open the disk", path))?;
    let is = file.metadata().map_err(io("look at", path))?.len();
    if is != from.get() || to < from {
        return Err(Problem::failed(format!("the disk `{path}` has {is} bytes, not {}", from.get())).on(path));
    }
    file.set_len(to.get()).map_err(io("grow", path))
}

/// The same, where it may be so large already.
pub(super) fn grow_or_so(path: &str, from: Size, to: Size) -> Result<()> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() == to.get() => Ok(()),
        _ => grow(path, from, to),
    }
}

/// Cuts a file off at the size it had before this plan grew it. One that has another size by now is left alone: what was
/// added since is not this plan's.
pub(super) fn shrink(path: &str, grown: Size, size: Size) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path).map_err(io("cut", path))?;
    let is = file.metadata().map_err(io("read the size of", path))?.len();
    if is != grown.get() && is != size.get() {
        return Err(Problem::failed(format!(
            "the disk `{path}` has {is} bytes, not the {} that it was grown to, and keeps them",
            grown.get()
        ))
        .on(path));
    }
    file.set_len(size.get()).map_err(io("cut", path))
}

/// Cuts a disk file off, if it is as large as it was thought to be; that it is cut already is as good.
pub(super) fn cut(path: &str, from: Size, to: Size) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path).map_err(io("open the disk", path))?;
    let is = file.metadata().map_err(io("look at", path))?.len();
    if is != from.get() && is != to.get() {
        return Err(Problem::failed(format!("the disk `{path}` has {is} bytes, not {}", from.get())).on(path));
    }
    file.set_len(to.get()).and_then(|()| file.sync_all()).map_err(io("cut", path))
}

/// Gives a file a name that nothing has.
pub(super) fn rename(from: &str, to: &str) -> Result<()> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(Problem::failed(format!("`{}` is there already", printable(to, 300)))
            .on(to)
            .hint("look what it is, and move it out of the way"));
    }
    fs::rename(from, to).map_err(io("rename", from))?;
    settle(to).map_err(|e| {
        // A step that failed has changed nothing.
        let _ = fs::rename(to, from);
        io("rename", from)(e)
    })
}

/// Removes a file that this plan made; that it is gone already is as good.
pub(super) fn remove(path: &str) -> Result<()> {
    match fs::remove_file(path).and_then(|()| settle(path)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Brings the names of a file's folder to the disk: what is written down as done is so after the host went down too.
fn settle(path: &str) -> std::io::Result<()> {
    let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
    match File::open(folder)?.sync_all() {
        // There are file systems that know no such thing.
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

/// Removes a folder that this plan made, if nothing is in it.
pub(super) fn remove_folder(path: &str) -> Result<()> {
    match fs::remove_dir(path) {
        Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => Err(io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Makes sure that files are there, are files or devices, and can be written.
pub(super) fn check(files: &[(String, String)]) -> Result<()> {
    for (path, what) in files {
        let wrong = |why: String| {
            Err(Problem::not_now(format!("{what} can't be used")).on(path).because(format!("`{}`: {why}", printable(path, 300))))
        };
        let place = platform::here().path(path);
        let meta = match fs::metadata(&place) {
            Ok(meta) => meta,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return wrong("it is not there".into()).map_err(|p: Problem| p.hint(chyves_core::check::files::gone(what)));
            }
            Err(e) => return wrong(e.to_string()),
        };
        if meta.is_dir() {
            return wrong("it is a folder".into());
        }
        if let Err(e) = OpenOptions::new().read(true).write(true).open(place) {
            return wrong(format!("it can't be opened for writing: {e}"));
        }
    }
    Ok(())
}

/// How much is copied between two looks at the progress and at the interrupt.
const CHUNK: usize = 1 << 20;

/// Gives a guest its variables unless it has some; whether they were made.
pub(super) fn copy_variables(guest: &GuestName, from: &str, to: &str, place: &mut Place<'_>) -> Result<bool> {
    let mut source = File::open(platform::here().path(from)).map_err(io("open", from))?;
    let total = source.metadata().map_err(io("look at", from))?.len();
    match fs::metadata(to) {
        Ok(there) if there.len() == total => return Ok(false),
        Ok(there) => {
            return Err(Problem::not_now(format!("the UEFI variables of `{guest}` are those of another firmware"))
                .on(guest)
                .because(format!("`{}` has {} bytes, and the firmware's template {total}", printable(to, 300), there.len()))
                .hint(format!("`chyves firmware reset {guest}` gives it fresh ones and keeps these; or choose the firmware that they are of: `chyves set {guest} uefi_firmware=…`")));
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(io("look at", to)(e)),
    }
    let temporary = format!("{to}.new");
    let result = (|| {
        let target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary).map_err(io("make", to))?;
        let mut at = 0u64;
        sparse(&mut source, &target, &temporary, &mut |n| {
            at += n;
            (place.report)(Event::Progress(at, total));
            !place.interrupted.load(std::sync::atomic::Ordering::SeqCst)
        })?;
        target.sync_all().map_err(io("write", to))?;
        fs::rename(&temporary, to).map_err(io("write", to))
    })();
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result.map(|()| true)
}

/// Copies everything from a reader to a file, leaving holes for zeros; `went_on` is told the bytes of each chunk and may
/// end it by answering no.
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
            // A volume has its length.
            if target.metadata().is_ok_and(|m| m.is_file()) {
                target.set_len(at).map_err(io("write", name))?;
            }
            return Ok(at);
        }
        records::write_sparse(target, &buffer[..filled], at).map_err(io("write", name))?;
        at += filled as u64;
        if !went_on(filled as u64) {
            return Err(Problem::interrupted().on(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

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
        let path = dir.path().join("disk0.raw").to_str().unwrap().to_owned();
        fs::write(&path, "precious").unwrap();
        assert!(make_disk(&path, Size::mib(1)).is_err());
        assert!(grow(&path, Size::mib(1), Size::mib(2)).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn files_are_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml").to_str().unwrap().to_owned();
        assert_eq!(write(&path, "a", true).unwrap(), None);
        assert_eq!(write(&path, "b", true).unwrap(), Some(b"a".to_vec()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_disk_is_named() {
        let problem = check(&[("/nowhere/disk0.raw".into(), "disk 0 of `web01`".into())]).unwrap_err();
        assert_eq!(problem.message, "disk 0 of `web01` can't be used");
        assert!(problem.causes[0].contains("it is not there"));
    }
}
